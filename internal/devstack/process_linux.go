package devstack

import "syscall"

// endWithParent has the kernel send signal when the parent dies, kill -9
// included.
func endWithParent(attr *syscall.SysProcAttr, signal syscall.Signal) { attr.Pdeathsig = signal }

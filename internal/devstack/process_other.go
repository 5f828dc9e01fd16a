//go:build !linux

package devstack

import "syscall"

// endWithParent does nothing where the kernel cannot: a server that outlives a
// killed finobs is found by the next start.
func endWithParent(*syscall.SysProcAttr, syscall.Signal) {}

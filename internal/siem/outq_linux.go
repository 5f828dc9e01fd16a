package siem

import (
	"net"

	"golang.org/x/sys/unix"
)

// unconfirmed is how many bytes the kernel keeps because the other side has not
// confirmed them (SIOCOUTQ, tcp(7)).
func unconfirmed(c *net.TCPConn) (int64, bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, false
	}
	n, ioctlErr := 0, error(nil)
	err = raw.Control(func(fd uintptr) { n, ioctlErr = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	return int64(n), err == nil && ioctlErr == nil
}

//go:build failpoint

// Package failpoint lets crash tests end the process, as kill -9 does, at a
// named place. Only binaries built with the tag failpoint can; in all others Hit
// is empty.
package failpoint

import (
	"os"
	"syscall"
)

// Env names the one place at which this process ends.
const Env = "FINOBS_FAILPOINT"

// Hit ends the process by SIGKILL when Env names this place: no deferred call,
// no flush and no goodbye to any server.
func Hit(name string) {
	if os.Getenv(Env) != name {
		return
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
		panic(err)
	}
	select {} // the signal is on its way
}

//go:build slow && !failpoint

// Package failpoint in binaries built with the tag slow is a planted slow-down: a
// benchmark that does not see it measures nothing.
package failpoint

import "time"

// pause is what every place costs in binaries that are slow on purpose.
const pause = 20 * time.Millisecond

// Hit takes its time.
func Hit(string) { time.Sleep(pause) }

//go:build !failpoint && !slow

// Package failpoint lets crash tests end the process, as kill -9 does, at a
// named place. Only binaries built with the tag failpoint can; in all others Hit
// is empty.
package failpoint

// Hit does nothing.
func Hit(string) {}

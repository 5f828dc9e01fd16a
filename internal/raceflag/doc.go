// Package raceflag tells tests whether the race detector is on. It makes pure
// computation ten times slower and finds nothing in what one goroutine computes, so
// that tests of many cases take fewer of them under it; make test-full has all.
package raceflag

// Of is how many of all cases to take: under the race detector a part of them.
func Of(all, part int) int {
	if On {
		return part
	}
	return all
}

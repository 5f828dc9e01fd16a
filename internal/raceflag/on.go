//go:build race

package raceflag

// On is true under the race detector.
const On = true

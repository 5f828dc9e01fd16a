// Package samples embeds the real input that the demonstration runs on. Its
// origin and licence are in README.md.
package samples

import _ "embed" // for the files

// SECFails is a slice of the SEC's fails-to-deliver data.
//
//go:embed sec_fails_slice.txt
var SECFails []byte

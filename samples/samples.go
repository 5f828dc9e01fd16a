// Package samples embeds the real input that the demonstration runs on. Its
// origin and licence are in README.md.
package samples

import "embed"

// SECFails is a slice of the SEC's fails-to-deliver data.
//
//go:embed sec_fails_slice.txt
var SECFails []byte

// Recon are trades of two sides with known breaks.
//
//go:embed recon/oms_vs_broker/*.csv
var Recon embed.FS

// Package profiles embeds the reconciliation profiles that finobs ships.
package profiles

import "embed"

// FS holds the profiles, in the format of recon.LoadProfile; each file has its
// profile's name.
//
//go:embed *.yaml
var FS embed.FS

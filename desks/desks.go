// Package desks embeds the desk file that finobs ships.
package desks

import _ "embed" // for the desk file

// Default is the desk file of a worker that is given none, in the format of
// deskfile.Load.
//
//go:embed desk.yaml
var Default []byte

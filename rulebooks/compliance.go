// Package rulebooks embeds the rules that finobs ships.
package rulebooks

import _ "embed" // for the rules

// Compliance is the rules that finobs ships, in the format of compliance.LoadRules.
//
//go:embed compliance.yaml
var Compliance string

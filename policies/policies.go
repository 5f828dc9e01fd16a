// Package policies embeds the approval policies that finobs ships.
package policies

import _ "embed" // for the policy files

// Desk is the default policy file, in the format of approval.LoadPolicies.
//
//go:embed desk.yaml
var Desk []byte

// Strict is the policy file for production: more people, and only those on the
// roster.
//
//go:embed strict.yaml
var Strict []byte

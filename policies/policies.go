// Package policies embeds the approval policies that finobs ships.
package policies

import _ "embed" // for the policy files

// Desk is the default policy file, in the format of approval.LoadPolicies.
//
//go:embed desk.yaml
var Desk []byte

// Package rulebooks embeds the rulebooks that finobs ships, in the format of
// rulebook.Load.
package rulebooks

import _ "embed" // for the files

// Triage is the rulebook of a desk: what incidents are triaged by when no model is
// configured, or when it fails.
//
//go:embed triage.yaml
var Triage []byte

// Tickets tells the topics of an IT service desk apart, and has the matrix of impact
// and urgency.
//
//go:embed tickets.yaml
var Tickets []byte

// Complaints tells the products apart about which consumers complain.
//
//go:embed complaints.yaml
var Complaints []byte

// All are the shipped rulebooks by name.
func All() map[string][]byte {
	return map[string][]byte{"triage": Triage, "tickets": Tickets, "complaints": Complaints}
}

// Package desk holds the rules by which a trading desk judges what comes in. It
// is pure.
package desk

import "slices"

// Severity is how urgent something is.
type Severity string

// The closed set of severities.
const (
	Low      Severity = "low"
	Medium   Severity = "medium"
	High     Severity = "high"
	Critical Severity = "critical"
)

// Severities lists all of them, least urgent first.
func Severities() []Severity { return []Severity{Low, Medium, High, Critical} }

// Valid reports whether s is one of the severities above.
func (s Severity) Valid() bool { return slices.Contains(Severities(), s) }

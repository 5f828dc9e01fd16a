package llmtest

import (
	"finobs/internal/agent"
	"finobs/internal/redteam/hostile"
)

// Kind is a way in which an answer is hostile.
type Kind = hostile.Kind

// Kinds that tests name.
const (
	TenThousand   = hostile.TenThousand
	FiveMegabytes = hostile.FiveMegabytes
	InvalidUTF8   = hostile.InvalidUTF8
)

// OfForm lists the kinds that leave the schema.
func OfForm() []Kind { return hostile.OfForm() }

// OfMatter lists the kinds that have the form of the schema.
func OfMatter() []Kind { return hostile.OfMatter() }

// Good is a harmless answer about a bundle.
func Good(bundle []agent.Evidence) string { return hostile.Good(bundle) }

// Hostile is an answer about a bundle that is hostile in one way.
func Hostile(kind Kind, bundle []agent.Evidence) string { return hostile.Hostile(kind, bundle) }

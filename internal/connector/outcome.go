package connector

import (
	"time"

	"finobs/internal/action"
)

// Status is what is known about a command.
type Status string

// The closed set of statuses.
const (
	Done    Status = "done"    // applied: the system said so
	Failed  Status = "failed"  // certainly not applied: the system refused it
	Unknown Status = "unknown" // it may have been applied, or still be: look it up
	Absent  Status = "absent"  // of Lookup alone: the system has no effect under the key; see Outcome.Until
)

// Valid reports whether s is one of the statuses above.
func (s Status) Valid() bool {
	switch s {
	case Done, Failed, Unknown, Absent:
		return true
	}
	return false
}

// Outcome is what became of a command.
type Outcome struct {
	Status   Status
	Code     string         // "version_moved", "refused", …; why not done, for programs
	Reason   string         // the same for people: one line, fit to be shown
	EffectID string         // the system's name for the effect; empty when not done
	Object   *action.Object // as the effect left it; nil when not done
	// Until is, for an unknown outcome of Apply, the last moment at which the system
	// may still apply the command. An absent effect is final once it has passed; before,
	// the command may be under way. Whoever lost it reckons with MaxTimeout from the
	// moment at which the command was sent.
	Until time.Time
}

// Codes that are finobs' own; all others are the system's.
const (
	CodeNoAnswer  = "no_answer"  // the request may have left, and no answer came
	CodeBadAnswer = "bad_answer" // an answer came that the protocol does not have
	CodePending   = "pending"    // the system has the command and has not decided
	CodeAbsent    = "absent"     // the system knows of no such key
)

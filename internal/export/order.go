package export

import (
	"strconv"
	"time"

	"finobs/internal/canonical"
	"finobs/internal/fault"
)

// ScheduleVerb is what a person does to a schedule within what was granted.
type ScheduleVerb string

// The closed set of verbs.
const (
	SchedulePause  ScheduleVerb = "pause"
	ScheduleResume ScheduleVerb = "resume"
	ScheduleEnd    ScheduleVerb = "end"
)

// ScheduleAct is something that a person does to a schedule, bound in full by the
// API's command.
type ScheduleAct struct {
	ID         string       `json:"id"` // UUID; an act is done once
	Verb       ScheduleVerb `json:"verb"`
	ScheduleID int64        `json:"schedule_id"`
	Reason     string       `json:"reason"`
}

// maxReason bounds the words that go with an act, in bytes.
const maxReason = 4000

// Validate reports what is wrong with an act by itself, as a fault of kind
// Invalid.
func (a ScheduleAct) Validate() error {
	if a.Verb != SchedulePause && a.Verb != ScheduleResume && a.Verb != ScheduleEnd || a.ID == "" || len(a.Reason) > maxReason {
		return fault.New(fault.Invalid, "invalid-act", "an act on a schedule pauses, resumes or ends it, with a reason of at most %d bytes", maxReason)
	}
	return nil
}

// Digest is what the API's command is bound to.
func (a ScheduleAct) Digest() (string, error) {
	return canonical.Digest("finobs.schedule-act.v1", canonical.Object{
		"id": a.ID, "verb": string(a.Verb), "schedule_id": strconv.FormatInt(a.ScheduleID, 10), "reason": a.Reason,
	})
}

// Order is a person's order to carry out one slot that fell due and was not
// exported. It gives nothing that the schedule's grant does not give.
type Order struct {
	ScheduleID int64     `json:"schedule_id"`
	Slot       time.Time `json:"slot"`
	Origin     Origin    `json:"origin"` // Triggered or Backfilled
	Reason     string    `json:"reason"`
}

// Digest is what the API's command is bound to.
func (o Order) Digest() (string, error) {
	return canonical.Digest("finobs.schedule-order.v1", canonical.Object{
		"schedule_id": strconv.FormatInt(o.ScheduleID, 10), "slot": o.Slot.UTC().Format(time.RFC3339), "origin": string(o.Origin), "reason": o.Reason,
	})
}

package activities

import (
	"context"
	"strconv"
	"time"

	"finobs/internal/attest"
	"finobs/internal/canonical"
	"finobs/internal/export"
	"finobs/internal/failpoint"
	"finobs/internal/fault"
	"finobs/internal/ledger"
)

// ScheduleTx is what changes of schedules need of a transaction.
type ScheduleTx interface {
	SlotTx
	InsertSchedule(ctx context.Context, s export.Schedule) (int64, error)
	ChangeSchedule(ctx context.Context, s export.Schedule) (bool, error)
}

// applySchedule makes or changes a schedule as it was granted.
func applySchedule(ctx context.Context, tx ChangeTx, in GateRef, m matter) error {
	s, err := export.ScheduleOf(m.action)
	if err != nil {
		return err
	}
	if err := s.ValidateAt(tx.Now()); err != nil {
		return err
	}
	s.ApprovalID, s.ActionDigest = m.ID, m.ActionDigest
	if s.ID == 0 {
		if s.ID, err = tx.InsertSchedule(ctx, s); err != nil {
			return err
		}
		return appendChange(ctx, tx, in, m, "schedule.created", scheduleSubject(s.ID), canonical.Object{"name": s.Name, "version": "1"})
	}
	before, err := tx.LockSchedule(ctx, s.ID)
	if err != nil {
		return err
	}
	// The slots of the grant before are judged by that grant, and then it is over.
	const why = "the schedule was changed before the slot began"
	if err := settleAll(ctx, tx, in.FirstRun, before, before.SettledUntil, why, ledger.Itself("worker")); err != nil {
		return err
	}
	ok, err := tx.ChangeSchedule(ctx, s)
	if err != nil {
		return err
	}
	if !ok {
		return fault.New(fault.Conflict, "target-moved", "schedule %d is no longer at version %d; ask again", s.ID, s.Version)
	}
	return appendChange(ctx, tx, in, m, "schedule.changed", scheduleSubject(s.ID), canonical.Object{
		"name": s.Name, "version": strconv.FormatInt(s.Version+1, 10), "replaced_approval_id": strconv.FormatInt(before.ApprovalID, 10),
	})
}

// settleLimit bounds how many slots are settled in one transaction.
const settleLimit = 2000

// settleAll records each slot after a moment, up to now, that has nothing on
// record as skipped. There are few: the worker settles slots as they pass.
func settleAll(ctx context.Context, tx SlotTx, firstRun string, s export.Schedule, after time.Time, why string, by ledger.Actor) error {
	slots, err := unrecorded(ctx, tx, s, after, tx.Now(), settleLimit+1)
	if err != nil {
		return err
	}
	if len(slots) > settleLimit {
		return fault.New(fault.Unavailable, "slots-not-settled", "slots of schedule %d that have passed are still being looked after; trying again", s.ID)
	}
	for _, at := range slots {
		step := stepOf(ctx, firstRun, "slot-skipped", strconv.FormatInt(s.ID, 10)+" "+at.Format(time.RFC3339))
		if err := skipSlot(ctx, tx, step, s, unfired(s, at, why), by); err != nil {
			return err
		}
	}
	return nil
}

func unfired(s export.Schedule, at time.Time, why string) export.Slot {
	return export.Slot{
		ScheduleID: s.ID, At: at, Version: s.Version, Status: export.SlotSkipped, Reason: why, Origin: export.Fired,
		WorkflowID: export.SlotWorkflowID(s.ID, at),
	}
}

// unrecorded lists the first n slots of the grant in force in a span that have
// nothing on record.
func unrecorded(ctx context.Context, tx SlotTx, s export.Schedule, after, until time.Time, n int) ([]time.Time, error) {
	if after.Before(s.GrantedAt) {
		after = s.GrantedAt
	}
	if until.After(s.ExpiresAt) {
		until = s.ExpiresAt
	}
	recorded, err := tx.SlotTimes(ctx, s.ID, after, until)
	if err != nil {
		return nil, err
	}
	known := make(map[int64]bool, len(recorded))
	for _, at := range recorded {
		known[at.Unix()] = true
	}
	var out []time.Time
	for _, at := range s.Slots(after, until, n+len(known)) {
		if !known[at.Unix()] && len(out) < n {
			out = append(out, at)
		}
	}
	return out, nil
}

// Schedules are the activities for what people do to a schedule within its grant.
type Schedules struct {
	InTx     Transaction[SlotTx]
	Verifier *attest.Verifier
}

// ScheduleActInput is an act on a schedule with the API's word for who does it.
type ScheduleActInput struct {
	FirstRun string             `json:"first_run"`
	Command  string             `json:"command"`
	Act      export.ScheduleAct `json:"act"`
}

// ActOnSchedule pauses, resumes or ends a schedule once, with its entry. None of
// them gives more than was granted.
func (x *Schedules) ActOnSchedule(ctx context.Context, in ScheduleActInput) (export.ScheduleState, error) {
	digest, err := in.Act.Digest()
	if err != nil {
		return "", temporalError(fault.Wrap(err, fault.Invalid, "invalid-act", "the act is not valid text"))
	}
	c, err := command(ctx, x.Verifier, in.Command, digest)
	if err == nil {
		err = in.Act.Validate()
	}
	var state export.ScheduleState
	if err == nil {
		err = x.InTx(ctx, func(tx SlotTx) error {
			s, err := tx.LockSchedule(ctx, in.Act.ScheduleID)
			if err != nil {
				return err
			}
			first, _, err := tx.BeginAct(ctx, in.Act.ID)
			if err != nil || !first {
				state = s.State
				return err
			}
			state, err = actOnSchedule(ctx, tx, in, c, s)
			return err
		})
	}
	if err != nil {
		return state, temporalError(refuseStart(ctx, x.InTx, in.FirstRun, in.Command, err))
	}
	failpoint.Hit("schedule.after-act")
	return state, nil
}

// actTypes names the acts in the record.
var actTypes = map[export.ScheduleVerb]string{
	export.SchedulePause: "schedule.paused", export.ScheduleResume: "schedule.resumed", export.ScheduleEnd: "schedule.deleted",
}

func actOnSchedule(ctx context.Context, tx SlotTx, in ScheduleActInput, c attest.Command, s export.Schedule) (export.ScheduleState, error) {
	to, by := export.ScheduleActive, ledger.By(c.Principal)
	switch in.Act.Verb {
	case export.SchedulePause:
		to = export.SchedulePaused
	case export.ScheduleEnd:
		to = export.ScheduleDeleted
		if err := settleAll(ctx, tx, in.FirstRun, s, s.SettledUntil, "the schedule was ended before the slot began", by); err != nil {
			return s.State, err
		}
	case export.ScheduleResume:
		if tx.Now().After(s.ExpiresAt) {
			return s.State, fault.New(fault.Conflict, "grant-expired", "the grant of schedule %d ended at %s; ask for a change with a later expires_at",
				s.ID, s.ExpiresAt.Format(time.RFC3339))
		}
		if s.PausedAt != nil {
			if err := settleAll(ctx, tx, in.FirstRun, s, *s.PausedAt, pausedReason, by); err != nil {
				return s.State, err
			}
		}
	}
	if s.State == export.ScheduleDeleted || s.State == to {
		return s.State, fault.New(fault.Conflict, "schedule-is-"+string(s.State), "schedule %d is %s", s.ID, s.State)
	}
	if err := tx.SetScheduleState(ctx, s.ID, to, in.Act.Reason); err != nil {
		return s.State, err
	}
	_, err := tx.Append(ctx, stepOf(ctx, in.FirstRun, "act-on-schedule", in.Act.ID), ledger.Entry{
		Type: actTypes[in.Act.Verb], Actor: by, Subject: scheduleSubject(s.ID), Action: "schedule." + string(in.Act.Verb), Outcome: "done",
		Reason: in.Act.Reason, Desk: s.Desk, RequestID: c.RequestID, TraceID: c.TraceID, Simulation: s.Simulation,
		Details: canonical.Object{"version": strconv.FormatInt(s.Version, 10), "approval_id": strconv.FormatInt(s.ApprovalID, 10)},
	})
	return to, err
}

const pausedReason = "the schedule was paused"

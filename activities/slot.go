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

	"go.temporal.io/sdk/activity"
)

// SlotTx is what the activities of slots need of a transaction. Whoever changes a
// schedule or one of its slots locks the schedule first.
type SlotTx interface {
	JudgeTx
	LockSchedule(ctx context.Context, id int64) (export.Schedule, error)
	SettleSchedule(ctx context.Context, id int64, until time.Time) error
	SetScheduleState(ctx context.Context, id int64, state export.ScheduleState, reason string) error
	Slot(ctx context.Context, scheduleID int64, at time.Time) (export.Slot, bool, error)
	SlotTimes(ctx context.Context, scheduleID int64, after, until time.Time) ([]time.Time, error)
	OpenSlots(ctx context.Context, scheduleID int64) ([]export.Slot, error)
	RanAt(ctx context.Context, scheduleID int64, at time.Time) (bool, error)
	PutSlot(ctx context.Context, s export.Slot) error
	BusyBefore(ctx context.Context, at time.Time) (bool, error)
	InsertExport(ctx context.Context, x export.Export) (int64, error)
	LockExport(ctx context.Context, id int64) (export.Export, error)
	FailExportOfSlot(ctx context.Context, exportID int64) (bool, error)
	BeginAct(ctx context.Context, actID string) (first bool, delegationID int64, err error)
}

// Slots are the activities that carry out schedules.
type Slots struct {
	InTx     Transaction[SlotTx]
	Verifier *attest.Verifier
}

// SlotInput asks for the slot that the workflow's id names. An order is a
// person's; without one the schedule fired by itself, or somebody pretends so,
// which comes to the same: the record decides.
type SlotInput struct {
	FirstRun string        `json:"first_run"`
	Command  string        `json:"command,omitempty"` // over the digest of Order
	Order    *export.Order `json:"order,omitempty"`
}

// SlotBegun says what is to become of a slot.
type SlotBegun struct {
	Run    bool              `json:"run"`  // the export is on record and is to be made
	Wait   bool              `json:"wait"` // ask again: the slot before it runs
	Ref    ExportRef         `json:"ref,omitzero"`
	Status export.SlotStatus `json:"status"`
	Reason string            `json:"reason,omitempty"`
}

// BeginSlot decides, by the record alone, whether a slot is carried out, and
// records the intent or why not. It may be asked again at any time: a slot begins
// once.
func (x *Slots) BeginSlot(ctx context.Context, in SlotInput) (SlotBegun, error) {
	var out SlotBegun
	a, err := x.attempt(ctx, in)
	if err == nil {
		err = x.InTx(ctx, func(tx SlotTx) error {
			a.tx = tx
			out, err = a.begin(ctx)
			return err
		})
	}
	if err != nil {
		return out, temporalError(refuseStart(ctx, x.InTx, in.FirstRun, in.Command, err))
	}
	failpoint.Hit("slot.after-begin")
	return out, nil
}

// slotAttempt is one look at a slot, in one transaction.
type slotAttempt struct {
	tx       SlotTx
	verifier *attest.Verifier
	in       SlotInput
	by       ledger.Actor
	command  attest.Command // of an order
	origin   export.Origin
	id       int64
	at       time.Time
	schedule export.Schedule
	there    export.Slot // on record, if found
	found    bool
}

func (x *Slots) attempt(ctx context.Context, in SlotInput) (*slotAttempt, error) {
	a := &slotAttempt{verifier: x.Verifier, in: in, origin: export.Fired, by: ledger.Itself("worker")}
	var ours bool
	if a.id, a.at, ours = export.SlotOfWorkflow(activity.GetInfo(ctx).WorkflowExecution.ID); !ours {
		return a, fault.New(fault.Invalid, "not-a-slot", "the workflow's id names no slot of a schedule")
	}
	if in.Order == nil {
		return a, nil
	}
	digest, err := in.Order.Digest()
	if err != nil {
		return a, fault.Wrap(err, fault.Invalid, "invalid-order", "the order is not valid text")
	}
	if a.command, err = command(ctx, x.Verifier, in.Command, digest); err != nil {
		return a, err
	}
	if o := in.Order; o.ScheduleID != a.id || !o.Slot.Equal(a.at) || o.Origin != export.Triggered && o.Origin != export.Backfilled {
		return a, fault.New(fault.Forbidden, "start-not-signed", "the order is for another slot")
	}
	a.origin, a.by = in.Order.Origin, ledger.By(a.command.Principal)
	return a, nil
}

func (a *slotAttempt) begin(ctx context.Context) (SlotBegun, error) {
	var err error
	if a.schedule, err = a.tx.LockSchedule(ctx, a.id); err != nil {
		return SlotBegun{}, err
	}
	if a.there, a.found, err = a.tx.Slot(ctx, a.id, a.at); err != nil {
		return SlotBegun{}, err
	}
	if out, known := a.known(); known {
		return out, nil
	}
	if a.at.After(a.tx.Now().Add(maxSkew)) {
		return SlotBegun{}, fault.New(fault.Forbidden, "slot-not-due", "slot %s of schedule %d is not due", a.at.Format(time.RFC3339), a.id)
	}
	if !a.found && !a.schedule.Grants(a.at) {
		return SlotBegun{}, fault.New(fault.Forbidden, "slot-not-granted", "the grant of schedule %d has no slot at %s", a.id, a.at.Format(time.RFC3339))
	}
	why, wait, err := a.judge(ctx)
	switch {
	case err != nil:
		return SlotBegun{}, err
	case why != "":
		return SlotBegun{Status: export.SlotSkipped, Reason: why}, a.skip(ctx, why)
	case wait:
		return SlotBegun{Wait: true, Status: export.SlotWaiting}, a.wait(ctx)
	}
	return a.run(ctx)
}

// maxSkew is by how much Temporal's clock may be ahead of the database's. A slot
// within it waits until the database has come to it: rows get their times there.
const maxSkew = time.Minute

// known answers a slot of which the record says enough.
func (a *slotAttempt) known() (SlotBegun, bool) {
	out := SlotBegun{Status: a.there.Status, Reason: a.there.Reason}
	switch {
	case !a.found || a.there.Status == export.SlotWaiting:
		return out, false
	case a.there.Status == export.SlotRunning && a.there.FirstRunID == a.in.FirstRun: // a retry, or a run after a reset
		out.Run, out.Ref = true, a.ref()
		return out, true
	case a.there.Status == export.SlotSkipped: // a person may have a skipped slot carried out
		return out, a.origin == export.Fired || a.there.FirstRunID == a.in.FirstRun
	}
	return out, true
}

func (a *slotAttempt) ref() ExportRef {
	return ExportRef{GateRef: GateRef{FirstRun: a.in.FirstRun, ApprovalID: a.schedule.ApprovalID}, ScheduleID: a.id, Slot: a.at}
}

// judge says why a slot is not carried out, or that it has to wait.
func (a *slotAttempt) judge(ctx context.Context) (why string, wait bool, err error) {
	s, now := a.schedule, a.tx.Now()
	late := now.Sub(a.at)
	switch {
	case s.State != export.ScheduleActive:
		return "the schedule is " + string(s.State), false, nil
	case !s.Grants(a.at):
		return "the schedule was changed before the slot began", false, nil
	case now.After(s.ExpiresAt):
		return "the grant ended at " + s.ExpiresAt.Format(time.RFC3339), false, nil
	case a.origin == export.Fired && late > s.MaxLateness:
		return "it is " + late.Truncate(time.Second).String() + " late, over max_lateness of " + s.MaxLateness.String(), false, nil
	}
	if why, wait, err = a.overlap(ctx); why != "" || wait || err != nil {
		return why, wait, err
	}
	busy := now.Before(a.at)
	if !busy && s.Window == export.SincePrevious {
		busy, err = a.tx.BusyBefore(ctx, a.at)
	}
	if err == nil && busy {
		err = fault.New(fault.Unavailable, "slot-not-settled", "rows of the time before slot %s may still be written", a.at.Format(time.RFC3339))
	}
	return "", false, err
}

// overlap applies the schedule's policy. Slots that a person orders take turns.
func (a *slotAttempt) overlap(ctx context.Context) (why string, wait bool, err error) {
	if a.schedule.Overlap == export.OverlapAllow {
		return "", false, nil
	}
	open, err := a.tx.OpenSlots(ctx, a.id)
	if err != nil {
		return "", false, err
	}
	running, before, buffered := "", false, false
	for _, o := range open {
		switch {
		case o.At.Equal(a.at):
		case o.Status == export.SlotRunning:
			running = o.At.Format(time.RFC3339)
		default:
			before = before || o.At.Before(a.at)
			buffered = buffered || o.Origin == export.Fired
		}
	}
	queued := a.origin != export.Fired || a.found // it waits for its turn, by the order of the slots
	switch {
	case running == "" && (!queued || !before):
		return "", false, nil
	case queued:
		return "", true, nil
	case a.schedule.Overlap == export.OverlapSkip:
		return "slot " + running + " still runs (overlap skip)", false, nil
	case buffered:
		return "another slot waits already (overlap buffer_one)", false, nil
	}
	return "", true, nil
}

func (a *slotAttempt) slot(ctx context.Context, status export.SlotStatus, reason string) export.Slot {
	return export.Slot{
		ScheduleID: a.id, At: a.at, Version: a.schedule.Version, Status: status, Reason: reason, Origin: a.origin,
		WorkflowID: activity.GetInfo(ctx).WorkflowExecution.ID, FirstRunID: a.in.FirstRun,
	}
}

func (a *slotAttempt) skip(ctx context.Context, why string) error {
	return skipSlot(ctx, a.tx, stepOf(ctx, a.in.FirstRun, "slot-skipped", a.at.Format(time.RFC3339)), a.schedule, a.slot(ctx, export.SlotSkipped, why), a.by)
}

func (a *slotAttempt) wait(ctx context.Context) error {
	if a.found && a.there.Status == export.SlotWaiting && a.there.FirstRunID == a.in.FirstRun {
		return nil
	}
	if err := a.tx.PutSlot(ctx, a.slot(ctx, export.SlotWaiting, "")); err != nil {
		return err
	}
	return a.entry(ctx, "schedule.slot_waiting", "waiting", canonical.Object{})
}

// entry records what an order, or the schedule itself, led to.
func (a *slotAttempt) entry(ctx context.Context, typ, outcome string, details canonical.Object) error {
	s := a.schedule
	details["slot"], details["origin"], details["version"] = a.at.Format(time.RFC3339), string(a.origin), strconv.FormatInt(s.Version, 10)
	e := ledger.Entry{
		Type: typ, Actor: a.by, Subject: scheduleSubject(a.id), Action: "schedule.run", Outcome: outcome, Desk: s.Desk,
		RequestID: a.command.RequestID, TraceID: a.command.TraceID, Simulation: s.Simulation, Details: details,
	}
	if a.in.Order != nil {
		e.Reason = a.in.Order.Reason
	}
	_, err := a.tx.Append(ctx, stepOf(ctx, a.in.FirstRun, typ, a.at.Format(time.RFC3339)), e)
	return err
}

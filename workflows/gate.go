package workflows

import (
	"fmt"
	"strings"
	"time"

	"finobs/activities"
	"finobs/internal/approval"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"
)

// gate blocks a workflow until people have decided on its action. It is used
// inline by every workflow that carries out something.
//
// Its state is what the record said last; it steers the workflow and authorises
// nothing.
type gate struct {
	in      GateInput
	ref     activities.GateRef
	signals workflow.ReceiveChannel
	nudges  workflow.ReceiveChannel
	seen    map[string]bool // tokens: a signal may be delivered twice
	state   GateState
	left    time.Duration // until something is due, by the database's clock
}

// openGate records the request and answers queries from then on. It fails when
// the API does not vouch for the start.
func openGate(ctx workflow.Context, in GateInput) (*gate, error) {
	firstRun := workflow.GetInfo(ctx).FirstRunID
	g := &gate{
		in: in, ref: activities.GateRef{FirstRun: firstRun, ApprovalID: in.ApprovalID},
		signals: workflow.GetSignalChannel(ctx, SignalDecision), nudges: workflow.GetSignalChannel(ctx, SignalNudge),
		seen:  map[string]bool{},
		state: GateState{ApprovalID: in.ApprovalID, Status: approval.Pending, Missing: []string{}},
	}
	err := workflow.SetQueryHandler(ctx, QueryGate, func() (GateState, error) { return g.state, nil })
	if err != nil {
		return nil, fmt.Errorf("answering queries: %w", err)
	}
	// Disconnected: a workflow cancelled at birth still leaves a record of what
	// was asked.
	apart, _ := workflow.NewDisconnectedContext(ctx)
	err = g.record(apart, ActivityOpenRequest, activities.OpenRequestInput{
		FirstRun: firstRun, ApprovalID: in.ApprovalID, Action: in.Action, Policy: in.Policy, Reason: in.Reason, Command: in.Command,
		Attachment: in.Attachment, Links: in.Links,
	})
	return g, err
}

// record runs one of the gate's local activities and takes over what the record
// says now.
func (g *gate) record(ctx workflow.Context, activity string, input any) error {
	var now activities.GateStatus
	if err := workflow.ExecuteLocalActivity(withRecord(ctx), activity, input).Get(ctx, &now); err != nil {
		return err
	}
	g.state.Status, g.state.Missing, g.state.Deadline, g.left = now.Status, now.Missing, now.Deadline, now.WakeIn
	workflow.SetCurrentDetails(ctx, g.state.words())
	for _, id := range now.Nudge {
		nudge(ctx, id)
	}
	return nil
}

// words say in the Temporal Web UI what is waited for, and from whom.
func (s GateState) words() string {
	if s.Status != approval.Pending {
		return fmt.Sprintf("Approval %d is **%s**.", s.ApprovalID, s.Status)
	}
	missing := "a decision"
	if len(s.Missing) > 0 {
		missing = strings.Join(s.Missing, "; ")
	}
	return fmt.Sprintf("Approval %d waits for %s, until %s.", s.ApprovalID, missing, s.Deadline.UTC().Format(time.RFC3339))
}

// nudge asks another gated workflow to look at the record again. When it has
// ended there is nobody to ask, and the reconciler looks anyway.
func nudge(ctx workflow.Context, workflowID string) {
	if workflowID == "" || workflowID == workflow.GetInfo(ctx).WorkflowExecution.ID {
		return
	}
	if err := workflow.SignalExternalWorkflow(ctx, workflowID, "", SignalNudge, nil).Get(ctx, nil); err != nil {
		workflow.GetLogger(ctx).Debug("nobody to nudge", "workflow_id", workflowID, "error", err)
	}
}

// wait blocks until the request is no longer pending, and prepares for what comes
// then: a workflow that is to carry something out shows that it may.
func (g *gate) wait(ctx workflow.Context) error {
	stopTimer, err := g.block(ctx)
	if err != nil {
		return err
	}
	stopTimer()
	return g.show(ctx)
}

// block blocks until the request is no longer pending. A cancelled workflow
// cancels its request. The last timer runs on until it is stopped: a workflow that
// ends has no need to, which saves an event.
func (g *gate) block(ctx workflow.Context) (stopTimer func(), err error) {
	apart, _ := workflow.NewDisconnectedContext(ctx)
	stopTimer = func() {}
	for g.state.Status == approval.Pending {
		stopTimer()
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() && g.signals.Len() == 0 {
			return stopTimer, workflow.NewContinueAsNewError(ctx, workflow.GetInfo(ctx).WorkflowType.Name, g.in)
		}
		var timerCtx workflow.Context
		timerCtx, stopTimer = workflow.WithCancel(apart)
		timer := workflow.NewTimer(timerCtx, max(g.left, time.Second))
		due := false
		s := workflow.NewSelector(ctx)
		s.AddReceive(g.signals, func(c workflow.ReceiveChannel, _ bool) { err = g.receive(apart, c) })
		s.AddReceive(g.nudges, func(c workflow.ReceiveChannel, _ bool) { due = true; drainAll(c) })
		s.AddFuture(timer, func(workflow.Future) { due = true })
		s.AddReceive(ctx.Done(), func(workflow.ReceiveChannel, bool) { err = g.record(apart, ActivityCancelRequest, g.ref) })
		s.Select(ctx)
		if err == nil && due {
			err = g.expire(apart)
		}
		if err != nil {
			return stopTimer, err
		}
	}
	return stopTimer, nil
}

// show makes the status visible to the list filters of the Web UI.
func (g *gate) show(ctx workflow.Context) error {
	if err := workflow.UpsertTypedSearchAttributes(ctx, SearchStatus.ValueSet(string(g.state.Status))); err != nil {
		return fmt.Errorf("showing status: %w", err)
	}
	return nil
}

// result ends the workflow: as cancelled when that is what ended the request. Nudges
// come too late to ask for anything.
func (g *gate) result(ctx workflow.Context) (GateResult, error) {
	drainAll(g.nudges)
	out := GateResult{ApprovalID: g.in.ApprovalID, Status: g.state.Status}
	if g.state.Status == approval.Cancelled {
		return out, ctx.Err()
	}
	return out, nil
}

// drainAll takes every nudge that is there: they all ask for the same.
func drainAll(c workflow.ReceiveChannel) {
	for c.ReceiveAsync(nil) {
	}
}

// expire does what is due, at the deadline or before. Decisions that were delivered before the timer
// fired go first: the record judges them by when they were made.
func (g *gate) expire(ctx workflow.Context) error {
	if err := g.drain(ctx); err != nil || g.state.Status != approval.Pending {
		return err
	}
	return g.record(ctx, ActivityExpireRequest, g.ref)
}

// receive takes one signal and has it judged. Anybody who can reach Temporal can
// send one, of any shape, so the payload is taken raw: what is no DecisionSignal
// is judged like a token that is not valid, and leaves its trace in the record.
func (g *gate) receive(ctx workflow.Context, c workflow.ReceiveChannel) error {
	var raw converter.RawValue
	if !c.ReceiveAsync(&raw) {
		return nil
	}
	token := TokenOf(raw.Payload())
	if g.seen[token] {
		return nil
	}
	g.seen[token] = true
	return g.record(ctx, ActivityRecordDecision, activities.DecisionInput{GateRef: g.ref, Token: token})
}

// maxSignal bounds what is kept of a payload that is no DecisionSignal, in bytes.
const maxSignal = 32 << 10

// TokenOf reads what a delivered decision signal is judged by: its token or, when
// the payload is no DecisionSignal, the payload itself.
func TokenOf(payload *commonpb.Payload) string {
	var signal DecisionSignal
	if payload == nil {
		return ""
	}
	if err := converter.GetDefaultDataConverter().FromPayload(payload, &signal); err == nil && signal.Token != "" {
		return signal.Token[:min(len(signal.Token), maxSignal)]
	}
	data := payload.GetData()
	return string(data[:min(len(data), maxSignal)])
}

// drain records every signal that has been delivered so far. A decision that
// Temporal accepted is recorded, even one that comes too late to count.
func (g *gate) drain(ctx workflow.Context) error {
	for g.signals.Len() > 0 {
		if err := g.receive(ctx, g.signals); err != nil {
			return err
		}
	}
	return nil
}

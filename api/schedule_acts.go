package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"finobs/internal/export"
	"finobs/internal/fault"
	"finobs/workflows"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

type scheduleActView struct {
	ID       int64                `json:"schedule_id"`
	ActID    string               `json:"act_id"`
	Recorded bool                 `json:"recorded" doc:"false: accepted, and recorded as soon as a worker is there"`
	State    export.ScheduleState `json:"state,omitempty"`
}

type scheduleActOutput struct {
	Status int
	Body   scheduleActView
}

// doesToSchedule makes a handler of an act on a schedule. None needs approval:
// they stop what was granted, or let it go on.
func (s *Server) doesToSchedule(verb export.ScheduleVerb) func(context.Context, *reasonInput) (*scheduleActOutput, error) {
	return func(ctx context.Context, in *reasonInput) (*scheduleActOutput, error) {
		if _, err := s.Reader.Schedule(ctx, in.ID); err != nil {
			return nil, err
		}
		act := export.ScheduleAct{ID: uuid.Must(uuid.NewV7()).String(), Verb: verb, ScheduleID: in.ID, Reason: in.Body.reason()}
		if err := act.Validate(); err != nil {
			return nil, err
		}
		digest, err := act.Digest()
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "invalid-act", "the act is not valid text")
		}
		workflowID := workflows.ScheduleActWorkflowID(act.ID)
		command, err := s.command(ctx, workflows.ScheduleAct, workflowID, digest)
		if err != nil {
			return nil, err
		}
		run, err := s.execute(ctx, client.StartWorkflowOptions{
			ID: workflowID, TaskQueue: workflows.TaskQueue, WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
			StaticSummary: fmt.Sprintf("%s schedule %d", verb, in.ID),
		}, workflows.ScheduleAct, workflows.ScheduleActInput{Command: command, Act: act})
		if err != nil {
			return nil, err
		}
		view := scheduleActView{ID: in.ID, ActID: act.ID}
		var done workflows.ScheduleActResult
		wait, cancel := context.WithTimeout(ctx, s.AnswerWait)
		defer cancel()
		if err := run.Get(wait, &done); err != nil {
			var refused *temporal.ApplicationError
			if errors.As(err, &refused) {
				return nil, faultOf(refused)
			}
			return &scheduleActOutput{http.StatusAccepted, view}, nil
		}
		view.Recorded, view.State = true, done.State
		return &scheduleActOutput{http.StatusOK, view}, nil
	}
}

// orderView says what became of an order to carry out a slot.
type orderView struct {
	Slot       time.Time `json:"slot"`
	Started    bool      `json:"started"`
	WorkflowID string    `json:"workflow_id"`
	Detail     string    `json:"detail,omitempty" doc:"why it was not started"`
}

type ordersView struct {
	ID    int64       `json:"schedule_id"`
	Items []orderView `json:"items"`
}

type ordersOutput struct {
	Status int
	Body   ordersView
}

// running reads a schedule on which slots may be ordered now.
func (s *Server) running(ctx context.Context, id int64) (one export.Schedule, now time.Time, err error) {
	if one, err = s.Reader.Schedule(ctx, id); err != nil {
		return one, now, err
	}
	if now, err = s.Reader.Now(ctx); err != nil {
		return one, now, err
	}
	switch {
	case one.State != export.ScheduleActive:
		err = fault.New(fault.Conflict, "schedule-is-"+string(one.State), "schedule %d is %s", id, one.State)
	case now.After(one.ExpiresAt):
		err = fault.New(fault.Conflict, "grant-expired", "the grant of schedule %d ended at %s; ask for a change with a later expires_at",
			id, one.ExpiresAt.Format(time.RFC3339))
	}
	return one, now, err
}

// trigger carries out the slot that fell due last, if it was not exported: a
// schedule's grant has no other times than its own.
func (s *Server) trigger(ctx context.Context, in *reasonInput) (*ordersOutput, error) {
	one, now, err := s.running(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	slot, found := one.LastSlot(now)
	if !found {
		return nil, fault.New(fault.Conflict, "no-slot-yet", "schedule %d has not fallen due since it was granted", one.ID)
	}
	out, err := s.order(ctx, one, export.Order{ScheduleID: one.ID, Slot: slot, Origin: export.Triggered, Reason: in.Body.reason()})
	if err != nil {
		return nil, err
	}
	if !out.Started {
		return nil, fault.New(fault.Conflict, "slot-taken", "slot %s: %s", slot.Format(time.RFC3339), out.Detail)
	}
	return &ordersOutput{http.StatusAccepted, ordersView{one.ID, []orderView{out}}}, nil
}

type backfillInput struct {
	ID   int64 `path:"id" minimum:"1"`
	Body struct {
		From   time.Time `json:"from" doc:"first slot at or after"`
		To     time.Time `json:"to" doc:"last slot at or before"`
		Reason string    `json:"reason" minLength:"1" maxLength:"4000"`
	}
}

// maxBackfill bounds how many slots one call orders.
const maxBackfill = 100

// backfill carries out the slots of a span that were not exported. A slot that has
// its export is left as it is.
func (s *Server) backfill(ctx context.Context, in *backfillInput) (*ordersOutput, error) {
	one, now, err := s.running(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	from, to := in.Body.From.Add(-time.Nanosecond), in.Body.To
	if from.Before(one.GrantedAt) {
		from = one.GrantedAt
	}
	if to.After(now) {
		to = now
	}
	slots := one.Slots(from, to, maxBackfill+1)
	switch {
	case len(slots) == 0:
		return nil, fault.New(fault.Conflict, "no-slots", "the grant in force, since %s, has no slot in this span that fell due", one.GrantedAt.Format(time.RFC3339))
	case len(slots) > maxBackfill:
		return nil, fault.New(fault.Invalid, "too-many-slots", "the span has more than %d slots; give a shorter one", maxBackfill)
	}
	out := ordersView{ID: one.ID, Items: []orderView{}}
	for _, slot := range slots {
		item, err := s.order(ctx, one, export.Order{ScheduleID: one.ID, Slot: slot, Origin: export.Backfilled, Reason: in.Body.Reason})
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, item)
	}
	return &ordersOutput{http.StatusAccepted, out}, nil
}

// order starts the workflow of a slot with a person's order.
func (s *Server) order(ctx context.Context, one export.Schedule, o export.Order) (orderView, error) {
	out := orderView{Slot: o.Slot, WorkflowID: export.SlotWorkflowID(one.ID, o.Slot)}
	there, err := s.Reader.Slots(ctx, one.ID, "", o.Slot.Add(time.Second), 1)
	if err != nil {
		return out, err
	}
	if len(there) == 1 && there[0].At.Equal(o.Slot) && there[0].Status != export.SlotSkipped {
		out.Detail = "it is " + string(there[0].Status)
		return out, nil
	}
	digest, err := o.Digest()
	if err != nil {
		return out, fault.Wrap(err, fault.Invalid, "invalid-order", "the order is not valid text")
	}
	command, err := s.command(ctx, workflows.ScheduledExport, out.WorkflowID, digest)
	if err != nil {
		return out, err
	}
	_, err = s.execute(ctx, client.StartWorkflowOptions{
		ID: out.WorkflowID, TaskQueue: workflows.TaskQueue, WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		StaticSummary: fmt.Sprintf("schedule %d, slot %s, %s by %s", one.ID, o.Slot.Format(time.RFC3339), o.Origin, principal(ctx).Subject),
	}, workflows.ScheduledExport, workflows.ScheduledInput{Command: command, Order: &o})
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &started) {
		out.Detail = "its workflow runs"
		return out, nil
	}
	out.Started = err == nil
	return out, err
}

package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"finobs/activities"
	"finobs/internal/export"
	"finobs/internal/firing"
	"finobs/internal/store"
	"finobs/workflows"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

const (
	schedulesInterval = 3 * time.Second
	schedulesTimeout  = time.Minute
)

// schedules mirrors the schedules on record into Temporal, repairs what somebody
// edited or deleted there, and sees to it that each slot ends on record. Several
// workers may do so at once.
type schedules struct {
	client   client.Client
	store    *store.Writer
	settling *activities.Settling
	specs    map[specKey]client.ScheduleSpec // of the grants in force: they take a moment to make
}

type specKey struct {
	id, version        int64
	granted, expiresAt time.Time
}

func (m *schedules) run(ctx context.Context) {
	every(ctx, schedulesInterval, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, schedulesTimeout)
		defer cancel()
		return m.pass(ctx)
	})
}

func (m *schedules) pass(ctx context.Context) error {
	live, err := m.store.LiveSchedules(ctx)
	if err != nil {
		return err
	}
	specs := map[specKey]client.ScheduleSpec{}
	known := map[string]bool{}
	var errs []error
	for _, s := range live {
		known[export.ScheduleWorkflowID(s.ID)] = true
		key := specKey{s.ID, s.Version, s.GrantedAt, s.ExpiresAt}
		spec, made := m.specs[key]
		if !made {
			if spec, err = firing.Spec(s); err != nil { // a row that was tampered with; its slots are skipped by themselves
				slog.ErrorContext(ctx, "a schedule cannot be fired", "schedule_id", s.ID, "error", err)
				continue
			}
		}
		specs[key] = spec
		if err := m.mirror(ctx, s, spec); err != nil {
			errs = append(errs, fmt.Errorf("mirroring schedule %d: %w", s.ID, err))
			continue
		}
		if err := m.settle(ctx, s); err != nil {
			errs = append(errs, fmt.Errorf("settling schedule %d: %w", s.ID, err))
		}
	}
	m.specs = specs
	return errors.Join(append(errs, m.remove(ctx, known), m.endDead(ctx))...)
}

// wanted is a schedule as Temporal is to have it.
func wanted(s export.Schedule, spec client.ScheduleSpec) (client.Schedule, error) {
	overlap, err := firing.Overlap(s.Overlap)
	return client.Schedule{
		Spec: &spec,
		Action: &client.ScheduleWorkflowAction{
			ID: export.ScheduleWorkflowID(s.ID), Workflow: workflows.ScheduledExport, TaskQueue: workflows.TaskQueue, Args: []any{workflows.ScheduledInput{}},
		},
		Policy: &client.SchedulePolicies{Overlap: overlap, CatchupWindow: s.CatchUp},
		State: &client.ScheduleState{
			Paused: s.State == export.SchedulePaused,
			Note:   fmt.Sprintf("%s: %s in %s, version %d. Kept by finobs; edits are undone.", s.Name, s.Cron, s.Zone, s.Version),
		},
	}, err
}

// mirror makes Temporal's schedule as the record has it.
func (m *schedules) mirror(ctx context.Context, s export.Schedule, spec client.ScheduleSpec) error {
	want, err := wanted(s, spec)
	if err != nil {
		return err
	}
	handle := m.client.ScheduleClient().GetHandle(ctx, export.ScheduleWorkflowID(s.ID))
	there, err := handle.Describe(ctx)
	var notFound *serviceerror.NotFound
	switch {
	case errors.As(err, &notFound):
		return m.create(ctx, s, want)
	case err != nil:
		return err
	case firing.Same(there.Schedule, want):
		return nil
	}
	err = handle.Update(ctx, client.ScheduleUpdateOptions{DoUpdate: func(client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
		return &client.ScheduleUpdate{Schedule: &want}, nil
	}})
	if err != nil {
		return err
	}
	slog.InfoContext(ctx, "updated a schedule in Temporal", "schedule_id", s.ID, "version", s.Version)
	return m.makeUp(ctx, handle, s)
}

func (m *schedules) create(ctx context.Context, s export.Schedule, want client.Schedule) error {
	handle, err := m.client.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID: export.ScheduleWorkflowID(s.ID), Spec: *want.Spec, Action: want.Action, Overlap: want.Policy.Overlap,
		CatchupWindow: want.Policy.CatchupWindow, Paused: want.State.Paused, Note: want.State.Note,
	})
	if errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return nil // by another worker
	}
	if err != nil {
		return err
	}
	slog.InfoContext(ctx, "made a schedule in Temporal", "schedule_id", s.ID, "version", s.Version)
	return m.makeUp(ctx, handle, s)
}

// makeUp has Temporal fire the slots that it could not while it did not have the
// schedule as it is: it never looks back before a change. A slot that has begun is
// left as it is by its workflow.
func (m *schedules) makeUp(ctx context.Context, handle client.ScheduleHandle, s export.Schedule) error {
	now, err := m.store.Now(ctx)
	if err != nil || s.State != export.ScheduleActive {
		return err
	}
	from := now.Add(-s.CatchUp)
	if s.SettledUntil.After(from) {
		from = s.SettledUntil
	}
	if len(s.Slots(from, now, 1)) == 0 || !from.Before(now) {
		return nil
	}
	overlap, err := firing.Overlap(s.Overlap)
	if err != nil {
		return err
	}
	return handle.Backfill(ctx, client.ScheduleBackfillOptions{Backfill: []client.ScheduleBackfill{{Start: from, End: now, Overlap: overlap}}})
}

// remove deletes schedules of ours that have ended, or that somebody made up.
func (m *schedules) remove(ctx context.Context, known map[string]bool) error {
	list, err := m.client.ScheduleClient().List(ctx, client.ScheduleListOptions{PageSize: pageSize})
	if err != nil {
		return fmt.Errorf("listing Temporal's schedules: %w", err)
	}
	for list.HasNext() {
		entry, err := list.Next()
		if err != nil {
			return fmt.Errorf("listing Temporal's schedules: %w", err)
		}
		id, ours := export.ScheduleOfWorkflow(entry.ID)
		if !ours || known[entry.ID] {
			continue
		}
		// One that was granted since the rows were listed is not one too many.
		live, err := m.store.ScheduleLives(ctx, id)
		if err != nil {
			return err
		}
		if live {
			continue
		}
		var notFound *serviceerror.NotFound
		if err := m.client.ScheduleClient().GetHandle(ctx, entry.ID).Delete(ctx); err != nil && !errors.As(err, &notFound) {
			return fmt.Errorf("deleting schedule %s in Temporal: %w", entry.ID, err)
		}
		slog.InfoContext(ctx, "deleted a schedule in Temporal", "schedule_id", id)
	}
	return nil
}

// settle records slots that have passed without having been fired.
func (m *schedules) settle(ctx context.Context, s export.Schedule) error {
	slots, until, err := m.settling.Pending(ctx, s.ID)
	if err != nil || until.IsZero() {
		return err
	}
	ended := map[time.Time]string{}
	for i, at := range slots {
		how, err := m.ended(ctx, export.SlotWorkflowID(s.ID, at))
		if err != nil {
			return err
		}
		if how == "" { // it still may begin, and so may those that wait behind it
			slots, until = slots[:i], at.Add(-time.Second)
			break
		}
		if how != gone {
			ended[at] = how
		}
	}
	return m.settling.Skip(ctx, s.ID, slots, ended, until)
}

// endDead ends open slots whose workflow has ended otherwise than by its own code.
func (m *schedules) endDead(ctx context.Context) error {
	open, err := m.store.OpenSlots(ctx)
	if err != nil {
		return err
	}
	for _, slot := range open {
		how, err := m.endedRun(ctx, slot.WorkflowID, slot.FirstRunID)
		if err != nil {
			return err
		}
		if how == "" {
			continue
		}
		changed, err := m.settling.End(ctx, slot, how)
		if err != nil {
			return fmt.Errorf("ending slot %s: %w", slot.WorkflowID, err)
		}
		if changed {
			slog.InfoContext(ctx, "ended a slot whose workflow has ended", "workflow_id", slot.WorkflowID, "how", how)
		}
	}
	return nil
}

// gone is how a workflow ended that Temporal does not know.
const gone = "is gone"

// ended says how the latest workflow of an id ended; "" while it runs.
func (m *schedules) ended(ctx context.Context, workflowID string) (string, error) {
	return m.endedRun(ctx, workflowID, "")
}

// endedRun says how the execution that began with a run ended; "" while it runs.
func (m *schedules) endedRun(ctx context.Context, workflowID, firstRun string) (string, error) {
	described, err := m.client.DescribeWorkflowExecution(ctx, workflowID, "")
	var notFound *serviceerror.NotFound
	switch {
	case errors.As(err, &notFound):
		return gone, nil
	case err != nil:
		return "", fmt.Errorf("asking for workflow %s: %w", workflowID, err)
	}
	info := described.GetWorkflowExecutionInfo()
	switch {
	case firstRun != "" && info.GetFirstRunId() != firstRun:
		return "ended, and another took its place", nil
	case info.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, info.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW:
		return "", nil
	}
	return "ended (" + info.GetStatus().String() + ")", nil
}

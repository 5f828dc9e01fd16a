package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"finobs/activities"
	"finobs/internal/firing"
	"finobs/internal/recon"
	"finobs/internal/store"
	"finobs/workflows"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

const (
	reconSchedulesInterval = 30 * time.Second
	reconCatchUp           = time.Hour
	reconAhead             = 400 * 24 * time.Hour // how far ahead Temporal is told
)

// reconSchedules mirrors the schedules of reconciliation profiles into Temporal.
// Several workers with the same profiles may do so at once.
type reconSchedules struct {
	client   client.Client
	store    *store.Writer
	profiles *recon.Catalogue
}

func (m reconSchedules) run(ctx context.Context) {
	every(ctx, reconSchedulesInterval, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, schedulesTimeout)
		defer cancel()
		return m.pass(ctx)
	})
}

func (m reconSchedules) pass(ctx context.Context) error {
	now, err := m.store.Now(ctx)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	var errs []error
	for _, p := range m.profiles.Scheduled() {
		known[activities.ReconWorkflowPrefix+p.Name] = true
		if err := m.mirror(ctx, p, now); err != nil {
			errs = append(errs, fmt.Errorf("mirroring the schedule of profile %s: %w", p.Name, err))
		}
	}
	return errors.Join(append(errs, m.remove(ctx, known))...)
}

// wantedRecon is a profile's schedule as Temporal is to have it. Its days begin with
// the month, so that it stays the same for that long.
func wantedRecon(p *recon.Profile, now time.Time) (client.Schedule, error) {
	from := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	calendars, err := p.Schedule.Calendars(from.Add(-time.Second), from.Add(reconAhead))
	if err != nil {
		return client.Schedule{}, err
	}
	return client.Schedule{
		Spec: &client.ScheduleSpec{Calendars: firing.Calendars(calendars), TimeZoneName: "UTC"},
		Action: &client.ScheduleWorkflowAction{
			ID: activities.ReconWorkflowPrefix + p.Name, Workflow: workflows.ScheduledReconcile, TaskQueue: workflows.TaskQueue,
			Args: []any{workflows.ScheduledReconInput{Profile: p.Name}},
		},
		Policy: &client.SchedulePolicies{Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_BUFFER_ONE, CatchupWindow: reconCatchUp},
		State:  &client.ScheduleState{Note: fmt.Sprintf("%s: %s in %s. Kept by finobs; edits are undone.", p.Name, p.Schedule.Cron, p.Schedule.Zone)},
	}, nil
}

func (m reconSchedules) mirror(ctx context.Context, p *recon.Profile, now time.Time) error {
	want, err := wantedRecon(p, now)
	if err != nil {
		return err
	}
	id := activities.ReconWorkflowPrefix + p.Name
	handle := m.client.ScheduleClient().GetHandle(ctx, id)
	there, err := handle.Describe(ctx)
	var notFound *serviceerror.NotFound
	switch {
	case errors.As(err, &notFound):
		_, err := m.client.ScheduleClient().Create(ctx, client.ScheduleOptions{
			ID: id, Spec: *want.Spec, Action: want.Action, Overlap: want.Policy.Overlap, CatchupWindow: want.Policy.CatchupWindow, Note: want.State.Note,
		})
		if errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
			return nil // by another worker
		}
		if err == nil {
			slog.InfoContext(ctx, "made the schedule of a profile in Temporal", "profile", p.Name)
		}
		return err
	case err != nil:
		return err
	case firing.Same(there.Schedule, want):
		return nil
	}
	err = handle.Update(ctx, client.ScheduleUpdateOptions{DoUpdate: func(client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
		return &client.ScheduleUpdate{Schedule: &want}, nil
	}})
	if err == nil {
		slog.InfoContext(ctx, "updated the schedule of a profile in Temporal", "profile", p.Name)
	}
	return err
}

// remove deletes schedules of profiles that have none any more.
func (m reconSchedules) remove(ctx context.Context, known map[string]bool) error {
	list, err := m.client.ScheduleClient().List(ctx, client.ScheduleListOptions{PageSize: pageSize})
	if err != nil {
		return fmt.Errorf("listing Temporal's schedules: %w", err)
	}
	for list.HasNext() {
		entry, err := list.Next()
		if err != nil {
			return fmt.Errorf("listing Temporal's schedules: %w", err)
		}
		if !strings.HasPrefix(entry.ID, activities.ReconWorkflowPrefix) || known[entry.ID] {
			continue
		}
		var notFound *serviceerror.NotFound
		if err := m.client.ScheduleClient().GetHandle(ctx, entry.ID).Delete(ctx); err != nil && !errors.As(err, &notFound) {
			return fmt.Errorf("deleting schedule %s in Temporal: %w", entry.ID, err)
		}
		slog.InfoContext(ctx, "deleted a schedule in Temporal", "schedule", entry.ID)
	}
	return nil
}

package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"finobs/internal/detect"
	"finobs/internal/firing"
	"finobs/internal/store"
	"finobs/workflows"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

const (
	detectorsInterval = 30 * time.Second
	// detectorCatchUp: a detector looks at the whole record, so a run that was
	// missed is made up for by the next one.
	detectorCatchUp = 10 * time.Second
)

// detectors mirrors the detectors of the desk into Temporal's Schedules.
type detectors struct {
	client client.Client
	store  *store.Writer
	specs  []detect.Spec
}

func (m detectors) run(ctx context.Context) { every(ctx, detectorsInterval, m.pass) }

func (m detectors) pass(ctx context.Context) error {
	var errs []error
	for _, s := range m.specs {
		if err := m.mirror(ctx, s); err != nil {
			errs = append(errs, fmt.Errorf("mirroring detector %s: %w", s.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (m detectors) mirror(ctx context.Context, s detect.Spec) error {
	id := workflows.DetectScheduleID(string(s.Name))
	want := client.Schedule{
		Spec: &client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: s.Every}}},
		Action: &client.ScheduleWorkflowAction{
			ID: id, Workflow: workflows.Detect, TaskQueue: workflows.TaskQueue, Args: []any{workflows.DetectInput{Detector: string(s.Name)}},
		},
		Policy: &client.SchedulePolicies{Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_SKIP, CatchupWindow: detectorCatchUp},
		State:  &client.ScheduleState{Paused: !s.Enabled, Note: s.Name.Describe() + " Kept by finobs; edits are undone."},
	}
	handle := m.client.ScheduleClient().GetHandle(ctx, id)
	there, err := handle.Describe(ctx)
	var notFound *serviceerror.NotFound
	switch {
	case errors.As(err, &notFound):
		_, err = m.client.ScheduleClient().Create(ctx, client.ScheduleOptions{
			ID: id, Spec: *want.Spec, Action: want.Action, Overlap: want.Policy.Overlap, CatchupWindow: want.Policy.CatchupWindow,
			Paused: want.State.Paused, Note: want.State.Note,
		})
		if errors.Is(err, temporal.ErrScheduleAlreadyRunning) { // by another worker
			return nil
		}
		return err
	case err != nil:
		return err
	case firing.Same(there.Schedule, want):
		return nil
	}
	slog.InfoContext(ctx, "updating the schedule of a detector in Temporal", "detector", s.Name)
	return handle.Update(ctx, client.ScheduleUpdateOptions{DoUpdate: func(client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
		return &client.ScheduleUpdate{Schedule: &want}, nil
	}})
}

package firing_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"finobs/internal/devstack"
	"finobs/internal/export"
	"finobs/internal/firing"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// temporal starts a server of the test's own.
func temporal(t *testing.T) client.Client {
	t.Helper()
	bin, err := devstack.EnsureTemporal(context.Background(), "../../.finobs/bin", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	var ports [2]int
	for i := range ports {
		if ports[i], err = devstack.FreePort(0); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	server, err := devstack.StartTemporal(t.Context(), devstack.TemporalConfig{
		Bin: bin, DBFile: filepath.Join(dir, "temporal.db"), Namespace: "default", Log: filepath.Join(dir, "log"), Port: ports[0], UIPort: ports[1],
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	c, err := client.Dial(client.Options{HostPort: server.Address()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// create creates a paused schedule of nothing.
func create(ctx context.Context, c client.Client, id string, spec client.ScheduleSpec) error {
	_, err := c.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID: id, Spec: spec, Paused: true, Action: &client.ScheduleWorkflowAction{ID: id, Workflow: "None", TaskQueue: "none"},
	})
	return err
}

// times asks the server when a schedule fires in a span, its end included.
func times(ctx context.Context, c client.Client, id string, after, until time.Time) ([]time.Time, error) {
	answer, err := c.WorkflowService().ListScheduleMatchingTimes(ctx, &workflowservice.ListScheduleMatchingTimesRequest{
		Namespace: "default", ScheduleId: id, StartTime: timestamppb.New(after), EndTime: timestamppb.New(until),
	})
	var out []time.Time
	for _, t := range answer.GetStartTime() {
		out = append(out, t.AsTime())
	}
	return out, err
}

var expressions = []string{
	"0 18 * * 1-5", "30 1 * * *", "15,30,45 2 * * *", "0 0 * * *", "*/20 0-3 * * *", "0 5 * * 0", "59 23 * * 6", "0 9 13 * 5", "* 1 * * *",
}

// changes are the changes of clocks of the year after a moment.
func changes(t *testing.T, zone string, after time.Time) []time.Time {
	t.Helper()
	location, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	var out []time.Time
	for at := after.In(location); ; {
		_, change := at.ZoneBounds()
		if change.IsZero() || change.Sub(after) > 360*24*time.Hour {
			return out
		}
		out = append(out, change.UTC())
		at = change
	}
}

// What Temporal fires is what we say is due: the same instants, now and across
// each change of clocks of the coming year, whichever hour it is asked from.
func TestTemporalAgrees(t *testing.T) {
	c := temporal(t)
	now := time.Now().UTC().Truncate(time.Second).Add(time.Hour)
	var g errgroup.Group
	g.SetLimit(4)
	var compared, due atomic.Int64
	for _, zone := range []string{
		"America/New_York", "Europe/London", "Australia/Lord_Howe", "Asia/Kolkata", "America/Santiago", "Africa/Cairo",
	} {
		spans := []time.Time{now}
		for _, change := range changes(t, zone, now) {
			spans = append(spans, change.Add(-20*time.Hour), change.Add(-20*time.Minute), change.Add(20*time.Minute))
		}
		for i, cron := range expressions {
			g.Go(func() error {
				s := export.Schedule{Cron: cron, Zone: zone, GrantedAt: now, ExpiresAt: now.AddDate(1, 0, 0)}
				spec, err := firing.Spec(s)
				if err != nil {
					return err
				}
				id := fmt.Sprint(zone, i)
				if err := create(t.Context(), c, id, spec); err != nil {
					return err
				}
				for _, after := range spans {
					until := after.Add(40 * time.Hour)
					got, err := times(t.Context(), c, id, after, until)
					if err != nil {
						return err
					}
					want := s.Slots(after, until, 1<<20)
					if !slices.EqualFunc(got, want, time.Time.Equal) {
						t.Errorf("%q in %s after %s: Temporal says %v, we say %v", cron, zone, after, got, want)
					}
					compared.Add(1)
					due.Add(int64(len(want)))
				}
				return nil
			})
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d spans with %d times agree", compared.Load(), due.Load())
	if compared.Load() < 200 || due.Load() < 1000 {
		t.Errorf("only %d spans with %d times were compared", compared.Load(), due.Load())
	}
}

// A schedule that the server describes is the one that it was given, until
// somebody edits it.
func TestSame(t *testing.T) {
	c := temporal(t)
	now := time.Now().UTC().Truncate(time.Second)
	s := export.Schedule{Cron: "*/20 9-17 * * 1-5", Zone: "Asia/Kolkata", GrantedAt: now, ExpiresAt: now.AddDate(0, 6, 0)}
	spec, err := firing.Spec(s)
	if err != nil {
		t.Fatal(err)
	}
	want := func() client.Schedule {
		return client.Schedule{
			Spec: &spec, Action: &client.ScheduleWorkflowAction{ID: "s", Workflow: "W", TaskQueue: "q", Args: []any{map[string]string{"a": "b"}}},
			Policy: &client.SchedulePolicies{Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_BUFFER_ONE, CatchupWindow: time.Hour},
			State:  &client.ScheduleState{Note: "kept"},
		}
	}
	w := want()
	handle, err := c.ScheduleClient().Create(t.Context(), client.ScheduleOptions{
		ID: "s", Spec: *w.Spec, Action: w.Action, Overlap: w.Policy.Overlap, CatchupWindow: w.Policy.CatchupWindow, Note: w.State.Note,
	})
	if err != nil {
		t.Fatal(err)
	}
	describe := func() client.Schedule {
		d, err := handle.Describe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return d.Schedule
	}
	if !firing.Same(describe(), want()) {
		t.Errorf("the server describes %+v", describe().Spec)
	}
	action := func(s client.Schedule) *client.ScheduleWorkflowAction {
		return s.Action.(*client.ScheduleWorkflowAction)
	}
	for name, edit := range map[string]func(*client.Schedule){
		"a calendar less":  func(s *client.Schedule) { s.Spec.Calendars = s.Spec.Calendars[1:] },
		"another hour":     func(s *client.Schedule) { s.Spec.Calendars[0].Hour = []client.ScheduleRange{{Start: 1, End: 2}} },
		"a cron string":    func(s *client.Schedule) { s.Spec.CronExpressions = []string{"* * * * *"} },
		"an interval":      func(s *client.Schedule) { s.Spec.Intervals = []client.ScheduleIntervalSpec{{Every: time.Hour}} },
		"a later end":      func(s *client.Schedule) { s.Spec.EndAt = s.Spec.EndAt.Add(time.Hour) },
		"jitter":           func(s *client.Schedule) { s.Spec.Jitter = time.Second },
		"another zone":     func(s *client.Schedule) { s.Spec.TimeZoneName = "Asia/Kolkata" },
		"overlap":          func(s *client.Schedule) { s.Policy.Overlap = enumspb.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL },
		"catch-up":         func(s *client.Schedule) { s.Policy.CatchupWindow = time.Minute },
		"pause on failure": func(s *client.Schedule) { s.Policy.PauseOnFailure = true },
		"paused":           func(s *client.Schedule) { s.State.Paused = true },
		"a limit":          func(s *client.Schedule) { s.State.LimitedActions, s.State.RemainingActions = true, 3 },
		"another type":     func(s *client.Schedule) { action(*s).Workflow = "X" },
		"another id":       func(s *client.Schedule) { action(*s).ID = "t" },
		"another queue":    func(s *client.Schedule) { action(*s).TaskQueue = "r" },
		"other arguments":  func(s *client.Schedule) { action(*s).Args = []any{map[string]string{"a": "c"}} },
	} {
		edited := describe()
		edit(&edited)
		err := handle.Update(t.Context(), client.ScheduleUpdateOptions{DoUpdate: func(client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			return &client.ScheduleUpdate{Schedule: &edited}, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		if firing.Same(describe(), want()) {
			t.Errorf("%s: the edit is not seen", name)
		}
	}
}

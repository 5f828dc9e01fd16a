// Package firing says in Temporal's terms when a schedule of exports fires. The
// times are given as calendars in UTC, one instant for each slot of the grant: how
// a cron string is read around a change of clocks is then nobody's opinion.
package firing

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"finobs/internal/export"
	"finobs/internal/schedule"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
)

// Spec is when the grant in force fires. It is the same each time it is made.
func Spec(s export.Schedule) (client.ScheduleSpec, error) {
	calendars, err := s.Calendars()
	if err != nil {
		return client.ScheduleSpec{}, err
	}
	return client.ScheduleSpec{
		StartAt: s.GrantedAt.UTC().Truncate(time.Second), EndAt: s.ExpiresAt, TimeZoneName: "UTC", Calendars: Calendars(calendars),
	}, nil
}

// Calendars writes calendars in Temporal's terms.
func Calendars(list []schedule.Calendar) []client.ScheduleCalendarSpec {
	var out []client.ScheduleCalendarSpec
	for _, c := range list {
		out = append(out, client.ScheduleCalendarSpec{
			Second: []client.ScheduleRange{{}}, Minute: ranges(c.Minutes), Hour: ranges(c.Hours), DayOfMonth: ranges(c.Days), Month: ranges(c.Months),
			Year: ranges(schedule.Set{c.Year}), DayOfWeek: []client.ScheduleRange{{Start: 0, End: 6}},
		})
	}
	return out
}

// ranges writes a set as few ranges, of an even step each.
func ranges(set schedule.Set) []client.ScheduleRange {
	var out []client.ScheduleRange
	for i := 0; i < len(set); {
		j, step := i, 1
		if i+1 < len(set) {
			step = set[i+1] - set[i]
		}
		for j+1 < len(set) && set[j+1]-set[j] == step {
			j++
		}
		if j == i+1 && step > 1 { // two numbers are no series
			j, step = i, 1
		}
		if j == i {
			step = 1
		}
		out = append(out, client.ScheduleRange{Start: set[i], End: set[j], Step: step})
		i = j + 1
	}
	return out
}

// Overlap is Temporal's name for an overlap policy.
func Overlap(o export.Overlap) (enumspb.ScheduleOverlapPolicy, error) {
	switch o {
	case export.OverlapSkip:
		return enumspb.SCHEDULE_OVERLAP_POLICY_SKIP, nil
	case export.OverlapBuffer:
		return enumspb.SCHEDULE_OVERLAP_POLICY_BUFFER_ONE, nil
	case export.OverlapAllow:
		return enumspb.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL, nil
	}
	return 0, fmt.Errorf("overlap %q has no name in Temporal", o)
}

// Same reports whether a schedule that Temporal describes is as it is wanted, in
// all that decides when it fires and what it starts.
func Same(described, want client.Schedule) bool {
	a, aErr := form(described)
	b, bErr := form(want)
	return aErr == nil && bErr == nil && a == b
}

// form writes a schedule in one way, however it was given.
func form(s client.Schedule) (string, error) {
	action, isWorkflow := s.Action.(*client.ScheduleWorkflowAction)
	if !isWorkflow || s.Spec == nil || s.Policy == nil || s.State == nil {
		return "", errors.New("the schedule starts no workflow")
	}
	args, err := arguments(action.Args)
	if err != nil {
		return "", err
	}
	calendars := make([]string, 0, len(s.Spec.Calendars))
	for _, c := range s.Spec.Calendars {
		calendars = append(calendars, fmt.Sprint(set(c.Year), set(c.Month), set(c.DayOfMonth), set(c.DayOfWeek), set(c.Hour), set(c.Minute), set(c.Second)))
	}
	slices.Sort(calendars)
	zone := s.Spec.TimeZoneName
	if zone == "" {
		zone = "UTC"
	}
	text, err := json.Marshal([]any{
		calendars, s.Spec.CronExpressions, len(s.Spec.Intervals), len(s.Spec.Skip), s.Spec.StartAt.UTC(), s.Spec.EndAt.UTC(), s.Spec.Jitter, zone,
		action.ID, action.Workflow, action.TaskQueue, args, s.Policy.Overlap, s.Policy.CatchupWindow, s.Policy.PauseOnFailure,
		s.State.Paused, s.State.Note, s.State.LimitedActions,
	})
	return string(text), err
}

// set lists what ranges hold.
func set(ranges []client.ScheduleRange) []int {
	var out []int
	for _, r := range ranges {
		for n := r.Start; n <= max(r.End, r.Start); n += max(r.Step, 1) {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// arguments are those of the workflow as they are sent.
func arguments(args []any) ([]string, error) {
	var out []string
	for _, arg := range args {
		payload, is := arg.(*commonpb.Payload)
		if !is {
			var err error
			if payload, err = converter.GetDefaultDataConverter().ToPayload(arg); err != nil {
				return nil, fmt.Errorf("encoding arguments: %w", err)
			}
		}
		out = append(out, string(payload.GetData()))
	}
	return out, nil
}

// Package firing says in Temporal's terms when a schedule of exports fires. The
// times are given as calendars in UTC, one instant for each slot of the grant: how
// a cron string is read around a change of clocks is then nobody's opinion.
package firing

import (
	"fmt"
	"time"

	"finobs/internal/export"
	"finobs/internal/schedule"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
)

// Spec is when the grant in force fires. It is the same each time it is made.
func Spec(s export.Schedule) (client.ScheduleSpec, error) {
	calendars, err := s.Calendars()
	if err != nil {
		return client.ScheduleSpec{}, err
	}
	spec := client.ScheduleSpec{StartAt: s.GrantedAt.UTC().Truncate(time.Second), EndAt: s.ExpiresAt, TimeZoneName: "UTC"}
	for _, c := range calendars {
		spec.Calendars = append(spec.Calendars, client.ScheduleCalendarSpec{
			Second: []client.ScheduleRange{{}}, Minute: ranges(c.Minutes), Hour: ranges(c.Hours), DayOfMonth: ranges(c.Days), Month: ranges(c.Months),
			Year: ranges(schedule.Set{c.Year}), DayOfWeek: []client.ScheduleRange{{Start: 0, End: 6}},
		})
	}
	return spec, nil
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

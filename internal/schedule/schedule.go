// Package schedule reads the cron expressions by which exports are scheduled and
// says when they fall due. It parses and previews; Temporal Schedules fire.
package schedule

import (
	"strings"
	"time"
	_ "time/tzdata" // hosts without a zone database

	"finobs/internal/fault"

	"github.com/robfig/cron/v3"
)

// Schedule is a cron expression in a time zone.
type Schedule struct {
	spec     cron.Schedule
	location *time.Location
}

// Parse reads the five standard cron fields (minute, hour, day of month, month,
// day of week) or one of @hourly, @daily, @weekly, @monthly and @yearly, in a
// time zone of the IANA database. Errors are faults of kind Invalid.
func Parse(expression, zone string) (Schedule, error) {
	location, err := time.LoadLocation(zone)
	if err != nil || zone == "" || zone == "Local" {
		return Schedule{}, fault.Wrap(err, fault.Invalid, "invalid-time-zone",
			"%q is not a time zone of the IANA database, such as America/New_York or UTC", zone)
	}
	expression = strings.TrimSpace(expression)
	if strings.HasPrefix(expression, "TZ=") || strings.HasPrefix(expression, "CRON_TZ=") {
		return Schedule{}, fault.New(fault.Invalid, "invalid-schedule", "give the time zone by itself, not in the expression")
	}
	if strings.HasPrefix(expression, "@every") {
		return Schedule{}, fault.New(fault.Invalid, "invalid-schedule", "@every drifts with each restart; give the times of day")
	}
	spec, err := cron.ParseStandard("CRON_TZ=" + zone + " " + expression)
	if err != nil {
		return Schedule{}, fault.Wrap(err, fault.Invalid, "invalid-schedule",
			"%q is not a cron expression of minute, hour, day of month, month and day of week: %v", expression, err)
	}
	return Schedule{spec, location}, nil
}

// Next returns the first n times after a moment, in the schedule's time zone;
// fewer when there are no more within five years, as on the 30th of February. A
// time of day that a change of clocks skips is left out that day.
func (s Schedule) Next(after time.Time, n int) []time.Time {
	var times []time.Time
	for at := s.spec.Next(after); len(times) < n && !at.IsZero(); at = s.spec.Next(at) {
		times = append(times, at.In(s.location))
	}
	return times
}

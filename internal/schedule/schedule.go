// Package schedule reads the cron expressions by which exports are scheduled and
// says when they fall due. It parses, judges and previews; Temporal Schedules
// fire.
//
// A schedule falls due at every whole minute whose local time, in the schedule's
// zone, matches the expression. That is a set of instants, and the same set
// whoever looks at it and from where: a local time that a change of clocks skips
// is left out, and one that it repeats falls due twice. Neither robfig/cron's own
// Next nor Temporal's reading of a cron string is such a set around changes of
// clocks (see docs/exports-schedules.md), so Temporal is given the instants
// themselves, as calendars in UTC: see Calendars.
package schedule

import (
	"math/bits"
	"regexp"
	"strings"
	"time"
	_ "time/tzdata" // hosts without a zone database

	"finobs/internal/fault"

	"github.com/robfig/cron/v3"
)

// Schedule is a cron expression in a time zone. The zero value never falls due.
type Schedule struct {
	spec     *cron.SpecSchedule
	location *time.Location
}

// horizon is how far ahead a schedule is looked for: the 29th of February comes
// within it from all years but 2096 to 2099.
const horizon = 5 * 366 * 24 * time.Hour

// probe is a moment from which every schedule that ever falls due does so within
// horizon, the 29th of February among them.
var probe = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)

// fieldPattern is a field that all readers of cron read alike: no "?", no empty
// member, no sign and no "*-5", all of which robfig/cron would take for
// something.
var fieldPattern = regexp.MustCompile(`^(\*|[a-zA-Z0-9]+(-[a-zA-Z0-9]+)?)(/[0-9]+)?(,(\*|[a-zA-Z0-9]+(-[a-zA-Z0-9]+)?)(/[0-9]+)?)*$`)

// named are the expressions that have a name.
var named = map[string]string{
	"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
	"@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}

func invalid(format string, args ...any) (Schedule, error) {
	return Schedule{}, fault.New(fault.Invalid, "invalid-schedule", format, args...)
}

// Parse reads the five standard cron fields (minute, hour, day of month, month,
// day of week from 0 for Sunday to 6, months and days also by their names) or one
// of @hourly, @daily, @weekly, @monthly and @yearly, in a time zone of the IANA
// database. When both the day of the month and the day of the week are
// restricted, a day that matches either matches, as in cron. Errors are faults of
// kind Invalid.
func Parse(expression, zone string) (Schedule, error) {
	location, err := time.LoadLocation(zone)
	if err != nil || zone == "" || zone == "Local" {
		return Schedule{}, fault.Wrap(err, fault.Invalid, "invalid-time-zone",
			"%q is not a time zone of the IANA database, such as America/New_York or UTC", zone)
	}
	expression = strings.TrimSpace(expression)
	switch {
	case expression == "":
		return invalid("the cron expression is empty; give minute, hour, day of month, month and day of week, such as 0 18 * * 1-5")
	case strings.HasPrefix(expression, "TZ=") || strings.HasPrefix(expression, "CRON_TZ="):
		return invalid("give the time zone by itself, not in the expression")
	case strings.HasPrefix(expression, "@every"):
		return invalid("@every drifts with each restart; give the times of day")
	}
	fields := expression
	if five, known := named[expression]; known {
		fields = five
	}
	switch split := strings.Fields(fields); {
	case strings.HasPrefix(fields, "@"):
		return invalid("%q is not one of @hourly, @daily, @weekly, @monthly and @yearly", expression)
	case len(split) != 5:
		return invalid("%q has %d fields and not the five of minute, hour, day of month, month and day of week; "+
			"a schedule falls due once a minute at most", expression, len(split))
	default:
		for _, field := range split {
			if !fieldPattern.MatchString(field) {
				return invalid("the field %q is not a list of *, numbers, names and ranges such as 9-17, each perhaps with a step such as */5", field)
			}
		}
	}
	parsed, err := cron.ParseStandard(fields)
	spec, isSpec := parsed.(*cron.SpecSchedule)
	if err != nil || !isSpec {
		return Schedule{}, fault.Wrap(err, fault.Invalid, "invalid-schedule",
			"%q is not a cron expression of minute, hour, day of month, month and day of week: %v", expression, err)
	}
	s := Schedule{spec, location}
	if len(s.Next(probe, 1)) == 0 {
		return invalid("%q never falls due", expression)
	}
	return s, nil
}

// Next returns the first n times after a moment, in the schedule's time zone;
// fewer when there are no more within five years.
func (s Schedule) Next(after time.Time, n int) []time.Time {
	return s.Between(after, after.Add(horizon), n)
}

// Between returns the first n times after one moment and not after another, in
// the schedule's time zone.
func (s Schedule) Between(after, until time.Time, n int) []time.Time {
	var times []time.Time
	for t := s.from(after.Truncate(time.Minute).Add(time.Minute), until); len(times) < n && !t.IsZero(); t = s.from(t.Add(time.Minute), until) {
		times = append(times, t)
	}
	return times
}

// Falls reports whether the schedule falls due at exactly t.
func (s Schedule) Falls(t time.Time) bool {
	return t.Equal(t.Truncate(time.Minute)) && s.from(t, t).Equal(t)
}

// Previous returns the last time before t; false when there is none within five
// years.
func (s Schedule) Previous(t time.Time) (time.Time, bool) {
	last := t.Add(-time.Nanosecond)
	for span := time.Hour; ; span *= 2 {
		span = min(span, horizon)
		if times := s.Between(t.Add(-span), last, int(span/time.Minute)); len(times) > 0 {
			return times[len(times)-1], true
		}
		if span == horizon {
			return time.Time{}, false
		}
	}
}

// from returns the first time at or after t, a whole minute, and not after until;
// zero when there is none. While the clocks do not change, local times are added
// and subtracted like any other, so no step goes beyond the next change.
func (s Schedule) from(t, until time.Time) time.Time {
	if s.spec == nil { // the zero Schedule never falls due
		return time.Time{}
	}
	for t = t.In(s.location); !t.After(until); {
		skip := s.mismatch(t)
		if skip == 0 {
			return t
		}
		next := t.Add(skip)
		if _, change := t.ZoneBounds(); !change.IsZero() && next.After(change) {
			// A change within a minute, as of old local mean times, is rounded up.
			next = change.Add(time.Minute - time.Nanosecond).Truncate(time.Minute)
		}
		t = next
	}
	return time.Time{}
}

// mismatch is how long the schedule cannot fall due from the local time t on,
// were it not for changes of clocks; 0 when it falls due at t.
func (s Schedule) mismatch(t time.Time) time.Duration {
	minutes := func(n int) time.Duration { return time.Duration(n) * time.Minute }
	switch {
	case !has(s.spec.Month, int(t.Month())):
		nextMonth := time.Date(t.Year(), t.Month()+1, 1, 0, 0, 0, 0, time.UTC)
		return nextMonth.Sub(time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), 0, 0, time.UTC))
	case !s.day(t):
		return minutes((24-t.Hour())*60 - t.Minute())
	case !has(s.spec.Hour, t.Hour()):
		return minutes(60 - t.Minute())
	case !has(s.spec.Minute, t.Minute()):
		left := s.spec.Minute >> (t.Minute() + 1) << (t.Minute() + 1) &^ star
		if left == 0 {
			return minutes(60 - t.Minute())
		}
		return minutes(bits.TrailingZeros64(left) - t.Minute())
	}
	return 0
}

// star is robfig/cron's mark of a field that is not restricted.
const star = 1 << 63

func has(set uint64, n int) bool { return set&(1<<n) != 0 }

func (s Schedule) day(t time.Time) bool {
	date, weekday := has(s.spec.Dom, t.Day()), has(s.spec.Dow, int(t.Weekday()))
	if s.spec.Dom&star != 0 || s.spec.Dow&star != 0 {
		return date && weekday
	}
	return date || weekday
}

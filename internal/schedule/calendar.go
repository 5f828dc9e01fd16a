package schedule

import (
	"cmp"
	"math/bits"
	"slices"
	"time"

	"finobs/internal/fault"
)

// Set is a set of small numbers, in rising order.
type Set []int

// Calendar matches the instants whose year, month, day, hour and minute, in UTC,
// are each in a set; their seconds are 0.
type Calendar struct {
	Year                         int
	Months, Days, Hours, Minutes Set
}

// maxCalendars bounds what is given to Temporal. The most irregular expressions
// that make sense need about a hundred.
const maxCalendars = 400

// shape is how a schedule falls due within a day of UTC: for each set of minutes,
// as bits, the hours in which it falls due at them.
type shape [24]uint64

type group struct {
	shape shape
	year  int
	days  uint32
}

// Calendars returns calendars that together match exactly the times after one
// moment and not after another. In UTC no clock ever changes, so they leave
// nothing to the reader's opinion. It is for spans of about a year.
func (s Schedule) Calendars(after, until time.Time) ([]Calendar, error) {
	type month struct {
		year  int
		month time.Month
		shape shape
	}
	days := map[month]uint32{}
	for date, of := range s.shapes(after, until) {
		y, m, d := date.Date()
		days[month{y, m, of}] |= 1 << d
	}
	// Months of a year in which the same days have the same shape are one.
	months := map[group]uint32{}
	for m, set := range days {
		months[group{m.shape, m.year, set}] |= 1 << m.month
	}
	var out []Calendar
	for g, set := range months {
		out = append(out, g.calendars(set)...)
	}
	if len(out) > maxCalendars {
		return nil, fault.New(fault.Invalid, "invalid-schedule", "the expression falls due too irregularly: it takes %d calendars, %d are the limit", len(out), maxCalendars)
	}
	slices.SortFunc(out, compare)
	return out, nil
}

// shapes is how the schedule falls due on each day of UTC.
func (s Schedule) shapes(after, until time.Time) map[time.Time]shape {
	out := map[time.Time]shape{}
	var day time.Time
	var of shape
	for t := s.from(after.Truncate(time.Minute).Add(time.Minute), until); !t.IsZero(); t = s.from(t.Add(time.Minute), until) {
		u := t.UTC()
		if date := u.Truncate(24 * time.Hour); !date.Equal(day) {
			day, of = date, shape{}
		}
		of[u.Hour()] |= 1 << u.Minute()
		out[day] = of
	}
	return out
}

func (g group) calendars(months uint32) []Calendar {
	hours := map[uint64]uint32{}
	for h, minutes := range g.shape {
		if minutes != 0 {
			hours[minutes] |= 1 << h
		}
	}
	var out []Calendar
	for minutes, h := range hours {
		out = append(out, Calendar{g.year, members(uint64(months)), members(uint64(g.days)), members(uint64(h)), members(minutes)})
	}
	return out
}

func members(set uint64) Set {
	var out Set
	for ; set != 0; set &= set - 1 {
		out = append(out, bits.TrailingZeros64(set))
	}
	return out
}

func compare(a, b Calendar) int {
	return cmp.Or(cmp.Compare(a.Year, b.Year), slices.Compare(a.Months, b.Months), slices.Compare(a.Days, b.Days),
		slices.Compare(a.Hours, b.Hours), slices.Compare(a.Minutes, b.Minutes))
}

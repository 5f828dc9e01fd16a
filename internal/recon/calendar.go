package recon

import (
	"slices"
	"strings"
	"time"

	"github.com/rickar/cal/v2"
	"github.com/rickar/cal/v2/ecb"
	"github.com/rickar/cal/v2/gb"
	"github.com/rickar/cal/v2/us"
)

// calendars are the days of business by name.
var calendars = map[string]func() *cal.BusinessCalendar{
	"weekdays": cal.NewBusinessCalendar,
	"us":       func() *cal.BusinessCalendar { return calendar(us.Holidays...) },
	"gb":       func() *cal.BusinessCalendar { return calendar(gb.Holidays...) },
	"target":   func() *cal.BusinessCalendar { return calendar(ecb.Holidays...) },
}

func calendar(days ...*cal.Holiday) *cal.BusinessCalendar {
	c := cal.NewBusinessCalendar()
	c.AddHoliday(days...)
	return c
}

// Calendars lists the names of the calendars: weekdays has no holidays, us and gb
// have the public ones, target those of the euro's payment system.
func Calendars() []string {
	var names []string
	for name := range calendars {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Age is how old something is.
type Age struct {
	Hours        int64
	BusinessDays int64 // days of business after the first one, up to today
}

// AgeOf is the age at one time of what was first seen at another, by a calendar of
// Calendars; an unknown one counts weekdays.
func AgeOf(first, now time.Time, name string) Age {
	if now.Before(first) {
		return Age{}
	}
	out := Age{Hours: int64(now.Sub(first) / time.Hour)}
	open, known := calendars[name]
	if !known {
		open = calendars["weekdays"]
	}
	c := open()
	for day := midnight(first).AddDate(0, 0, 1); !day.After(midnight(now)) && out.BusinessDays < maxAge; day = day.AddDate(0, 0, 1) {
		if c.IsWorkday(day) {
			out.BusinessDays++
		}
	}
	return out
}

// maxAge bounds the counting, in days of business: ten years.
const maxAge = 2600

func midnight(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

// Cutoff is the time of the settlement date until which a break can still be
// mended.
type Cutoff struct {
	Time     string // hh:mm
	Zone     string
	Calendar string

	hour, minute int
	location     *time.Location
}

// At is the cut-off for a settlement date of the form YYYY-MM-DD; on a day without
// business, that of the next one with. Zero when there is none.
func (c *Cutoff) At(settlement string) time.Time {
	if c == nil || settlement == "" {
		return time.Time{}
	}
	day, err := time.Parse(time.DateOnly, strings.TrimSpace(settlement))
	if err != nil {
		return time.Time{}
	}
	open := calendars[c.Calendar]()
	for range 30 {
		if open.IsWorkday(day) {
			break
		}
		day = day.AddDate(0, 0, 1)
	}
	return time.Date(day.Year(), day.Month(), day.Day(), c.hour, c.minute, 0, 0, c.location)
}

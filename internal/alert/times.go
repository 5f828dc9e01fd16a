package alert

import (
	"strconv"
	"strings"
	"time"
)

// layouts are those in which senders write times. Where none is stated, the zone
// is UTC.
var layouts = []string{
	time.RFC3339Nano,
	"2006-01-02T15:04:05.999999999Z0700", // CloudWatch
	"2006-01-02T15:04:05.999999999",      // Pingdom's UTC
	"2006-01-02 15:04:05.999999999",
	"2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02 15:04:05.999999999 -0700 MST", // Go's own
	"2006/01/02 15:04:05 MST",
	time.RFC1123,
	time.RFC1123Z,
}

// parseTime reads a time; "" and year 1, which is how Go senders write "never",
// are zero. Times outside the years 1970 to 9999 are refused: they are mistakes of
// unit, and no database takes them.
func parseTime(text string) (time.Time, bool) {
	text = strings.TrimSpace(text)
	if text == "" || text == "null" {
		return time.Time{}, true
	}
	for _, layout := range layouts {
		t, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		t = t.UTC()
		if t.Year() <= 1 {
			return time.Time{}, true
		}
		return t, t.Year() >= 1970 && t.Year() <= 9999
	}
	return time.Time{}, false
}

// parseEpoch reads a number of units since 1970; 0 and "" are zero.
func parseEpoch(text string, unit time.Duration) (time.Time, bool) {
	text = strings.TrimSpace(text)
	if text == "" || text == "null" {
		return time.Time{}, true
	}
	const end = 253402300800 // the year 10000, in seconds
	per := int64(time.Second / unit)
	if whole, err := strconv.ParseInt(text, 10, 64); err == nil {
		if whole == 0 {
			return time.Time{}, true
		}
		if whole < 0 || whole/per >= end {
			return time.Time{}, false
		}
		return time.Unix(whole/per, whole%per*int64(unit)).UTC(), true
	}
	units, err := strconv.ParseFloat(text, 64)
	if err != nil || !(units >= 0 && units/float64(per) < end) {
		return time.Time{}, false
	}
	if units == 0 {
		return time.Time{}, true
	}
	// Microseconds are as fine as floating point is at this size.
	return time.UnixMicro(int64(units * float64(unit/time.Microsecond))).UTC(), true
}

// time returns a member that is a time in text, zero when it is missing.
func (o object) time(name string) time.Time {
	text := o.text(name)
	t, is := parseTime(text)
	if !is {
		o.fail(name, "is %s; expected is a time such as 2026-06-12T09:30:00Z", shown(text))
	}
	return t
}

// epoch returns a member that is a number of units since 1970, also as text, or a
// time in text; zero when it is missing.
func (o object) epoch(name string, unit time.Duration) time.Time {
	text := o.word(name)
	t, is := parseEpoch(text, unit)
	if !is {
		t, is = parseTime(text)
	}
	if !is {
		o.fail(name, "is %s; expected is a time: a number, in %s since 1970, or a text such as 2026-06-12T09:30:00Z", shown(text), unitName(unit))
	}
	return t
}

func unitName(unit time.Duration) string {
	if unit == time.Millisecond {
		return "milliseconds"
	}
	return "seconds"
}

func firstTime(times ...time.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

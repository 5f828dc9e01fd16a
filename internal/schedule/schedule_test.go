package schedule_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"finobs/internal/fault"
	"finobs/internal/schedule"

	"pgregory.net/rapid"
)

func TestNext(t *testing.T) {
	for name, tc := range map[string]struct {
		expression, zone, after string
		want                    []string
	}{
		"weekdays at the close": {"0 18 * * 1-5", "America/New_York", "2026-03-05T23:30:00Z",
			[]string{"2026-03-06T18:00:00-05:00", "2026-03-09T18:00:00-04:00"}}, // clocks change on the 8th
		"a time that is skipped": {"30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z",
			[]string{"2026-03-09T02:30:00-04:00", "2026-03-10T02:30:00-04:00"}},
		"month end": {"0 6 1 * *", "UTC", "2026-01-31T23:59:59Z", []string{"2026-02-01T06:00:00Z", "2026-03-01T06:00:00Z"}},
		"by name":   {"@daily", "Asia/Tokyo", "2026-01-01T00:00:00Z", []string{"2026-01-02T00:00:00+09:00", "2026-01-03T00:00:00+09:00"}},
		// Clocks that change: what is skipped is left out, what is repeated comes twice.
		"New York, repeated": {"30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z",
			[]string{"2026-11-01T01:30:00-04:00", "2026-11-01T01:30:00-05:00", "2026-11-02T01:30:00-05:00"}},
		"New York, repeated a year on": {"0 1 * * *", "America/New_York", "2027-11-06T12:00:00Z",
			[]string{"2027-11-07T01:00:00-04:00", "2027-11-07T01:00:00-05:00", "2027-11-08T01:00:00-05:00"}},
		"New York, skipped": {"0 2 * * *", "America/New_York", "2027-03-13T12:00:00Z",
			[]string{"2027-03-15T02:00:00-04:00", "2027-03-16T02:00:00-04:00"}},
		"London, skipped and hourly": {"30 * * * *", "Europe/London", "2027-03-28T00:00:00Z",
			[]string{"2027-03-28T00:30:00Z", "2027-03-28T02:30:00+01:00", "2027-03-28T03:30:00+01:00"}},
		"London, repeated": {"0 1 25-31 10 *", "Europe/London", "2026-10-24T12:00:00Z",
			[]string{"2026-10-25T01:00:00+01:00", "2026-10-25T01:00:00Z", "2026-10-26T01:00:00Z"}},
		"Lord Howe, half an hour repeated": {"*/15 1 * * *", "Australia/Lord_Howe", "2027-04-03T14:20:00Z",
			[]string{"2027-04-04T01:30:00+11:00", "2027-04-04T01:45:00+11:00", "2027-04-04T01:30:00+10:30", "2027-04-04T01:45:00+10:30", "2027-04-05T01:00:00+10:30"}},
		"Lord Howe, half an hour skipped": {"0,15,30 2 * * *", "Australia/Lord_Howe", "2027-10-02T12:00:00Z",
			[]string{"2027-10-03T02:30:00+11:00", "2027-10-04T02:00:00+11:00"}},
		"Lord Howe, a time right after the change": {"0 2 * * *", "Australia/Lord_Howe", "2027-04-03T12:00:00Z",
			[]string{"2027-04-04T02:00:00+10:30", "2027-04-05T02:00:00+10:30"}},
		"Troll, two hours repeated": {"0 2 * * *", "Antarctica/Troll", "2026-10-24T12:00:00Z",
			[]string{"2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00Z", "2026-10-26T02:00:00Z"}},
		"Santiago, a Sunday without a midnight": {"0 5 * * 0", "America/Santiago", "2027-09-04T12:00:00Z",
			[]string{"2027-09-05T05:00:00-03:00", "2027-09-12T05:00:00-03:00"}},
		"Havana, the midnight that is skipped": {"0 0 * * *", "America/Havana", "2027-03-13T12:00:00Z",
			[]string{"2027-03-15T00:00:00-04:00"}},
		"either day matches": {"0 9 13 * 5", "UTC", "2027-01-09T00:00:00Z",
			[]string{"2027-01-13T09:00:00Z", "2027-01-15T09:00:00Z"}},
		"leap day": {"0 0 29 2 *", "UTC", "2025-01-01T00:00:00Z", []string{"2028-02-29T00:00:00Z"}},
	} {
		s, err := schedule.Parse(tc.expression, tc.zone)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		after, err := time.Parse(time.RFC3339, tc.after)
		if err != nil {
			t.Fatal(err)
		}
		got := s.Next(after, len(tc.want))
		if len(got) != len(tc.want) {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
			continue
		}
		for i := range got {
			if got[i].Format(time.RFC3339) != tc.want[i] {
				t.Errorf("%s: got %v, want %v", name, got, tc.want)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, in := range map[string][2]string{
		"four fields":        {"0 18 * *", "UTC"},
		"six fields":         {"0 0 18 * * *", "UTC"},
		"minute 60":          {"60 18 * * *", "UTC"},
		"words":              {"every day", "UTC"},
		"empty":              {"", "UTC"},
		"drifting":           {"@every 1h", "UTC"},
		"drifting fast":      {"@every 1ns", "UTC"},
		"each second":        {"* * * * * *", "UTC"},
		"a year as sixth":    {"0 18 * * * 2027", "UTC"},
		"30 February":        {"0 0 30 2 *", "UTC"},
		"31 June and more":   {"0 0 31 4,6,9,11 *", "UTC"},
		"at start":           {"@reboot", "UTC"},
		"Sunday as 7":        {"0 18 * * 7", "UTC"},
		"question mark":      {"0 18 ? * 1", "UTC"},
		"empty member":       {"0,,30 18 * * *", "UTC"},
		"only a comma":       {", 18 * * *", "UTC"},
		"star to a number":   {"*-5 18 * * *", "UTC"},
		"signed":             {"+5 18 * * *", "UTC"},
		"last day":           {"0 18 L * *", "UTC"},
		"whole weekday name": {"0 18 * * Monday", "UTC"},
		"step of nothing":    {"*/0 * * * *", "UTC"},
		"backwards":          {"0 18 * * 5-1", "UTC"},
		"comment":            {"0 18 * * 1 # Mondays", "UTC"},
		"zone in expression": {"CRON_TZ=UTC 0 18 * * *", "UTC"},
		"zone in short":      {"TZ=UTC 0 18 * * *", "UTC"},
		"unknown zone":       {"0 18 * * *", "Mars/Olympus"},
		"no zone":            {"0 18 * * *", ""},
		"this host's zone":   {"0 18 * * *", "Local"},
	} {
		if _, err := schedule.Parse(in[0], in[1]); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// fields is a cron expression whose meaning needs no parser.
type fields struct{ minutes, hours, days, months, weekdays []int }

func drawFields(t *rapid.T) (fields, string) {
	field := func(name string, lo, hi int) ([]int, string) {
		set := rapid.SliceOfNDistinct(rapid.IntRange(lo, hi), 0, 5, rapid.ID).Draw(t, name)
		if len(set) == 0 {
			return nil, "*"
		}
		texts := make([]string, len(set))
		for i, n := range set {
			texts[i] = strconv.Itoa(n)
		}
		return set, strings.Join(texts, ",")
	}
	var f fields
	var texts [5]string
	f.minutes, texts[0] = field("minutes", 0, 59)
	f.hours, texts[1] = field("hours", 0, 23)
	f.days, texts[2] = field("days", 1, 28)
	f.months, texts[3] = field("months", 1, 12)
	f.weekdays, texts[4] = field("weekdays", 0, 6)
	return f, strings.Join(texts[:], " ")
}

func (f fields) match(t time.Time) bool {
	in := func(set []int, n int) bool { return set == nil || slices.Contains(set, n) }
	day := in(f.days, t.Day()) && in(f.weekdays, int(t.Weekday()))
	if f.days != nil && f.weekdays != nil {
		day = in(f.days, t.Day()) || in(f.weekdays, int(t.Weekday()))
	}
	return in(f.minutes, t.Minute()) && in(f.hours, t.Hour()) && in(f.months, int(t.Month())) && day
}

var zones = []string{
	"UTC", "Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Asia/Kathmandu", "America/Santiago", "Africa/Cairo",
	"America/Havana", "America/St_Johns", "Antarctica/Troll", "Asia/Beirut", "Pacific/Apia",
}

// What Next, Previous and Falls say is what one finds by looking at each minute,
// across changes of clocks.
func TestEveryMinuteIsJudgedAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, expression := drawFields(t)
		zone := rapid.SampledFrom(zones).Draw(t, "zone")
		location, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		s, err := schedule.Parse(expression, zone)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 2*365*24*60).Draw(t, "start")) * time.Minute)
		if _, change := start.In(location).ZoneBounds(); !change.IsZero() && change.Year() < 2035 {
			start = change.Add(-3 * time.Hour).UTC() // where it is difficult
		}
		end := start.Add(30 * time.Hour)
		var want []time.Time
		for at := start.Add(time.Minute); !at.After(end); at = at.Add(time.Minute) {
			falls := f.match(at.In(location))
			if falls {
				want = append(want, at)
			}
			if s.Falls(at) != falls || s.Falls(at.Add(time.Second)) {
				t.Fatalf("%q in %s at %s: %v", expression, zone, at, !falls)
			}
		}
		got := s.Between(start, end, 30*60)
		if !slices.EqualFunc(got, want, time.Time.Equal) {
			t.Fatalf("%q in %s after %s: got %v, want %v", expression, zone, start, got, want)
		}
		for i := 1; i < len(want); i += 17 {
			if before, found := s.Previous(want[i]); !found || !before.Equal(want[i-1]) {
				t.Fatalf("%q in %s: before %s comes %s, %v", expression, zone, want[i], before, found)
			}
		}
	})
}

// The calendars match the times of the schedule and no others.
func TestCalendarsMatchTheSchedule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, expression := drawFields(t)
		zone := rapid.SampledFrom(zones).Draw(t, "zone")
		s, err := schedule.Parse(expression, zone)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 365*24*60).Draw(t, "start")) * time.Minute)
		end := start.Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "days")) * 24 * time.Hour)
		calendars, err := s.Calendars(start, end)
		if err != nil {
			t.Fatal(err)
		}
		want := map[time.Time]bool{}
		for _, at := range s.Between(start, end, 1<<20) {
			want[at.UTC()] = true
		}
		total := 0
		for _, c := range calendars {
			for _, month := range c.Months {
				for _, day := range c.Days {
					for _, hour := range c.Hours {
						for _, minute := range c.Minutes {
							total++
							if at := time.Date(c.Year, time.Month(month), day, hour, minute, 0, 0, time.UTC); !want[at] {
								t.Fatalf("%q in %s: %+v matches %s", expression, zone, c, at)
							}
						}
					}
				}
			}
		}
		if total != len(want) {
			t.Fatalf("%q in %s: the calendars match %d times, not %d", expression, zone, total, len(want))
		}
	})
}

// A year of the densest and of the most irregular expressions stays within what
// Temporal is given.
func TestCalendarsStayFew(t *testing.T) {
	start := time.Date(2026, 11, 25, 13, 7, 0, 0, time.UTC)
	for _, expression := range []string{"* * * * *", "*/7 * * * *", "13,27,41,58 0-23/3 * * 1-5", "*/10 9-17 1,15 * 1"} {
		for _, zone := range zones {
			s, err := schedule.Parse(expression, zone)
			if err != nil {
				t.Fatal(err)
			}
			calendars, err := s.Calendars(start, start.AddDate(1, 0, 0))
			if err != nil || len(calendars) > 200 {
				t.Errorf("%q in %s: %d calendars, %v", expression, zone, len(calendars), err)
			}
		}
	}
}

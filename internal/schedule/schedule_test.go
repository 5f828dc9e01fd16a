package schedule_test

import (
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
		"never":     {"0 0 30 2 *", "UTC", "2026-01-01T00:00:00Z", nil},
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
		got := s.Next(after, 2)
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

// Times come in order, and all of them are later than the moment asked about.
func TestNextAscends(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := schedule.Parse(rapid.SampledFrom([]string{"*/7 * * * *", "0 9,17 * * 1-5", "15 2 * * *", "0 0 29 2 *"}).Draw(t, "cron"),
			rapid.SampledFrom([]string{"UTC", "Europe/London", "America/New_York", "Australia/Lord_Howe"}).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		last := time.Unix(rapid.Int64Range(0, 2e9).Draw(t, "after"), 0)
		for _, at := range s.Next(last, 20) {
			if !at.After(last) {
				t.Fatalf("%s does not come after %s", at, last)
			}
			last = at
		}
	})
}

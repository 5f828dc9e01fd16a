package health_test

import (
	"testing"
	"time"

	"finobs/internal/detect"
	"finobs/internal/export"
	"finobs/internal/health"
)

// A Wednesday, 15:00 UTC, is 10:00 in New York.
var newYork = detect.Hours{Zone: "America/New_York", From: 9*time.Hour + 30*time.Minute, To: 16 * time.Hour, Days: []time.Weekday{time.Monday, time.Wednesday}}

func TestFeeds(t *testing.T) {
	rule := func(maxAge time.Duration, h detect.Hours) []detect.Feed {
		return []detect.Feed{{Source: "x", MaxAge: maxAge, Hours: h}}
	}
	asleep, opening := newYork, newYork
	asleep.To = 9*time.Hour + 45*time.Minute
	opening.From = 9*time.Hour + 59*time.Minute
	for name, c := range map[string]struct {
		heard time.Duration // 0: never
		rules []detect.Feed
		state health.State
		word  string
	}{
		"no rule":                    {time.Second, nil, health.Unknown, "does not say how often"},
		"in time":                    {time.Second, rule(time.Minute, detect.Hours{}), health.OK, "1s ago"},
		"stale":                      {time.Hour, rule(time.Minute, detect.Hours{}), health.Down, "has to send every 1m0s"},
		"never, always awake":        {0, rule(time.Minute, detect.Hours{}), health.Unknown, "nothing has come"},
		"asleep":                     {time.Hour, rule(time.Minute, asleep), health.Unknown, "outside the hours"},
		"awake and in time":          {time.Second, rule(time.Minute, newYork), health.OK, "1s ago"},
		"silent since yesterday":     {20 * time.Hour, rule(time.Minute, newYork), health.Down, "has to send"},
		"its session has just begun": {20 * time.Hour, rule(5*time.Minute, opening), health.Unknown, "just begun"},
		"never in its session":       {0, rule(time.Minute, newYork), health.Down, "nothing has come"},
	} {
		t.Run(name, func(t *testing.T) {
			heard := map[string]time.Time{}
			if c.heard > 0 {
				heard["x"] = ago(c.heard)
			}
			if c.heard == 0 && c.rules == nil {
				t.Fatal("it is not listed at all")
			}
			expect(t, find(t, health.OfFeeds(heard, c.rules, now), "feed:x"), c.state, c.word)
		})
	}
	if got := health.OfFeeds(nil, nil, now); len(got) != 0 {
		t.Errorf("feeds of nobody: %v", got)
	}
	// The session opened at 9:30, and a minute later nothing had come.
	stale := find(t, health.OfFeeds(map[string]time.Time{"x": ago(20 * time.Hour)}, rule(time.Minute, newYork), now), "feed:x")
	if want := ago(29 * time.Minute); !stale.Since.Equal(want) {
		t.Errorf("stale since %s, not %s", stale.Since, want)
	}
}

func TestSystemsOfTheDesk(t *testing.T) {
	beat := func(status string, age time.Duration) health.Component {
		return health.OfBeats([]health.Beat{{System: "GW", Status: status, Detail: "queue long", Every: 10 * time.Second, At: ago(age)}}, now)[0]
	}
	expect(t, beat("up", time.Second), health.OK, "queue long")
	expect(t, beat("degraded", time.Second), health.Degraded, "it says that it is degraded")
	expect(t, beat("down", time.Second), health.Down, "down")
	expect(t, beat("up", 31*time.Second), health.Unknown, "it said up then")
	expect(t, beat("splendid", time.Second), health.Unknown, "no status")
}

func TestSchedules(t *testing.T) {
	s := export.Schedule{Name: "nightly", State: export.ScheduleActive, Cron: "0 14 * * *", Zone: "UTC", ExpiresAt: now.AddDate(0, 1, 0), SettledUntil: ago(time.Hour)}
	slot := func(status export.SlotStatus, reason string) []export.Slot {
		return []export.Slot{{At: time.Date(2026, 3, 4, 14, 0, 0, 0, time.UTC), Status: status, Reason: reason}}
	}
	expect(t, health.OfSchedule(s, nil, now), health.Unknown, "no slot yet; next: 2026-03-05T14:00:00Z")
	expect(t, health.OfSchedule(s, slot(export.SlotDone, ""), now), health.OK, "slot 2026-03-04T14:00:00Z is done")
	expect(t, health.OfSchedule(s, slot(export.SlotRunning, ""), now), health.OK, "running")
	expect(t, health.OfSchedule(s, slot(export.SlotFailed, "no space"), now), health.Degraded, "no space")
	expect(t, health.OfSchedule(s, slot(export.SlotSkipped, "too late"), now), health.Degraded, "too late")
	missed := s
	missed.SettledUntil = ago(2 * time.Hour)
	expect(t, health.OfSchedule(missed, nil, now), health.Degraded, "slot 2026-03-04T14:00:00Z has not begun")
	expect(t, health.OfSchedule(missed, slot(export.SlotRunning, ""), now), health.OK, "running")
	missed.State = export.SchedulePaused
	expect(t, health.OfSchedule(missed, nil, now), health.Unknown, "paused")
	ends := s
	ends.ExpiresAt = now.Add(time.Hour)
	expect(t, health.OfSchedule(ends, nil, now), health.Unknown, "it ends before")
}

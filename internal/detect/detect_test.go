package detect_test

import (
	"strings"
	"testing"
	"time"

	"finobs/internal/desk"
	"finobs/internal/deskfile"
	"finobs/internal/detect"
	"finobs/internal/incident"

	"go.yaml.in/yaml/v3"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC) // a Monday

func spec(t *testing.T, name detect.Name) detect.Spec {
	t.Helper()
	s, err := detect.Find(detect.Defaults(), string(name))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDefaultsAreValidAndOfEachDetector(t *testing.T) {
	specs := detect.Defaults()
	if len(specs) != len(detect.Names()) {
		t.Errorf("there are %d defaults for %d detectors", len(specs), len(detect.Names()))
	}
	for _, s := range specs {
		if err := s.Validate(); err != nil || s.Name.Describe() == "" {
			t.Errorf("%s: %v %q", s.Name, err, s.Name.Describe())
		}
	}
	if _, err := detect.Find(specs, "fire"); err == nil {
		t.Error("a detector that is not there was found")
	}
}

func TestAConditionCountsOnceForItsMoment(t *testing.T) {
	s := spec(t, detect.SilentSystems)
	silence := detect.Silence{System: "gw", Every: time.Second, Since: noon, Origin: incident.Live}
	a, b := s.Silent([]detect.Silence{silence}), s.Silent([]detect.Silence{silence})
	silence.Since = noon.Add(time.Hour)
	c := s.Silent([]detect.Silence{silence})
	if a[0].Key != b[0].Key || a[0].Key == c[0].Key || a[0].Incident.DedupKey != c[0].Incident.DedupKey {
		t.Errorf("keys %q %q %q", a[0].Key, b[0].Key, c[0].Key)
	}
	if i := a[0].Incident; i.Severity != desk.High || i.Owner != "technology" || i.Source != "detector:silent_systems" {
		t.Errorf("the incident is %+v", i)
	}
	if err := a[0].Validate(); err != nil {
		t.Error(err)
	}
}

func TestWhatDoesNotHoldHasEnded(t *testing.T) {
	ends := spec(t, detect.SilentSystems).Ended([]string{"a", "b"}, []string{"b", "c"}, noon)
	if len(ends) != 1 || ends[0].Incident.DedupKey != "a" || ends[0].Firing || !ends[0].AutoResolve {
		t.Errorf("got %+v", ends)
	}
}

func TestABurstIsCountOrMore(t *testing.T) {
	s := spec(t, detect.RejectBursts)
	got := s.Bursts([]detect.Burst{{System: "a", Count: s.Count - 1}, {System: "b", Source: "fix", Count: s.Count, First: noon, Last: noon, Origin: incident.Live}})
	if len(got) != 1 || got[0].Incident.DedupKey != "rejects:fix:b" || got[0].AutoResolve {
		t.Errorf("got %+v", got)
	}
}

func TestFeedsAreStaleWithinTheirHoursOnly(t *testing.T) {
	s := spec(t, detect.StaleFeeds)
	s.Feeds = []detect.Feed{{Source: "venue", MaxAge: 10 * time.Minute, Hours: detect.Hours{
		Zone: "America/New_York", From: 9*time.Hour + 30*time.Minute, To: 16 * time.Hour, Days: []time.Weekday{time.Monday, time.Tuesday},
	}}}
	opened := time.Date(2026, 3, 2, 14, 30, 0, 0, time.UTC) // 09:30 before the clocks change
	summer := time.Date(2026, 3, 9, 13, 30, 0, 0, time.UTC) // 09:30 after it
	for name, tc := range map[string]struct {
		last, now time.Time
		stale     bool
	}{
		"before the session":                 {time.Time{}, opened.Add(-time.Second), false},
		"just opened, silent overnight":      {opened.Add(-10 * time.Hour), opened.Add(10 * time.Minute), false},
		"open for longer than it may":        {opened.Add(-10 * time.Hour), opened.Add(10*time.Minute + time.Second), true},
		"never heard of":                     {time.Time{}, opened.Add(11 * time.Minute), true},
		"heard of just now":                  {opened.Add(time.Hour), opened.Add(time.Hour + 9*time.Minute), false},
		"silent since":                       {opened.Add(time.Hour), opened.Add(time.Hour + 11*time.Minute), true},
		"after the close":                    {opened, opened.Add(7 * time.Hour), false},
		"on a Wednesday":                     {opened, opened.AddDate(0, 0, 2).Add(time.Hour), false},
		"after the change of clocks":         {opened, summer.Add(11 * time.Minute), true},
		"before the open, by summer's clock": {opened, summer.Add(-time.Minute), false},
	} {
		if got := s.Stale(detect.Heard{"venue": tc.last}, tc.now.AddDate(0, 0, -7), tc.now); (len(got) == 1) != tc.stale {
			t.Errorf("%s: %d are stale", name, len(got))
		}
	}
}

// A feed that never sent anything, of which perhaps the name is misspelt, is stale once
// it could have been heard of for long enough.
func TestFeedsThatNeverSentAreStale(t *testing.T) {
	s := spec(t, detect.StaleFeeds)
	s.Feeds = []detect.Feed{{Source: "venue", MaxAge: 10 * time.Minute}}
	session := detect.Hours{Zone: "America/New_York", From: 9*time.Hour + 30*time.Minute, To: 16 * time.Hour}
	opened := time.Date(2026, 3, 2, 14, 30, 0, 0, time.UTC) // 09:30
	for name, tc := range map[string]struct {
		hours       detect.Hours
		last, since time.Time
		now         time.Time
		stale       bool
	}{
		"just declared":                      {detect.Hours{}, time.Time{}, noon, noon.Add(10 * time.Minute), false},
		"declared for longer":                {detect.Hours{}, time.Time{}, noon, noon.Add(10*time.Minute + time.Second), true},
		"heard of before it was declared":    {detect.Hours{}, noon.Add(-time.Hour), noon, noon.Add(time.Second), true},
		"heard of just now":                  {detect.Hours{}, noon.Add(time.Hour), noon, noon.Add(time.Hour + time.Minute), false},
		"declared in the middle of hours":    {session, time.Time{}, opened.Add(time.Hour), opened.Add(time.Hour + 10*time.Minute), false},
		"declared long ago, its hours began": {session, time.Time{}, opened.Add(-time.Hour), opened.Add(10 * time.Minute), false},
		"within hours for longer":            {session, time.Time{}, opened.Add(-time.Hour), opened.Add(11 * time.Minute), true},
	} {
		s.Feeds[0].Hours = tc.hours
		got := s.Stale(detect.Heard{"venue": tc.last}, tc.since, tc.now)
		if (len(got) == 1) != tc.stale {
			t.Errorf("%s: %d are stale", name, len(got))
		}
		if tc.stale && tc.last.IsZero() && !strings.Contains(got[0].Incident.Description, "nothing has ever come") {
			t.Errorf("%s: %s", name, got[0].Incident.Description)
		}
	}
}

func TestManyBreaksOfOneTypeAreOneIncident(t *testing.T) {
	s := spec(t, detect.TradeBreaks)
	s.Count = 2
	breaks := []detect.Break{
		{ID: 1, Profile: "p", Type: "price", Severity: desk.Medium, FirstSeen: noon, Origin: incident.Live, Owner: "o"},
		{ID: 2, Profile: "p", Type: "price", Severity: desk.High, FirstSeen: noon, Origin: incident.Live},
		{ID: 3, Profile: "p", Type: "fee", Severity: desk.Low, FirstSeen: noon, Origin: incident.Live},
	}
	if got := s.Breaks(breaks); len(got) != 3 || got[0].Incident.DedupKey != "break:1" {
		t.Errorf("at the limit: %+v", got)
	}
	breaks = append(breaks, detect.Break{ID: 4, Profile: "p", Type: "price", Severity: desk.Low, FirstSeen: noon, Origin: incident.Live})
	got := s.Breaks(breaks)
	if len(got) != 2 || got[0].Incident.DedupKey != "breaks:p:price" || got[0].Incident.Severity != desk.High || !strings.HasPrefix(got[0].Incident.Title, "3 price") {
		t.Errorf("over the limit: %+v", got)
	}
}

func TestLoad(t *testing.T) {
	section := func(text string) map[string]yaml.Node {
		var d struct {
			Detectors map[string]yaml.Node
		}
		if err := yaml.Unmarshal([]byte("detectors:\n"+text), &d); err != nil {
			t.Fatal(err)
		}
		return d.Detectors
	}
	specs, err := detect.Load(section("  reject_bursts: {count: 3, window: 1m, enabled: false}\n" +
		"  stale_feeds: {feeds: [{source: a, max_age: 1m, hours: {zone: Europe/London, from: '08:00', to: '24:00', days: [mon]}}]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if s, _ := detect.Find(specs, "reject_bursts"); s.Count != 3 || s.Window != time.Minute || s.Enabled || s.Owner != "trading" {
		t.Errorf("got %+v", s)
	}
	if s, _ := detect.Find(specs, "stale_feeds"); len(s.Feeds) != 1 || s.Feeds[0].Hours.To != 24*time.Hour || s.Feeds[0].Hours.Days[0] != time.Monday {
		t.Errorf("got %+v", s)
	}
	for text, says := range map[string]string{
		"  fire: {}":                          "no detector",
		"  reject_bursts: {cuont: 3}":         "cuont",
		"  reject_bursts: {count: 1}":         "count",
		"  silent_systems: {every: 1ms}":      "every",
		"  silent_systems: {severity: worse}": "severity",
		"  silent_systems: {missed: 0}":       "missed",
		"  stale_feeds: {feeds: [{source: a, max_age: 1m, hours: {from: '08:00', to: '09:00'}}]}":                             "zone",
		"  stale_feeds: {feeds: [{source: a, max_age: 1m, hours: {zone: Mars, from: '08:00', to: '09:00'}}]}":                 "zone",
		"  stale_feeds: {feeds: [{source: a, max_age: 1m, hours: {zone: UTC, from: '8', to: '09:00'}}]}":                      "time of day",
		"  stale_feeds: {feeds: [{source: a, max_age: 1m, hours: {zone: UTC, from: '10:00', to: '09:00'}}]}":                  "before",
		"  stale_feeds: {feeds: [{source: a, max_age: 1m, hours: {zone: UTC, from: '08:00', to: '09:00', days: [someday]}}]}": "someday",
		"  stale_feeds: {feeds: [{max_age: 1m}]}":                                                                             "source",
	} {
		if _, err := detect.Load(section(text)); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%s: got %v", text, err)
		}
	}
	if _, err := deskfile.Load(strings.NewReader("version: 1\nchannel: mail\ndetectors: {reject_bursts: {count: 3}}\n")); err != nil {
		t.Errorf("a desk file with detectors: %v", err)
	}
}

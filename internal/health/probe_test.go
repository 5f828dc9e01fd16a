package health_test

import (
	"testing"
	"time"

	"finobs/internal/health"

	"pgregory.net/rapid"
)

func finding(instance string, state health.State, looked time.Duration) health.Finding {
	return health.Finding{
		Instance: instance, Kind: health.Destination, Name: "bucket", State: state, Detail: "by " + instance, Since: ago(time.Hour), EvidenceAt: ago(looked), LookedAt: ago(looked),
	}
}

func TestFindingsOfWorkers(t *testing.T) {
	a, b, dead := process("a/1", "a", time.Hour, 0), process("b/1", "b", time.Hour, 0), process("c/1", "c", time.Hour, time.Minute)
	for name, c := range map[string]struct {
		list    []health.Finding
		workers []health.Process
		state   health.State // empty: not shown
		word    string
	}{
		"one reaches it":             {[]health.Finding{finding("a/1", health.OK, time.Second)}, []health.Process{a}, health.OK, "by a/1"},
		"one does not":               {[]health.Finding{finding("a/1", health.Down, time.Second)}, []health.Process{a}, health.Down, "by a/1"},
		"they disagree":              {[]health.Finding{finding("a/1", health.Down, 0), finding("b/1", health.OK, 0)}, []health.Process{a, b}, health.Degraded, "1 of 2 workers reach it; another says: by a/1"},
		"both do not":                {[]health.Finding{finding("a/1", health.Down, 0), finding("b/1", health.Down, 0)}, []health.Process{a, b}, health.Down, "by a/1"},
		"the worker died":            {[]health.Finding{finding("c/1", health.OK, time.Minute)}, []health.Process{dead}, health.Unknown, "it was ok then"},
		"another lives, without it":  {[]health.Finding{finding("c/1", health.OK, time.Minute)}, []health.Process{dead, a}, "", ""},
		"it lives and looks no more": {[]health.Finding{finding("a/1", health.OK, time.Minute)}, []health.Process{a}, health.Unknown, "no worker has looked at it for 1m0s"},
		"of nobody":                  {[]health.Finding{finding("x/1", health.OK, 0)}, []health.Process{a}, "", ""},
		"the dead one's word is old": {[]health.Finding{finding("c/1", health.Down, time.Minute), finding("a/1", health.OK, 0)}, []health.Process{dead, a}, health.OK, "by a/1"},
	} {
		t.Run(name, func(t *testing.T) {
			got := health.OfFindings(c.list, c.workers, now)
			if c.state == "" {
				if len(got) != 0 {
					t.Errorf("shown: %v", got)
				}
				return
			}
			expect(t, find(t, got, "destination:bucket"), c.state, c.word)
		})
	}
}

// Nothing is said to work without a living worker that looked a moment ago and found
// that it does; and there is no component that nobody looked at.
func TestNothingWorksWithoutEvidence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var workers []health.Process
		var list []health.Finding
		for _, name := range []string{"a", "b", "c"} {
			silence := time.Duration(rapid.IntRange(0, 20).Draw(t, "silence")) * time.Second
			workers = append(workers, process(name, name, time.Hour, silence))
			for _, of := range []string{"x", "y"} {
				if rapid.Bool().Draw(t, "looked") {
					f := finding(name, rapid.SampledFrom([]health.State{health.OK, health.Degraded, health.Down, health.Unknown}).Draw(t, "state"),
						silence+time.Duration(rapid.IntRange(0, 20).Draw(t, "age"))*time.Second)
					f.Name = of
					list = append(list, f)
				}
			}
		}
		for _, c := range health.OfFindings(list, workers, now) {
			looked, well := false, false
			for _, f := range list {
				if f.Name == c.Name {
					looked = true
					well = well || f.State == health.OK && now.Sub(f.LookedAt) <= 8*time.Second
				}
			}
			if !looked || c.State == health.OK && !well {
				t.Fatalf("%+v without evidence in %+v", c, list)
			}
		}
	})
}

func TestModelByItsBreakerAndTheRecord(t *testing.T) {
	for name, c := range map[string]struct {
		circuit, outcome string
		accepted         bool
		at               time.Time
		want             health.State
	}{
		"never asked":       {"closed", "", false, time.Time{}, health.Unknown},
		"answered":          {"closed", "accepted", true, ago(time.Minute), health.OK},
		"answered long ago": {"closed", "accepted", true, ago(2 * time.Hour), health.Unknown},
		"last one failed":   {"closed", "model.timeout", false, ago(time.Minute), health.Degraded},
		"breaker open":      {"open", "accepted", true, ago(time.Minute), health.Down},
		"breaker half open": {"half-open", "accepted", true, ago(time.Minute), health.Degraded},
	} {
		if got, detail, _ := health.OfModel(c.circuit, c.outcome, c.accepted, c.at, now); got != c.want || detail == "" {
			t.Errorf("%s: %s (%s), not %s", name, got, detail, c.want)
		}
	}
}

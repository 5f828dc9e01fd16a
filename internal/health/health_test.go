package health_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"finobs/internal/health"

	"pgregory.net/rapid"
)

var now = time.Date(2026, 3, 4, 15, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

func find(t *testing.T, list []health.Component, id string) health.Component {
	t.Helper()
	i := slices.IndexFunc(list, func(c health.Component) bool { return c.ID() == id })
	if i < 0 {
		t.Fatalf("%s is not among %v", id, list)
	}
	return list[i]
}

// expect fails the test unless a component is in a state and says a word.
func expect(t *testing.T, c health.Component, state health.State, word string) {
	t.Helper()
	if c.State != state || !strings.Contains(c.Detail, word) {
		t.Errorf("%s is %s (%s), not %s with %q", c.ID(), c.State, c.Detail, state, word)
	}
}

func TestOverall(t *testing.T) {
	of := func(k health.Kind, s health.State) health.Component {
		return health.Component{Kind: k, Name: "x", State: s}
	}
	for name, c := range map[string]struct {
		list []health.Component
		want health.State
	}{
		"nothing":                       {nil, health.OK},
		"all well":                      {[]health.Component{of(health.Postgres, health.OK), of(health.Feed, health.OK)}, health.OK},
		"a feed sleeps":                 {[]health.Component{of(health.Postgres, health.OK), of(health.Feed, health.Unknown)}, health.OK},
		"a destination is down":         {[]health.Component{of(health.Postgres, health.OK), of(health.Destination, health.Down)}, health.Degraded},
		"one of two workers is down":    {[]health.Component{of(health.Workers, health.OK), of(health.Worker, health.Down)}, health.Degraded},
		"the log is not known":          {[]health.Component{of(health.Postgres, health.OK), of(health.Sequencer, health.Unknown)}, health.Unknown},
		"the database is down":          {[]health.Component{of(health.Postgres, health.Down), of(health.Sequencer, health.Unknown)}, health.Down},
		"not known is quieter than ill": {[]health.Component{of(health.Workers, health.Degraded), of(health.Sequencer, health.Unknown)}, health.Degraded},
	} {
		if got := health.Overall(c.list); got != c.want {
			t.Errorf("%s: %s, not %s", name, got, c.want)
		}
	}
}

func TestImpactsGoOverSeveralSteps(t *testing.T) {
	list := []health.Component{
		{Kind: health.Postgres, Name: "postgres", State: health.Down},
		{Kind: health.Temporal, Name: "temporal", State: health.OK},
		{Kind: health.Workers, Name: "workers", State: health.Unknown, Needs: []string{health.PostgresID, health.TemporalID}},
		{Kind: health.Destination, Name: "a", State: health.Unknown, Needs: []string{health.WorkersID, "feed:gone"}},
	}
	got := health.Impacts(list)
	if want := []string{health.PostgresID, health.WorkersID}; !slices.Equal(got["destination:a"], want) {
		t.Errorf("the destination is impacted by %v, not %v", got["destination:a"], want)
	}
	if got[health.PostgresID] != nil || got[health.TemporalID] != nil {
		t.Errorf("got %v", got)
	}
}

// Whatever the graph is, circles among it, impacts end, never name the component
// itself, and name only what is down or not known.
func TestImpactsOfAnyGraph(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"a", "b", "c", "d", "e"}
		states := []health.State{health.OK, health.Degraded, health.Down, health.Unknown}
		var list []health.Component
		by := map[string]health.State{}
		for _, name := range names {
			c := health.Component{Kind: health.Feed, Name: name, State: rapid.SampledFrom(states).Draw(t, "state")}
			for _, n := range rapid.SliceOf(rapid.SampledFrom(names)).Draw(t, "needs") {
				c.Needs = append(c.Needs, health.ID(health.Feed, n))
			}
			list, by[c.ID()] = append(list, c), c.State
		}
		for id, hit := range health.Impacts(list) {
			if slices.Contains(hit, id) || !slices.IsSorted(hit) || len(slices.Compact(slices.Clone(hit))) != len(hit) {
				t.Fatalf("%s is impacted by %v", id, hit)
			}
			for _, h := range hit {
				if by[h] != health.Down && by[h] != health.Unknown {
					t.Fatalf("%s is impacted by %s, which is %s", id, h, by[h])
				}
			}
		}
	})
}

func TestMemoryKnowsSinceWhen(t *testing.T) {
	var m health.Memory
	at := func(d time.Duration, state health.State, since time.Time) time.Time {
		list := []health.Component{{Kind: health.Postgres, Name: "postgres", State: state, Since: since}}
		m.Stamp(list, now.Add(d))
		return list[0].Since
	}
	for i, c := range []struct {
		d     time.Duration
		state health.State
		since time.Time
		want  time.Time
	}{
		{0, health.OK, time.Time{}, now}, {time.Second, health.OK, time.Time{}, now}, {2 * time.Second, health.Down, time.Time{}, now.Add(2 * time.Second)},
		{3 * time.Second, health.Down, time.Time{}, now.Add(2 * time.Second)}, {4 * time.Second, health.Down, ago(time.Hour), ago(time.Hour)},
	} {
		if got := at(c.d, c.state, c.since); !got.Equal(c.want) {
			t.Errorf("step %d: since %s, not %s", i, got, c.want)
		}
	}
	m.Stamp(nil, now) // it is gone, and comes back later
	if got := at(time.Minute, health.Down, time.Time{}); !got.Equal(now.Add(time.Minute)) {
		t.Errorf("a component that was gone is %s old", got)
	}
}

func TestBlindKeepsTheEvidence(t *testing.T) {
	got := health.Blind([]health.Component{{Kind: health.Feed, Name: "x", State: health.OK, EvidenceAt: ago(time.Minute), Latency: 1, Since: now}}, "because")
	if c := got[0]; c.State != health.Unknown || c.Detail != "because" || !c.EvidenceAt.Equal(ago(time.Minute)) || c.Latency != 0 || !c.Since.IsZero() {
		t.Errorf("got %+v", c)
	}
}

func TestSortAndValid(t *testing.T) {
	list := []health.Component{{Kind: health.Feed, Name: "b"}, {Kind: health.Feed, Name: "a"}, {Kind: health.Postgres, Name: "z"}}
	health.Sort(list)
	if list[0].Kind != health.Postgres || list[1].Name != "a" || list[2].Name != "b" {
		t.Errorf("got %v", list)
	}
	if !health.Down.Valid() || health.State("operational").Valid() {
		t.Error("the set of states is not closed")
	}
}

package health

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ProbeInterval is how often a worker looks at what it alone can reach, and
// ProbeTimeout how long one look may take.
const (
	ProbeInterval = 4 * time.Second
	ProbeTimeout  = 2 * time.Second
	probeSilence  = ProbeInterval + ProbeTimeout + BeatInterval
)

// Finding is what one worker found of a system when it looked.
type Finding struct {
	Instance   string // of the worker
	Kind       Kind   // Destination, Channel, Connector or Model
	Name       string
	State      State
	Detail     string
	Latency    time.Duration
	Since      time.Time // in this state, for this worker
	EvidenceAt time.Time // zero: there never was any
	LookedAt   time.Time
}

// fresh reports whether a finding still says something.
func (f Finding) fresh(by map[string]Process, now time.Time) bool {
	p, known := by[f.Instance]
	return known && p.Alive(now) && now.Sub(f.LookedAt) <= probeSilence
}

// OfFindings are the systems that workers look at. Where living workers disagree,
// some reach a system and some do not, which is a state of its own: Degraded. What
// only dead workers looked at is Unknown; what no worker looks at any more while
// others live was taken out of the configuration, and is left out.
func OfFindings(list []Finding, workers []Process, now time.Time) []Component {
	by := map[string]Process{}
	living := false
	for _, p := range workers {
		by[p.Instance] = p
		living = living || p.Alive(now)
	}
	groups := map[string][]Finding{}
	for _, f := range list {
		if p, known := by[f.Instance]; !known || living && !p.Alive(now) {
			continue
		}
		groups[ID(f.Kind, f.Name)] = append(groups[ID(f.Kind, f.Name)], f)
	}
	var out []Component
	for _, group := range groups {
		if c, shown := merge(group, by, now); shown {
			out = append(out, c)
		}
	}
	Sort(out)
	return out
}

// merge makes one component of what several workers found.
func merge(group []Finding, by map[string]Process, now time.Time) (Component, bool) {
	newest := slices.MaxFunc(group, func(a, b Finding) int { return a.LookedAt.Compare(b.LookedAt) })
	c := Component{Kind: newest.Kind, Name: newest.Name, EvidenceAt: newest.EvidenceAt, Needs: []string{WorkersID}}
	var fresh []Finding
	for _, f := range group {
		if f.EvidenceAt.After(c.EvidenceAt) {
			c.EvidenceAt = f.EvidenceAt
		}
		if f.fresh(by, now) {
			fresh = append(fresh, f)
		}
	}
	if len(fresh) == 0 {
		c.State = Unknown
		c.Detail = fmt.Sprintf("no worker has looked at it for %s; it was %s then", round(now.Sub(newest.LookedAt)), newest.State)
		return c, now.Sub(newest.LookedAt) <= forgotten
	}
	slices.SortFunc(fresh, func(a, b Finding) int {
		return cmp.Or(b.State.rank()-a.State.rank(), strings.Compare(a.Instance, b.Instance))
	})
	worst := fresh[0]
	c.State, c.Detail, c.Since, c.Latency = worst.State, worst.Detail, worst.Since, worst.Latency
	well := 0
	for _, f := range fresh {
		if f.State == OK {
			well++
		}
		if f.State == worst.State && f.Since.Before(c.Since) {
			c.Since = f.Since
		}
	}
	if worst.State == Down && well > 0 {
		c.State, c.Detail = Degraded, fmt.Sprintf("%d of %d workers reach it; another says: %s", well, len(fresh), worst.Detail)
	}
	return c, true
}

// OfModel is a provider of a language model for a worker: circuit is its breaker's
// state (closed, half-open or open); the last exchange on record, when there is
// one, ended with outcome at a time, and accepted says whether the model answered.
func OfModel(circuit, outcome string, accepted bool, at, now time.Time) (State, string, time.Time) {
	const fresh = time.Hour
	switch {
	case circuit == "open":
		return Down, "it failed several times in a row and is left alone for now; the rulebook answers", now
	case circuit == "half-open":
		return Degraded, "it failed several times in a row and is tried again; the rulebook answers", now
	case at.IsZero():
		return Unknown, "it was not asked anything yet", at
	case now.Sub(at) > fresh:
		return Unknown, "it was not asked anything for " + round(now.Sub(at)).String(), at
	case !accepted:
		return Degraded, "its last exchange ended with " + outcome, at
	}
	return OK, "it answered " + round(now.Sub(at)).String() + " ago", at
}

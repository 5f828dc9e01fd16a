// Package health says what is known of the systems that finobs is made of and
// leans on. It is pure: others probe and read heartbeats, here is decided what
// these show.
//
// Nothing is ever said to work because nobody said otherwise. A state comes from
// evidence, and evidence has a time; without any, or when it is too old, the state
// is Unknown. What could not be looked at because something before it failed is
// Unknown as well, and says so: a dead database does not make a mail server dead.
package health

import (
	"slices"
	"time"
)

// State is how a component is doing.
type State string

// The closed set of states.
const (
	OK       State = "ok"
	Degraded State = "degraded" // it works, and somebody should look at it
	Down     State = "down"
	Unknown  State = "unknown" // not measured, or so long ago that it means nothing
)

// rank orders states by how loud they are.
func (s State) rank() int { return slices.Index([]State{OK, Unknown, Degraded, Down}, s) }

// Valid reports whether s is one of the states.
func (s State) Valid() bool { return s.rank() >= 0 }

// Kind is what sort of thing a component is.
type Kind string

// The closed set of kinds.
const (
	Postgres    Kind = "postgres"
	Temporal    Kind = "temporal"    // its frontend
	TaskQueue   Kind = "task_queue"  // of Temporal, with its backlog and pollers
	API         Kind = "api"         // one process
	Workers     Kind = "workers"     // all of them together
	Worker      Kind = "worker"      // one process
	Sequencer   Kind = "sequencer"   // whichever writes
	Sink        Kind = "siem_sink"   // fed by the sequencer
	Destination Kind = "destination" // of exports
	Channel     Kind = "channel"     // of notifications
	Connector   Kind = "connector"   // to a desk's system
	Model       Kind = "model"       // provider of a language model
	Feed        Kind = "feed"        // source that sends to finobs
	Heartbeat   Kind = "system"      // of a desk, which sends heartbeats
	Schedule    Kind = "schedule"    // of exports
)

// Kinds lists all of them, in the order of reports.
func Kinds() []Kind {
	return []Kind{
		Postgres, Temporal, TaskQueue, API, Workers, Worker, Sequencer, Sink, Destination, Channel, Connector, Model, Feed, Heartbeat, Schedule,
	}
}

// vital are the kinds without which finobs does not do its work.
var vital = []Kind{Postgres, Temporal, TaskQueue, Workers, Sequencer}

// Component is what is known of one system at a moment.
type Component struct {
	Kind       Kind
	Name       string // unique within its kind
	State      State
	Detail     string        // in words
	Since      time.Time     // in this state; zero: see Memory
	EvidenceAt time.Time     // of the newest evidence of it; zero: there never was any
	Latency    time.Duration // of the probe; 0: not measured
	Needs      []string      // ids of what it works with, or what its evidence comes by
}

// ID names a component among all.
func (c Component) ID() string { return ID(c.Kind, c.Name) }

// ID is the id of the component of a kind and a name.
func ID(k Kind, name string) string { return string(k) + ":" + name }

// The components of which there is one.
var (
	PostgresID  = ID(Postgres, "postgres")
	TemporalID  = ID(Temporal, "temporal")
	WorkersID   = ID(Workers, "workers")
	SequencerID = ID(Sequencer, "sequencer")
)

// Sort puts components in the order of reports.
func Sort(list []Component) {
	slices.SortStableFunc(list, func(a, b Component) int {
		if d := slices.Index(Kinds(), a.Kind) - slices.Index(Kinds(), b.Kind); d != 0 {
			return d
		}
		switch {
		case a.Name < b.Name:
			return -1
		case a.Name > b.Name:
			return 1
		}
		return 0
	})
}

// Overall is how finobs is doing as a whole: as its vital components are, and
// Degraded when anything else is not well. What else is Unknown changes nothing: a
// feed that sleeps is no trouble.
func Overall(list []Component) State {
	worst := OK
	for _, c := range list {
		s := c.State
		switch {
		case slices.Contains(vital, c.Kind):
		case s == Unknown:
			s = OK
		case s == Down:
			s = Degraded
		}
		if s.rank() > worst.rank() {
			worst = s
		}
	}
	return worst
}

// Impacts lists for each component, by its id, what it needs, at first or second
// hand, that is down, or not known to be well.
func Impacts(list []Component) map[string][]string {
	byID := map[string]Component{}
	for _, c := range list {
		byID[c.ID()] = c
	}
	out := map[string][]string{}
	for _, c := range list {
		seen := map[string]bool{c.ID(): true}
		var hit []string
		for queue := slices.Clone(c.Needs); len(queue) > 0; queue = queue[1:] {
			id := queue[0]
			if seen[id] {
				continue
			}
			seen[id] = true
			needed, known := byID[id]
			if !known {
				continue
			}
			if needed.State == Down || needed.State == Unknown {
				hit = append(hit, id)
			}
			queue = append(queue, needed.Needs...)
		}
		slices.Sort(hit)
		out[c.ID()] = hit
	}
	return out
}

// Blind is what is left to say of components that cannot be looked at now: they
// are there, and nobody knows how they are. Their evidence keeps its time.
func Blind(last []Component, why string) []Component {
	out := make([]Component, 0, len(last))
	for _, c := range last {
		c.State, c.Detail, c.Latency, c.Since = Unknown, why, 0, time.Time{}
		out = append(out, c)
	}
	return out
}

// Memory remembers since when components are in their states, for those whose
// evidence does not say so itself. The zero value is ready.
type Memory struct {
	seen map[string]remembered
}

type remembered struct {
	state State
	since time.Time
}

// Stamp fills in since when each component is in its state, as far as this memory
// goes back, and forgets those that are not in the list.
func (m *Memory) Stamp(list []Component, now time.Time) {
	next := map[string]remembered{}
	for i := range list {
		c := &list[i]
		was, known := m.seen[c.ID()]
		switch {
		case !c.Since.IsZero():
		case known && was.state == c.State:
			c.Since = was.since
		default:
			c.Since = now
		}
		next[c.ID()] = remembered{c.State, c.Since}
	}
	m.seen = next
}

package health

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// How often processes give signs of life, and after what silence they are taken
// for dead. The times are those of the database, which also judges the silence: it
// can be read, so who cannot write to it is stopped, or cut off from it, and either
// way does no work.
const (
	BeatInterval      = 2 * time.Second
	silence           = 6 * time.Second
	sequencerSilence  = 5 * time.Second // it gives a sign each second, and its lease is 3 s
	lostFor           = 10 * time.Minute
	slow              = 500 * time.Millisecond // an answer that takes longer is worth a look
	maxLag            = 10 * time.Second
	maxQueueAge       = 30 * time.Second // of the oldest task that nobody has taken
	pollersForgotten  = 2 * time.Minute  // a poller asks again after a minute at the latest
	sinkReportSilence = 7 * time.Second  // the sequencer reports each 2 s
	maxBehind         = 10_000           // leaves
)

// Answer is a component that answered a probe, or did not.
func Answer(k Kind, name string, took time.Duration, err error, now time.Time) Component {
	c := Component{Kind: k, Name: name, State: OK, EvidenceAt: now, Latency: took, Detail: "it answers"}
	switch {
	case err != nil:
		c.State, c.Latency, c.Detail = Down, 0, "it does not answer: "+err.Error()
	case took > slow:
		c.State, c.Detail = Degraded, fmt.Sprintf("it answers, after %s", round(took))
	}
	return c
}

// Process is a process of finobs by its heartbeat.
type Process struct {
	Instance   string
	Host       string
	Identity   string // that it polls Temporal with
	Version    string
	RecordOnly bool
	StartedAt  time.Time
	BeatAt     time.Time
	EndedAt    time.Time // it stopped in order; zero: it did not
}

// Alive reports whether the process gave a sign of life lately.
func (p Process) Alive(now time.Time) bool { return p.EndedAt.IsZero() && now.Sub(p.BeatAt) <= silence }

// replaced reports whether a newer process of the same host took p's place.
func (p Process) replaced(by []Process) bool {
	return slices.ContainsFunc(by, func(o Process) bool {
		return o.Host == p.Host && o.Instance != p.Instance && o.StartedAt.After(p.BeatAt)
	})
}

// lost reports whether p fell silent lately, was not stopped, and nobody took its
// place.
func (p Process) lost(all []Process, now time.Time) bool {
	return p.EndedAt.IsZero() && !p.Alive(now) && now.Sub(p.BeatAt) <= lostFor && !p.replaced(all)
}

// OfWorkers are the workers by their heartbeats, each and together. polled says
// when Temporal saw which identity last.
func OfWorkers(all []Process, polled map[string]time.Time, now time.Time) []Component {
	pool := Component{Kind: Workers, Name: "workers", Needs: []string{PostgresID, TemporalID}}
	var out []Component
	var able, alive, lost int
	for _, p := range all {
		if p.BeatAt.After(pool.EvidenceAt) {
			pool.EvidenceAt = p.BeatAt
		}
		c := Component{
			Kind: Worker, Name: p.Instance, EvidenceAt: p.BeatAt, Needs: []string{PostgresID, TemporalID},
			Detail: fmt.Sprintf("version %s on %s, started %s", p.Version, p.Host, p.StartedAt.UTC().Format(time.RFC3339)),
		}
		if at := lastPoll(p.Identity, polled); !at.IsZero() {
			c.Detail += fmt.Sprintf("; Temporal heard its pollers %s ago", round(now.Sub(at)))
		}
		switch {
		case p.Alive(now):
			c.State = OK
			alive++
			if p.RecordOnly {
				c.Detail += "; it leaves effects to others"
			} else {
				able++
			}
		case p.lost(all, now):
			c.State, c.Detail = Down, fmt.Sprintf("no heartbeat for %s; %s", round(now.Sub(p.BeatAt)), c.Detail)
			lost++
		default:
			continue
		}
		out = append(out, c)
	}
	pool.State, pool.Detail = poolState(len(all), alive, able, lost)
	return append(out, pool)
}

func poolState(known, alive, able, lost int) (State, string) {
	switch {
	case known == 0:
		return Unknown, "no worker was ever heard of"
	case alive == 0:
		return Down, "no worker lives; requests and decisions are taken in and wait"
	case able == 0:
		return Degraded, fmt.Sprintf("%d live, and all leave effects to others; what is approved waits", alive)
	case lost > 0:
		return Degraded, fmt.Sprintf("%d live, and %d fell silent in the last %s", alive, lost, lostFor)
	}
	return OK, fmt.Sprintf("%d live", alive)
}

// lastPoll finds when a worker's pollers were heard of: their identity is the
// process's and the task queue's.
func lastPoll(identity string, polled map[string]time.Time) (last time.Time) {
	for name, at := range polled {
		if identity != "" && strings.HasPrefix(name, identity) && at.After(last) {
			last = at
		}
	}
	return last
}

// OfAPI is one API process by the signs of life on its connection.
func OfAPI(name string, beatAt time.Time, self bool, now time.Time) Component {
	c := Component{Kind: API, Name: name, State: OK, EvidenceAt: beatAt, Detail: "its heartbeat comes", Needs: []string{PostgresID, TemporalID}}
	switch {
	case self:
		c.EvidenceAt, c.Detail = now, "it gave this answer"
	case now.Sub(beatAt) > silence:
		c.State, c.Detail = Down, fmt.Sprintf("it is connected to the database, and gave no sign of life for %s", round(now.Sub(beatAt)))
	}
	return c
}

// Queue is a task queue of Temporal as its server describes it.
type Queue struct {
	Name    string
	Backlog int64
	Age     time.Duration        // of the oldest task that nobody has taken
	Polled  map[string]time.Time // by identity, when it was heard of last
}

// OfQueue is a task queue.
func OfQueue(q Queue, now time.Time) Component {
	c := Component{Kind: TaskQueue, Name: q.Name, State: OK, EvidenceAt: now, Needs: []string{TemporalID, WorkersID}}
	pollers := 0
	for _, at := range q.Polled {
		if now.Sub(at) <= pollersForgotten {
			pollers++
		}
	}
	c.Detail = fmt.Sprintf("%d tasks wait, %d workers poll", q.Backlog, pollers)
	switch {
	case pollers == 0:
		c.State, c.Detail = Down, fmt.Sprintf("nobody polls it; %d tasks wait", q.Backlog)
	case q.Age > maxQueueAge:
		c.State = Degraded
		c.Detail += fmt.Sprintf(", the oldest for %s", round(q.Age))
	}
	return c
}

// Log is what the sequencers say of themselves, and how far they are behind.
type Log struct {
	Holder   string
	BeatAt   time.Time // zero: none has ever run
	Refused  string
	Size     int64
	Waiting  int64 // entries without a place
	OldestAt time.Time
}

// Alive reports whether a sequencer gave a sign of life lately.
func (l Log) Alive(now time.Time) bool {
	return !l.BeatAt.IsZero() && now.Sub(l.BeatAt) <= sequencerSilence
}

// OfSequencer is the sequencer that writes.
func OfSequencer(l Log, now time.Time) Component {
	c := Component{Kind: Sequencer, Name: "sequencer", State: OK, EvidenceAt: l.BeatAt, Needs: []string{PostgresID}}
	behind := ""
	if l.Waiting > 0 {
		behind = fmt.Sprintf("; %d entries wait, the oldest for %s", l.Waiting, round(now.Sub(l.OldestAt)))
	}
	switch {
	case l.BeatAt.IsZero() && l.Waiting == 0:
		c.State, c.Detail = Unknown, "no sequencer was ever heard of"
	case l.BeatAt.IsZero():
		c.State, c.Detail = Down, "no sequencer was ever heard of"+behind
	case !l.Alive(now):
		c.State, c.Detail = Down, fmt.Sprintf("no sign of life for %s%s", round(now.Sub(l.BeatAt)), behind)
	case l.Refused != "":
		c.State, c.Detail = Down, "it does not sign: "+l.Refused
	case l.Waiting > 0 && now.Sub(l.OldestAt) > maxLag:
		c.State, c.Detail = Degraded, fmt.Sprintf("%s writes; %d leaves%s", l.Holder, l.Size, behind)
	default:
		c.Detail = fmt.Sprintf("%s writes; %d leaves, %d entries wait", l.Holder, l.Size, l.Waiting)
	}
	return c
}

// SinkReport is what the sequencer last said of a SIEM sink.
type SinkReport struct {
	Name        string
	At          time.Time
	Connected   bool
	Lossy       bool // nobody acknowledges what is sent
	Behind      int64
	LastError   string
	LastSuccess time.Time
}

// forgotten is after how long a sink, or a worker, that nobody speaks of is not
// shown any more.
const forgotten = 24 * time.Hour

// OfSinks are the SIEM sinks as the sequencer reports them.
func OfSinks(list []SinkReport, l Log, now time.Time) []Component {
	var out []Component
	for _, s := range list {
		if now.Sub(s.At) > forgotten {
			continue
		}
		c := Component{Kind: Sink, Name: s.Name, State: OK, EvidenceAt: s.At, Needs: []string{SequencerID}}
		switch {
		case now.Sub(s.At) > sinkReportSilence && !l.Alive(now):
			c.State, c.Detail = Unknown, "the sequencer, which feeds it, gives no sign of life"
		case now.Sub(s.At) > sinkReportSilence:
			c.State, c.Detail = Unknown, "the sequencer does not speak of it any more; it may have been taken out of the sink file"
		case s.LastError != "" && s.Connected: // that it takes what it is sent is known after a while
			c.State, c.Detail = Degraded, fmt.Sprintf("connected again; before: %s; %d leaves behind", s.LastError, s.Behind)
		case s.LastError != "":
			c.State, c.Detail = Down, fmt.Sprintf("%s; %d leaves behind", s.LastError, s.Behind)
		case !s.Connected && s.LastSuccess.IsZero():
			c.State, c.Detail = Unknown, fmt.Sprintf("nothing was sent to it yet; %d leaves behind", s.Behind)
		case s.Behind > maxBehind:
			c.State, c.Detail = Degraded, fmt.Sprintf("%d leaves behind", s.Behind)
		default:
			c.Detail = fmt.Sprintf("%d leaves behind", s.Behind)
			if s.Lossy {
				c.Detail += "; it acknowledges nothing, so this is what was sent"
			}
		}
		out = append(out, c)
	}
	return out
}

// round is a duration as people say it.
func round(d time.Duration) time.Duration {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond)
	case d < time.Minute:
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}

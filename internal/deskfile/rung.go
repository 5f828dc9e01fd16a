package deskfile

import (
	"fmt"
	"time"

	"finobs/internal/approval"
	"finobs/internal/incident"
)

// RungKind says what a rung does.
type RungKind string

// The closed set of kinds of rungs.
const (
	Reminder   RungKind = "reminder"   // tells the people who have the incident
	Escalation RungKind = "escalation" // tells others
	Overdue    RungKind = "overdue"    // tells that it is not resolved in time, even though somebody has it
)

// Rung is something that happens while nobody acknowledges an incident or, when
// it is of kind Overdue, while nobody resolves it.
type Rung struct {
	Name    string // stable within the incident, such as "1-escalation-2"
	Kind    RungKind
	After   time.Duration // since the ladder began; of Overdue: since the incident was to be resolved
	To      string        // CEL over incident and member: whom on the roster to tell
	Channel string
	Label   string // how the rung is named to people; optional
	Again   bool   // the top rung, told once more

	to condition
}

// Told lists the active people on the roster whom the rung tells about an
// incident. A condition that cannot be evaluated selects nobody.
func (r Rung) Told(i incident.Incident, roster approval.Roster) []approval.Member {
	var out []approval.Member
	seen := map[string]bool{}
	for _, m := range roster {
		if seen[m.Key()] || !m.Active || m.Kind != approval.Human {
			continue
		}
		seen[m.Key()] = true
		if ok, err := r.to.eval(i, m); err == nil && ok {
			out = append(out, m)
		}
	}
	return out
}

// Due lists the rungs of an incident whose time has come and that have not fired,
// soonest first, and says when the next one comes; zero: none does by itself. The
// incident is taken not to be suppressed. The top rung is told again and again;
// repetitions that nobody could fire in time are not made up for.
func (d *Desk) Due(i incident.Incident, fired map[string]bool, now time.Time) (due []Rung, next time.Time) {
	l := d.level(i.Owner, i.Severity)
	if l == nil || !i.Status.Active() {
		return nil, time.Time{}
	}
	take := func(r Rung, at time.Time) {
		switch {
		case fired[r.Name]:
		case at.After(now):
			next = sooner(next, at)
		default:
			due = append(due, r)
		}
	}
	if i.Status == incident.Open {
		for n, r := range l.ladder {
			r.Name = fmt.Sprintf("%d-%s-%d", i.LadderRun, r.Kind, n+1)
			take(r, i.LadderFrom.Add(r.After))
		}
		if again, at := d.again(l, i, now); again.Name != "" {
			if len(due) == 0 { // the top rung itself comes first
				take(again, at)
			}
			next = sooner(next, at.Add(d.repeat))
		} else if !at.IsZero() {
			next = sooner(next, at)
		}
	}
	if !i.ResolveDueAt.IsZero() {
		for n, r := range l.overdue {
			r.Name = fmt.Sprintf("%d-%s-%d", i.Reopened+1, r.Kind, n+1)
			take(r, i.ResolveDueAt.Add(r.After))
		}
	}
	return due, next
}

// again is the repetition of the top rung that is the newest now, and when its
// time came. Without a name it has not come; then at is when the first one does,
// or zero when there is none.
func (d *Desk) again(l *level, i incident.Incident, now time.Time) (r Rung, at time.Time) {
	if len(l.ladder) == 0 || d.repeat == 0 {
		return Rung{}, time.Time{}
	}
	top := l.ladder[len(l.ladder)-1]
	reached := i.LadderFrom.Add(top.After)
	n := int64(now.Sub(reached) / d.repeat)
	if now.Before(reached) || n == 0 {
		return Rung{}, reached.Add(d.repeat)
	}
	top.Name, top.Again = fmt.Sprintf("%d-repeat-%d", i.LadderRun, n), true
	return top, reached.Add(time.Duration(n * int64(d.repeat)))
}

// sooner is the earlier of two moments, of which one or both may not be set.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

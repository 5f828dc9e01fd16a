package approval

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"
)

const maxRungs = 20

var channelPattern = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

// RungKind says what a rung of the ladder does.
type RungKind string

// The closed set of kinds of rungs.
const (
	Reminder   RungKind = "reminder"   // tells the same people again
	Escalation RungKind = "escalation" // tells other people
)

// Valid reports whether k is one of the kinds above.
func (k RungKind) Valid() bool { return k == Reminder || k == Escalation }

// Rung is something that happens while a request waits. A rung tells people; it
// does not change who may decide.
type Rung struct {
	Name    string // such as "reminder-1": kind and number within the kind; stable
	Kind    RungKind
	After   time.Duration // since the request
	To      string        // CEL over action and reviewer: whom on the roster to tell
	Channel string
	Label   string // how the rung is named to people; optional

	to condition
}

// Told lists the active people on the roster whom the rung tells about a, in the
// order of the roster. A condition that cannot be evaluated selects nobody.
func (r Rung) Told(a Action, roster Roster) []Member {
	var out []Member
	for _, m := range roster.people() {
		if ok, err := r.to.eval(a, m.Principal()); err == nil && ok {
			out = append(out, m)
		}
	}
	return out
}

// compileLadder checks and compiles the rungs, orders them by time and names
// them.
func (p *Policy) compileLadder() error {
	if len(p.Ladder) > maxRungs {
		return fmt.Errorf("reminders and escalation have %d entries; the limit is %d", len(p.Ladder), maxRungs)
	}
	slices.SortStableFunc(p.Ladder, func(x, y Rung) int {
		switch {
		case x.After != y.After:
			return int(min(1, max(-1, x.After-y.After)))
		case x.Kind == y.Kind:
			return 0
		case x.Kind == Reminder:
			return -1
		}
		return 1
	})
	number := map[RungKind]int{}
	for i := range p.Ladder {
		r := &p.Ladder[i]
		number[r.Kind]++
		r.Name = fmt.Sprintf("%s-%d", r.Kind, number[r.Kind])
		if err := r.compile(p.Expires); err != nil {
			return fmt.Errorf("%s: %w", r.Name, err)
		}
	}
	return nil
}

func (r *Rung) compile(expires time.Duration) error {
	switch {
	case !r.Kind.Valid():
		return fmt.Errorf("kind %q must be reminder or escalation", r.Kind)
	case r.After <= 0 || r.After >= expires:
		return fmt.Errorf("after is %s; it must be over 0s and before the deadline at %s", r.After, expires)
	case r.Channel == "":
		return errors.New("channel is empty; say where to tell it")
	}
	if err := checkChannel(r.Channel); err != nil {
		return err
	}
	if err := checkLabel(r.Label); err != nil {
		return err
	}
	var err error
	if r.to, err = compileWho(r.To); err != nil {
		return fmt.Errorf("to: %w", err)
	}
	return nil
}

func checkChannel(name string) error {
	if name != "" && !channelPattern.MatchString(name) {
		return fmt.Errorf("channel %q must be a letter and at most 31 letters, digits, '_' and '-', in lower case", name)
	}
	return nil
}

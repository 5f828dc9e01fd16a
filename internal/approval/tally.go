package approval

import (
	"fmt"
	"slices"
)

// Outcome is what a sequence of decisions amounts to.
type Outcome struct {
	Status  Status   // Pending, Approved or Rejected
	Counted []string // ids of the decisions that count, in order
	Stage   int      // the stage that is open, or was when the request closed, from 1; 0 when Auto
	Missing []string // in words, what is still needed; empty unless Pending
}

// Tally decides. Decisions are taken in the order of recording: the first veto
// or the completion of the last stage closes the request, and what comes after
// changes nothing. One person counts once and takes one place in one stage,
// however many groups would admit him; so does whoever he decides for. An
// approval that takes no place in the open stage does not count, which leaves
// the person free for a later one.
func Tally(p *Policy, a Action, decisions []Decision) Outcome {
	if len(decisions) == 0 && p.untouched != nil {
		out := *p.untouched
		out.Missing = slices.Clone(out.Missing)
		return out
	}
	return tally(p, a, decisions)
}

func tally(p *Policy, a Action, decisions []Decision) Outcome {
	b := newBallot(p, a)
	for _, d := range decisions {
		b.cast(d)
	}
	out := Outcome{Status: b.status, Counted: b.counted, Stage: b.stage + 1}
	switch {
	case p.Auto:
		out.Stage = 0
	case b.status == Pending:
		out.Missing = b.missing()
	}
	return out
}

// Judge says why d would not count after the earlier decisions, or returns "".
func Judge(p *Policy, a Action, earlier []Decision, d Decision) string {
	b := newBallot(p, a)
	for _, e := range earlier {
		b.cast(e)
	}
	_, why := b.judge(d)
	return why
}

// ballot is the state of a request after some decisions.
type ballot struct {
	policy     *Policy
	action     Action
	status     Status
	stage      int // index of the open stage
	seats      []places
	used       map[string]bool // by Person.Key
	rejections int
	counted    []string
}

func newBallot(p *Policy, a Action) *ballot {
	b := &ballot{policy: p, action: a, status: Pending, used: map[string]bool{}}
	if p.Auto {
		b.status = Approved
	}
	return b
}

// judge says why d does not count now, or where it could take a place.
func (b *ballot) judge(d Decision) (places, string) {
	if d.Verdict != Approve && d.Verdict != Reject {
		return 0, fmt.Sprintf("verdict %q must be approve or reject", d.Verdict)
	}
	if why := b.policy.barred(b.action, d); why != "" {
		return 0, why
	}
	at, why := b.policy.admits(b.action, d)
	if why != "" {
		return 0, why
	}
	if b.status != Pending {
		return 0, "the request is " + string(b.status) + " already"
	}
	for _, who := range d.people() {
		if b.used[who.Key()] {
			return 0, plain(who.Subject) + " has decided already, or somebody has in his place"
		}
	}
	if d.Verdict == Reject {
		return at, ""
	}
	stage := &b.policy.Stages[b.stage]
	if at&stage.places() != 0 {
		if stage.useful(b.seats, at) {
			return at, ""
		}
		return 0, "all places that " + plain(d.Reviewer.Subject) + " could fill are taken"
	}
	for i := b.stage + 1; i < len(b.policy.Stages); i++ {
		if at&b.policy.Stages[i].places() != 0 {
			return 0, b.policy.stageName(i) + " is not open yet"
		}
	}
	return 0, "the stage that " + plain(d.Reviewer.Subject) + " could approve in is complete"
}

// cast takes d into account if it counts.
func (b *ballot) cast(d Decision) {
	at, why := b.judge(d)
	if why != "" {
		return
	}
	b.counted = append(b.counted, d.ID)
	for _, who := range d.people() {
		b.used[who.Key()] = true
	}
	if d.Verdict == Reject {
		b.rejections++
		if b.rejections >= b.policy.Veto {
			b.status = Rejected
		}
		return
	}
	b.seats = append(b.seats, at)
	if len(b.policy.Stages[b.stage].missing(b.seats)) > 0 {
		return
	}
	if b.stage == len(b.policy.Stages)-1 {
		b.status = Approved
		return
	}
	b.stage, b.seats = b.stage+1, nil
}

// missing says what the open stage and the ones after it still need.
func (b *ballot) missing() []string {
	var out []string
	for i := b.stage; i < len(b.policy.Stages); i++ {
		var seats []places
		if i == b.stage {
			seats = b.seats
		}
		for _, words := range b.policy.Stages[i].missing(seats) {
			out = append(out, b.policy.inStage(i, words))
		}
	}
	return out
}

// inStage puts the name of the stage before words when there are several.
func (p *Policy) inStage(i int, words string) string {
	if len(p.Stages) == 1 {
		return words
	}
	return p.stageName(i) + ": " + words
}

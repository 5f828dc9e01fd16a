package approval

import "slices"

// Satisfiable reports whether the people on the roster can, from here, complete
// all stages, each by distinct people. What is rejected cannot be completed.
func (s Setting) Satisfiable(p *Policy, a Action, earlier []Decision, fallback bool) bool {
	b := s.ballot(p, a, earlier)
	return b.status == Approved || b.status == Pending && len(s.short(b, fallback)) == 0
}

// short says which places the roster leaves empty in the best case.
func (s Setting) short(b *ballot, fallback bool) []string {
	pool := s.pool(b, fallback)
	var words []string
	least := -1
	for _, choice := range choices(b.policy.Stages[b.stage:]) {
		seating := pool.seating(b)
		places := 0
		var open []*Group
		for i, alternative := range choice {
			open = append(open, b.policy.Stages[b.stage+i].required()...)
			if alternative != nil {
				open = append(open, alternative)
			}
		}
		for _, g := range open {
			places += g.N
		}
		seating.open(open...)
		if empty := places - seating.taken; least < 0 || empty < least {
			least, words = empty, b.emptyPlaces(seating, choice)
		}
		if least == 0 {
			return nil
		}
	}
	return words
}

func (b *ballot) emptyPlaces(seating *seating, choice []*Group) []string {
	var words []string
	for i, alternative := range choice {
		groups := b.policy.Stages[b.stage+i].required()
		if alternative != nil {
			groups = append(groups, alternative)
		}
		for _, g := range groups {
			for _, w := range wanted(g, seating.empty(g)) {
				words = append(words, b.policy.inStage(b.stage+i, w))
			}
		}
	}
	return words
}

// choices lists every way to choose an alternative in each stage.
func choices(stages []Stage) [][]*Group {
	out := [][]*Group{nil}
	for i := range stages {
		var longer [][]*Group
		for _, choice := range out {
			for _, alternative := range stages[i].alternatives() {
				longer = append(longer, append(slices.Clone(choice), alternative))
			}
		}
		out = longer
	}
	return out
}

// pool is who could still decide.
type pool struct {
	own     []places  // of each person on the roster, for himself
	proxied []proxied // people who are not on the roster, through delegates who are
}

type proxied struct {
	key     string
	at      places
	through []int // indexes in own
}

// pool finds who could still decide. A delegator on the roster who may decide at
// all can do so himself, which uses up one person and not two; so delegations
// matter here only where the delegator is not on the roster.
func (s Setting) pool(b *ballot, fallback bool) pool {
	var out pool
	for _, m := range s.Roster.people() {
		if b.used[m.Key()] {
			continue
		}
		at := s.reach(b, Decision{Verdict: Approve, Reviewer: m.Principal(), Fallback: fallback})
		for _, given := range s.given(m.Person) {
			if _, on := s.Roster.Member(given.From.Person); on || b.used[given.From.Key()] {
				continue
			}
			d := Decision{Verdict: Approve, Reviewer: m.Principal(), OnBehalfOf: &given.From, Fallback: fallback}
			if through := s.reach(b, d); through != 0 {
				out.delegate(given.From.Key(), through, len(out.own))
			}
		}
		out.own = append(out.own, at)
	}
	return out
}

func (p *pool) delegate(key string, at places, through int) {
	i := slices.IndexFunc(p.proxied, func(x proxied) bool { return x.key == key })
	if i < 0 {
		i = len(p.proxied)
		p.proxied = append(p.proxied, proxied{key: key})
	}
	p.proxied[i].at |= at
	p.proxied[i].through = append(p.proxied[i].through, through)
}

// reach is where d could take a place, now or in a later stage.
func (s Setting) reach(b *ballot, d Decision) places {
	d, why := s.Standing(b.policy, b.action, d)
	if why != "" {
		return 0
	}
	at, _ := b.policy.admits(b.action, d)
	return at
}

// seating seats whoever approved in the open stage, there alone, and the pool.
func (p pool) seating(b *ballot) *seating {
	out := newSeating()
	here := b.policy.Stages[b.stage].places()
	for _, at := range b.seats {
		out.person(at & here)
	}
	nodes := make([]int, len(p.own))
	for i, at := range p.own {
		nodes[i] = out.person(at)
	}
	for _, x := range p.proxied {
		through := make([]int, len(x.through))
		for i, n := range x.through {
			through[i] = nodes[n]
		}
		out.proxied(x.at, through)
	}
	return out
}

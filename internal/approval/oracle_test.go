package approval_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"finobs/internal/approval"

	"pgregory.net/rapid"
)

// The oracle says what a policy means by trying everything; it shares nothing
// with the package but the types of its input.
type (
	ruleGroup struct {
		n     int
		roles []string
	}
	ruleStage struct{ all, some []ruleGroup }
	rules     struct {
		stages       []ruleStage
		fallback     []string // roles; nil for nobody
		veto         int
		noDelegation bool
	}
	// voter is somebody's standing: his roles, and whether he may fill any place.
	voter struct {
		roles []string
		any   bool
	}
)

var allRoles = []string{"a", "b", "c"}

// draw is a source of choices, from rapid or from a seed.
type draw func(n int) int

func (d draw) roles(least int) []string {
	for {
		var out []string
		for _, r := range allRoles {
			if d(2) == 1 {
				out = append(out, r)
			}
		}
		if len(out) >= least {
			return out
		}
	}
}

func (d draw) groups(n int) []ruleGroup {
	var out []ruleGroup
	for range n {
		out = append(out, ruleGroup{1 + d(2), d.roles(1)})
	}
	return out
}

func (d draw) rules() rules {
	r := rules{veto: 1 + d(3), noDelegation: d(4) == 0}
	for range 1 + d(3) {
		s := ruleStage{all: d.groups(d(3)), some: d.groups(d(3))}
		if len(s.all)+len(s.some) == 0 {
			s.all = d.groups(1)
		}
		r.stages = append(r.stages, s)
	}
	if d(2) == 0 {
		r.fallback = d.roles(1)
	}
	return r
}

func (d draw) principal() approval.Principal {
	p := reviewer([]string{"tom", "ed", "p", "P", "q", "r", "s", "t", "u", "v", "w"}[d(11)], d.roles(0)...)
	if d(12) == 0 {
		p.Kind = approval.Agent
	}
	return p
}

func (d draw) decisions(n int) []approval.Decision {
	var out []approval.Decision
	for i := range n {
		v := approval.Approve
		if d(6) == 0 {
			v = approval.Reject
		}
		x := approval.Decision{ID: fmt.Sprint(i), Verdict: v, Reviewer: d.principal(), Fallback: d(3) == 0}
		if d(4) == 0 {
			giver := d.principal()
			x.OnBehalfOf = &giver
		}
		out = append(out, x)
	}
	return out
}

func (r rules) yaml() string {
	var b strings.Builder
	who := func(roles []string) string {
		return `reviewer.roles.exists(r, r in ["` + strings.Join(roles, `", "`) + `"])`
	}
	groups := func(name string, list []ruleGroup) {
		if len(list) > 0 {
			fmt.Fprintf(&b, "        %s:\n", name)
		}
		for _, g := range list {
			fmt.Fprintf(&b, "          - {n: %d, who: '%s'}\n", g.n, who(g.roles))
		}
	}
	fmt.Fprintf(&b, "version: 1\npolicies:\n  - id: p\n    match: 'true'\n    veto: %d\n    expires: 1h\n    delegation: %t\n", r.veto, !r.noDelegation)
	if r.fallback != nil {
		fmt.Fprintf(&b, "    fallback: '%s'\n", who(r.fallback))
	}
	b.WriteString("    stages:\n")
	for i, s := range r.stages {
		fmt.Fprintf(&b, "      - label: s%d\n", i)
		groups("all_of", s.all)
		groups("any_of", s.some)
	}
	return b.String()
}

func meets(a, b []string) bool {
	return slices.ContainsFunc(a, func(x string) bool { return slices.Contains(b, x) })
}

func (v voter) fits(g ruleGroup) bool { return v.any || meets(v.roles, g.roles) }

func (s ruleStage) admits(v voter) bool {
	return slices.ContainsFunc(append(slices.Clone(s.all), s.some...), v.fits)
}

// most is the greatest number of places that voters can take, by trying to put
// each of them nowhere and everywhere.
func most(free []ruleGroup, voters []voter) int {
	if len(voters) == 0 {
		return 0
	}
	best := most(free, voters[1:])
	for i, g := range free {
		if g.n > 0 && voters[0].fits(g) {
			rest := slices.Clone(free)
			rest[i].n--
			best = max(best, 1+most(rest, voters[1:]))
		}
	}
	return best
}

// ways lists the sets of groups that complete the stage.
func (s ruleStage) ways() [][]ruleGroup {
	if len(s.some) == 0 {
		return [][]ruleGroup{s.all}
	}
	var out [][]ruleGroup
	for _, g := range s.some {
		out = append(out, append(slices.Clone(s.all), g))
	}
	return out
}

func (s ruleStage) complete(voters []voter) bool {
	return slices.ContainsFunc(s.ways(), func(way []ruleGroup) bool {
		need := 0
		for _, g := range way {
			need += g.n
		}
		return most(way, voters) == need
	})
}

func (s ruleStage) helps(voters []voter, v voter) bool {
	more := append(slices.Clone(voters), v)
	return most(s.all, more) > most(s.all, voters) || slices.ContainsFunc(s.ways(), func(way []ruleGroup) bool {
		return most(way, more) > most(way, voters)
	})
}

func (r rules) tally(a approval.Action, decisions []approval.Decision) (status approval.Status, ids []string, stage int) {
	status, stage = approval.Pending, 1
	used := map[string]bool{}
	var voters []voter
	rejections := 0
	for _, d := range decisions {
		people, counts := []approval.Principal{d.Reviewer}, d.Reviewer
		if d.OnBehalfOf != nil {
			people, counts = append(people, *d.OnBehalfOf), *d.OnBehalfOf
		}
		ok := status == approval.Pending && (d.OnBehalfOf == nil || !r.noDelegation && !d.Reviewer.Same(d.OnBehalfOf.Person))
		for _, p := range people {
			ok = ok && p.Kind == approval.Human && !p.Same(a.Requester) && !p.Same(*a.Editor) && !used[p.Key()]
		}
		v := voter{counts.Roles, d.Fallback && meets(counts.Roles, r.fallback)}
		ok = ok && slices.ContainsFunc(r.stages, func(s ruleStage) bool { return s.admits(v) })
		if ok && d.Verdict == approval.Approve {
			ok = r.stages[stage-1].helps(voters, v)
		}
		if !ok {
			continue
		}
		for _, p := range people {
			used[p.Key()] = true
		}
		ids = append(ids, d.ID)
		if d.Verdict == approval.Reject {
			if rejections++; rejections == r.veto {
				status = approval.Rejected
			}
			continue
		}
		if voters = append(voters, v); !r.stages[stage-1].complete(voters) {
			continue
		}
		if stage == len(r.stages) {
			status = approval.Approved
			continue
		}
		stage, voters = stage+1, nil
	}
	return status, ids, stage
}

func editedAction() approval.Action {
	a := action()
	editor := person("Ed")
	a.Editor = &editor
	return a
}

// agree compares Tally, Judge and the oracle on the decisions.
func agree(t rapid.TB, r rules, p *approval.Policy, decisions []approval.Decision) approval.Outcome {
	t.Helper()
	status, ids, stage := r.tally(editedAction(), decisions)
	out := approval.Tally(p, editedAction(), decisions)
	if out.Status != status || !slices.Equal(out.Counted, ids) || out.Stage != stage {
		t.Fatalf("Tally = %+v, the oracle says %s counting %v in stage %d\n%s\n%+v", out, status, ids, stage, r.yaml(), decisions)
	}
	if (out.Status == approval.Pending) != (len(out.Missing) > 0) {
		t.Fatalf("status %s, missing %q\n%s", out.Status, out.Missing, r.yaml())
	}
	for i, d := range decisions {
		why := approval.Judge(p, editedAction(), decisions[:i], d)
		if (why == "") != slices.Contains(ids, d.ID) {
			t.Fatalf("Judge of decision %s = %q, the oracle counts %v\n%s", d.ID, why, ids, r.yaml())
		}
	}
	return out
}

func TestTallyAgreesWithOracle(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	seen := map[approval.Status]int{}
	stages := map[int]int{}
	for range 200 {
		r := draw(random.IntN).rules()
		p := policyFor(t, r.yaml())
		for range 15 {
			decisions := draw(random.IntN).decisions(random.IntN(14))
			for i := range decisions { // repeats of whole decisions, under their own ID
				if random.IntN(8) == 0 {
					again := decisions[random.IntN(i+1)]
					again.ID = decisions[i].ID
					decisions[i] = again
				}
			}
			random.Shuffle(len(decisions), func(i, j int) { decisions[i], decisions[j] = decisions[j], decisions[i] })
			out := agree(t, r, p, decisions)
			seen[out.Status]++
			stages[out.Stage]++
		}
	}
	t.Logf("outcomes %v, stages %v", seen, stages)
	for _, status := range []approval.Status{approval.Pending, approval.Approved, approval.Rejected} {
		if seen[status] < 100 {
			t.Errorf("only %d of the generated ballots are %s", seen[status], status)
		}
	}
	if stages[2] < 100 || stages[3] < 20 {
		t.Errorf("stages were reached %v times", stages)
	}
}

func TestTallyProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := draw(func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "choice") })
		r := d.rules()
		p := policyFor(t, r.yaml())
		decisions := d.decisions(rapid.IntRange(0, 8).Draw(rt, "decisions"))
		out := agree(rt, r, p, decisions)

		var countedOnly []approval.Decision
		for _, x := range decisions {
			if slices.Contains(out.Counted, x.ID) {
				countedOnly = append(countedOnly, x)
			}
		}
		again := approval.Tally(p, editedAction(), countedOnly)
		if again.Status != out.Status || !slices.Equal(again.Counted, out.Counted) || again.Stage != out.Stage || !slices.Equal(again.Missing, out.Missing) {
			rt.Fatalf("the counted decisions alone amount to %+v, all of them to %+v", again, out)
		}
		if out.Status != approval.Pending {
			more := approval.Tally(p, editedAction(), append(slices.Clone(decisions), d.decisions(3)...))
			if more.Status != out.Status || len(more.Counted) != len(out.Counted) {
				rt.Fatalf("late decisions turn %+v into %+v", out, more)
			}
		}
	})
}

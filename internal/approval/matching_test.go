package approval_test

import (
	"fmt"
	"testing"

	"finobs/internal/approval"

	"pgregory.net/rapid"
)

// quorum says by trying every assignment whether the approvers fill all groups.
func quorum(groups [][]string, sizes []int, approvers []approval.Principal) bool {
	var slots [][]string
	for i, n := range sizes {
		for range n {
			slots = append(slots, groups[i])
		}
	}
	var fill func(slot int, used map[int]bool) bool
	fill = func(slot int, used map[int]bool) bool {
		if slot == len(slots) {
			return true
		}
		for i, a := range approvers {
			if used[i] || !shares(a.Roles, slots[slot]) {
				continue
			}
			used[i] = true
			if fill(slot+1, used) {
				return true
			}
			delete(used, i)
		}
		return false
	}
	return fill(0, map[int]bool{})
}

func shares(a, b []string) bool {
	for _, x := range a {
		for _, y := range b {
			if x == y {
				return true
			}
		}
	}
	return false
}

// Tally approves exactly when some assignment of distinct people fills every
// group, at the first decision at which one does.
func TestTallyAgreesWithBruteForce(t *testing.T) {
	roles := []string{"a", "b", "c"}
	rapid.Check(t, func(rt *rapid.T) {
		count := rapid.IntRange(1, 3).Draw(rt, "groups")
		groups, sizes := make([][]string, count), make([]int, count)
		yaml := "version: 1\npolicies:\n  - id: p\n    match: 'true'\n    veto: 20\n    expires: 1h\n    all_of:\n"
		for i := range count {
			groups[i] = rapid.SliceOfNDistinct(rapid.SampledFrom(roles), 1, 2, rapid.ID[string]).Draw(rt, "roles")
			sizes[i] = rapid.IntRange(1, 2).Draw(rt, "n")
			yaml += fmt.Sprintf("      - {n: %d, who: 'reviewer.roles.exists(r, r in %s)'}\n", sizes[i], list(groups[i]))
		}
		policy := policyFor(t, yaml)
		var decisions []approval.Decision
		var approvers []approval.Principal
		settled := -1
		for i := range rapid.IntRange(0, 7).Draw(rt, "people") {
			p := reviewer(fmt.Sprintf("p%d", i), rapid.SliceOfNDistinct(rapid.SampledFrom(roles), 0, 3, rapid.ID[string]).Draw(rt, "of")...)
			decisions = append(decisions, approval.Decision{ID: fmt.Sprint(i), Verdict: approval.Approve, Reviewer: p})
			approvers = append(approvers, p)
			if settled < 0 && quorum(groups, sizes, approvers) {
				settled = i
			}
		}
		out := approval.Tally(policy, action(), decisions)
		if (out.Status == approval.Approved) != (settled >= 0) {
			rt.Fatalf("policy\n%sstatus %s, brute force settles at %d", yaml, out.Status, settled)
		}
		if settled >= 0 && out.Counted[len(out.Counted)-1] != fmt.Sprint(settled) {
			rt.Fatalf("settled by decision %s, brute force says %d", out.Counted[len(out.Counted)-1], settled)
		}
		if (len(out.Missing) == 0) != (out.Status == approval.Approved) {
			rt.Fatalf("status %s, missing %v", out.Status, out.Missing)
		}
	})
}

func list(roles []string) string {
	text := "["
	for i, r := range roles {
		if i > 0 {
			text += ", "
		}
		text += `"` + r + `"`
	}
	return text + "]"
}

func TestConditionsCannotRunAway(t *testing.T) {
	expensive := policyFor(t, `
version: 1
policies:
  - id: slow
    match: 'true'
    veto: 1
    expires: 1h
    all_of:
      - n: 1
        who: 'reviewer.roles.all(a, reviewer.roles.all(b, reviewer.roles.all(c, reviewer.roles.all(d, a + b != c + d + "x"))))'
`)
	many := make([]string, 60)
	for i := range many {
		many[i] = fmt.Sprintf("role-%d", i)
	}
	if why := expensive.Ineligible(action(), reviewer("bob", many...)); why == "" {
		t.Error("a condition over its cost limit admitted somebody")
	}
}

func TestParseActionTakesOneSpelling(t *testing.T) {
	a := action()
	good, err := a.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	back, err := approval.ParseAction(good)
	if err != nil || back.Kind != a.Kind || back.Requester != a.Requester || back.Parameters["format"] != "csv" {
		t.Errorf("got %+v, %v", back, err)
	}
	for name, text := range map[string]string{
		"empty": "", "white space": string(good) + " ", "another member": `{"x":"y",` + string(good[1:]),
		"a number": `{"kind":1}`, "null": "null", "a list": "[]",
	} {
		if _, err := approval.ParseAction([]byte(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestParseVerdict(t *testing.T) {
	for text, want := range map[string]approval.Verdict{
		"approve": approval.Approve, "approved": approval.Approve, "reject": approval.Reject, "rejected": approval.Reject,
	} {
		if got, ok := approval.ParseVerdict(text); !ok || got != want {
			t.Errorf("%s: got %s, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "Approve", "pending", "yes", "approve "} {
		if _, ok := approval.ParseVerdict(text); ok {
			t.Errorf("%q is accepted", text)
		}
	}
}

package approval_test

import (
	"fmt"
	"testing"

	"finobs/internal/approval"
)

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
	if why := expensive.Ineligible(action(), approval.Decision{Reviewer: reviewer("bob", many...)}); why == "" {
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

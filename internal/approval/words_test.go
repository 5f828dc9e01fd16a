package approval_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode"

	"finobs/internal/approval"
	"finobs/policies"

	"pgregory.net/rapid"
)

func TestRender(t *testing.T) {
	a := editedAction()
	a.Parameters["note"] = "x\"\npolicy: none\u202e\u200b\t\\u{a}\xff"
	got := approval.Render(a, policyFor(t, full))
	want := `action: export.incidents
mode: live
risk tier: medium
requester: "tom" of "https://id.example"
edited by: "Ed" of "https://id.example"
desk: "EQ"
target 1: dataset "incidents", version "1"
parameter format: "csv"
parameter note: "x\"\u{a}policy: none\u{202e}\u{200b}\u{9}\\u{a}\x{ff}"
parameter status: "open"
policy: full
  stage 1, review: needs 2 of compliance, and beside them 1 of admin or 2 of people with "analyst" in reviewer.roles
  stage 2: needs 1 of people with reviewer.desk != action.desk
  each place is taken by another person; requester and editor take none
  2 rejections close the request
  the deadline is 24h after the request; an approval may be used for 1h30m
  only people on the roster count
  delegates do not count
  once nobody on the roster is eligible, people with "admin" in reviewer.roles may decide too
  eligible people and the requester are told on channel default
  reminder-1 after 4h to compliance on channel default
  escalation-1 after 8h to people with "admin" in reviewer.roles on channel default
  reminder-2 after 12h to people with true on channel late
`
	if got != want {
		t.Errorf("Render:\n%s\nwant:\n%s", got, want)
	}
}

// Whatever an action holds, its summary has the lines that the program wrote and
// no character that does not show.
func TestRenderCannotBeForged(t *testing.T) {
	p := policyFor(t, oneCompliance)
	hostile := rapid.StringOfN(rapid.OneOf(rapid.Rune(), rapid.SampledFrom([]rune(
		"\n\r\x00\x1b\u0085\u00a0\u00ad\u034f\u061c\u115f\u1160\u17b4\u180e\u200b\u200d\u200e\u200f\u2028\u2029\u202a\u202e\u2060\u2066\u2069\u2800\u3164\ufe0f\ufeff\uffa0\U000e0041\U000e0100\"\\"))), 0, 12, -1)
	rapid.Check(t, func(rt *rapid.T) {
		a := editedAction()
		lines := strings.Count(approval.Render(a, p), "\n")
		draw := func() string { return hostile.Draw(rt, "text") }
		a.Requester, a.Editor = approval.Person{Issuer: draw(), Subject: draw()}, &approval.Person{Issuer: draw(), Subject: draw()}
		a.Targets[0] = approval.Target{Kind: draw(), ID: draw(), Version: draw()}
		a.Parameters["status"], a.Kind, a.Desk, a.Mode, a.RiskTier = draw(), draw(), "x"+draw(), approval.Mode(draw()), approval.RiskTier(draw())
		text := approval.Render(a, p)
		if got := strings.Count(text, "\n"); got != lines {
			rt.Fatalf("%d lines, want %d:\n%q", got, lines, text)
		}
		for _, r := range text {
			if r != '\n' && (!unicode.IsPrint(r) || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) || unicode.Is(unicode.Variation_Selector, r)) {
				rt.Fatalf("%q shows %U", text, r)
			}
		}
		if text != approval.Render(a, p) {
			rt.Fatal("it is rendered differently the second time")
		}
	})
}

func TestRenderTellsValuesApart(t *testing.T) {
	p := policyFor(t, oneCompliance)
	seen := map[string]string{}
	for _, value := range []string{"a", "a\n", `a\n`, `a\u{a}`, `a\\u{a}`, "a\u200b", "a ", " a", `a"`, `a\"`, "", "\ufffd", "\xff", `\x{ff}`} {
		a := action()
		a.Parameters["status"] = value
		text := approval.Render(a, p)
		if other, known := seen[text]; known {
			t.Errorf("%q and %q look the same", value, other)
		}
		seen[text] = value
	}
}

func TestWordsOfAuto(t *testing.T) {
	auto := policyFor(t, "version: 1\npolicies: [{id: p, match: 'true', auto: true, expires: 1h}]")
	if got := strings.Join(auto.Words(), "; "); got != "the policy itself approves; nobody decides; an approval may be used for 1h" {
		t.Errorf("Words = %s", got)
	}
	if got := strings.Join(approval.Setting{}.Explain(auto, action(), nil, false, approval.Approved), "; "); got != "policy p approves by itself; the request is approved" {
		t.Errorf("Explain = %s", got)
	}
}

func TestExplain(t *testing.T) {
	p := policyFor(t, strings.Replace(oneCompliance, "{n: 1", "{n: 2", 1))
	decisions := []approval.Decision{
		{ID: "1", Verdict: approval.Approve, Reviewer: reviewer("tim", "trader"), OnBehalfOf: ptr(reviewer("carol", "compliance"))},
		{ID: "2", Verdict: approval.Approve, Reviewer: reviewer("carol", "compliance")},
	}
	s := desk()
	for name, tt := range map[string]struct {
		fallback bool
		status   approval.Status
		want     string
	}{
		"Nobody": {false, approval.Pending, `approval by tim for carol counts
approval by carol does not count: carol has decided already, or somebody has in his place
missing: 1 more of compliance
nobody on the roster can give an approval that counts now
the people on the roster cannot complete this; they lack 1 more of compliance`},
		"Fallback": {true, approval.Pending, `approval by tim for carol counts
approval by carol does not count: carol has decided already, or somebody has in his place
missing: 1 more of compliance
people with "admin" in reviewer.roles may decide too
could approve now: ann`},
		"Closed": {false, approval.Expired, `approval by tim for carol counts
approval by carol does not count: carol has decided already, or somebody has in his place
the request is expired`},
	} {
		if got := strings.Join(s.Explain(p, editedAction(), decisions, tt.fallback, tt.status), "\n"); got != tt.want {
			t.Errorf("%s: Explain:\n%s\nwant:\n%s", name, got, tt.want)
		}
	}
	for i := range 12 {
		s.Roster = append(s.Roster, member(fmt.Sprint("c", i), "compliance"))
	}
	if got := strings.Join(s.Explain(p, editedAction(), nil, false, approval.Pending), "\n"); !strings.HasSuffix(got, "could approve now: carol, tim, c0, c1, c2, c3, c4, c5, c6, c7 and 4 more") {
		t.Errorf("Explain:\n%s", got)
	}
	settled := append(slices.Clone(decisions), approval.Decision{ID: "3", Verdict: approval.Reject, Reviewer: reviewer("c1", "compliance")})
	if got := strings.Join(s.Explain(p, editedAction(), settled, false, approval.Pending), "\n"); !strings.HasSuffix(got, "rejection by c1 counts\nthe decisions amount to rejected") {
		t.Errorf("Explain:\n%s", got)
	}
}

func TestLint(t *testing.T) {
	lint := func(file string, roster ...approval.Member) string {
		var out []string
		for _, f := range approval.Lint(load(t, file), roster) {
			out = append(out, fmt.Sprintf("%s %s: %s", f.Severity, f.Policy, f.Problem))
		}
		return strings.Join(out, "\n")
	}
	const more = "  - {id: more, match: 'true', veto: 1, expires: 1h, all_of: [{n: 1, who: 'true'}]}\n"
	withoutFallback := strings.Replace(oneCompliance, "    fallback: '\"admin\" in reviewer.roles'\n", "", 1)
	idle := member("idle", "compliance")
	idle.Active = false
	for name, tt := range map[string]struct {
		file   string
		roster []approval.Member
		want   string
	}{
		"Good":        {oneCompliance, []approval.Member{member("carol", "compliance"), member("cecil", "compliance"), member("guest")}, ""},
		"EmptyRoster": {oneCompliance, nil, "error : the roster has no active people; add some before anybody asks for an approval"},
		"OnlyIdle":    {oneCompliance, []approval.Member{idle}, "error : the roster has no active people; add some before anybody asks for an approval"},
		"OneCompliance": {withoutFallback, []approval.Member{member("carol", "compliance"), member("tim", "trader"), member("guest")},
			"error one: a request by carol: the roster lacks 1 more of compliance"},
		"Fallback": {oneCompliance, []approval.Member{member("carol", "compliance"), member("ann", "admin")},
			"warning one: a request by carol: the roster lacks 1 more of compliance; only the fallback can complete it"},
		"FallbackDoesNotSatisfy": {oneCompliance, []approval.Member{member("carol", "compliance"), member("tim", "trader")},
			"error one: a request by carol: the roster lacks 1 more of compliance"},
		"SharedFinding": {withoutFallback, []approval.Member{member("tim", "trader"), member("ann", "admin"), idle},
			"error one: a request by tim, ann: the roster lacks 1 more of compliance"},
		"Unreachable": {oneCompliance + more, []approval.Member{member("carol", "compliance"), member("cecil", "compliance")},
			"warning more: it is never reached: policy one before it matches everything"},
		"NothingMatchesAll": {twoComplianceOneAdmin, []approval.Member{member("c1", "compliance"), member("c2", "compliance"), member("c3", "compliance"), member("a1", "admin"), member("a2", "admin")},
			"warning : no policy matches everything; an action that none matches is refused"},
		"RungTellsNobody": {with(oneCompliance, "escalation: [{after: 1m, to: '\"admin\" in reviewer.roles', channel: c}]"), []approval.Member{member("carol", "compliance"), member("cecil", "compliance")},
			"warning one: escalation-1 tells nobody on the roster"},
	} {
		if got := lint(tt.file, tt.roster...); got != tt.want {
			t.Errorf("%s: Lint:\n%s\nwant:\n%s", name, got, tt.want)
		}
	}
}

func TestShippedPoliciesLint(t *testing.T) {
	roster := approval.Roster{
		member("c1", "compliance"), member("c2", "compliance"), member("c3", "compliance"),
		member("a1", "admin"), member("a2", "admin"), member("n1", "analyst"), member("t1", "trader"),
	}
	for _, file := range [][]byte{policies.Desk, policies.Strict} {
		ps, err := approval.LoadPolicies(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range approval.Lint(ps, roster) {
			t.Errorf("%+v", f)
		}
	}
}

func TestTold(t *testing.T) {
	p := policyFor(t, full)
	var got []string
	for _, r := range p.Ladder {
		for _, m := range r.Told(action(), desk().Roster) {
			got = append(got, r.Name+":"+m.Subject)
		}
	}
	if text := strings.Join(got[:5], " "); text != "reminder-1:tom reminder-1:ed reminder-1:carol reminder-1:cecil escalation-1:ann" {
		t.Errorf("told %s", text)
	}
}

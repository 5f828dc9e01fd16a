package approval

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// What a condition remembers is what it says when it is asked for the first time,
// whoever was asked about before.
func TestRememberedAnswersAreThoseOfTheCondition(t *testing.T) {
	t.Parallel()
	expressions := []string{
		`"analyst" in reviewer.roles`, `reviewer.desk == "EQ" && reviewer.id != "bob"`, `true`, `reviewer.id == "bob" || "admin" in reviewer.roles`,
		`reviewer.desk == action.desk`, `reviewer.id in ["bob", "carol"] && action.kind == "desk.override"`, `action.amount.exceeds("100") && reviewer.id == "bob"`,
	}
	var kept []condition
	for _, e := range expressions {
		c, err := compileWho(e)
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, c)
	}
	names := rapid.SampledFrom([]string{"", "bob", "carol", "bo", "b", "analyst", "EQ", "admin", "1:b", "3:bob"})
	rapid.Check(t, func(t *rapid.T) {
		c := kept[rapid.IntRange(0, len(kept)-1).Draw(t, "condition")]
		a := Action{Kind: names.Draw(t, "kind"), Desk: names.Draw(t, "desk"), Parameters: map[string]string{"amount": rapid.SampledFrom([]string{"1", "1000", "none"}).Draw(t, "amount")}}
		who := Principal{Person: Person{Issuer: "x", Subject: names.Draw(t, "subject")}, Desk: names.Draw(t, "of desk"), Roles: rapid.SliceOfN(names, 0, 3).Draw(t, "roles")}
		got, gotErr := c.eval(a, who)
		want, wantErr := c.holds(a, who)
		if got != want || (gotErr == nil) != (wantErr == nil) {
			t.Fatalf("remembered %t %v, said %t %v", got, gotErr, want, wantErr)
		}
	})
}

func TestOnlyConditionsOnTheReviewerAreRemembered(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]bool{
		`"analyst" in reviewer.roles`: true, `true`: true, `reviewer.id == "action.kind"`: true, `reviewer.roles.exists(r, r == reviewer.desk)`: true,
		`reviewer.desk == action.desk`: false, `["x"].exists(x, x == action.kind)`: false, `"k" in action.parameters`: false,
		`action.parameters["k"] == reviewer.id`: false, `action.amount.exceeds("1")`: false, `size(action.targets) == 1`: false, `true || action.mode == "live"`: false,
	} {
		c, err := compileWho(expr)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.judged.remembered != nil; got != want {
			t.Errorf("%s is remembered: %t", expr, got)
		}
	}
}

// No two reviewers that a condition can tell apart are one question.
func TestQuestionsTellReviewersApart(t *testing.T) {
	t.Parallel()
	text := rapid.StringMatching(`[0-9:a\x00]{0,4}`)
	reviewer := rapid.Custom(func(t *rapid.T) Principal {
		return Principal{Person: Person{Subject: text.Draw(t, "subject")}, Desk: text.Draw(t, "desk"), Roles: rapid.SliceOfN(text, 0, 3).Draw(t, "roles")}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := reviewer.Draw(t, "a"), reviewer.Draw(t, "b")
		same := a.Subject == b.Subject && a.Desk == b.Desk && slices.Equal(a.Roles, b.Roles)
		if (question(a) == question(b)) != same {
			t.Fatalf("%q and %q: %q", a, b, question(a))
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	r := remember[int](10)
	for i := range 100 {
		r.put(string(rune('a'+i)), i)
		if got, known := r.get(string(rune('a' + i))); !known || got != i || len(r.known) > 10 {
			t.Fatalf("after %d: %d, %t, %d answers", i, got, known, len(r.known))
		}
	}
}

// A policy under a digest that is known is still held against it.
func TestARememberedPolicyIsNoOther(t *testing.T) {
	t.Parallel()
	p := &Policy{ID: "desk.test", Match: "true", Stages: []Stage{{AllOf: []Group{{N: 1, Who: `"analyst" in reviewer.roles`}}}}, Veto: 1, Expires: minExpires}
	if err := p.compile(); err != nil {
		t.Fatal(err)
	}
	frozen, digest, err := p.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	first, err := Thaw(frozen, digest)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Thaw(slices.Clone(frozen), digest); err != nil || again != first {
		t.Errorf("got %p %v, want %p", again, err, first)
	}
	other := slices.Clone(frozen)
	other[len(other)-3] ^= 1
	if _, err := Thaw(other, digest); err == nil {
		t.Error("other bytes pass under a digest that is known")
	}
}

func TestASharedActionIsTheParsedOne(t *testing.T) {
	t.Parallel()
	a := Action{Kind: "desk.override", Targets: []Target{}, Parameters: map[string]string{"n": "1"}, Requester: Person{Issuer: "x", Subject: "alice"}, Mode: Live, RiskTier: Medium}
	b, err := a.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got, err := SharedAction(b)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := got.Canonical(); err != nil || string(again) != string(b) {
			t.Errorf("got %s, %v", again, err)
		}
		if _, err := SharedAction(append(slices.Clone(b), ' ')); err == nil {
			t.Error("bytes that no action has are read")
		}
	}
}

// What is shown as possible is what is possible: Verdicts and Claim agree.
func TestVerdictsAreThoseThatClaimAllows(t *testing.T) {
	t.Parallel()
	p := &Policy{
		ID: "desk.test", Match: "true", Veto: 1, Expires: minExpires, Fallback: `reviewer.id == "dave"`,
		Stages: []Stage{{AllOf: []Group{{N: 1, Who: `"analyst" in reviewer.roles`}}}, {AllOf: []Group{{N: 1, Who: `"compliance" in reviewer.roles && reviewer.desk == action.desk`}}}},
	}
	if err := p.compile(); err != nil {
		t.Fatal(err)
	}
	people := rapid.SampledFrom([]string{"alice", "bob", "carol", "dave"})
	rapid.Check(t, func(t *rapid.T) {
		person := func(name string) Principal {
			return Principal{
				Person: Person{Issuer: "x", Subject: people.Draw(t, name)}, Kind: rapid.SampledFrom([]ActorKind{Human, Human, Agent}).Draw(t, name+" kind"),
				Roles: rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"analyst", "compliance", "viewer"}), 0, 2, rapid.ID).Draw(t, name+" roles"), Desk: rapid.SampledFrom([]string{"EQ", "FI"}).Draw(t, name+" desk"),
			}
		}
		a := Action{Kind: "desk.override", Desk: "EQ", Requester: person("requester").Person}
		var s Setting
		if rapid.Bool().Draw(t, "delegated") {
			s.Now = time.Unix(1000, 0)
			s.Delegations = []Delegation{{ID: 1, From: person("giver"), To: person("delegate").Person, StartsAt: time.Unix(0, 0), EndsAt: time.Unix(2000, 0)}}
		}
		var earlier []Decision
		if rapid.Bool().Draw(t, "begun") {
			earlier = []Decision{{ID: "1", Verdict: Approve, Reviewer: person("first")}}
		}
		who, fallback := person("who"), rapid.Bool().Draw(t, "fallback")
		var want []Verdict
		for _, v := range []Verdict{Approve, Reject} {
			if _, why := s.Claim(p, a, earlier, who, v, fallback); why == "" {
				want = append(want, v)
			}
		}
		if got := s.Verdicts(p, a, earlier, who, fallback); !slices.Equal(got, want) {
			t.Fatalf("got %v, Claim allows %v", got, want)
		}
	})
}

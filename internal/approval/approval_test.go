package approval_test

import (
	"bytes"
	"strings"
	"testing"

	"finobs/internal/approval"
	"finobs/policies"

	"pgregory.net/rapid"
)

func person(sub string) approval.Person {
	return approval.Person{Issuer: "https://id.example", Subject: sub}
}

func reviewer(sub string, roles ...string) approval.Principal {
	return approval.Principal{Person: person(sub), Kind: approval.Human, Roles: roles, Desk: "EQ"}
}

func action() approval.Action {
	return approval.Action{
		Kind:         "export.incidents",
		Targets:      []approval.Target{{Kind: "dataset", ID: "incidents", Version: "1"}},
		Parameters:   map[string]string{"format": "csv", "status": "open"},
		Requester:    person("tom"),
		Desk:         "EQ",
		Mode:         approval.Live,
		RiskTier:     approval.Medium,
		PolicyDigest: "sha256:00",
	}
}

func load(t testing.TB, yaml string) *approval.Policies {
	t.Helper()
	ps, err := approval.LoadPolicies(strings.NewReader(yaml))
	if err != nil {
		t.Fatalf("LoadPolicies: %v", err)
	}
	return ps
}

func policyFor(t testing.TB, yaml string) *approval.Policy {
	t.Helper()
	p, err := load(t, yaml).For(action())
	if err != nil {
		t.Fatalf("For: %v", err)
	}
	return p
}

const twoComplianceOneAdmin = `
version: 1
policies:
  - id: four.eyes
    match: 'action.kind.startsWith("export.")'
    all_of:
      - {n: 2, who: '"compliance" in reviewer.roles', label: compliance}
      - {n: 1, who: '"admin" in reviewer.roles', label: admin}
    veto: 1
    expires: 4h
`

func TestActionDigestBindsEveryField(t *testing.T) {
	base, err := action().Digest()
	if err != nil {
		t.Fatal(err)
	}
	for name, mutate := range map[string]func(*approval.Action){
		"Kind":            func(a *approval.Action) { a.Kind = "export.users" },
		"TargetKind":      func(a *approval.Action) { a.Targets[0].Kind = "trade" },
		"TargetID":        func(a *approval.Action) { a.Targets[0].ID = "users" },
		"TargetVersion":   func(a *approval.Action) { a.Targets[0].Version = "2" },
		"OneMoreTarget":   func(a *approval.Action) { a.Targets = append(a.Targets, a.Targets[0]) },
		"ParameterValue":  func(a *approval.Action) { a.Parameters["status"] = "" },
		"ParameterGone":   func(a *approval.Action) { delete(a.Parameters, "status") },
		"ParameterAdded":  func(a *approval.Action) { a.Parameters["limit"] = "1" },
		"RequesterIssuer": func(a *approval.Action) { a.Requester.Issuer = "https://other.example" },
		"Requester":       func(a *approval.Action) { a.Requester.Subject = "eve" },
		"Desk":            func(a *approval.Action) { a.Desk = "FX" },
		"Mode":            func(a *approval.Action) { a.Mode = approval.Simulation },
		"RiskTier":        func(a *approval.Action) { a.RiskTier = approval.High },
		"Editor":          func(a *approval.Action) { a.Editor = &approval.Person{Issuer: "i", Subject: "ed"} },
		"Policy":          func(a *approval.Action) { a.PolicyDigest = "sha256:01" },
	} {
		a := action()
		mutate(&a)
		got, err := a.Digest()
		if err != nil {
			t.Fatal(err)
		}
		if got == base {
			t.Errorf("%s: the digest did not change", name)
		}
	}
}

func TestActionValidate(t *testing.T) {
	if err := action().Validate(); err != nil {
		t.Fatalf("Validate of a good action: %v", err)
	}
	for want, mutate := range map[string]func(*approval.Action){
		"kind":            func(a *approval.Action) { a.Kind = "Export Incidents" },
		"mode":            func(a *approval.Action) { a.Mode = "" },
		"risk tier":       func(a *approval.Action) { a.RiskTier = "" },
		"editor":          func(a *approval.Action) { a.Editor = &approval.Person{Subject: "ed"} },
		"NUL":             func(a *approval.Action) { a.Editor = &approval.Person{Issuer: "i", Subject: "e\x00d"} },
		"requester":       func(a *approval.Action) { a.Requester.Subject = "" },
		"desk":            func(a *approval.Action) { a.Desk = "EQ\n" },
		"target 1":        func(a *approval.Action) { a.Targets[0].ID = "" },
		"parameter name":  func(a *approval.Action) { a.Parameters["A b"] = "" },
		"over 2048 bytes": func(a *approval.Action) { a.Parameters["long"] = strings.Repeat("x", 2049) },
	} {
		a := action()
		mutate(&a)
		if err := a.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate = %v, want an error about %q", err, want)
		}
	}
}

func TestDeskPolicy(t *testing.T) {
	ps, err := approval.LoadPolicies(bytes.NewReader(policies.Desk))
	if err != nil {
		t.Fatal(err)
	}
	p, err := ps.For(action())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		who     approval.Principal
		counted bool
	}{
		{"Admin", reviewer("ann", "admin"), true},
		{"Compliance", reviewer("carol", "compliance"), true},
		{"Analyst", reviewer("alice", "trader", "analyst"), true},
		{"Trader", reviewer("tim", "trader"), false},
		{"NoRole", reviewer("nora"), false},
		{"RequesterIsAdmin", reviewer("tom", "admin"), false},
		{"RequesterInOtherCase", reviewer("TOM", "admin"), false},
		{"Service", approval.Principal{Person: person("bot"), Kind: approval.System, Roles: []string{"admin"}}, false},
		{"Agent", approval.Principal{Person: person("gpt"), Kind: approval.Agent, Roles: []string{"admin"}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := approval.Tally(p, action(), []approval.Decision{{ID: "1", Verdict: approval.Approve, Reviewer: tt.who}})
			if got := out.Status == approval.Approved; got != tt.counted {
				t.Errorf("Tally = %+v, want approved %t", out, tt.counted)
			}
		})
	}
}

func TestTally(t *testing.T) {
	p := policyFor(t, twoComplianceOneAdmin)
	approve := func(id string, r approval.Principal) approval.Decision {
		return approval.Decision{ID: id, Verdict: approval.Approve, Reviewer: r}
	}
	for _, tt := range []struct {
		name      string
		decisions []approval.Decision
		want      approval.Status
		counted   string
		missing   string
	}{
		{name: "None", want: approval.Pending, missing: "2 more of compliance; 1 more of admin"},
		{"OnePersonOneSlot", []approval.Decision{approve("1", reviewer("ann", "admin", "compliance"))},
			approval.Pending, "1", "1 more of compliance; 1 more of admin"},
		{"RepeatsDoNotCount", []approval.Decision{approve("1", reviewer("c", "compliance")), approve("2", reviewer("C", "compliance"))},
			approval.Pending, "1", "1 more of compliance; 1 more of admin"},
		{"MovesPeopleBetweenSlots", []approval.Decision{
			approve("1", reviewer("ann", "admin", "compliance")), approve("2", reviewer("c1", "compliance")), approve("3", reviewer("c2", "compliance"))},
			approval.Approved, "1 2 3", ""},
		{"OneVetoRejects", []approval.Decision{approve("1", reviewer("c1", "compliance")),
			{ID: "2", Verdict: approval.Reject, Reviewer: reviewer("c2", "compliance")}, approve("3", reviewer("ann", "admin"))},
			approval.Rejected, "1 2", ""},
		{"OutsiderCannotVeto", []approval.Decision{{ID: "1", Verdict: approval.Reject, Reviewer: reviewer("t", "trader")}},
			approval.Pending, "", "2 more of compliance; 1 more of admin"},
		{"LateDecisionChangesNothing", []approval.Decision{
			approve("1", reviewer("c1", "compliance")), approve("2", reviewer("c2", "compliance")), approve("3", reviewer("ann", "admin")),
			{ID: "4", Verdict: approval.Reject, Reviewer: reviewer("c3", "compliance")}},
			approval.Approved, "1 2 3", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := approval.Tally(p, action(), tt.decisions)
			if out.Status != tt.want || strings.Join(out.Counted, " ") != tt.counted || strings.Join(out.Missing, "; ") != tt.missing {
				t.Errorf("Tally = %+v, want %s counting [%s] missing [%s]", out, tt.want, tt.counted, tt.missing)
			}
		})
	}
}

// Whatever the decisions, an approval always rests on three distinct people who
// are not the requester.
func TestTallyNeverApprovesShort(t *testing.T) {
	p := policyFor(t, twoComplianceOneAdmin)
	roles := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"admin", "compliance", "analyst"}), rapid.ID[string])
	rapid.Check(t, func(t *rapid.T) {
		var decisions []approval.Decision
		for range rapid.IntRange(0, 8).Draw(t, "n") {
			decisions = append(decisions, approval.Decision{
				ID:       rapid.StringMatching(`[a-z]{8}`).Draw(t, "id"),
				Verdict:  rapid.SampledFrom([]approval.Verdict{approval.Approve, approval.Approve, approval.Reject}).Draw(t, "verdict"),
				Reviewer: reviewer(rapid.SampledFrom([]string{"tom", "Tom", "a", "b", "c", "d"}).Draw(t, "who"), roles.Draw(t, "roles")...),
			})
		}
		out := approval.Tally(p, action(), decisions)
		if out.Status == approval.Approved && len(out.Counted) < 3 {
			t.Fatalf("approved on %v", out.Counted)
		}
		if out.Status == approval.Pending && len(out.Missing) == 0 {
			t.Fatalf("pending, and nothing is missing")
		}
		for _, d := range decisions {
			for _, id := range out.Counted {
				if id == d.ID && d.Reviewer.Same(action().Requester) {
					t.Fatalf("the requester's decision counted")
				}
			}
		}
	})
}

func TestNoPolicyRefuses(t *testing.T) {
	a := action()
	a.Kind = "trade.cancel"
	if p, err := load(t, twoComplianceOneAdmin).For(a); err == nil || !strings.Contains(err.Error(), "no approval policy covers") {
		t.Errorf("For(%s) = %v, %v, want a refusal", a.Kind, p, err)
	}
}

func TestStatusMachine(t *testing.T) {
	for _, from := range approval.Statuses() {
		for _, to := range approval.Statuses() {
			can := from.CanBecome(to)
			if can && from.Terminal() {
				t.Errorf("%s is terminal and can become %s", from, to)
			}
			if can && to == approval.Pending {
				t.Errorf("%s can become pending again", from)
			}
			if can && to == approval.Consumed && from != approval.Approved {
				t.Errorf("%s can become consumed without approval", from)
			}
		}
	}
	if approval.Status("granted").Valid() {
		t.Error("granted is not a status")
	}
}

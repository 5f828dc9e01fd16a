package agent_test

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"finobs/internal/agent"
	"finobs/internal/approval"
	"finobs/internal/fault"

	"pgregory.net/rapid"
)

var alice = approval.Person{Issuer: "test", Subject: "alice"}

func drawTarget(t *rapid.T) agent.Target {
	return agent.Target{
		Kind: rapid.StringMatching(`[a-z][a-z_]{0,10}`).Draw(t, "kind"), ID: rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9_.:-]{0,20}`).Draw(t, "id"),
	}
}

// drawRequest draws a request that is valid.
func drawRequest(t *rapid.T) agent.Request {
	r := agent.Request{
		Kind: rapid.SampledFrom([]agent.Kind{agent.Triage, agent.Remediate, agent.Compliance, agent.AuditSummary}).Draw(t, "kind"),
		Mode: rapid.SampledFrom([]approval.Mode{approval.Live, approval.Simulation}).Draw(t, "mode"),
	}
	switch r.Kind {
	case agent.Triage, agent.Remediate:
		r.IncidentID = rapid.Int64Range(1, 1<<50).Draw(t, "incident")
		for range rapid.IntRange(0, agent.MaxTargets).Draw(t, "targets") {
			r.Targets = append(r.Targets, drawTarget(t))
		}
	case agent.Compliance:
		r.Origin = rapid.SampledFrom([]string{"live", "demo"}).Draw(t, "origin")
		from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		if rapid.Bool().Draw(t, "dated") {
			days := rapid.IntRange(0, 400).Draw(t, "days")
			r.Start, r.End = from.Format(time.DateOnly), from.AddDate(0, 0, days).Format(time.DateOnly)
		}
		r.Source, r.Account = rapid.StringMatching(`[a-z ]{0,8}`).Draw(t, "source"), rapid.StringMatching(`[A-Z0-9]{0,8}`).Draw(t, "account")
	case agent.AuditSummary:
		r.From = rapid.Int64Range(0, 1<<40).Draw(t, "from")
		r.To = r.From + rapid.Int64Range(1, agent.MaxLeaves).Draw(t, "leaves")
		r.Newest = rapid.Bool().Draw(t, "newest")
	}
	return r
}

// What people approve is read back as what was asked for.
func TestRequestsAreReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRequest(t)
		if err := r.Validate(); err != nil {
			t.Fatal(err)
		}
		a := r.Action(alice, "EQ")
		got, err := agent.RequestOf(a)
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Fatalf("asked %+v, read %+v, %v", r, got, err)
		}
		if _, err := a.Canonical(); err != nil {
			t.Fatal(err)
		}
		if got.Simulated() != (r.Mode == approval.Simulation) {
			t.Fatal("the mode is another")
		}
	})
}

// Two requests that differ are two actions.
func TestRequestsThatDifferAreOtherActions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawRequest(t), drawRequest(t)
		if rapid.Bool().Draw(t, "alike") {
			b = a
			b.IncidentID += 1
			b.From++
		}
		x, y := a.Action(alice, "EQ"), b.Action(alice, "EQ")
		same := x.Kind == y.Kind && x.Mode == y.Mode && slices.Equal(x.Targets, y.Targets) && maps.Equal(x.Parameters, y.Parameters)
		if same != reflect.DeepEqual(a, b) && a.Validate() == nil && b.Validate() == nil {
			t.Fatalf("%+v and %+v are the same action: %t", a, b, same)
		}
	})
}

func TestInvalidRequests(t *testing.T) {
	good := map[string]agent.Request{
		"triage":     {Kind: agent.Triage, IncidentID: 1, Mode: approval.Live},
		"compliance": {Kind: agent.Compliance, Origin: "live", Mode: approval.Live},
		"summary":    {Kind: agent.AuditSummary, From: 1, To: 2, Mode: approval.Live},
	}
	for name, r := range good {
		if err := r.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, tc := range map[string]struct {
		of     string
		change func(*agent.Request)
	}{
		"no kind":                    {"triage", func(r *agent.Request) { r.Kind = "" }},
		"another kind":               {"triage", func(r *agent.Request) { r.Kind = "resume" }},
		"no mode":                    {"triage", func(r *agent.Request) { r.Mode = "" }},
		"no incident":                {"triage", func(r *agent.Request) { r.IncidentID = 0 }},
		"an incident below 1":        {"triage", func(r *agent.Request) { r.IncidentID = -1 }},
		"an incident of compliance":  {"compliance", func(r *agent.Request) { r.IncidentID = 1 }},
		"an incident of a summary":   {"summary", func(r *agent.Request) { r.IncidentID = 1 }},
		"dates of triage":            {"triage", func(r *agent.Request) { r.Start = "2026-01-01" }},
		"an account of a summary":    {"summary", func(r *agent.Request) { r.Account = "A" }},
		"no origin":                  {"compliance", func(r *agent.Request) { r.Origin = "" }},
		"another origin":             {"compliance", func(r *agent.Request) { r.Origin = "test" }},
		"no date":                    {"compliance", func(r *agent.Request) { r.Start = "2026-02-30" }},
		"ends before it starts":      {"compliance", func(r *agent.Request) { r.Start, r.End = "2026-02-02", "2026-02-01" }},
		"targets of compliance":      {"compliance", func(r *agent.Request) { r.Targets = []agent.Target{{Kind: "order", ID: "1"}} }},
		"too many targets":           {"triage", func(r *agent.Request) { r.Targets = make([]agent.Target, agent.MaxTargets+1) }},
		"leaves of triage":           {"triage", func(r *agent.Request) { r.To = 1 }},
		"the newest leaf of triage":  {"triage", func(r *agent.Request) { r.Newest = true }},
		"no leaves":                  {"summary", func(r *agent.Request) { r.To = r.From }},
		"leaves below 0":             {"summary", func(r *agent.Request) { r.From = -1 }},
		"too many leaves":            {"summary", func(r *agent.Request) { r.To = r.From + agent.MaxLeaves + 1 }},
		"a range that overflows":     {"summary", func(r *agent.Request) { r.From, r.To = 0, 1<<62 }},
		"ends cancelling each other": {"compliance", func(r *agent.Request) { r.From, r.To = 5, -5 }},
	} {
		r := good[tc.of]
		tc.change(&r)
		if err := r.Validate(); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An action of something else lets no agent run.
func TestRequestOfRefuses(t *testing.T) {
	for name, change := range map[string]func(*approval.Action){
		"another kind":            func(a *approval.Action) { a.Kind = "export.triage" },
		"no prefix":               func(a *approval.Action) { a.Kind = "triage" },
		"a resume":                func(a *approval.Action) { a.Kind = agent.KindResume },
		"an incident of no digit": func(a *approval.Action) { a.Targets[0].ID = "x" },
		"no incident":             func(a *approval.Action) { a.Targets = nil },
		"another target":          func(a *approval.Action) { a.Targets[0].Kind = "export" },
		"a target of no form":     func(a *approval.Action) { a.Parameters["targets"] = "order:1 settlement" },
		"leaves":                  func(a *approval.Action) { a.Parameters["from"] = "1x" },
		"no mode":                 func(a *approval.Action) { a.Mode = "" },
	} {
		a := agent.Request{Kind: agent.Triage, IncidentID: 1, Mode: approval.Live}.Action(alice, "EQ")
		change(&a)
		if _, err := agent.RequestOf(a); fault.CodeOf(err) != "not-an-agent-run" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestActs(t *testing.T) {
	good := map[agent.Verb]agent.Act{
		agent.Override: {ID: "1", Verb: agent.Override, RunID: 1, Field: agent.FieldSeverity, Chosen: "low", Reason: "why"},
		agent.Stop:     {ID: "1", Verb: agent.Stop, Reason: "why"},
		agent.Resolve:  {ID: "1", Verb: agent.Resolve, ActionID: 1, Found: agent.FoundDone, Reason: "why"},
		agent.Withdraw: {ID: "1", Verb: agent.Withdraw, ActionID: 1, Reason: "why"},
	}
	seen := map[string]agent.Verb{}
	for verb, a := range good {
		digest, err := a.Digest()
		if err := a.Validate(); err != nil {
			t.Errorf("%s: %v", verb, err)
		}
		if seen[digest] != "" || err != nil {
			t.Errorf("%s has the digest of %s, %v", verb, seen[digest], err)
		}
		seen[digest] = verb
	}
	for name, tc := range map[string]struct {
		verb   agent.Verb
		change func(*agent.Act)
		code   string // "": it is valid, and another
	}{
		"no id":           {agent.Stop, func(a *agent.Act) { a.ID = "" }, "invalid-agent-act"},
		"no reason":       {agent.Stop, func(a *agent.Act) { a.Reason = " \n" }, "invalid-agent-act"},
		"a long reason":   {agent.Stop, func(a *agent.Act) { a.Reason = strings.Repeat("x", 2001) }, "invalid-agent-act"},
		"no verb":         {agent.Stop, func(a *agent.Act) { a.Verb = "" }, "invalid-agent-act"},
		"an odd desk":     {agent.Stop, func(a *agent.Act) { a.Desk = "E Q\n" }, "invalid-agent-act"},
		"a desk":          {agent.Stop, func(a *agent.Act) { a.Desk = "EQ" }, ""},
		"another reason":  {agent.Stop, func(a *agent.Act) { a.Reason = "other" }, ""},
		"another id":      {agent.Stop, func(a *agent.Act) { a.ID = "2" }, ""},
		"no action":       {agent.Resolve, func(a *agent.Act) { a.ActionID = 0 }, "invalid-agent-act"},
		"another action":  {agent.Resolve, func(a *agent.Act) { a.ActionID = 2 }, ""},
		"found nothing":   {agent.Resolve, func(a *agent.Act) { a.Found = "" }, "invalid-agent-act"},
		"found unknown":   {agent.Resolve, func(a *agent.Act) { a.Found = "unknown" }, "invalid-agent-act"},
		"found failed":    {agent.Resolve, func(a *agent.Act) { a.Found = agent.FoundFailed }, ""},
		"withdrawn":       {agent.Withdraw, func(a *agent.Act) { a.ActionID = -1 }, "invalid-agent-act"},
		"no run":          {agent.Override, func(a *agent.Act) { a.RunID = 0 }, "invalid-override"},
		"another run":     {agent.Override, func(a *agent.Act) { a.RunID = 2 }, ""},
		"no field":        {agent.Override, func(a *agent.Act) { a.Field = "" }, "invalid-override"},
		"no severity":     {agent.Override, func(a *agent.Act) { a.Chosen = "LOW" }, "invalid-override"},
		"another":         {agent.Override, func(a *agent.Act) { a.Chosen = "high" }, ""},
		"no category":     {agent.Override, func(a *agent.Act) { a.Field, a.Chosen = agent.FieldCategory, "low" }, "invalid-override"},
		"a category":      {agent.Override, func(a *agent.Act) { a.Field, a.Chosen = agent.FieldCategory, "access" }, ""},
		"name of any act": {agent.Override, func(a *agent.Act) { a.Field, a.Chosen = agent.FieldAction, "whatever" }, ""},
	} {
		a := good[tc.verb]
		tc.change(&a)
		err := a.Validate()
		if tc.code != "" {
			if fault.KindOf(err) != fault.Invalid || fault.CodeOf(err) != tc.code {
				t.Errorf("%s: %v, want %s", name, err, tc.code)
			}
			continue
		}
		digest, digestErr := a.Digest()
		if err != nil || digestErr != nil || seen[digest] != "" {
			t.Errorf("%s: %v, %v, the digest of %s", name, err, digestErr, seen[digest])
		}
	}
}

func TestOverrideType(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.SampledFrom([]string{"", "low", "high", "none"})
		recommended, chosen := word.Draw(t, "recommended"), word.Draw(t, "chosen")
		got := agent.OverrideType(recommended, chosen)
		want := map[string]string{"": "manual_override"}[recommended]
		if want == "" {
			want = "ai_override"
		}
		if recommended == chosen {
			want = ""
		}
		if got != want {
			t.Fatalf("%q in the place of %q is %q, want %q", chosen, recommended, got, want)
		}
	})
}

func TestStopOf(t *testing.T) {
	a := agent.ResumeAction(42, "EQ", alice, "FX")
	if id, err := agent.StopOf(a); err != nil || id != 42 || a.Parameters["stopped_desk"] != "EQ" || a.Desk != "FX" {
		t.Errorf("got %d, %v of %+v", id, err, a)
	}
	for name, change := range map[string]func(*approval.Action){
		"another kind":   func(a *approval.Action) { a.Kind = "agent.triage" },
		"no target":      func(a *approval.Action) { a.Targets = nil },
		"two targets":    func(a *approval.Action) { a.Targets = append(a.Targets, a.Targets[0]) },
		"another target": func(a *approval.Action) { a.Targets[0].Kind = "incident" },
		"no number":      func(a *approval.Action) { a.Targets[0].ID = "all" },
	} {
		a := agent.ResumeAction(42, "EQ", alice, "FX")
		change(&a)
		if _, err := agent.StopOf(a); fault.KindOf(err) != fault.Forbidden {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestExplain(t *testing.T) {
	o := agent.Output{
		Summary: "It is down.", ProbableCause: "The disk is full.", Inconclusive: true,
		Claims: []agent.Claim{{Text: "it is silent", Cites: []agent.Cite{{Evidence: "E1"}, {Evidence: "E2"}}}, {Text: "made up", Struck: true}},
	}
	want := "It is down.\nProbable cause: The disk is full.\nInconclusive: the evidence does not suffice for a cause.\n- it is silent [E1, E2]"
	if got := o.Explain(); got != want {
		t.Errorf("got %q", got)
	}
	if !agent.IsModel("llm/openai model=x") || agent.IsModel("rulebook/triage@1") {
		t.Error("models are told from rulebooks by their version")
	}
	v := agent.Version{Analyst: "llm/openai", Model: "m", RulebookSHA256: strings.Repeat("a", 64), PromptSHA256: "b"}
	if got := v.String(); got != "llm/openai sha256:aaaaaaaaaaaa model=m prompt=sha256:b" {
		t.Errorf("got %q", got)
	}
}

func TestParseTarget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawTarget(t)
		if got, err := agent.ParseTarget(want.Key()); err != nil || got != want {
			t.Fatalf("%s is read as %+v, %v", want.Key(), got, err)
		}
	})
}

func FuzzParseTarget(f *testing.F) {
	for _, seed := range []string{"order:O-1001", "settlement:S.1:2", ":", "order:", "Order:1", "order:1\n", "order: 1", "a:b c:d", "ordеr:1", "order:-1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, key string) {
		got, err := agent.ParseTarget(key)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Fatalf("%q: %v", key, err)
			}
			return
		}
		if got.Key() != key || len(strings.Fields(key)) != 1 || len(key) > 100 {
			t.Fatalf("%q is read as %+v", key, got)
		}
		r := agent.Request{Kind: agent.Triage, IncidentID: 1, Mode: approval.Live, Targets: []agent.Target{got}}
		if back, err := agent.RequestOf(r.Action(alice, "EQ")); err != nil || !reflect.DeepEqual(back, r) {
			t.Fatalf("%+v is read back as %+v, %v", r, back, err)
		}
	})
}

func TestCategories(t *testing.T) {
	for _, c := range agent.Categories() {
		if !c.Valid() {
			t.Errorf("%s is no category", c)
		}
	}
	for _, c := range []agent.Category{"", "Other", "trade break"} {
		if c.Valid() {
			t.Errorf("%q is a category", c)
		}
	}
}

package approval_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/fault"
	"finobs/policies"

	"pgregory.net/rapid"
)

// full uses every field of a policy file.
const full = `
version: 1
risk:
  - {match: 'action.kind.startsWith("user.")', tier: high}
  - {match: 'action.kind.startsWith("demo.")', tier: low}
policies:
  - id: demo.auto
    match: 'action.kind == "demo.auto"'
    auto: true
    expires: 1h
  - id: full
    match: 'action.kind.startsWith("export.")'
    stages:
      - label: review
        all_of: [{n: 2, who: '"compliance" in reviewer.roles', label: compliance}]
        any_of:
          - {n: 1, who: '"admin" in reviewer.roles', label: admin}
          - {n: 2, who: '"analyst" in reviewer.roles'}
      - all_of: [{n: 1, who: 'reviewer.desk != action.desk'}]
    fallback: '"admin" in reviewer.roles'
    veto: 2
    expires: 24h
    reuse_for: 90m
    single_use: true
    roster: required
    delegation: false
    channel: default
    reminders:
      - {after: 12h, to: 'true', channel: late}
      - {after: 4h, to: '"compliance" in reviewer.roles', channel: default, label: compliance}
    escalation:
      - {after: 8h, to: '"admin" in reviewer.roles', channel: default}
`

func TestLoadPoliciesReadsEveryField(t *testing.T) {
	p := policyFor(t, full)
	if len(p.Stages) != 2 || p.Stages[0].Label != "review" || len(p.Stages[0].AnyOf) != 2 || p.Stages[0].AllOf[0].N != 2 {
		t.Errorf("stages are %+v", p.Stages)
	}
	if p.Veto != 2 || p.Expires != 24*time.Hour || p.ReuseFor != 90*time.Minute || p.Roster != approval.RosterRequired ||
		!p.NoDelegation || p.Channel != "default" || p.Fallback == "" || p.Auto {
		t.Errorf("policy is %+v", p)
	}
	var rungs []string
	for _, r := range p.Ladder {
		rungs = append(rungs, fmt.Sprint(r.Name, "@", r.After, "/", r.Channel))
	}
	if got := strings.Join(rungs, " "); got != "reminder-1@4h0m0s/default escalation-1@8h0m0s/default reminder-2@12h0m0s/late" {
		t.Errorf("ladder is %s", got)
	}
	if list := load(t, full).List(); len(list) != 2 || list[0].ID != "demo.auto" || !list[0].Auto {
		t.Errorf("List = %+v", list)
	}
	plain := policyFor(t, twoComplianceOneAdmin)
	if plain.ReuseFor != plain.Expires || plain.Roster != approval.RosterOptional || plain.NoDelegation || len(plain.Stages) != 1 {
		t.Errorf("defaults are %+v", plain)
	}
}

func TestLoadPoliciesRefuses(t *testing.T) {
	for want, replace := range map[string][2]string{
		"field vetoo not found":          {"veto: 1", "vetoo: 1"},
		"undeclared reference":           {"action.kind.starts", "action.knd.starts"},
		"of type string":                 {`'action.kind.startsWith("export.")'`, `action.kind`},
		"undeclared reference to 'revie": {`'action.kind.startsWith("export.")'`, `'"admin" in reviewer.roles'`},
		"all_of[0].n is 0":               {"n: 2", "n: 0"},
		"all_of[0].n is 100":             {"n: 2", "n: 100"},
		"n is 9223372036854775807":       {"n: 2", "n: 9223372036854775807"},
		"all_of[1] brings the policy to": {"n: 2", "n: 20"},
		"veto is 0":                      {"veto: 1", "veto: 0"},
		"veto is 21":                     {"veto: 1", "veto: 21"},
		"expires is 0s":                  {"expires: 4h", "expires: 0s"},
		"into time.Duration":             {"expires: 4h", "expires: 4"},
		"expires is 745h":                {"expires: 4h", "expires: 745h"},
		"reuse_for is 0s":                {"veto: 1", "reuse_for: 0s\n    veto: 1"},
		"reuse_for is 1000h":             {"veto: 1", "reuse_for: 1000h\n    veto: 1"},
		"id must be dotted":              {"id: four.eyes", "id: Four Eyes"},
		"this program reads version 1":   {"version: 1", "version: 2"},
		"single_use: false is not":       {"veto: 1", "single_use: false\n    veto: 1"},
		"the condition is empty":         {`'"admin" in reviewer.roles'`, `''`},
		"over 1024 characters":           {`'"admin" in reviewer.roles'`, "'" + strings.Repeat("true || ", 200) + "true'"},
		`roster is "strict"`:             {"veto: 1", "roster: strict\n    veto: 1"},
		`channel "No Channel"`:           {"veto: 1", "channel: No Channel\n    veto: 1"},
		"stages beside all_of":           {"veto: 1", "stages: [{all_of: [{n: 1, who: 'true'}]}]\n    veto: 1"},
		"auto: true approves at once":    {"veto: 1", "auto: true\n    veto: 1"},
		"fallback: ":                     {"veto: 1", "fallback: 'reviewer.nothing'\n    veto: 1"},
		"label holds a character":        {"label: admin", `label: "ad\u202emin"`},
		"label is over 128":              {"label: admin", "label: " + strings.Repeat("x", 129)},
		"second document":                {"expires: 4h", "expires: 4h\n---\nversion: 1"},
		"reminder-1: after is 4h0m0s":    {"veto: 1", "reminders: [{after: 4h, to: 'true', channel: c}]\n    veto: 1"},
		"escalation-1: after is 0s":      {"veto: 1", "escalation: [{to: 'true', channel: c}]\n    veto: 1"},
		"reminder-1: channel is empty":   {"veto: 1", "reminders: [{after: 1h, to: 'true'}]\n    veto: 1"},
		"reminder-1: channel \"C\"":      {"veto: 1", "reminders: [{after: 1h, to: 'true', channel: C}]\n    veto: 1"},
		"reminder-1: to: ":               {"veto: 1", "reminders: [{after: 1h, channel: c}]\n    veto: 1"},
		"is not a decimal number":        {`'action.kind.startsWith("export.")'`, `'action.amount.exceeds("1e6")'`},
		"risk rule 1: tier":              {"policies:", "risk: [{match: 'true', tier: huge}]\npolicies:"},
		"risk rule 1: match":             {"policies:", "risk: [{match: 'reviewer.id == \"x\"', tier: low}]\npolicies:"},
		"the limit is 10":                {"all_of:", "stages:" + strings.Repeat("\n      - all_of: [{n: 1, who: 'true'}]", 11) + "\n    x_all_of:"},
		"have 21 entries":                {"veto: 1", "reminders:" + strings.Repeat("\n      - {after: 1h, to: 'true', channel: c}", 21) + "\n    veto: 1"},
	} {
		file := strings.Replace(twoComplianceOneAdmin, replace[0], replace[1], 1)
		if before, _, cut := strings.Cut(file, "    x_all_of:"); cut {
			file = before + "    veto: 1\n    expires: 4h\n"
		}
		if _, err := approval.LoadPolicies(strings.NewReader(file)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("LoadPolicies = %v, want an error saying %q", err, want)
		}
	}
	for want, file := range map[string]string{
		"it is empty":                 "",
		"has no policies":             "version: 1\n",
		"is taken":                    twoComplianceOneAdmin + strings.SplitN(twoComplianceOneAdmin, "policies:\n", 2)[1],
		"all_of is empty":             "version: 1\npolicies: [{id: p, match: 'true', veto: 1, expires: 1h}]",
		"all_of and any_of are empty": "version: 1\npolicies: [{id: p, match: 'true', veto: 1, expires: 1h, stages: [{label: x}]}]",
	} {
		if _, err := approval.LoadPolicies(strings.NewReader(file)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("LoadPolicies(%q) = %v, want an error saying %q", file, err, want)
		}
	}
}

// Whatever bytes a file holds, reading it ends in policies or in an error.
func TestHostileFilesNeverPanic(t *testing.T) {
	seeds := []string{full, string(policies.Strict), "&a [*a]", "a: &a [*a, *a]", "- - - -", "\xff\xfe", "? ? :", "!!binary x: y",
		"version: !!float 1\npolicies: [~, {}, {all_of: [~]}]", "x: &x {<<: *x}", "cases: [~, {action: ~, decisions: [~]}]"}
	rapid.Check(t, func(rt *rapid.T) {
		text := []byte(rapid.SampledFrom(seeds).Draw(rt, "seed"))
		for range rapid.IntRange(0, 8).Draw(rt, "changes") {
			i := rapid.IntRange(0, len(text)).Draw(rt, "at")
			j := min(len(text), i+rapid.IntRange(0, 6).Draw(rt, "cut"))
			insert := rapid.SampledFrom([]string{"", "\n", ": ", "- ", "&a ", "*a", "{", "]", "'", "\t", "\x00", "<<: ", "!!int ", "|", "9999999999999999999"}).Draw(rt, "insert")
			text = append(append(append([]byte{}, text[:i]...), insert...), text[j:]...)
		}
		if ps, err := approval.LoadPolicies(bytes.NewReader(text)); err == nil && len(ps.List()) == 0 {
			rt.Fatalf("%q: no policies and no error", text)
		}
		_, _ = approval.LoadCases(bytes.NewReader(text))
	})
}

func TestClassify(t *testing.T) {
	ps := load(t, full)
	for _, tt := range []struct {
		kind   string
		stated approval.RiskTier
		want   approval.RiskTier
	}{
		{"user.change", "", approval.High},
		{"user.change", approval.Low, approval.High},
		{"demo.auto", "", approval.Low},
		{"demo.auto", approval.High, approval.High},
		{"export.incidents", "", approval.Medium},
		{"export.incidents", approval.Low, approval.Medium},
	} {
		a := action()
		a.Kind, a.RiskTier = tt.kind, tt.stated
		if got, err := ps.Classify(a); err != nil || got != tt.want {
			t.Errorf("Classify(%s, %q) = %s, %v, want %s", tt.kind, tt.stated, got, err, tt.want)
		}
	}
	a := action()
	a.RiskTier = "extreme"
	if _, err := ps.Classify(a); fault.KindOf(err) != fault.Invalid {
		t.Errorf("Classify of an unknown tier: %v", err)
	}
	if approval.RiskTier("").AtLeast(approval.Low) || !approval.High.AtLeast(approval.Medium) || approval.Low.AtLeast(approval.Medium) {
		t.Error("tiers are not in order")
	}
}

func TestAmountsCompareExactlyAndFailClosed(t *testing.T) {
	const file = `
version: 1
risk: [{match: '"amount" in action.parameters && action.amount.exceeds("5000000")', tier: high}]
policies:
  - {id: large, match: 'action.amount.exceeds("1000000")', veto: 1, expires: 1h, all_of: [{n: 1, who: 'true'}]}
  - {id: rest, match: 'true', veto: 1, expires: 1h, all_of: [{n: 1, who: 'true'}]}
`
	ps := load(t, file)
	for amount, want := range map[string]string{
		"1000000": "rest", "1000000.00": "rest", "1000000.000000000000000000001": "large", "0999999.99": "rest", "-5": "rest",
		"9007199254740993": "large", "": "", "1e7": "", "1e999999999": "", "0x10": "", "1,000,001": "", "2 000 000": "", "\t2": "", "NaN": "",
		"+1": "", ".5": "", strings.Repeat("9", 64): "large", strings.Repeat("9", 65): "", "1000001\n": "",
	} {
		a := action()
		a.Parameters["amount"] = amount
		p, err := ps.For(a)
		switch {
		case want == "" && (fault.KindOf(err) != fault.Forbidden || !strings.Contains(fmt.Sprint(err), "policy-not-evaluable")):
			t.Errorf("For(amount %q) = %v, %v, want a refusal", amount, p, err)
		case want != "" && (err != nil || p.ID != want):
			t.Errorf("For(amount %q) = %v, %v, want %s", amount, p, err, want)
		}
		if _, err := ps.Classify(a); (want == "") != (fault.KindOf(err) == fault.Forbidden && err != nil) {
			t.Errorf("Classify(amount %q): %v", amount, err)
		}
	}
	if p, err := ps.For(action()); err == nil || !strings.Contains(err.Error(), "policy large") || !strings.Contains(err.Error(), "not a decimal number") {
		t.Errorf("For without an amount = %v, %v, want an error that names the policy and the reason", p, err)
	}
}

func TestConditionsSeeTheAction(t *testing.T) {
	a := action()
	a.Parameters["amount"], a.RiskTier = "12", approval.High
	for _, condition := range []string{
		`action.dataset == "incidents"`, `action.risk_tier == "high"`, `action.amount == "12"`,
		`"dataset:incidents" in action.targets`, `action.mode == "live"`, `action.requester == "tom"`, `action.parameters["status"] == "open"`,
	} {
		ps := load(t, "version: 1\npolicies: [{id: p, match: '"+condition+"', auto: true, expires: 1h}]")
		if _, err := ps.For(a); err != nil {
			t.Errorf("%s does not hold: %v", condition, err)
		}
	}
	if got := (approval.Action{Kind: "trade.cancel", Parameters: map[string]string{"dataset": "d"}}).Dataset(); got != "d" {
		t.Errorf("Dataset = %q", got)
	}
}

func TestShippedPoliciesDoWhatTheirCasesSay(t *testing.T) {
	for name, file := range map[string][]byte{"desk": policies.Desk, "strict": policies.Strict} {
		ps, err := approval.LoadPolicies(bytes.NewReader(file))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		f, err := os.Open("../../policies/" + name + ".cases.yaml")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cases, err := approval.LoadCases(f)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, c := range cases {
			for _, problem := range c.Check(ps) {
				t.Errorf("%s: %s: %s", name, c.Name, problem)
			}
		}
	}
}

func TestCases(t *testing.T) {
	check := func(text string) string {
		t.Helper()
		cases, err := approval.LoadCases(strings.NewReader("cases: [" + text + "]"))
		if err != nil {
			return err.Error()
		}
		return strings.Join(cases[0].Check(load(t, full)), "; ")
	}
	const act = `action: {kind: export.incidents, requester: tom, desk: EQ}`
	for text, want := range map[string]string{
		`{name: x, ` + act + `, expect: pending}`:                                                                           "",
		`{name: x, ` + act + `, expect: approved}`:                                                                          "expected approved, got pending",
		`{name: x, ` + act + `, policy: other, expect: pending}`:                                                            "expected policy other, got full",
		`{name: x, ` + act + `, missing: [nothing], expect: pending}`:                                                       "expected missing",
		`{name: x, ` + act + `, expect: refused}`:                                                                           "expected refused, got pending",
		`{name: x, action: {kind: trade.cancel, requester: tom}, expect: refused}`:                                          "",
		`{name: x, action: {kind: trade.cancel, requester: tom}, expect: approved}`:                                         "expected approved, but",
		`{name: x, action: {kind: demo.auto, requester: tom}, expect: approved}`:                                            "",
		`{name: x, action: {kind: export.x}, expect: pending}`:                                                              "requester",
		`{name: x, ` + act + `, decisions: [{by: tim, roles: [trader], desk: EQ, verdict: approve}], expect: approved}`:     "decision 1 does not count: policy full does not admit",
		`{name: x, ` + act + `, decisions: [{by: tim, roles: [admin], fallback: true, verdict: approve}], expect: pending}`: "",
		`{name: x, ` + act + `, decisions: [{by: tim, verdict: maybe}], expect: pending}`:                                   `verdict is "maybe"`,
		`{name: x, ` + act + `, decisions: [{verdict: approve}], expect: pending}`:                                          "by is empty",
		`{name: x, ` + act + `, expect: consumed}`:                                                                          `expect is "consumed"`,
		`{` + act + `, expect: pending}`:                                                                                    "no name",
		`{name: x, ` + act + `, expct: pending}`:                                                                            "field expct not found",
		``:                                                                                                                  "no cases",
	} {
		if got := check(text); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s\ngot %q, want %q", text, got, want)
		}
	}
}

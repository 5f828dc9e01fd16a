package remediation_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"finobs/internal/action"
	"finobs/internal/approval"
	"finobs/internal/canonical"
	"finobs/internal/fault"
	"finobs/internal/remediation"

	"pgregory.net/rapid"
)

func find(t testing.TB, name string) action.Type {
	t.Helper()
	found, err := action.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func settlement() action.Object {
	return action.Object{Kind: "settlement", ID: "S-1001", Version: "7", Fields: map[string]string{
		"status": "failed", "ssi": "SSI-A", "eligible_ssis": "SSI-A,SSI-B", "quantity": "82000", "amount": "18696000.00", "currency": "USD",
	}}
}

// instructions reads standing instructions, at version 3; there is no SSI-GONE, and
// SSI-MUTE is not to be had now.
func instructions(kind, id string) (action.Object, string, error) {
	switch {
	case kind != "ssi" || id == "SSI-GONE":
		return action.Object{}, "", fault.New(fault.NotFound, "none", "there is none")
	case id == "SSI-MUTE":
		return action.Object{}, "", fault.New(fault.Unavailable, "down", "it is down")
	}
	return action.Object{Kind: kind, ID: id, Version: "3", Fields: map[string]string{"status": "active"}}, "static", nil
}

// plannedAction is an action as a run plans it.
func plannedAction(t testing.TB) remediation.Action {
	t.Helper()
	plan, err := remediation.PlanFor(find(t, "settlement.amend_ssi"), settlement(), map[string]string{"ssi": "SSI-B"}, instructions)
	if err != nil {
		t.Fatal(err)
	}
	x := remediation.Action{
		ID: 42, RunID: 7, IncidentID: 3, Connector: "desk", Plan: plan, Mode: approval.Live, Requester: approval.Person{Issuer: "test", Subject: "alice"},
		Desk: "EQ", Status: remediation.Planned,
	}
	if x.PlanBytes, x.PlanDigest, err = plan.Canonical(); err != nil {
		t.Fatal(err)
	}
	return x
}

func TestPlanFor(t *testing.T) {
	x := plannedAction(t)
	if c := x.Plan.Compensation; c == nil || c.Action != "settlement.amend_ssi" || c.Parameters["ssi"] != "SSI-A" || x.Plan.Before.Fields["ssi"] != "SSI-A" {
		t.Errorf("planned %+v", x.Plan)
	}
	for name, tc := range map[string]struct {
		parameters map[string]string
		kind       fault.Kind
	}{
		"a parameter too much":   {map[string]string{"ssi": "SSI-B", "account": "1"}, fault.Invalid},
		"a parameter too little": {nil, fault.Invalid},
		"no eligible one":        {map[string]string{"ssi": "SSI-C"}, fault.Conflict},
	} {
		if _, err := remediation.PlanFor(find(t, "settlement.amend_ssi"), settlement(), tc.parameters, instructions); fault.KindOf(err) != tc.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	down := action.Object{Kind: "gateway", ID: "GW-1", Version: "1", Fields: map[string]string{"status": "down", "restarts": "0"}}
	plan, err := remediation.PlanFor(find(t, "gateway.restart"), down, nil, nil)
	if err != nil || plan.Compensation != nil {
		t.Errorf("what cannot be taken back: %+v, %v", plan, err)
	}
}

// What a plan depends on is read when it is planned, and part of what is approved: the
// instruction to which the money goes, and the one to which the compensation leads back.
func TestPlansBindWhatTheyDependOn(t *testing.T) {
	amend := find(t, "settlement.amend_ssi")
	x := plannedAction(t)
	if got := fmt.Sprint(x.Plan.Needs); got != "[{static ssi SSI-B 3} {static ssi SSI-A 3}]" {
		t.Errorf("depends on %s", got)
	}
	if err := x.Plan.Complete(amend); err != nil {
		t.Error(err)
	}
	for _, needs := range [][]remediation.Needed{nil, x.Plan.Needs[:1], x.Plan.Needs[1:]} {
		other := x.Plan
		other.Needs = needs
		if err := other.Complete(amend); fault.CodeOf(err) != "plan-incomplete" || fault.KindOf(err) != fault.Forbidden {
			t.Errorf("complete with %v: %v", needs, err)
		}
	}
	o := settlement()
	o.Fields["eligible_ssis"] = "SSI-A,SSI-B,SSI-GONE,SSI-MUTE"
	plan := func(from, to string) (remediation.Plan, error) {
		o.Fields["ssi"] = from
		return remediation.PlanFor(amend, o, map[string]string{"ssi": to}, instructions)
	}
	if _, err := plan("SSI-A", "SSI-GONE"); fault.CodeOf(err) != "needed-not-found" || !strings.Contains(fault.MessageOf(err), "SSI-GONE") {
		t.Errorf("planned over an instruction that nobody has: %v", err)
	}
	for _, ids := range [][2]string{{"SSI-A", "SSI-MUTE"}, {"SSI-MUTE", "SSI-A"}} {
		if _, err := plan(ids[0], ids[1]); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("planned over an instruction that was not read: %v", err)
		}
	}
	if p, err := plan("SSI-GONE", "SSI-B"); err != nil || p.Compensation != nil || len(p.Needs) != 1 || p.Complete(amend) != nil {
		t.Errorf("taken back to an instruction that is gone: %+v, %v", p, err)
	}
	o.Fields["remaining_quantity"], o.Fields["remaining_amount"], o.Fields["ssi"], o.Fields["settlement_date"] = "82000", "18696000", "SSI-A", "2026-06-12"
	p, err := remediation.PlanFor(find(t, "settlement.reinstruct"), o, map[string]string{"settlement_date": "2026-06-15"}, instructions)
	if err != nil || fmt.Sprint(p.Needs) != "[{static ssi SSI-A 3}]" {
		t.Errorf("a new instruction depends on %v, %v", p.Needs, err)
	}
}

// What is approved is exactly what was planned: a change of anything is found.
func TestMatchesFindsEveryChange(t *testing.T) {
	x := plannedAction(t)
	if err := x.Matches(x.Approvable()); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*remediation.Action){
		"run":                     func(x *remediation.Action) { x.RunID++ },
		"incident":                func(x *remediation.Action) { x.IncidentID++ },
		"connector":               func(x *remediation.Action) { x.Connector = "other" },
		"digest of the plan":      func(x *remediation.Action) { x.PlanDigest = "sha256:0" },
		"mode":                    func(x *remediation.Action) { x.Mode = approval.Simulation },
		"desk":                    func(x *remediation.Action) { x.Desk = "FX" },
		"requester":               func(x *remediation.Action) { x.Requester.Subject = "mallory" },
		"issuer of the requester": func(x *remediation.Action) { x.Requester.Issuer = "other" },
		"kind":                    func(x *remediation.Action) { x.Plan.Action = "settlement.reinstruct" },
		"version of the action":   func(x *remediation.Action) { x.Plan.Version++ },
		"kind of the target":      func(x *remediation.Action) { x.Plan.Target.Kind = "trade" },
		"id of the target":        func(x *remediation.Action) { x.Plan.Target.ID = "S-1002" },
		"version of the target":   func(x *remediation.Action) { x.Plan.Target.Version = "8" },
		"what changes": func(x *remediation.Action) {
			x.Plan.Changes = []action.Change{{Field: "ssi", Before: "SSI-A", After: "SSI-C"}}
		},
		"what it was": func(x *remediation.Action) {
			x.Plan.Changes = []action.Change{{Field: "ssi", Before: "SSI-C", After: "SSI-B"}}
		},
		"one change less": func(x *remediation.Action) { x.Plan.Changes = nil },
		"a parameter":     func(x *remediation.Action) { x.Plan.Command.Parameters = map[string]string{"ssi": "SSI-C"} },
		"no compensation": func(x *remediation.Action) { x.Plan.Compensation = nil },
		"another compensation": func(x *remediation.Action) {
			x.Plan.Compensation = &action.Command{Action: "settlement.amend_ssi", Parameters: map[string]string{"ssi": "SSI-C"}}
		},
		"the amount":                   func(x *remediation.Action) { x.Plan.AmountUSD = "1.00" },
		"what moves":                   func(x *remediation.Action) { x.Plan.Amount, x.Plan.Currency = "1", "EUR" },
		"the quantity":                 func(x *remediation.Action) { x.Plan.Quantity = "1" },
		"version of the instruction":   func(x *remediation.Action) { x.Plan.Needs[0].Version = "4" },
		"id of the instruction":        func(x *remediation.Action) { x.Plan.Needs[0].ID = "SSI-C" },
		"connector of the instruction": func(x *remediation.Action) { x.Plan.Needs[0].Connector = "other" },
		"one instruction less":         func(x *remediation.Action) { x.Plan.Needs = x.Plan.Needs[:1] },
		"the notes":                    func(x *remediation.Action) { x.Plan.Notes = nil },
	} {
		other := plannedAction(t)
		change(&other)
		for what, err := range map[string]error{"planned": other.Matches(x.Approvable()), "approved": x.Matches(other.Approvable())} {
			if fault.CodeOf(err) != "action-tampered" || fault.KindOf(err) != fault.Forbidden {
				t.Errorf("another %s was %s: %v", name, what, err)
			}
		}
	}
}

// What a person is asked to approve names all of the plan.
func TestApprovable(t *testing.T) {
	a := plannedAction(t).Approvable()
	want := map[string]string{
		"action_version": "2", "connector": "desk", "incident": "3", "run": "7", "change_ssi": "SSI-A → SSI-B", "parameter_ssi": "SSI-B",
		"compensation": "settlement.amend_ssi ssi=SSI-A",
	}
	for name, value := range want {
		if a.Parameters[name] != value {
			t.Errorf("%s is %q, want %q", name, a.Parameters[name], value)
		}
	}
	if a.Kind != "remediation.settlement.amend_ssi" || !slices.Equal(a.Targets, []approval.Target{
		{Kind: "settlement", ID: "desk/S-1001", Version: "7"}, {Kind: "ssi", ID: "static/SSI-B", Version: "3"}, {Kind: "ssi", ID: "static/SSI-A", Version: "3"},
	}) {
		t.Errorf("got %+v", a)
	}
	if _, err := a.Digest(); err != nil {
		t.Error(err)
	}
}

func TestParsePlanReadsWhatCanonicalWrote(t *testing.T) {
	x := plannedAction(t)
	got, err := remediation.ParsePlan(x.PlanBytes, x.PlanDigest)
	if err != nil {
		t.Fatal(err)
	}
	again, digest, err := got.Canonical()
	if err != nil || digest != x.PlanDigest || !bytes.Equal(again, x.PlanBytes) {
		t.Errorf("read %+v, %v", got, err)
	}
	if got.Version != x.Plan.Version || !maps.Equal(got.Before.Fields, x.Plan.Before.Fields) || got.Compensation.Parameters["ssi"] != "SSI-A" {
		t.Errorf("read %+v", got)
	}
}

// No byte of a plan on record can be changed, lost or added, and no other plan
// takes its place.
func TestParsePlanRefusesEveryChangedByte(t *testing.T) {
	x := plannedAction(t)
	refused := func(t interface{ Fatalf(string, ...any) }, b []byte) {
		if _, err := remediation.ParsePlan(b, x.PlanDigest); fault.CodeOf(err) != "plan-broken" {
			t.Fatalf("%q was read: %v", b, err)
		}
	}
	for i := range x.PlanBytes {
		b := bytes.Clone(x.PlanBytes)
		b[i] ^= 1
		refused(t, b)
		refused(t, append(bytes.Clone(x.PlanBytes[:i]), x.PlanBytes[i+1:]...))
	}
	rapid.Check(t, func(t *rapid.T) {
		b := bytes.Clone(x.PlanBytes)
		at := rapid.IntRange(0, len(b)).Draw(t, "at")
		add := rapid.SliceOfN(rapid.Byte(), 1, 8).Draw(t, "added")
		refused(t, append(append(bytes.Clone(b[:at]), add...), b[at:]...))
	})
	// Bytes that are not canonical are refused though their digest is right.
	for _, odd := range [][]byte{append([]byte(" "), x.PlanBytes...), bytes.Replace(x.PlanBytes, []byte(`{"before"`), []byte(`{"added":"1","before"`), 1), []byte("{}"), []byte("x")} {
		if _, err := remediation.ParsePlan(odd, digestOf(odd)); fault.CodeOf(err) != "plan-broken" {
			t.Errorf("%q was read: %v", odd, err)
		}
	}
}

func digestOf(b []byte) string { return canonical.DigestBytes(remediation.PlanDigestDomain, b) }

func TestKeyOf(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0123456789abcdef", 4)
	act, undo := remediation.KeyOf(digest, false), remediation.KeyOf(digest, true)
	if act != "finobs-"+digest[7:47] || undo != act+"-undo" {
		t.Errorf("keys %s and %s", act, undo)
	}
}

func TestStanding(t *testing.T) {
	for _, s := range remediation.Statuses() {
		for _, a := range []approval.Status{"", approval.Pending, approval.Approved, approval.Rejected, approval.Expired, approval.Cancelled, approval.Superseded, approval.Consumed} {
			want := string(s)
			if s == remediation.Planned && a != "" {
				want = map[approval.Status]string{approval.Consumed: "executing"}[a]
				if want == "" {
					want = string(a)
				}
			}
			if got := (remediation.Action{Status: s, Approval: a}).Standing(); got != want {
				t.Errorf("%s under an approval that is %q stands %q, want %q", s, a, got, want)
			}
		}
	}
}

func TestAbandonable(t *testing.T) {
	for _, s := range remediation.Statuses() {
		for _, r := range []remediation.Recovery{"", remediation.Waiting, remediation.Recovered, remediation.CompensationUnknown} {
			for _, leased := range []bool{true, false} {
				x := remediation.Action{Status: s, Recovery: r, Leased: leased}
				want := leased && s != remediation.Unknown && r != remediation.CompensationUnknown
				if x.Abandonable() != want {
					t.Errorf("%s %s leased %s: %t", s, r, strconv.FormatBool(leased), !want)
				}
			}
		}
	}
}

// Every action of the catalogue can be planned, kept and read back under any ids.
func TestPlansOfAnyTargetAreReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := settlement()
		o.ID = rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9_.:-]{0,40}`).Draw(t, "id")
		o.Version = strconv.Itoa(rapid.IntRange(0, 1<<40).Draw(t, "version"))
		o.Fields["venue"] = rapid.StringMatching(`[\pL\pN "\\/<>&-]{0,30}`).Draw(t, "venue")
		found, err := action.Find("settlement.amend_ssi")
		if err != nil {
			t.Fatal(err)
		}
		plan, err := remediation.PlanFor(found, o, map[string]string{"ssi": "SSI-B"}, instructions)
		if err != nil {
			t.Skip(err)
		}
		b, digest, err := plan.Canonical()
		if err != nil {
			t.Fatal(err)
		}
		got, err := remediation.ParsePlan(b, digest)
		if err != nil || got.Before.Fields["venue"] != o.Fields["venue"] || got.Target.ID != o.ID {
			t.Fatalf("read %+v, %v", got, err)
		}
	})
}

package ledger_test

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/canonical"
	"finobs/internal/ledger"
)

var at = time.Date(2026, 11, 24, 9, 30, 0, 123456789, time.FixedZone("EST", -5*3600))

func entry() ledger.Entry {
	return ledger.Entry{
		Type:     "approval.decided",
		Actor:    ledger.Actor{Kind: approval.Human, Person: approval.Person{Issuer: "i", Subject: "alice"}},
		Workflow: ledger.Workflow{Namespace: "default", ID: "export:1", FirstRun: "r1"},
		Subject:  ledger.Subject{Kind: "approval", ID: "42"},
		Action:   "approve", Outcome: "approved", Reason: "checked \u202e against \n the blotter",
		Desk: "EQ", RequestID: "q", TraceID: "t",
		Details: canonical.Object{"policy_digest": "sha256:00"},
		Agent:   &ledger.AgentRecord{Explanation: "because", Input: []byte("in"), Output: []byte("out"), Version: "rules/1"},
	}
}

func TestSealGolden(t *testing.T) {
	s, err := entry().Seal("0192-id", at, [32]byte{0xab})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"action":"approve","actor":{"iss":"i","kind":"human","sub":"alice"},` +
		`"ai":{"explanation":"because","input_sha256":"` + hex("in") + `","output_sha256":"` + hex("out") + `","version":"rules/1"},` +
		`"desk":"EQ","details":{"policy_digest":"sha256:00"},"id":"0192-id","idem_key":"ab` + strings.Repeat("00", 31) + `","is_simulation":false,"outcome":"approved",` +
		`"reason":"checked ` + "\u202e" + ` against \n the blotter","request_id":"q","subject":{"id":"42","kind":"approval"},` +
		`"time":"2026-11-24T14:30:00.123456Z","trace_id":"t","type":"approval.decided","v":"1",` +
		`"workflow":{"first_run":"r1","id":"export:1","namespace":"default"}}`
	if string(s.Leaf) != want {
		t.Errorf("leaf =\n%s\nwant\n%s", s.Leaf, want)
	}
	if s.LeafSHA256 != sha256.Sum256(s.Leaf) {
		t.Error("leaf digest is not the SHA-256 of the leaf")
	}
}

func hex(s string) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for _, c := range sha256.Sum256([]byte(s)) {
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}

// A retry has another id and another time; its content is the same. Anything
// else that differs makes other content.
func TestContentIgnoresIDAndTimeOnly(t *testing.T) {
	first, err := entry().Seal("a", at, [32]byte{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := entry().Seal("b", at.Add(time.Hour), [32]byte{})
	if err != nil {
		t.Fatal(err)
	}
	if first.ContentSHA256 != again.ContentSHA256 || bytes.Equal(first.Leaf, again.Leaf) {
		t.Error("content must be the same and leaves must differ for another id and time")
	}
	for name, mutate := range map[string]func(*ledger.Entry){
		"Type":       func(e *ledger.Entry) { e.Type += "x" },
		"Actor":      func(e *ledger.Entry) { e.Actor.Subject = "eve" },
		"ActorKind":  func(e *ledger.Entry) { e.Actor.Kind = approval.Agent },
		"Outcome":    func(e *ledger.Entry) { e.Outcome = "rejected" },
		"Reason":     func(e *ledger.Entry) { e.Reason = "" },
		"Subject":    func(e *ledger.Entry) { e.Subject.ID = "43" },
		"Details":    func(e *ledger.Entry) { e.Details = nil },
		"Agent":      func(e *ledger.Entry) { e.Agent.Input = []byte("other") },
		"Override":   func(e *ledger.Entry) { e.OverrideType = "ai_override" },
		"Simulation": func(e *ledger.Entry) { e.Simulation = true },
		"Workflow":   func(e *ledger.Entry) { e.Workflow.FirstRun = "r2" },
	} {
		e := entry()
		mutate(&e)
		s, err := e.Seal("a", at, [32]byte{})
		if err != nil {
			t.Fatal(err)
		}
		if s.ContentSHA256 == first.ContentSHA256 {
			t.Errorf("%s: the content digest did not change", name)
		}
	}
}

func TestSealRefuses(t *testing.T) {
	e := entry()
	e.Reason = strings.Repeat("x", ledger.MaxLeaf)
	if _, err := e.Seal("a", at, [32]byte{}); err == nil || !strings.Contains(err.Error(), "over the limit of 16384") {
		t.Errorf("Seal of a large entry = %v, want a refusal", err)
	}
	e = entry()
	e.Details = canonical.Object{"rows": 7}
	if _, err := e.Seal("a", at, [32]byte{}); err == nil {
		t.Error("Seal of a number succeeded")
	}
}

func TestStepKey(t *testing.T) {
	base := ledger.Step{Workflow: ledger.Workflow{Namespace: "n", ID: "w", FirstRun: "r"}, Step: "s", Ordinal: "1"}
	seen := map[[32]byte]string{base.Key(): "base"}
	for name, s := range map[string]ledger.Step{
		"Namespace": {Workflow: ledger.Workflow{Namespace: "m", ID: "w", FirstRun: "r"}, Step: "s", Ordinal: "1"},
		"ID":        {Workflow: ledger.Workflow{Namespace: "n", ID: "v", FirstRun: "r"}, Step: "s", Ordinal: "1"},
		"Run":       {Workflow: ledger.Workflow{Namespace: "n", ID: "w", FirstRun: "q"}, Step: "s", Ordinal: "1"},
		"Step":      {Workflow: base.Workflow, Step: "t", Ordinal: "1"},
		"Ordinal":   {Workflow: base.Workflow, Step: "s", Ordinal: "2"},
		"Shifted":   {Workflow: base.Workflow, Step: "s1", Ordinal: ""},
	} {
		if other, taken := seen[s.Key()]; taken {
			t.Errorf("%s has the key of %s", name, other)
		}
		seen[s.Key()] = name
	}
}

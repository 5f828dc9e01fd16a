package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/canonical"
	"finobs/internal/ledger"

	"pgregory.net/rapid"
)

// row is what the log serves of a leaf, as api and store make it.
func row(t testing.TB, index int64, e ledger.Entry, id string, at time.Time, s ledger.Sealed, key [32]byte) Columns {
	t.Helper()
	out := Columns{
		Index: index, EntryID: id, IdemKey: hex.EncodeToString(key[:]), ContentSHA256: hex.EncodeToString(s.ContentSHA256[:]),
		RecordedAt: at.Format(time.RFC3339Nano), Type: e.Type, Action: e.Action, Outcome: e.Outcome, Reason: e.Reason,
		ActorType: string(e.Actor.Kind), ActorIss: e.Actor.Issuer, ActorSub: e.Actor.Subject, SubjectKind: e.Subject.Kind,
		SubjectID: e.Subject.ID, Desk: e.Desk, RequestID: e.RequestID, TraceID: e.TraceID, WorkflowID: e.Workflow.ID,
		IsSimulation: e.Simulation, LeafSHA256: hex.EncodeToString(s.LeafSHA256[:]),
	}
	if e.OverrideType != "" {
		out.OverrideType = &e.OverrideType
	}
	if a := e.Agent; a != nil {
		in, answer := sha256.Sum256(a.Input), sha256.Sum256(a.Output)
		out.AIExplanation, out.AgentVersion = &a.Explanation, &a.Version
		out.AgentInput, out.AgentOutput = new(hex.EncodeToString(in[:])), new(hex.EncodeToString(answer[:]))
	}
	return out
}

func lineOf(t testing.TB, c Columns) []byte {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// drawText draws texts as people write them, with what needs an escape now and then.
func drawText(t *rapid.T, name string) string {
	return rapid.OneOf(rapid.StringMatching(`[ -!#-\[\]-~]{0,20}`), rapid.String(), rapid.SampledFrom([]string{"<&>", "\u2028", "é", "\x7f"})).Draw(t, name)
}

func drawEntry(t *rapid.T) ledger.Entry {
	e := ledger.Entry{
		Type: "approval.decided", Actor: ledger.Actor{Kind: approval.Human, Person: approval.Person{Issuer: "iss", Subject: drawText(t, "sub")}},
		Subject: ledger.Subject{Kind: "approval", ID: "42"}, Action: "approve", Outcome: "counted", Reason: drawText(t, "reason"),
		Desk: "EQ", RequestID: "r", TraceID: "t", Workflow: ledger.Workflow{Namespace: "default", ID: "w", FirstRun: "f"},
		Simulation: rapid.Bool().Draw(t, "simulation"), OverrideType: rapid.SampledFrom([]string{"", "ai_override"}).Draw(t, "override"),
	}
	if rapid.Bool().Draw(t, "details") {
		e.Details = canonical.Object{"a": drawText(t, "detail"), "list": []any{"x", true, canonical.Object{"id": "y"}}, "none": []any{}, "empty": canonical.Object{}}
	}
	if rapid.Bool().Draw(t, "agent") {
		e.Agent = &ledger.AgentRecord{Explanation: drawText(t, "explanation"), Input: []byte("in"), Output: []byte("out"), Version: "rules/1"}
	}
	return e
}

// What quick says yes to, Differs finds equal; after any change of a byte, too. And
// entries of plain text it does know.
func TestQuickSaysYesToWhatIsEqualAlone(t *testing.T) {
	var q quick
	rapid.Check(t, func(r *rapid.T) {
		e, key := drawEntry(r), sha256.Sum256([]byte("key"))
		at := time.Unix(1_790_000_000, rapid.Int64Range(0, 999_999).Draw(r, "µs")*1000).UTC()
		s, err := e.Seal("018f0000-0000-7000-8000-000000000001", at, key)
		if err != nil {
			return // a text that no leaf can hold
		}
		line := lineOf(t, row(t, 7, e, "018f0000-0000-7000-8000-000000000001", at, s, key))
		if q.equal(7, line, s.Leaf) != (plain(s.Leaf) && !bytes.ContainsRune(line, '\\')) {
			r.Fatalf("quick says %v of %s and %s", q.equal(7, line, s.Leaf), s.Leaf, line)
		}
		if q.equal(8, line, s.Leaf) {
			r.Fatal("the index does not matter")
		}
		leaf := bytes.Clone(s.Leaf)
		which, by := &line, byte(1<<rapid.IntRange(0, 7).Draw(r, "bit"))
		if rapid.Bool().Draw(r, "in the leaf") {
			which = &leaf
		}
		(*which)[rapid.IntRange(0, len(*which)-1).Draw(r, "at")] ^= by
		if q.equal(7, line, leaf) {
			r.Fatalf("after a change quick says yes of\n%s\n%s", leaf, line)
		}
	})
}

// Leaves in another spelling, and with members of which nothing is known, are left
// to Differs, though their columns agree with them.
func TestQuickDoesNotKnowOddLeaves(t *testing.T) {
	e, at, key := drawn(), time.Unix(1_790_000_000, 0).UTC(), sha256.Sum256([]byte("key"))
	s, err := e.Seal("018f0000-0000-7000-8000-000000000001", at, key)
	if err != nil {
		t.Fatal(err)
	}
	good := string(s.Leaf)
	for name, leaf := range map[string]string{
		"as it is":             good,
		"white space":          strings.Replace(good, `{"action"`, `{ "action"`, 1),
		"another order":        strings.Replace(good, `"action":"approve","actor"`, `"actor":{"iss":"iss","kind":"human","sub":"bob"},"action":"approve","actor"`, 1),
		"a key twice":          strings.Replace(good, `"desk":"EQ"`, `"desk":"EQ","desk":"EQ"`, 1),
		"a member of another":  strings.Replace(good, `"desk":"EQ"`, `"desk":"EQ","desl":"EQ"`, 1),
		"an actor's own":       strings.Replace(good, `"sub":"bob"`, `"sub":"bob","too":"x"`, 1),
		"a number in details":  strings.Replace(good, `"k":"v"`, `"k":1`, 1),
		"a null in details":    strings.Replace(good, `"k":"v"`, `"k":null`, 1),
		"an escape in details": strings.Replace(good, `"k":"v"`, `"k":"\u0041"`, 1),
		"more behind it":       good + " ",
		"cut off":              good[:len(good)-1],
		"another time":         strings.Replace(good, `.000000Z`, `.000Z`, 1),
		"no time of a clock":   strings.Replace(good, `"time":"2026-09-21`, `"time":"2026-19-21`, 1),
		"deep":                 strings.Replace(good, `"k":"v"`, `"k":`+strings.Repeat("[", 100)+strings.Repeat("]", 100), 1),
		"control characters":   strings.Replace(good, `"k":"v"`, "\"k\":\"\x01\"", 1),
		"not UTF-8":            strings.Replace(good, `"k":"v"`, "\"k\":\"\xff\"", 1),
	} {
		if name != "as it is" && leaf == good {
			t.Fatalf("%s: nothing was changed in %s", name, good)
		}
		// The columns of the leaf, with the digests of the bytes as they are.
		var q quick
		v := leafValues{}
		v.read([]byte(good))
		content := strings.Replace(strings.Replace(leaf, `"id":"018f0000-0000-7000-8000-000000000001",`, "", 1), `"time":"`+string(v.time)+`",`, "", 1)
		if !q.write(7, &v, sha256.Sum256([]byte(leaf)), sha256.Sum256([]byte(content))) {
			t.Fatal("no columns")
		}
		if got := new(quick).equal(7, bytes.Clone(q.line), []byte(leaf)); got != (name == "as it is") {
			t.Errorf("%s: quick says %v", name, got)
		}
	}
}

func drawn() ledger.Entry {
	return ledger.Entry{
		Type: "approval.decided", Actor: ledger.Actor{Kind: approval.Human, Person: approval.Person{Issuer: "iss", Subject: "bob"}},
		Subject: ledger.Subject{Kind: "approval", ID: "42"}, Action: "approve", Outcome: "counted", Reason: "seen", Desk: "EQ",
		Details: canonical.Object{"k": "v"},
	}
}

func BenchmarkColumns(b *testing.B) {
	e, at, key := drawn(), time.Unix(1_790_000_000, 0).UTC(), sha256.Sum256([]byte("key"))
	s, err := e.Seal("018f0000-0000-7000-8000-000000000001", at, key)
	if err != nil {
		b.Fatal(err)
	}
	columns := row(b, 7, e, "018f0000-0000-7000-8000-000000000001", at, s, key)
	line := lineOf(b, columns)
	b.Run("quick", func(b *testing.B) {
		var q quick
		b.ReportAllocs()
		for b.Loop() {
			if !q.equal(7, line, s.Leaf) {
				b.Fatal("it does not know")
			}
		}
	})
	b.Run("in full", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if what := Differs(7, columns, s.Leaf); what != "" {
				b.Fatal(what)
			}
		}
	})
	b.Run("hash", func(b *testing.B) {
		for b.Loop() {
			sha256.Sum256(s.Leaf)
		}
	})
}

package evidence_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/evidence"
	"finobs/internal/fault"
	"finobs/policies"
)

// notCovered are the leaves of a receipt that nothing in it vouches for, and why
// nobody needs them to be. The ledger's log vouches for what is recorded; a
// receipt proves who decided what, and what they were shown.
var notCovered = map[string]string{
	"request.first_run_id":     "names an execution of Temporal; the command binds the workflow",
	"request.status_reason":    "words; the reasons that people gave are covered with their decisions",
	"request.closed_at":        "when the record took note; when people decided is covered",
	"request.use_by":           "the effect judges it by the database's clock",
	"request.consumed_at":      "the effect's own record says it",
	"request.consumed_by":      "the effect's own record says it",
	"request.assignee.iss":     "who is to look at it decides nothing",
	"request.assignee.sub":     "who is to look at it decides nothing",
	"request.escalation_level": "whom the ladder told decides nothing",
	"decisions.outcome_reason": "words about a decision that does not count",
	"decisions.trace_id":       "may be left out; another one than the token's is refused",
	"decisions.recorded_at":    "when the record took note; when people decided is covered",
	"statement.issued_at":      "when the receipt was put together",
	"request.fallback_at":      "covered only against fallback decisions made before it",
}

// goodReceipt is the receipt of an approved request: one decision of a delegate, by
// the fallback list, one repeated and one that came too late.
func goodReceipt(t *testing.T) (*attest.Verifier, approval.Receipt) {
	t.Helper()
	r := newRecord(t)
	r.decisions = nil
	q := &r.request
	loaded, err := approval.LoadPolicies(bytes.NewReader(policies.Desk))
	if err != nil {
		t.Fatal(err)
	}
	a, err := approval.ParseAction(q.Action)
	if err != nil {
		t.Fatal(err)
	}
	a.Kind, a.RiskTier, a.Parameters = approval.KindPolicyActivate, approval.High, map[string]string{"sha256": digestOf("version: 1\n")}
	policy, err := loaded.For(a)
	if err != nil {
		t.Fatal(err)
	}
	if q.Policy, q.PolicyDigest, err = policy.Freeze(); err != nil {
		t.Fatal(err)
	}
	a.PolicyDigest, a.Desk = q.PolicyDigest, "EQ"
	if q.Action, err = a.Canonical(); err != nil {
		t.Fatal(err)
	}
	if q.ActionDigest, err = a.Digest(); err != nil {
		t.Fatal(err)
	}
	q.Kind, q.PolicyID, q.Desk, q.Attachment, q.Summary = a.Kind, policy.ID, a.Desk, "version: 1\n", approval.Render(a, policy)
	q.Reopens, q.Supersedes, q.FirstRunID, q.RequestID, q.TraceID = 3, 4, "run", "request-1", "trace-1"
	q.ExpiresAt = asked.Add(policy.Expires)
	at := asked.Add(2 * time.Minute)
	q.Status, q.StatusReason, q.ClosedAt, q.UseBy = approval.Approved, "fine", &at, &q.ExpiresAt
	q.ConsumedAt, q.ConsumedBy, q.Assignee, q.EscalationLevel = &at, "w/run", human("cora", "").Person, 1
	admitted := asked.Add(time.Second)
	q.FallbackAt = &admitted
	payload, err := evidence.RequestDigest(7, q.ActionDigest, q.PolicyDigest, q.Reason, q.Links())
	if err != nil {
		t.Fatal(err)
	}
	q.Command, err = r.signer.Command(ctx, attest.Command{
		WorkflowID: "w", PayloadDigest: payload, Principal: human("alice", "analyst"), RequestID: q.RequestID, TraceID: q.TraceID,
	})
	if err != nil {
		t.Fatal(err)
	}
	cora := human("cora", "compliance")
	cora.Desk = "EQ"
	first := r.vote(t, human("bob", "analyst"), "d1", time.Minute, func(d *attest.Decision) { d.OnBehalfOf, d.DelegationID = &cora, 5 })
	again := r.vote(t, human("bob", "analyst"), "d2", 90*time.Second, nil)
	again.Outcome, again.OutcomeReason, again.CountedAs = approval.Repeated, "first decision stands", "d1"
	late := r.vote(t, human("dave", "admin"), "d3", 3*time.Minute, nil)
	late.Outcome, late.OutcomeReason = approval.Refused, "approved already"
	return r.verifier, approval.ReceiptOf(*q, []approval.Recorded{first, again, late}, at.Add(time.Hour), attest.KeyID)
}

func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func (r *record) vote(t *testing.T, who approval.Principal, id string, after time.Duration, change func(*attest.Decision)) approval.Recorded {
	t.Helper()
	said := attest.Decision{
		ID: id, IssuedAt: asked.Add(after), ApprovalID: 7, WorkflowID: "w", ActionDigest: r.request.ActionDigest,
		PolicyDigest: r.request.PolicyDigest, Verdict: approval.Approve, Reason: "fine", Reviewer: who, Fallback: true,
		SummarySHA256: digestOf(r.request.Summary), Deadline: r.request.ExpiresAt, TraceID: "trace-" + id,
	}
	if change != nil {
		change(&said)
	}
	token, err := r.signer.Decision(ctx, said)
	if err != nil {
		t.Fatal(err)
	}
	return approval.Recorded{
		Decision: evidence.Said(said), ApprovalID: 7, Reason: said.Reason, Token: token, Outcome: approval.Counted,
		SummarySHA256: said.SummarySHA256, TraceID: said.TraceID, DecidedAt: said.IssuedAt, RecordedAt: said.IssuedAt.Add(time.Second),
	}
}

func TestReceipt(t *testing.T) {
	v, good := goodReceipt(t)
	a, err := evidence.Receipt(v, throughJSON(t, encode(t, good)))
	if err != nil || a.Kind != approval.KindPolicyActivate {
		t.Fatalf("the good receipt does not hold: %+v, %v", a, err)
	}
}

// Every leaf of a receipt is changed, one at a time. None of the changed receipts
// holds, but for the leaves that are listed.
func TestNoLeafOfAReceiptCanBeChanged(t *testing.T) {
	v, good := goodReceipt(t)
	var tree any
	if err := json.Unmarshal(encode(t, good), &tree); err != nil {
		t.Fatal(err)
	}
	changed, accepted := 0, map[string]bool{}
	eachLeaf(tree, nil, func(path []string, other any, set func(any), was any) {
		changed++
		set(other)
		text, err := json.Marshal(tree)
		set(was)
		if err != nil {
			t.Fatal(err)
		}
		var receipt approval.Receipt
		if json.Unmarshal(text, &receipt) != nil {
			return // it cannot even be read
		}
		_, err = evidence.Receipt(v, receipt)
		name := strings.Join(path, ".")
		switch {
		case err == nil && notCovered[name] == "":
			t.Errorf("%s: %v instead of %v is accepted", name, other, was)
		case err == nil:
			accepted[name] = true
		case fault.KindOf(err) != fault.Forbidden:
			t.Errorf("%s: %v", name, err)
		}
	})
	if changed < 100 {
		t.Errorf("only %d changes were tried", changed)
	}
	for name := range notCovered {
		if !accepted[name] {
			t.Errorf("%s is listed as not covered, and it is", name)
		}
	}
}

// eachLeaf visits every string, number, bool and time with other values for it.
// Elements of lists have their list's name.
func eachLeaf(node any, path []string, visit func(path []string, other any, set func(any), was any)) {
	into := func(path []string, child any, set func(any)) {
		switch x := child.(type) {
		case string:
			for _, other := range otherTexts(x) {
				visit(path, other, set, x)
			}
		case float64:
			visit(path, x+1, set, x)
			visit(path, 0.0, set, x)
		case bool:
			visit(path, !x, set, x)
		case nil:
		default:
			eachLeaf(child, path, visit)
		}
	}
	switch x := node.(type) {
	case map[string]any:
		for name := range x {
			if old, isNumber := x[name].(float64); isNumber && old == 0 {
				continue // 0 is left out of the signed words
			}
			into(append(slices.Clone(path), name), x[name], func(v any) { x[name] = v })
		}
	case []any:
		for i := range x {
			into(path, x[i], func(v any) { x[i] = v })
		}
	}
}

func otherTexts(text string) []string {
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return []string{at.Add(time.Microsecond).Format(time.RFC3339Nano), at.Add(-time.Microsecond).Format(time.RFC3339Nano)}
	}
	flip := func(i int) string {
		c := byte('A')
		if text[i] == c {
			c = 'B'
		}
		return text[:i] + string(c) + text[i+1:]
	}
	others := []string{text + "x", ""}
	if text == "" {
		return []string{"x"}
	}
	return append(others, flip(0), flip(len(text)/2))
}

func encode(t *testing.T, r approval.Receipt) []byte {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func throughJSON(t *testing.T, text []byte) (r approval.Receipt) {
	t.Helper()
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// A status says no more than the decisions bear out, and never the opposite.
func TestTheStatusOfAReceiptIsBorneOut(t *testing.T) {
	for status, holds := range map[approval.Status]bool{
		approval.Approved: true, approval.Consumed: true, approval.Cancelled: true, approval.Superseded: true, approval.Expired: true,
		approval.Pending: false, approval.Rejected: false, "": false, "Approved": false,
	} {
		v, r := goodReceipt(t)
		r.Request.Status, r.Statement.Status = status, status
		if _, err := evidence.Receipt(v, r); (err == nil) != holds {
			t.Errorf("an approved request said to be %q: %v", status, err)
		}
	}
}

func TestReceiptsThatAreTakenApart(t *testing.T) {
	for name, change := range map[string]func(*approval.Receipt){
		"the decision left out": func(r *approval.Receipt) { r.Decisions, r.Statement.Deciders = r.Decisions[1:], nil },
		"the decision left out, and from the statement": func(r *approval.Receipt) {
			r.Decisions, r.Statement.Deciders = nil, []approval.ReceiptDecision{}
		},
		"a decision twice": func(r *approval.Receipt) {
			r.Decisions = append(r.Decisions, r.Decisions[0])
			r.Statement = approval.ReceiptOf(r.Request, r.Decisions, r.Statement.IssuedAt, attest.KeyID).Statement
		},
		"a repeated decision in the place of the first": func(r *approval.Receipt) {
			r.Decisions[0].Outcome, r.Decisions[1].Outcome = approval.Repeated, approval.Counted
			r.Statement = approval.ReceiptOf(r.Request, r.Decisions, r.Statement.IssuedAt, attest.KeyID).Statement
		},
		"a fallback that was never admitted": func(r *approval.Receipt) { r.Request.FallbackAt = nil },
		"a fallback admitted afterwards": func(r *approval.Receipt) {
			at := asked.Add(time.Hour)
			r.Request.FallbackAt = &at
		},
		"another deadline and another beginning": func(r *approval.Receipt) {
			r.Request.CreatedAt, r.Request.ExpiresAt = r.Request.CreatedAt.Add(time.Second), r.Request.ExpiresAt.Add(time.Second)
		},
		"another policy file": func(r *approval.Receipt) { r.Request.Attachment = "version: 2\n" },
		"no policy file":      func(r *approval.Receipt) { r.Request.Attachment = "" },
		"another summary, digests and all": func(r *approval.Receipt) {
			r.Request.Summary = "action: harmless\n"
			for i := range r.Decisions {
				r.Decisions[i].SummarySHA256 = digestOf(r.Request.Summary)
			}
			r.Statement = approval.ReceiptOf(r.Request, r.Decisions, r.Statement.IssuedAt, attest.KeyID).Statement
		},
	} {
		v, r := goodReceipt(t)
		change(&r)
		if _, err := evidence.Receipt(v, r); fault.KindOf(err) != fault.Forbidden {
			t.Errorf("%s: %v", name, fmt.Sprint(err))
		}
	}
}

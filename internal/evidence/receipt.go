package evidence

import (
	"crypto/sha256"
	"encoding/hex"
	"reflect"

	"finobs/internal/approval"
	"finobs/internal/attest"
)

// Receipt checks a receipt from itself and the API's key alone: the command, the
// token of every decision, that each approver was shown the recorded summary of
// exactly this action, that the decisions amount to the status, and that the
// statement says no more than that. It returns the approved action.
//
// A person who lost a role between decision and effect is not seen: the roster
// is not in the receipt. Nor is seen whether an approval was used, cancelled or
// superseded afterwards; the ledger says it.
func Receipt(v *attest.Verifier, receipt approval.Receipt) (approval.Action, error) {
	if receipt.Version != approval.ReceiptVersion {
		return approval.Action{}, broken(nil, "the receipt has version %q; this program reads version %s", receipt.Version, approval.ReceiptVersion)
	}
	r := receipt.Request
	a, p, err := Request(v, r)
	if err != nil {
		return a, err
	}
	if err := fromItsCommand(v, r, p); err != nil {
		return a, err
	}
	counted, err := decided(v, r, receipt.Decisions)
	if err != nil {
		return a, err
	}
	if err := amountsTo(r.Status, approval.Tally(p, a, counted)); err != nil {
		return a, err
	}
	want := approval.ReceiptOf(r, receipt.Decisions, receipt.Statement.IssuedAt, attest.KeyID).Statement
	if !reflect.DeepEqual(want, receipt.Statement) {
		return a, broken(nil, "the statement says other than the evidence")
	}
	return a, nil
}

// fromItsCommand checks what Request leaves open: which call asked, under which
// policy by name, and that the deadline is the policy's.
func fromItsCommand(v *attest.Verifier, r approval.Request, p *approval.Policy) error {
	c, err := v.Command(r.Command)
	switch {
	case err != nil:
		return broken(err, "the request carries no valid command of the API")
	case r.RequestID != c.RequestID || r.TraceID != c.TraceID:
		return broken(nil, "the request names another call than its command")
	case r.PolicyID != p.ID:
		return broken(nil, "the request names policy %s and was frozen under %s", r.PolicyID, p.ID)
	case !r.CreatedAt.Add(p.Expires).Equal(r.ExpiresAt):
		return broken(nil, "the deadline is not the policy's %s after the request", p.Expires)
	}
	return nil
}

// decided checks every decision against its own token and returns those that are
// said to count.
func decided(v *attest.Verifier, r approval.Request, decisions []approval.Recorded) ([]approval.Decision, error) {
	sum := sha256.Sum256([]byte(r.Summary))
	summary := hex.EncodeToString(sum[:])
	var counted []approval.Decision
	seen := map[string]approval.Recorded{}
	for _, d := range decisions {
		said, err := Decision(v, r, d.Token)
		if err != nil {
			return nil, broken(err, "decision %s does not hold", d.ID)
		}
		first, there := seen[d.CountedAs]
		repeats := there && first.Outcome == approval.Counted && first.Reviewer.Same(d.Reviewer.Person)
		_, twice := seen[d.ID]
		switch {
		case twice:
			return nil, broken(nil, "decision %s is there twice", d.ID)
		case !recordedAs(d, said) || d.ApprovalID != r.ID || !d.DecidedAt.Equal(said.IssuedAt) || d.TraceID != "" && d.TraceID != said.TraceID:
			return nil, broken(nil, "decision %s is recorded differently from what was signed", d.ID)
		case !said.Deadline.Equal(r.ExpiresAt):
			return nil, broken(nil, "decision %s was made under another deadline", d.ID)
		case d.Outcome == approval.Repeated && !repeats:
			return nil, broken(nil, "decision %s is said to repeat one that is not there", d.ID)
		case d.Outcome != approval.Repeated && d.CountedAs != "":
			return nil, broken(nil, "decision %s repeats none and names one", d.ID)
		case d.Outcome != approval.Repeated && d.Outcome != approval.Refused && d.Outcome != approval.Counted:
			return nil, broken(nil, "decision %s has outcome %q", d.ID, d.Outcome)
		case d.Outcome == approval.Counted && said.SummarySHA256 != summary:
			return nil, broken(nil, "who made decision %s was shown another summary", d.ID)
		case d.Outcome == approval.Counted && said.Fallback && (r.FallbackAt == nil || said.IssuedAt.Before(*r.FallbackAt)):
			return nil, broken(nil, "decision %s counts by a fallback list that was not admitted", d.ID)
		}
		seen[d.ID] = d
		if d.Outcome == approval.Counted {
			counted = append(counted, Said(said))
		}
	}
	return counted, nil
}

// amountsTo checks that decisions bear out a status. Requests that were
// cancelled, superseded or let expire may have been approved before or not.
func amountsTo(status approval.Status, out approval.Outcome) error {
	holds := true
	switch status {
	case approval.Approved, approval.Consumed:
		holds = out.Status == approval.Approved
	case approval.Rejected:
		holds = out.Status == approval.Rejected
	case approval.Pending:
		holds = out.Status == approval.Pending
	case approval.Expired, approval.Cancelled, approval.Superseded:
		holds = out.Status != approval.Rejected
	}
	if !holds || !status.Valid() {
		return broken(nil, "the receipt says %s, its decisions amount to %s", status, out.Status)
	}
	return nil
}

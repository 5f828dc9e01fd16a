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
// is not in the receipt.
func Receipt(v *attest.Verifier, receipt approval.Receipt) (approval.Action, error) {
	if receipt.Version != approval.ReceiptVersion {
		return approval.Action{}, broken(nil, "the receipt has version %q; this program reads version %s", receipt.Version, approval.ReceiptVersion)
	}
	r := receipt.Request
	a, p, err := Request(v, r)
	if err != nil {
		return a, err
	}
	sum := sha256.Sum256([]byte(r.Summary))
	summary := hex.EncodeToString(sum[:])
	var counted []approval.Decision
	for _, d := range receipt.Decisions {
		said, err := Decision(v, r, d.Token)
		if err != nil {
			return a, broken(err, "decision %s does not hold", d.ID)
		}
		if !recordedAs(d, said) {
			return a, broken(nil, "decision %s is recorded differently from what was signed", d.ID)
		}
		if d.Outcome == approval.Counted {
			if said.SummarySHA256 != summary {
				return a, broken(nil, "who made decision %s was shown another summary", d.ID)
			}
			counted = append(counted, Said(said))
		}
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

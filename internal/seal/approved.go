package seal

import (
	"fmt"
	"slices"

	"finobs/internal/approval"
	"finobs/internal/canonical"
	"finobs/internal/evidence"
	"finobs/internal/export"

	"github.com/go-json-experiment/json"
)

// approval checks that the receipt is of an approval, and that it authorises
// exactly this export.
func (v *verification) approval() error {
	p := v.report.Statement.Predicate
	refused := func(format string, args ...any) error { return tampered("not_approved", format, args...) }
	var r approval.Receipt
	if err := json.Unmarshal(v.small[ApprovalFile], &r, json.RejectUnknownMembers(true)); err != nil {
		return refused("reading %s: %v", ApprovalFile, err)
	}
	a, err := v.approvedAction(r)
	if err != nil {
		return refused("%v", err)
	}
	if err := p.export().AuthorisedBy(r.Request, a); err != nil {
		return refused("%v", err)
	}
	q := r.Request
	switch {
	case p.PolicyDigest != q.PolicyDigest:
		return refused("the manifest names policy %s, the approval was given under %s", p.PolicyDigest, q.PolicyDigest)
	case p.Desk != q.Desk:
		return refused("the manifest names desk %q, the approval was given for %q", p.Desk, q.Desk)
	case p.Simulation != q.Simulation || p.Simulation != (a.Mode == approval.Simulation):
		return refused("the manifest and the approval differ in whether this is a simulation")
	case !slices.Equal(p.Decisions, countedOf(r)):
		return refused("the manifest names other decisions than those that count in the receipt")
	}
	for _, d := range r.Decisions {
		if d.Outcome == approval.Counted && d.DecidedAt.After(p.SnapshotAt) {
			return refused("decision %s was made after the rows were read", d.ID)
		}
	}
	if v.report.ApprovalVerified = v.trust.Decision != nil; v.report.ApprovalVerified {
		v.held("approval", "%d: %s asked for exactly this, and %d decisions released it", q.ID, approval.Printable(q.Requester.Subject), len(p.Decisions))
	}
	return nil
}

// approvedAction is what was approved. With a key it is proven; without one the
// receipt is only read.
func (v *verification) approvedAction(r approval.Receipt) (approval.Action, error) {
	if v.trust.Decision != nil {
		if _, err := evidence.Receipt(v.trust.Decision, r); err != nil {
			return approval.Action{}, err
		}
		// A receipt also holds for a request that ran out undecided.
		return evidence.Approved(v.trust.Decision, r.Request, r.Decisions, nil)
	}
	a, err := approval.ParseAction(r.Request.Action)
	if err == nil && canonical.DigestBytes(approval.ActionDigestDomain, r.Request.Action) != r.Request.ActionDigest {
		err = fmt.Errorf("%w: the action of request %d has another digest", export.ErrMismatch, r.Request.ID)
	}
	return a, err
}

// Package evidence judges, from the record alone, whether an action was really
// approved. The effect asks it right before acting, and an auditor asks it
// afterwards, offline; neither believes a status column or a Temporal message.
package evidence

import (
	"slices"
	"strconv"

	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/canonical"
	"finobs/internal/fault"
)

// RequestDigest is what the API's command is bound to when a person asks for an
// action: this approval id, action, policy and reason, and no other.
func RequestDigest(approvalID int64, actionDigest, policyDigest, reason string) (string, error) {
	return canonical.Digest("finobs.request.v1", canonical.Object{
		"approval_id":   strconv.FormatInt(approvalID, 10),
		"action_digest": actionDigest,
		"policy_digest": policyDigest,
		"reason":        reason,
	})
}

// Request checks that r is whole: its action, policy and command belong together
// and the command is the API's word. It returns the action and the policy.
func Request(v *attest.Verifier, r approval.Request) (approval.Action, *approval.Policy, error) {
	a, err := approval.ParseAction(r.Action)
	if err != nil {
		return a, nil, broken(err, "the recorded action cannot be read")
	}
	if got := canonical.DigestBytes(approval.ActionDigestDomain, r.Action); got != r.ActionDigest {
		return a, nil, broken(nil, "the recorded action has digest %s, not %s", got, r.ActionDigest)
	}
	p, err := approval.Thaw(r.Policy, r.PolicyDigest)
	if err != nil {
		return a, nil, broken(err, "the frozen policy is not the one that was recorded")
	}
	if a.PolicyDigest != r.PolicyDigest {
		return a, nil, broken(nil, "the action names policy %s, the request was frozen under %s", a.PolicyDigest, r.PolicyDigest)
	}
	c, err := v.Command(r.Command)
	if err != nil {
		return a, nil, broken(err, "the request carries no valid command of the API")
	}
	want, err := RequestDigest(r.ID, r.ActionDigest, r.PolicyDigest, r.Reason)
	if err != nil {
		return a, nil, broken(err, "the request has no digest")
	}
	switch {
	case c.PayloadDigest != want:
		return a, nil, broken(nil, "the command was given for another request")
	case c.WorkflowID != r.WorkflowID:
		return a, nil, broken(nil, "the command was given for workflow %s", c.WorkflowID)
	case c.Principal.Person != a.Requester || r.Requester != a.Requester:
		return a, nil, broken(nil, "the command was given by %s, the action is asked for by %s", c.Principal.Subject, a.Requester.Subject)
	case r.Kind != a.Kind || r.Desk != a.Desk || r.Simulation != (a.Mode == approval.Simulation):
		return a, nil, broken(nil, "the request's kind, desk or mode is not the action's")
	}
	return a, p, nil
}

// Decision checks that a token is a decision on r, made in time. It returns what
// the token says.
func Decision(v *attest.Verifier, r approval.Request, token string) (attest.Decision, error) {
	d, err := v.Decision(token)
	switch {
	case err != nil:
		return d, fault.Wrap(err, fault.Forbidden, "decision-not-signed", "the decision is not signed by the API")
	case d.ApprovalID != r.ID || d.WorkflowID != r.WorkflowID:
		return d, fault.New(fault.Forbidden, "decision-for-another-request", "the decision was made on approval %d", d.ApprovalID)
	case d.ActionDigest != r.ActionDigest || d.PolicyDigest != r.PolicyDigest:
		return d, fault.New(fault.Forbidden, "decision-for-another-action", "the decision was made on another action or policy")
	case d.IssuedAt.After(r.ExpiresAt):
		return d, fault.New(fault.Gone, "decision-too-late", "the decision was made after the deadline")
	case d.IssuedAt.Before(r.CreatedAt):
		return d, fault.New(fault.Forbidden, "decision-too-early", "the decision was made before the request")
	}
	return d, nil
}

// Approved checks the whole of an approval: the request, every counted decision
// by its own token, and the policy over them. It returns the approved action, or
// a fault of kind Forbidden that says what is wrong. It does not look at the
// status and not at the clock; the caller does.
func Approved(v *attest.Verifier, r approval.Request, decisions []approval.Recorded) (approval.Action, error) {
	a, p, err := Request(v, r)
	if err != nil {
		return a, err
	}
	var counted []approval.Decision
	for _, d := range decisions {
		if d.Outcome != approval.Counted {
			continue
		}
		said, err := Decision(v, r, d.Token)
		if err != nil {
			return a, broken(err, "decision %s does not hold", d.ID)
		}
		if said.ID != d.ID || said.Verdict != d.Verdict || said.Reason != d.Reason ||
			said.Reviewer.Person != d.Reviewer.Person || !slices.Equal(said.Reviewer.Roles, d.Reviewer.Roles) {
			return a, broken(nil, "decision %s is recorded differently from what was signed", d.ID)
		}
		counted = append(counted, approval.Decision{ID: said.ID, Verdict: said.Verdict, Reviewer: said.Reviewer})
	}
	if out := approval.Tally(p, a, counted); out.Status != approval.Approved {
		return a, broken(nil, "the recorded decisions amount to %s, not to an approval", out.Status)
	}
	return a, nil
}

func broken(cause error, format string, args ...any) error {
	return fault.Wrap(cause, fault.Forbidden, "evidence-broken", format, args...)
}

// Package evidence judges, from the record alone, whether an action was really
// approved. The effect asks it right before acting, and an auditor asks it
// afterwards, offline; neither believes a status column or a Temporal message.
package evidence

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"

	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/canonical"
	"finobs/internal/fault"
)

// RequestDigest is what the API's command is bound to when a person asks for an
// action: this approval id, action, policy, reason and links, and no other.
func RequestDigest(approvalID int64, actionDigest, policyDigest, reason string, links approval.Links) (string, error) {
	o := canonical.Object{
		"approval_id":   strconv.FormatInt(approvalID, 10),
		"action_digest": actionDigest,
		"policy_digest": policyDigest,
		"reason":        reason,
	}
	if links.Reopens != 0 {
		o["reopens"] = strconv.FormatInt(links.Reopens, 10)
	}
	if links.Supersedes != 0 {
		o["supersedes"] = strconv.FormatInt(links.Supersedes, 10)
	}
	return canonical.Digest("finobs.request.v1", o)
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
	want, err := RequestDigest(r.ID, r.ActionDigest, r.PolicyDigest, r.Reason, r.Links())
	if err != nil {
		return a, nil, broken(err, "the request has no digest")
	}
	switch {
	case c.PayloadDigest != want:
		return a, nil, broken(nil, "the command was given for another request")
	case c.WorkflowID != r.WorkflowID:
		return a, nil, broken(nil, "the command was given for workflow %s", c.WorkflowID)
	case !c.Principal.Same(author(a)) || r.Requester != a.Requester:
		return a, nil, broken(nil, "the command was given by %s, the action was written by %s", c.Principal.Subject, author(a).Subject)
	case r.Kind != a.Kind || r.Desk != a.Desk || r.Simulation != (a.Mode == approval.Simulation):
		return a, nil, broken(nil, "the request's kind, desk or mode is not the action's")
	case !attached(a, r.Attachment):
		return a, nil, broken(nil, "the attachment is not the one that the action names")
	}
	return a, p, nil
}

// attached reports whether content is what goes with an action: the policy file
// whose digest it names, and nothing with any other action.
func attached(a approval.Action, content string) bool {
	if a.Kind != approval.KindPolicyActivate {
		return content == ""
	}
	sum := sha256.Sum256([]byte(content))
	return a.Parameters["sha256"] == hex.EncodeToString(sum[:])
}

// author is who wrote an action: its last editor, or else the requester.
func author(a approval.Action) approval.Person {
	if a.Editor != nil {
		return *a.Editor
	}
	return a.Requester
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

// Row checks that a recorded decision on r says what its token says, whether it
// counted or not. It returns what the token says.
func Row(v *attest.Verifier, r approval.Request, d approval.Recorded) (attest.Decision, error) {
	said, err := Decision(v, r, d.Token)
	if err != nil {
		return said, broken(err, "decision %s does not hold", d.ID)
	}
	if !recordedAs(d, said) {
		return said, broken(nil, "decision %s is recorded differently from what was signed", d.ID)
	}
	return said, nil
}

// Approved checks the whole of an approval: the request, every counted decision
// by its own token, and the policy over them. It returns the approved action, or
// a fault of kind Forbidden that says what is wrong. It does not look at the
// status and not at the clock; the caller does.
//
// stand drops the decisions that no longer stand, because a person has lost a
// role since; nil, for an auditor without the roster, lets all of them stand.
func Approved(v *attest.Verifier, r approval.Request, decisions []approval.Recorded, stand func(*approval.Policy, approval.Action, []approval.Decision) []approval.Decision) (approval.Action, error) {
	a, p, err := Request(v, r)
	if err != nil {
		return a, err
	}
	var counted []approval.Decision
	for _, d := range decisions {
		if d.Outcome != approval.Counted {
			continue
		}
		said, err := Row(v, r, d)
		if err != nil {
			return a, err
		}
		counted = append(counted, Said(said))
	}
	if stand != nil {
		counted = stand(p, a, counted)
	}
	if out := approval.Tally(p, a, counted); out.Status != approval.Approved {
		return a, broken(nil, "the recorded decisions amount to %s, not to an approval", out.Status)
	}
	return a, nil
}

// Said is the decision that a token states.
func Said(d attest.Decision) approval.Decision {
	return approval.Decision{ID: d.ID, Verdict: d.Verdict, Reviewer: d.Reviewer, OnBehalfOf: d.OnBehalfOf, Fallback: d.Fallback}
}

// recordedAs reports whether a recorded decision says what was signed.
func recordedAs(d approval.Recorded, said attest.Decision) bool {
	same := func(p, q approval.Principal) bool {
		return p.Person == q.Person && p.Kind == q.Kind && p.Desk == q.Desk && slices.Equal(p.Roles, q.Roles)
	}
	if (d.OnBehalfOf == nil) != (said.OnBehalfOf == nil) || d.OnBehalfOf != nil && !same(*d.OnBehalfOf, *said.OnBehalfOf) {
		return false
	}
	return said.ID == d.ID && said.Verdict == d.Verdict && said.Reason == d.Reason && said.Fallback == d.Fallback &&
		said.SummarySHA256 == d.SummarySHA256 && same(d.Reviewer, said.Reviewer)
}

func broken(cause error, format string, args ...any) error {
	return fault.Wrap(cause, fault.Forbidden, "evidence-broken", format, args...)
}

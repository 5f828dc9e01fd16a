package approval

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"finobs/internal/canonical"
	"finobs/internal/fault"
)

// Verb is something that a person does to a request besides deciding on it.
type Verb string

// The closed set of verbs.
const (
	Comment          Verb = "comment"
	Assign           Verb = "assign"
	Escalate         Verb = "escalate"
	Delegate         Verb = "delegate"
	Cancel           Verb = "cancel"            // by the requester, before it is used
	Revoke           Verb = "revoke"            // by an approver, after approval and before use
	RevokeDelegation Verb = "revoke_delegation" // by the delegator or the delegate
	Resend           Verb = "resend"            // a notification that did not arrive
)

// Limits of an act.
const (
	maxComment    = 4000                // bytes
	maxDelegation = 92 * 24 * time.Hour // a delegation that is longer is a change of roles
)

// Act is something that a person does to a request, bound in full by the API's
// command. Which fields are set depends on the verb.
type Act struct {
	ID             string    `json:"id"` // UUID; an act is done once
	Verb           Verb      `json:"verb"`
	ApprovalID     int64     `json:"approval_id,omitempty"`     // 0: Delegate for all requests, RevokeDelegation, Resend
	Text           string    `json:"text,omitempty"`            // the comment, or the reason
	To             Person    `json:"to"`                        // Assign (empty: to nobody), Delegate
	StartsAt       time.Time `json:"starts_at,omitzero"`        // Delegate
	EndsAt         time.Time `json:"ends_at,omitzero"`          // Delegate
	DelegationID   int64     `json:"delegation_id,omitempty"`   // RevokeDelegation
	NotificationID string    `json:"notification_id,omitempty"` // Resend
}

// Digest is what the API's command is bound to.
func (a Act) Digest() (string, error) {
	return canonical.Digest("finobs.act.v1", canonical.Object{
		"id": a.ID, "verb": string(a.Verb), "approval_id": strconv.FormatInt(a.ApprovalID, 10), "text": a.Text,
		"to":        canonical.Object{"iss": a.To.Issuer, "sub": a.To.Subject},
		"starts_at": a.StartsAt.UTC().Format(time.RFC3339Nano), "ends_at": a.EndsAt.UTC().Format(time.RFC3339Nano),
		"delegation_id": strconv.FormatInt(a.DelegationID, 10), "notification_id": a.NotificationID,
	})
}

// Validate reports the first thing that is wrong with an act by itself, as a
// fault of kind Invalid.
func (a Act) Validate() error {
	bad := func(format string, args ...any) error {
		return fault.New(fault.Invalid, "invalid-act", format, args...)
	}
	switch {
	case len(a.Text) > maxComment:
		return bad("the text is over %d bytes", maxComment)
	case a.Text == "" && slices.Contains([]Verb{Comment, Escalate, Delegate, Revoke, RevokeDelegation}, a.Verb):
		return bad("say why: %s needs a text", a.Verb)
	}
	switch a.Verb {
	case Comment, Assign, Escalate, Cancel, Revoke:
		if a.ApprovalID == 0 {
			return bad("%s names no request", a.Verb)
		}
	case Delegate:
		switch {
		case a.To.Subject == "" || a.To.Issuer == "":
			return bad("say to whom the right to decide is delegated")
		case !a.EndsAt.After(a.StartsAt):
			return bad("the delegation ends at %s, not after its start at %s", a.EndsAt.Format(time.RFC3339), a.StartsAt.Format(time.RFC3339))
		case a.EndsAt.Sub(a.StartsAt) > maxDelegation:
			return bad("a delegation lasts %d days at most; for longer, change the roster", maxDelegation/(24*time.Hour))
		}
	case RevokeDelegation:
		if a.DelegationID == 0 {
			return bad("name the delegation")
		}
	case Resend:
		if a.NotificationID == "" {
			return bad("name the notification")
		}
	default:
		return bad("%q is nothing that can be done to a request", a.Verb)
	}
	return nil
}

// MayAct says why who may not do something to a request now, or returns "". The
// permission of the route is checked before; these are the rules of the request.
func (s Setting) MayAct(p *Policy, a Action, r Request, who Principal, verb Verb) string {
	switch verb {
	case Comment:
		return ""
	case Assign, Escalate:
		if r.Status != Pending {
			return "the request is " + string(r.Status) + " already"
		}
	case Delegate:
		if r.Status != Pending {
			return "the request is " + string(r.Status) + " already"
		}
		if p.NoDelegation {
			return "policy " + p.ID + " allows no delegates"
		}
		_, why := s.Standing(p, a, Decision{Verdict: Approve, Reviewer: who, Fallback: r.Fallback()})
		return why // who may not decide has nothing to delegate
	case Cancel:
		if !who.Same(a.Requester) && (a.Editor == nil || !who.Same(*a.Editor)) {
			return "only who asked for it cancels a request; approvers reject or revoke"
		}
		if !r.Open() {
			return "the request is " + string(r.Status) + " already"
		}
	case Revoke:
		if r.Status != Approved {
			return "the request is " + string(r.Status) + "; only an approval that is not used yet is revoked"
		}
		_, why := s.Standing(p, a, Decision{Verdict: Reject, Reviewer: who, Fallback: r.Fallback()})
		return why
	case RevokeDelegation, Resend: // not about a request
	}
	return ""
}

// MayReopen says why who may not take up a request again, or returns "".
func (r Request) MayReopen(who Person) string {
	switch {
	case !who.Same(r.Requester):
		return "only who asked for it takes a request up again"
	case r.Open():
		return "the request is still " + string(r.Status)
	}
	return ""
}

// UserTarget is the kind of a target that is a person on the roster.
const UserTarget = "user"

// TargetOf names a person on the roster, at a version, as the target of an
// action.
func TargetOf(p Person, version int64) Target {
	return Target{Kind: UserTarget, ID: p.Issuer + "|" + p.Subject, Version: strconv.FormatInt(version, 10)}
}

// PersonOfTarget reads back whom TargetOf named.
func PersonOfTarget(t Target) Person {
	iss, sub, _ := strings.Cut(t.ID, "|")
	return Person{Issuer: iss, Subject: sub}
}

// TargetIDs lists what an action touches as kind:id, sorted.
func (a Action) TargetIDs() []string {
	ids := make([]string, 0, len(a.Targets))
	for _, t := range a.Targets {
		ids = append(ids, t.Kind+":"+t.ID)
	}
	slices.Sort(ids)
	return ids
}

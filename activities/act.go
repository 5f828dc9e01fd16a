package activities

import (
	"context"
	"strconv"

	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/canonical"
	"finobs/internal/failpoint"
	"finobs/internal/fault"
	"finobs/internal/ledger"
)

// ActTx is what acts need of a transaction.
type ActTx interface {
	LadderTx
	BeginAct(ctx context.Context, actID string) (first bool, delegationID int64, err error)
	EndAct(ctx context.Context, actID string, delegationID int64) error
	InsertComment(ctx context.Context, commentID string, approvalID int64, by approval.Person, text string) error
	SetAssignee(ctx context.Context, id int64, to approval.Person) error
	InsertDelegation(ctx context.Context, event string, d approval.Delegation) (int64, error)
	LockDelegation(ctx context.Context, id int64) (approval.Delegation, bool, error)
	RevokeDelegation(ctx context.Context, id int64) error
	LockNotice(ctx context.Context, id string) (approval.Notice, error)
	UpdateNotice(ctx context.Context, n approval.Notice) error
}

// Acts are the activities for what people do to a request besides deciding.
type Acts struct {
	InTx     Transaction[ActTx]
	Verifier *attest.Verifier
}

// ActInput is an act with the API's word for who does it.
type ActInput struct {
	FirstRun string       `json:"first_run"`
	Command  string       `json:"command"`
	Act      approval.Act `json:"act"`
}

// ActDone is what an act led to.
type ActDone struct {
	Status       approval.Status `json:"status,omitempty"`        // of the request
	DelegationID int64           `json:"delegation_id,omitempty"` // of the delegation made
	Nudge        string          `json:"nudge,omitempty"`         // workflow that waits for the request
}

// RecordAct does an act once, with its entry. What the rules of the request do
// not allow is refused and recorded.
func (x *Acts) RecordAct(ctx context.Context, in ActInput) (ActDone, error) {
	digest, err := in.Act.Digest()
	if err != nil {
		return ActDone{}, temporalError(fault.Wrap(err, fault.Invalid, "invalid-act", "the act is not valid text"))
	}
	c, err := command(ctx, x.Verifier, in.Command, digest)
	if err == nil {
		err = in.Act.Validate()
	}
	if err != nil {
		return ActDone{}, temporalError(refuseStart(ctx, x.InTx, in.FirstRun, in.Command, err))
	}
	var out ActDone
	err = x.InTx(ctx, func(tx ActTx) error {
		first, made, err := tx.BeginAct(ctx, in.Act.ID)
		if err != nil {
			return err
		}
		if first {
			out, err = do(ctx, tx, in, c)
			return err
		}
		out, err = doneBefore(ctx, tx, in, made)
		return err
	})
	if err != nil {
		err = refuseStart(ctx, x.InTx, in.FirstRun, in.Command, err)
	}
	failpoint.Hit("act.after-record")
	return out, temporalError(err)
}

func do(ctx context.Context, tx ActTx, in ActInput, c attest.Command) (out ActDone, err error) {
	switch in.Act.Verb {
	case approval.RevokeDelegation:
		return revokeDelegation(ctx, tx, in, c)
	case approval.Resend:
		return out, resend(ctx, tx, in, c)
	case approval.Delegate:
		if out, err = delegate(ctx, tx, in, c); err != nil {
			return out, err
		}
		return out, tx.EndAct(ctx, in.Act.ID, out.DelegationID)
	default:
		return actOn(ctx, tx, in, c)
	}
}

// doneBefore answers a retry, or a start with an old command: nothing is done
// twice.
func doneBefore(ctx context.Context, tx ActTx, in ActInput, delegationID int64) (ActDone, error) {
	out := ActDone{DelegationID: delegationID}
	if in.Act.ApprovalID == 0 {
		return out, nil
	}
	r, err := tx.LockRequest(ctx, in.Act.ApprovalID)
	out.Status = r.Status
	if in.Act.Verb != approval.Comment && in.Act.Verb != approval.Assign {
		out.Nudge = r.WorkflowID // whoever died may not have come to it
	}
	return out, err
}

// actOn does what concerns one request.
func actOn(ctx context.Context, tx ActTx, in ActInput, c attest.Command) (ActDone, error) {
	m, err := lockMatter(ctx, tx, in.Act.ApprovalID)
	if err != nil {
		return ActDone{}, err
	}
	done := ActDone{Status: m.Status}
	if err := mayAct(ctx, tx, m, in, c); err != nil {
		return done, err
	}
	by := ledger.By(c.Principal)
	switch in.Act.Verb {
	case approval.Comment:
		err = tx.InsertComment(ctx, in.Act.ID, m.ID, c.Principal.Person, in.Act.Text)
	case approval.Assign:
		err = tx.SetAssignee(ctx, m.ID, in.Act.To)
	case approval.Escalate:
		done.Nudge = m.WorkflowID
		return done, escalate(ctx, tx, in, m, by)
	case approval.Cancel, approval.Revoke:
		reason := in.Act.Text
		if reason == "" {
			reason = "by its requester"
		}
		err = closeBy(ctx, tx, in.FirstRun, &m, approval.Cancelled, reason, by)
		done.Status, done.Nudge = m.Status, m.WorkflowID
		return done, err
	case approval.Delegate, approval.RevokeDelegation, approval.Resend: // done elsewhere
	}
	if err != nil {
		return done, err
	}
	details := canonical.Object{"action_digest": m.ActionDigest}
	if in.Act.Verb == approval.Assign {
		details["to"] = canonical.Object{"iss": in.Act.To.Issuer, "sub": in.Act.To.Subject}
	}
	return done, appendAct(ctx, tx, in, c, m.Request, details)
}

// mayAct applies the rules of the request.
func mayAct(ctx context.Context, tx ActTx, m matter, in ActInput, c attest.Command) error {
	setting, err := m.setting(ctx, tx, c.Principal.Person)
	if err != nil {
		return err
	}
	if why := setting.MayAct(m.policy, m.action, m.Request, c.Principal, in.Act.Verb); why != "" {
		return fault.New(fault.Conflict, "act-refused", "%s", why)
	}
	return nil
}

// entryOf names an act in the record: the request is told of it under its own
// words.
var entryOf = map[approval.Verb]string{
	approval.Comment: "approval.commented", approval.Assign: "approval.assigned", approval.Delegate: "approval.delegated",
	approval.RevokeDelegation: "approval.delegation_revoked", approval.Resend: "notification.resent",
}

func appendAct(ctx context.Context, tx ActTx, in ActInput, c attest.Command, r approval.Request, details canonical.Object) error {
	subject := approvalSubject(r.ID)
	if r.ID == 0 {
		subject = ledger.Subject{Kind: "delegation", ID: details["delegation_id"].(string)}
	}
	_, err := tx.Append(ctx, stepOf(ctx, in.FirstRun, "record-act", in.Act.ID), ledger.Entry{
		Type: entryOf[in.Act.Verb], Actor: ledger.By(c.Principal), Subject: subject, Action: string(in.Act.Verb), Outcome: "done",
		Reason: in.Act.Text, Desk: r.Desk, RequestID: c.RequestID, TraceID: c.TraceID, Simulation: r.Simulation, Details: details,
	})
	return err
}

// escalate fires the next escalation of the ladder now.
func escalate(ctx context.Context, tx ActTx, in ActInput, m matter, by ledger.Actor) error {
	fired, err := tx.FiredRungs(ctx, m.ID)
	if err != nil {
		return err
	}
	rung, left := m.policy.NextRung(approval.Escalation, fired)
	if !left {
		return fault.New(fault.Conflict, "ladder-exhausted", "approval %d has been escalated to the last rung of its policy's ladder", m.ID)
	}
	return fireRung(ctx, tx, in.FirstRun, m, rung, by, in.Act.Text)
}

// delegate hands on somebody's own right to decide, on one request or on all.
func delegate(ctx context.Context, tx ActTx, in ActInput, c attest.Command) (ActDone, error) {
	var r approval.Request
	var nudge string
	if in.Act.ApprovalID != 0 {
		m, err := lockMatter(ctx, tx, in.Act.ApprovalID)
		if err != nil {
			return ActDone{}, err
		}
		if err := mayAct(ctx, tx, m, in, c); err != nil {
			return ActDone{}, err
		}
		if in.Act.To.Same(m.Requester) || m.action.Editor != nil && in.Act.To.Same(*m.action.Editor) {
			return ActDone{}, fault.New(fault.Conflict, "act-refused", "who asked for an action never decides on it, nor as a delegate")
		}
		r, nudge = m.Request, m.WorkflowID
	}
	if in.Act.To.Same(c.Principal.Person) {
		return ActDone{}, fault.New(fault.Conflict, "act-refused", "nobody delegates to himself")
	}
	d := approval.Delegation{
		ApprovalID: in.Act.ApprovalID, From: c.Principal, To: in.Act.To, StartsAt: in.Act.StartsAt, EndsAt: in.Act.EndsAt, Reason: in.Act.Text,
	}
	id, err := tx.InsertDelegation(ctx, in.Act.ID, d)
	if err != nil {
		return ActDone{}, err
	}
	return ActDone{Status: r.Status, DelegationID: id, Nudge: nudge}, appendAct(ctx, tx, in, c, r, canonical.Object{
		"delegation_id": strconv.FormatInt(id, 10), "to": canonical.Object{"iss": d.To.Issuer, "sub": d.To.Subject},
		"starts_at": ledger.FormatTime(d.StartsAt), "ends_at": ledger.FormatTime(d.EndsAt), "roles": rolesOf(d.From),
	})
}

func revokeDelegation(ctx context.Context, tx ActTx, in ActInput, c attest.Command) (ActDone, error) {
	d, found, err := tx.LockDelegation(ctx, in.Act.DelegationID)
	switch {
	case err != nil:
		return ActDone{}, err
	case !found:
		return ActDone{}, fault.New(fault.NotFound, "no-such-delegation", "there is no delegation %d", in.Act.DelegationID)
	case !c.Principal.Same(d.From.Person) && !c.Principal.Same(d.To):
		return ActDone{}, fault.New(fault.Forbidden, "act-refused", "a delegation is revoked by who gave it or who has it")
	}
	if err := tx.RevokeDelegation(ctx, d.ID); err != nil {
		return ActDone{}, err
	}
	r := approval.Request{ID: d.ApprovalID}
	return ActDone{DelegationID: d.ID}, appendAct(ctx, tx, in, c, r, canonical.Object{"delegation_id": strconv.FormatInt(d.ID, 10)})
}

// resend queues a notice again that did not arrive, or may not have.
func resend(ctx context.Context, tx ActTx, in ActInput, c attest.Command) error {
	n, err := tx.LockNotice(ctx, in.Act.NotificationID)
	if err != nil {
		return err
	}
	switch n.Status {
	case approval.NoticeDead, approval.NoticeUnknown, approval.NoticeSkipped:
		n.Status, n.Round, n.Attempts = approval.NoticeQueued, n.Round+1, 0
		if err := tx.UpdateNotice(ctx, n); err != nil {
			return err
		}
	default:
		return fault.New(fault.Conflict, "not-a-dead-letter", "notification %s is %s; only one that is dead, unknown or skipped is sent again", n.ID, n.Status)
	}
	details := canonical.Object{"notification_id": n.ID, "round": strconv.Itoa(n.Round)}
	if n.IncidentID == 0 {
		return appendAct(ctx, tx, in, c, approval.Request{ID: n.ApprovalID}, details)
	}
	_, err = tx.Append(ctx, stepOf(ctx, in.FirstRun, "record-act", in.Act.ID), ledger.Entry{
		Type: entryOf[in.Act.Verb], Actor: ledger.By(c.Principal), Subject: incidentSubject(n.IncidentID), Action: string(in.Act.Verb), Outcome: "done",
		Reason: in.Act.Text, RequestID: c.RequestID, TraceID: c.TraceID, Details: details,
	})
	return err
}

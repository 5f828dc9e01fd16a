package activities

import (
	"context"
	"strconv"
	"time"

	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/canonical"
	"finobs/internal/evidence"
	"finobs/internal/failpoint"
	"finobs/internal/fault"
	"finobs/internal/ledger"

	"go.temporal.io/sdk/activity"
)

// ApprovalTx is what the activities of the gate need of a transaction.
type ApprovalTx interface {
	LadderTx
	InsertRequest(ctx context.Context, r approval.Request, a approval.Action) error
	LapsedRequests(ctx context.Context, actionDigest, workflowID, firstRun string) ([]approval.Request, error)
	SupersededRequests(ctx context.Context, newer approval.Request, a approval.Action) ([]approval.Request, error)
	InsertDecision(ctx context.Context, d approval.Recorded) error
	AdmitFallback(ctx context.Context, id int64) error
}

// Approvals are the activities of the gate.
type Approvals struct {
	InTx     Transaction[ApprovalTx]
	Verifier *attest.Verifier
}

// OpenRequestInput is what a gated workflow was started with.
type OpenRequestInput struct {
	FirstRun   string         `json:"first_run"`
	ApprovalID int64          `json:"approval_id"`
	Action     string         `json:"action"`
	Policy     string         `json:"policy"`
	Reason     string         `json:"reason"`
	Command    string         `json:"command"`
	Attachment string         `json:"attachment,omitempty"`
	Links      approval.Links `json:"links,omitzero"`
}

// GateStatus is where a request stands. WakeIn is counted by the database's
// clock; workflows make timers of it.
type GateStatus struct {
	Status   approval.Status `json:"status"`
	Missing  []string        `json:"missing"`
	Deadline time.Time       `json:"deadline"`
	WakeIn   time.Duration   `json:"wake_in"`         // until the deadline or the next rung of the ladder
	Nudge    []string        `json:"nudge,omitempty"` // workflows whose requests were closed along the way
}

// OpenRequest records the request that a workflow gates, or finds it recorded.
// A start that the API did not sign is recorded as refused and fails.
func (a *Approvals) OpenRequest(ctx context.Context, in OpenRequestInput) (GateStatus, error) {
	m, err := a.request(ctx, in)
	if err != nil {
		return GateStatus{}, temporalError(refuseStart(ctx, a.InTx, in.FirstRun, in.Command, err))
	}
	var out GateStatus
	err = a.InTx(ctx, func(tx ApprovalTx) error {
		existing, err := lockMatter(ctx, tx, m.ID)
		switch {
		case fault.KindOf(err) == fault.NotFound:
			out, err = a.insert(ctx, tx, in.FirstRun, m)
			return err
		case err != nil:
			return err
		case existing.ActionDigest != m.ActionDigest || existing.WorkflowID != m.WorkflowID:
			return fault.New(fault.Conflict, "approval-of-another-action", "approval %d is over another action", m.ID)
		}
		out, err = a.status(ctx, tx, existing)
		return err
	})
	if err != nil {
		err = refuseStart(ctx, a.InTx, in.FirstRun, in.Command, err)
	}
	failpoint.Hit("gate.after-open-request")
	return out, temporalError(err)
}

// request builds the record of a request from a workflow's input and checks that
// the API vouches for it.
func (a *Approvals) request(ctx context.Context, in OpenRequestInput) (*matter, error) {
	action, err := approval.ParseAction([]byte(in.Action))
	if err != nil {
		return nil, fault.Wrap(err, fault.Forbidden, "start-not-signed", "the action cannot be read")
	}
	c, err := a.Verifier.Command(in.Command)
	if err != nil {
		return nil, fault.Wrap(err, fault.Forbidden, "start-not-signed", "the start is not signed by the API")
	}
	info := activity.GetInfo(ctx)
	m := &matter{action: action, asker: ledger.By(c.Principal), Request: approval.Request{
		ID: in.ApprovalID, WorkflowID: info.WorkflowExecution.ID, FirstRunID: in.FirstRun, Kind: action.Kind,
		Action: []byte(in.Action), ActionDigest: canonical.DigestBytes(approval.ActionDigestDomain, []byte(in.Action)),
		Policy: []byte(in.Policy), PolicyDigest: canonical.DigestBytes(approval.PolicyDigestDomain, []byte(in.Policy)),
		Requester: action.Requester, Desk: action.Desk, Simulation: action.Mode == approval.Simulation,
		Reason: in.Reason, Command: in.Command, RequestID: c.RequestID, TraceID: c.TraceID, AskedAt: c.IssuedAt,
		Attachment: in.Attachment, Reopens: in.Links.Reopens, Supersedes: in.Links.Supersedes,
	}}
	if _, m.policy, err = evidence.Request(a.Verifier, m.Request); err != nil {
		return nil, err
	}
	if c.WorkflowType != info.WorkflowType.Name {
		// An Approval may be asked for first and the export later; the command of
		// the one does not start the other.
		return nil, fault.New(fault.Forbidden, "start-not-signed", "the start was signed for workflow type %s", c.WorkflowType)
	}
	if action.Editor != nil && in.Links.Supersedes == 0 {
		return nil, fault.New(fault.Forbidden, "start-not-signed", "an edited action takes the place of a request, and this one names none")
	}
	m.PolicyID = m.policy.ID
	m.Summary = approval.Render(action, m.policy)
	return m, nil
}

func (a *Approvals) insert(ctx context.Context, tx ApprovalTx, firstRun string, m *matter) (GateStatus, error) {
	if err := closeLapsed(ctx, tx, firstRun, m.Request); err != nil {
		return GateStatus{}, err
	}
	nudge, err := closeSuperseded(ctx, tx, firstRun, m)
	if err != nil {
		return GateStatus{}, err
	}
	m.CreatedAt = tx.Now()
	m.ExpiresAt = tx.Now().Add(m.policy.Expires)
	if err := tx.InsertRequest(ctx, m.Request, m.action); err != nil {
		return GateStatus{}, err
	}
	m.Status = approval.Pending
	_, err = tx.Append(ctx, stepOf(ctx, firstRun, "open-request", strconv.FormatInt(m.ID, 10)), ledger.Entry{
		Type: "approval.requested", Actor: m.asker, Subject: approvalSubject(m.ID), Action: "request", Outcome: string(approval.Pending), Reason: m.Reason,
		Desk: m.Desk, RequestID: m.RequestID, TraceID: m.TraceID, Simulation: m.Simulation, Details: requestDetails(m.Request),
	})
	if err != nil {
		return GateStatus{}, err
	}
	var setting approval.Setting
	if m.policy.Auto {
		err = approveByPolicy(ctx, tx, firstRun, m)
	} else if setting, err = m.everybody(ctx, tx); err == nil {
		err = a.firstLook(ctx, tx, firstRun, m, setting)
	}
	if err != nil {
		return GateStatus{}, err
	}
	out := stand(*m, tx.Now(), setting, nil) // of a new request no rung has fired
	out.Nudge = nudge
	return out, nil
}

func requestDetails(r approval.Request) canonical.Object {
	details := canonical.Object{
		"kind": r.Kind, "action": string(r.Action), "action_digest": r.ActionDigest, "policy_id": r.PolicyID,
		"policy_digest": r.PolicyDigest, "expires_at": ledger.FormatTime(r.ExpiresAt),
	}
	for name, id := range map[string]int64{"reopens": r.Reopens, "supersedes": r.Supersedes} {
		if id != 0 {
			details[name] = strconv.FormatInt(id, 10)
		}
	}
	return details
}

// approveByPolicy approves a request that its policy leaves to no person.
func approveByPolicy(ctx context.Context, tx ApprovalTx, firstRun string, m *matter) error {
	useBy := tx.Now().Add(m.policy.ReuseFor)
	if err := tx.CloseRequest(ctx, m.ID, approval.Approved, "by policy "+m.policy.ID, &useBy); err != nil {
		return err
	}
	m.Status, m.UseBy = approval.Approved, &useBy
	_, err := tx.Append(ctx, stepOf(ctx, firstRun, "approve-by-policy", strconv.FormatInt(m.ID, 10)), ledger.Entry{
		Type: "approval.decided", Actor: ledger.Itself("policy"), Subject: approvalSubject(m.ID), Action: string(approval.Approve),
		Outcome: string(approval.Counted), Reason: "policy " + m.policy.ID + " approves by itself", Desk: m.Desk,
		RequestID: m.RequestID, TraceID: m.TraceID, Simulation: m.Simulation,
		Details: canonical.Object{"action_digest": m.ActionDigest, "policy_digest": m.PolicyDigest, "status": string(m.Status)},
	})
	return err
}

// status says where a request stands and, while it is pending, what is missing
// and when the next thing is due.
func (a *Approvals) status(ctx context.Context, tx ApprovalTx, m matter) (GateStatus, error) {
	if m.Status != approval.Pending {
		return stand(m, tx.Now(), approval.Setting{}, nil), nil
	}
	setting, err := m.setting(ctx, tx)
	if err != nil {
		return GateStatus{}, err
	}
	var fired []string
	if len(m.policy.Ladder) > 0 {
		if fired, err = tx.FiredRungs(ctx, m.ID); err != nil {
			return GateStatus{}, err
		}
	}
	return stand(m, tx.Now(), setting, fired), nil
}

// stand is status with what it depends on: the setting and the rungs that have
// fired, which count while the request is pending.
func stand(m matter, now time.Time, setting approval.Setting, fired []string) GateStatus {
	s := GateStatus{Status: m.Status, Missing: []string{}, Deadline: m.ExpiresAt, WakeIn: m.ExpiresAt.Sub(now)}
	if m.Status != approval.Pending {
		return s
	}
	standing := setting.Stand(m.policy, m.action, m.counted())
	if missing := approval.Tally(m.policy, m.action, standing).Missing; missing != nil {
		s.Missing = missing
	}
	if rung, left := m.policy.NextRung("", fired); left {
		s.WakeIn = min(s.WakeIn, m.CreatedAt.Add(rung.After).Sub(now))
	}
	return s
}

// closeLapsed makes room for a new request over an action: an earlier one that
// can no longer be used must not stand in its way for ever.
func closeLapsed(ctx context.Context, tx ApprovalTx, firstRun string, request approval.Request) error {
	lapsed, err := tx.LapsedRequests(ctx, request.ActionDigest, request.WorkflowID, request.FirstRunID)
	if err != nil {
		return err
	}
	for _, r := range lapsed {
		to, reason := approval.Expired, "nobody decided on it, or used it, in time"
		if tx.Now().Before(r.ExpiresAt) && (r.UseBy == nil || !tx.Now().After(*r.UseBy)) {
			to, reason = approval.Cancelled, "its workflow ended without it"
		}
		m, err := matterOf(r)
		if err != nil {
			return err
		}
		if err := closeMatter(ctx, tx, firstRun, &m, to, reason); err != nil {
			return err
		}
	}
	return nil
}

// closeSuperseded closes the requests that a new one takes the place of: the one
// that it was edited from, and pending ones of the same requester over the same
// targets, whose versions or parameters have changed. It returns the workflows
// that wait for them.
func closeSuperseded(ctx context.Context, tx ApprovalTx, firstRun string, newer *matter) ([]string, error) {
	older, err := tx.SupersededRequests(ctx, newer.Request, newer.action)
	if err != nil {
		return nil, err
	}
	if newer.Supersedes != 0 {
		edited, err := tx.LockRequest(ctx, newer.Supersedes)
		if err != nil {
			return nil, err
		}
		if edited.Status != approval.Pending || edited.Requester != newer.Requester || edited.Kind != newer.Kind {
			return nil, fault.New(fault.Conflict, "not-editable", "approval %d cannot be edited: it is %s", edited.ID, edited.Status)
		}
		older = append(older, edited)
	}
	var workflows []string
	closed := map[int64]bool{}
	for _, r := range older {
		if closed[r.ID] {
			continue
		}
		closed[r.ID] = true
		m, err := matterOf(r)
		if err != nil {
			return nil, err
		}
		reason := "approval " + strconv.FormatInt(newer.ID, 10) + " takes its place"
		if err := closeMatter(ctx, tx, firstRun, &m, approval.Superseded, reason); err != nil {
			return nil, err
		}
		workflows = append(workflows, r.WorkflowID)
	}
	return workflows, nil
}

func appendClosed(ctx context.Context, tx Recorder, firstRun string, r approval.Request, reason string, by ledger.Actor) error {
	_, err := tx.Append(ctx, closeStep(ctx, firstRun, r.ID), closedEntry(r, reason, by))
	return err
}

func closeStep(ctx context.Context, firstRun string, id int64) ledger.Step {
	return stepOf(ctx, firstRun, "close-request", strconv.FormatInt(id, 10))
}

// closedEntry says that a request was closed by no decision of its approvers.
func closedEntry(r approval.Request, reason string, by ledger.Actor) ledger.Entry {
	return ledger.Entry{
		Type: "approval." + string(r.Status), Actor: by, Subject: approvalSubject(r.ID),
		Action: "close", Outcome: string(r.Status), Reason: reason, Desk: r.Desk,
		RequestID: r.RequestID, TraceID: r.TraceID, Simulation: r.Simulation,
		Details: canonical.Object{"action_digest": r.ActionDigest},
	}
}

func approvalSubject(id int64) ledger.Subject {
	return ledger.Subject{Kind: "approval", ID: strconv.FormatInt(id, 10)}
}

package activities

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/canonical"
	"finobs/internal/evidence"
	"finobs/internal/failpoint"
	"finobs/internal/fault"
	"finobs/internal/ledger"
)

// DecisionInput is a signal's payload and the request that the workflow gates.
type DecisionInput struct {
	GateRef
	Token string `json:"token"`
}

// RecordDecision judges a delivered decision and records it, with the request's
// new status and the ledger entry, in one transaction. Whatever arrives is
// recorded; nothing that arrives is an error.
func (a *Approvals) RecordDecision(ctx context.Context, in DecisionInput) (GateStatus, error) {
	var out GateStatus
	err := a.InTx(ctx, func(tx ApprovalTx) error {
		m, err := lockMatter(ctx, tx, in.ApprovalID)
		if err != nil {
			return err
		}
		said, err := evidence.Decision(a.Verifier, m.Request, in.Token)
		if err != nil {
			out, err = a.refuseSignal(ctx, tx, in, m, err)
			return err
		}
		if _, err := supersedeMoved(ctx, tx, in.FirstRun, &m); err != nil {
			return err
		}
		if err := a.record(ctx, tx, in, &m, said); err != nil {
			return err
		}
		out, err = a.status(ctx, tx, m)
		return err
	})
	failpoint.Hit("gate.after-record-decision")
	return out, temporalError(err)
}

func (a *Approvals) record(ctx context.Context, tx ApprovalTx, in DecisionInput, m *matter, said attest.Decision) error {
	d := approval.Recorded{
		Decision: evidence.Said(said), ApprovalID: m.ID, Reason: said.Reason, Token: in.Token, TraceID: said.TraceID,
		SummarySHA256: said.SummarySHA256, DecidedAt: said.IssuedAt, RecordedAt: tx.Now(),
	}
	for _, e := range m.decisions {
		if e.ID == d.ID { // a retry, or the signal was delivered twice
			return nil
		}
		if e.Outcome == approval.Counted && e.Reviewer.Same(d.Reviewer.Person) {
			d.CountedAs = e.ID
		}
	}
	setting, err := m.setting(ctx, tx, peopleOf(d.Decision)...)
	if err != nil {
		return err
	}
	judge(*m, setting, said, &d)
	if err := tx.InsertDecision(ctx, d); err != nil {
		return err
	}
	m.decisions = append(m.decisions, d)
	if d.Outcome == approval.Counted {
		if err := a.advance(ctx, tx, m, setting); err != nil {
			return err
		}
	}
	return a.appendDecision(ctx, tx, in, m.Request, d, said)
}

func peopleOf(d approval.Decision) []approval.Person {
	people := []approval.Person{d.Reviewer.Person}
	if d.OnBehalfOf != nil {
		people = append(people, d.OnBehalfOf.Person)
	}
	return people
}

// judge fills in what becomes of a decision.
func judge(m matter, s approval.Setting, said attest.Decision, d *approval.Recorded) {
	standing, why := s.Standing(m.policy, m.action, d.Decision)
	if why == "" && m.Status == approval.Pending {
		why = vouched(m, s, said)
	}
	if why == "" && m.Status == approval.Pending {
		why = approval.Judge(m.policy, m.action, s.Stand(m.policy, m.action, m.counted()), standing)
	}
	switch {
	case d.CountedAs != "":
		d.Outcome, d.OutcomeReason = approval.Repeated, "this person decided before; the first decision stands"
	case why != "":
		d.Outcome, d.OutcomeReason = approval.Refused, why
	case m.Status != approval.Pending:
		d.Outcome, d.OutcomeReason = approval.Refused, "the request was already "+string(m.Status)
	default:
		d.Outcome = approval.Counted
	}
}

// vouched says which circumstance that a decision states the record does not
// bear out, or returns "".
func vouched(m matter, s approval.Setting, said attest.Decision) string {
	sum := sha256.Sum256([]byte(m.Summary))
	switch {
	case said.Fallback && !m.Fallback():
		return "the fallback list is not admitted"
	case said.SummarySHA256 != hex.EncodeToString(sum[:]):
		return "the approver was shown another summary than the recorded one"
	case said.OnBehalfOf == nil:
		return ""
	}
	for _, d := range s.Delegations {
		if d.ID == said.DelegationID && d.InForce(said.IssuedAt, m.ID) && d.To.Same(said.Reviewer.Person) && d.From.Same(said.OnBehalfOf.Person) {
			return ""
		}
	}
	return "the delegation is not in force"
}

// advance moves the request on when the decisions that stand settle it.
func (a *Approvals) advance(ctx context.Context, tx ApprovalTx, m *matter, s approval.Setting) error {
	out := approval.Tally(m.policy, m.action, s.Stand(m.policy, m.action, m.counted()))
	if out.Status == approval.Pending {
		return nil
	}
	var useBy *time.Time
	if out.Status == approval.Approved {
		at := tx.Now().Add(m.policy.ReuseFor)
		useBy = &at
	}
	last := m.decisions[len(m.decisions)-1]
	if err := tx.CloseRequest(ctx, m.ID, out.Status, last.Reason, useBy); err != nil {
		return err
	}
	m.Status, m.StatusReason, m.UseBy = out.Status, last.Reason, useBy
	return tellOutcome(ctx, tx, *m)
}

func (a *Approvals) appendDecision(ctx context.Context, tx ApprovalTx, in DecisionInput, r approval.Request, d approval.Recorded, said attest.Decision) error {
	token := sha256.Sum256([]byte(in.Token))
	details := canonical.Object{
		"decision_id": d.ID, "outcome_reason": d.OutcomeReason, "status": string(r.Status),
		"action_digest": r.ActionDigest, "policy_digest": r.PolicyDigest, "roles": rolesOf(d.Reviewer),
		"decided_at": ledger.FormatTime(d.DecidedAt), "token_sha256": hex.EncodeToString(token[:]), "summary_sha256": d.SummarySHA256,
	}
	if d.OnBehalfOf != nil {
		details["on_behalf_of"] = canonical.Object{"iss": d.OnBehalfOf.Issuer, "sub": d.OnBehalfOf.Subject}
		details["delegation_id"] = strconv.FormatInt(said.DelegationID, 10)
	}
	if d.Fallback {
		details["fallback"] = true
	}
	_, err := tx.Append(ctx, stepOf(ctx, in.FirstRun, "record-decision", d.ID), ledger.Entry{
		Type: "approval.decided", Actor: ledger.By(d.Reviewer), Subject: approvalSubject(r.ID),
		Action: string(d.Verdict), Outcome: string(d.Outcome), Reason: d.Reason, Desk: r.Desk,
		RequestID: said.RequestID, TraceID: said.TraceID, Simulation: r.Simulation, Details: details,
	})
	return err
}

func rolesOf(p approval.Principal) []string {
	if p.Roles == nil {
		return []string{}
	}
	return p.Roles
}

// refuseSignal records a signal that is not a decision on this request: forged,
// replayed from another one, or made after the deadline. It is one entry however
// often the same signal comes.
func (a *Approvals) refuseSignal(ctx context.Context, tx ApprovalTx, in DecisionInput, m matter, why error) (GateStatus, error) {
	sum := sha256.Sum256([]byte(in.Token))
	digest := hex.EncodeToString(sum[:])
	_, err := tx.Append(ctx, stepOf(ctx, in.FirstRun, "refuse-signal", digest), ledger.Entry{
		Type: "approval.signal_refused", Actor: ledger.Itself("worker"), Subject: approvalSubject(m.ID),
		Action: "decide", Outcome: "refused", Reason: fault.MessageOf(why), Desk: m.Desk,
		RequestID: m.RequestID, TraceID: m.TraceID, Simulation: m.Simulation,
		Details: canonical.Object{"code": fault.CodeOf(why), "token_sha256": digest},
	})
	if err != nil {
		return GateStatus{}, err
	}
	return a.status(ctx, tx, m)
}

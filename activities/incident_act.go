package activities

import (
	"context"
	"strconv"

	"finobs/internal/agent"
	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/canonical"
	"finobs/internal/failpoint"
	"finobs/internal/fault"
	"finobs/internal/incident"
	"finobs/internal/ledger"
)

// IncidentActTx is what acts on incidents need of a transaction.
type IncidentActTx interface {
	LifeTx
	BeginAct(ctx context.Context, actID string) (first bool, delegationID int64, err error)
	LockIncidents(ctx context.Context, ids []int64) (map[int64]*incident.Incident, error)
	InsertIncidentComment(ctx context.Context, commentID string, incidentID int64, by approval.Person, text string) error
	CancelNotices(ctx context.Context, incidentID int64, why string) (int64, error)
	HasChildren(ctx context.Context, id int64) (bool, error)
	HasTransaction(ctx context.Context, id int64) (bool, error)
	MoveToSurvivor(ctx context.Context, merged int64, survivor incident.Incident) (children int64, err error)
	InsertWindow(ctx context.Context, actID string, w incident.Window) (int64, error)
	WindowOfAct(ctx context.Context, actID string) (int64, error)
	LockWindow(ctx context.Context, id int64) (incident.Window, error)
	EndWindow(ctx context.Context, id int64, by approval.Person) error
	NudgeCovered(ctx context.Context, w incident.Window) (int64, error)
	Members(ctx context.Context, people []approval.Person) (approval.Roster, error)
	LatestRun(ctx context.Context, kind agent.Kind, incidentID int64) (agent.Run, bool, error)
	InsertVerdict(ctx context.Context, v agent.Verdict) error
}

// IncidentActs are the activities for what people do to incidents.
type IncidentActs struct {
	InTx     Transaction[IncidentActTx]
	Verifier *attest.Verifier
}

// IncidentActInput is an act with the API's word for who does it.
type IncidentActInput struct {
	FirstRun string       `json:"first_run"`
	Command  string       `json:"command"`
	Act      incident.Act `json:"act"`
}

// IncidentActDone is what an act led to.
type IncidentActDone struct {
	Status   incident.Status `json:"status,omitempty"` // of the incident
	Version  int64           `json:"version,omitempty"`
	WindowID int64           `json:"window_id,omitempty"` // of the window that was opened or ended
}

// RecordIncidentAct does an act once, with its entry. The lives of the incidents
// that it touches look at them soon after; what it stops is stopped with it.
func (x *IncidentActs) RecordIncidentAct(ctx context.Context, in IncidentActInput) (IncidentActDone, error) {
	digest, err := in.Act.Digest()
	if err != nil {
		return IncidentActDone{}, temporalError(fault.Wrap(err, fault.Invalid, "invalid-act", "the act is not valid text"))
	}
	c, err := command(ctx, x.Verifier, in.Command, digest)
	if err == nil {
		err = in.Act.Validate()
	}
	if err != nil {
		return IncidentActDone{}, temporalError(refuseStart(ctx, x.InTx, in.FirstRun, in.Command, err))
	}
	var out IncidentActDone
	err = x.InTx(ctx, func(tx IncidentActTx) error {
		first, _, err := tx.BeginAct(ctx, in.Act.ID)
		if err != nil {
			return err
		}
		if !first { // a retry, or a start with an old command: nothing is done twice
			out, err = incidentActDone(ctx, tx, in.Act)
			return err
		}
		w := incidentAct{tx: tx, in: in, c: c}
		switch in.Act.Verb {
		case incident.OpenWindow:
			out, err = w.openWindow(ctx)
		case incident.EndWindow:
			out, err = w.endWindow(ctx)
		case incident.Merge:
			out, err = w.merge(ctx)
		default:
			out, err = w.one(ctx)
		}
		return err
	})
	if err != nil {
		err = refuseStart(ctx, x.InTx, in.FirstRun, in.Command, err)
	}
	failpoint.Hit("incident-act.after-record")
	return out, temporalError(err)
}

// incidentActDone says what an act that was done before led to.
func incidentActDone(ctx context.Context, tx IncidentActTx, a incident.Act) (IncidentActDone, error) {
	if a.IncidentID != 0 {
		i, err := tx.LockIncident(ctx, a.IncidentID)
		return IncidentActDone{Status: i.Status, Version: i.Version}, err
	}
	if a.Verb == incident.EndWindow {
		return IncidentActDone{WindowID: a.WindowID}, nil
	}
	id, err := tx.WindowOfAct(ctx, a.ID)
	return IncidentActDone{WindowID: id}, err
}

// incidentAct is one act in its transaction.
type incidentAct struct {
	tx IncidentActTx
	in IncidentActInput
	c  attest.Command
}

// may applies the rules of the incident, and the version that the person saw.
func (w incidentAct) may(i incident.Incident) error {
	a := w.in.Act
	if a.Version != 0 && a.Version != i.Version {
		return fault.New(fault.Conflict, "incident-moved", "incident %d has version %d now, not %d; look at it again", i.ID, i.Version, a.Version)
	}
	return i.MayAct(w.c.Principal, a.Verb)
}

// one does what concerns one incident, and perhaps names another.
func (w incidentAct) one(ctx context.Context) (IncidentActDone, error) {
	a := w.in.Act
	ids := []int64{a.IncidentID}
	if a.Verb == incident.Adopt && a.Other != 0 {
		ids = append(ids, a.Other)
	}
	locked, err := w.tx.LockIncidents(ctx, ids)
	if err != nil {
		return IncidentActDone{}, err
	}
	i, found := locked[a.IncidentID]
	if !found {
		return IncidentActDone{}, fault.New(fault.NotFound, "no-such-incident", "there is no incident %d", a.IncidentID)
	}
	before := *i
	done := IncidentActDone{Status: i.Status, Version: i.Version}
	if err := w.may(*i); err != nil {
		return done, err
	}
	if err := w.check(ctx, *i, locked[a.Other]); err != nil {
		return done, err
	}
	if a.Verb == incident.Comment {
		if err := w.tx.InsertIncidentComment(ctx, a.ID, i.ID, w.c.Principal.Person, a.Text); err != nil {
			return done, err
		}
		return done, w.append(ctx, *i, "done", canonical.Object{})
	}
	i.Do(w.tx.Desk(), a, w.c.Principal.Person, w.tx.Now())
	if err := w.tx.SaveIncident(ctx, *i); err != nil {
		return done, err
	}
	details := detailsOf(a, before, *i)
	if a.Verb == incident.Rate {
		if err := w.judgeTriage(ctx, *i, details); err != nil {
			return done, err
		}
	}
	if i.Status != incident.Open && before.Status == incident.Open {
		cancelled, err := w.tx.CancelNotices(ctx, i.ID, "the incident was "+string(i.Status)+" before it was sent")
		if err != nil {
			return done, err
		}
		details["notifications_cancelled"] = strconv.FormatInt(cancelled, 10)
	}
	return IncidentActDone{Status: i.Status, Version: i.Version}, w.append(ctx, *i, "done", details)
}

// judgeTriage records that a person's severity is, or is not, the one that an agent
// triaged the incident with last.
func (w incidentAct) judgeTriage(ctx context.Context, i incident.Incident, details canonical.Object) error {
	run, triaged, err := w.tx.LatestRun(ctx, agent.Triage, i.ID)
	if err != nil || !triaged {
		return err
	}
	v := agent.Verdict{
		ID: w.in.Act.ID, RunID: run.ID, Field: agent.FieldSeverity, Recommended: string(run.Result.Output.Severity), Chosen: string(i.Severity),
		Reason: w.in.Act.Text, By: w.c.Principal.Person,
	}
	v.Override = agent.OverrideType(v.Recommended, v.Chosen)
	details["run_id"], details["recommended"], details["agent_version"] = strconv.FormatInt(run.ID, 10), v.Recommended, run.Result.Version
	details["override_type"] = v.Override
	return w.tx.InsertVerdict(ctx, v)
}

// check looks at what an act names beside its incident.
func (w incidentAct) check(ctx context.Context, i incident.Incident, other *incident.Incident) error {
	a := w.in.Act
	switch a.Verb {
	case incident.Assign:
		if a.To.Subject == "" {
			return nil
		}
		roster, err := w.tx.Members(ctx, []approval.Person{a.To})
		if err != nil {
			return err
		}
		m, known := roster.Member(a.To)
		if !known || !m.Active || m.Kind != approval.Human {
			return fault.New(fault.Invalid, "not-on-the-roster", "%s is not an active person on the roster", approval.Printable(a.To.Subject))
		}
	case incident.Link:
		if a.Other == 0 {
			return nil
		}
		found, err := w.tx.HasTransaction(ctx, a.Other)
		if err == nil && !found {
			err = fault.New(fault.NotFound, "no-such-transaction", "there is no transaction %d", a.Other)
		}
		return err
	case incident.Adopt:
		return w.checkParent(ctx, i, other)
	default: // names nothing else
	}
	return nil
}

func (w incidentAct) checkParent(ctx context.Context, i incident.Incident, parent *incident.Incident) error {
	a := w.in.Act
	if a.Other == 0 {
		return nil
	}
	if parent == nil {
		return fault.New(fault.NotFound, "no-such-incident", "there is no incident %d", a.Other)
	}
	if err := parent.Fosters(); err != nil {
		return err
	}
	has, err := w.tx.HasChildren(ctx, i.ID)
	if err == nil && has {
		err = fault.New(fault.Conflict, "act-refused", "incident %d is a parent itself; give its children another one first", i.ID)
	}
	return err
}

// merge closes an incident and has another take in all that belongs to it.
func (w incidentAct) merge(ctx context.Context) (IncidentActDone, error) {
	a := w.in.Act
	locked, err := w.tx.LockIncidents(ctx, []int64{a.IncidentID, a.Other})
	if err != nil {
		return IncidentActDone{}, err
	}
	for _, id := range []int64{a.IncidentID, a.Other} {
		if locked[id] == nil {
			return IncidentActDone{}, fault.New(fault.NotFound, "no-such-incident", "there is no incident %d", id)
		}
	}
	merged, survivor := locked[a.IncidentID], locked[a.Other]
	done := IncidentActDone{Status: merged.Status, Version: merged.Version}
	if err := w.may(*merged); err != nil {
		return done, err
	}
	if err := survivor.Survives(); err != nil {
		return done, err
	}
	survivor.Absorb(w.tx.Desk(), merged, w.tx.Now())
	// The merged one first: what it was open for is open once.
	for _, i := range []*incident.Incident{merged, survivor} {
		if err := w.tx.SaveIncident(ctx, *i); err != nil {
			return done, err
		}
	}
	children, err := w.tx.MoveToSurvivor(ctx, merged.ID, *survivor)
	if err != nil {
		return done, err
	}
	cancelled, err := w.tx.CancelNotices(ctx, merged.ID, "the incident was merged before it was sent")
	if err != nil {
		return done, err
	}
	err = w.append(ctx, *merged, "merged", canonical.Object{
		"into": strconv.FormatInt(survivor.ID, 10), "notifications_cancelled": strconv.FormatInt(cancelled, 10),
	})
	if err == nil {
		err = w.append(ctx, *survivor, "absorbed", canonical.Object{
			"merged": strconv.FormatInt(merged.ID, 10), "merged_dedup_key": merged.DedupKey, "children": strconv.FormatInt(children, 10),
			"merged_occurrences": strconv.FormatInt(merged.Occurrences, 10), "occurrences": strconv.FormatInt(survivor.Occurrences, 10),
		})
	}
	return IncidentActDone{Status: merged.Status, Version: merged.Version}, err
}

func (w incidentAct) openWindow(ctx context.Context) (IncidentActDone, error) {
	asked := w.in.Act.Window.Window()
	asked.CreatedBy = w.c.Principal.Person
	if !asked.EndsAt.After(w.tx.Now()) {
		return IncidentActDone{}, fault.New(fault.Invalid, "invalid-window", "the window would have ended already")
	}
	var err error
	if asked.ID, err = w.tx.InsertWindow(ctx, w.in.Act.ID, asked); err != nil {
		return IncidentActDone{}, err
	}
	covered, err := w.tx.NudgeCovered(ctx, asked)
	if err != nil {
		return IncidentActDone{}, err
	}
	return IncidentActDone{WindowID: asked.ID}, w.appendWindow(ctx, asked, "opened", covered)
}

func (w incidentAct) endWindow(ctx context.Context) (IncidentActDone, error) {
	there, err := w.tx.LockWindow(ctx, w.in.Act.WindowID)
	switch {
	case err != nil:
		return IncidentActDone{}, err
	case !there.EndedAt.IsZero() || !there.EndsAt.After(w.tx.Now()):
		return IncidentActDone{}, fault.New(fault.Conflict, "window-over", "maintenance window %d is over already", there.ID)
	}
	if err := w.tx.EndWindow(ctx, there.ID, w.c.Principal.Person); err != nil {
		return IncidentActDone{}, err
	}
	covered, err := w.tx.NudgeCovered(ctx, there)
	if err != nil {
		return IncidentActDone{}, err
	}
	return IncidentActDone{WindowID: there.ID}, w.appendWindow(ctx, there, "ended", covered)
}

// incidentEntryOf names an act in the record.
var incidentEntryOf = map[incident.Verb]string{
	incident.Acknowledge: "incident.acknowledged", incident.Unacknowledge: "incident.unacknowledged", incident.Assign: "incident.assigned",
	incident.Comment: "incident.commented", incident.Resolve: "incident.resolved", incident.Close: "incident.closed",
	incident.Reopen: "incident.reopened", incident.Rate: "incident.rated", incident.Prioritise: "incident.prioritised",
	incident.Link: "incident.linked", incident.Adopt: "incident.parented", incident.Merge: "incident.merged",
}

func (w incidentAct) append(ctx context.Context, i incident.Incident, outcome string, details canonical.Object) error {
	a := w.in.Act
	details["status"], details["version"] = string(i.Status), strconv.FormatInt(i.Version, 10)
	override, _ := details["override_type"].(string)
	_, err := w.tx.Append(ctx, stepOf(ctx, w.in.FirstRun, "record-incident-act", a.ID+" "+strconv.FormatInt(i.ID, 10)), ledger.Entry{
		Type: incidentEntryOf[a.Verb], Actor: ledger.By(w.c.Principal), Subject: incidentSubject(i.ID), Action: string(a.Verb), Outcome: outcome,
		Reason: a.Text, Desk: i.Desk, RequestID: w.c.RequestID, TraceID: w.c.TraceID, Details: details, OverrideType: override,
	})
	return err
}

func (w incidentAct) appendWindow(ctx context.Context, there incident.Window, outcome string, covered int64) error {
	_, err := w.tx.Append(ctx, stepOf(ctx, w.in.FirstRun, "record-incident-act", w.in.Act.ID), ledger.Entry{
		Type: "maintenance." + outcome, Actor: ledger.By(w.c.Principal), Action: string(w.in.Act.Verb), Outcome: outcome, Reason: w.in.Act.Text,
		Subject: ledger.Subject{Kind: "maintenance_window", ID: strconv.FormatInt(there.ID, 10)}, RequestID: w.c.RequestID, TraceID: w.c.TraceID,
		Details: canonical.Object{
			"title": there.Title, "system": there.System, "source": there.Source, "kind": there.Kind, "desk": there.Desk,
			"starts_at": ledger.FormatTime(there.StartsAt), "ends_at": ledger.FormatTime(there.EndsAt), "incidents": strconv.FormatInt(covered, 10),
		},
	})
	return err
}

// detailsOf says what an act changed.
func detailsOf(a incident.Act, before, after incident.Incident) canonical.Object {
	o := canonical.Object{"was": string(before.Status)}
	switch a.Verb {
	case incident.Acknowledge, incident.Assign:
		o["assignee"] = canonical.Object{"iss": after.Assignee.Issuer, "sub": after.Assignee.Subject}
	case incident.Rate:
		o["severity"], o["severity_was"], o["priority"] = string(after.Severity), string(before.Severity), string(after.Priority)
	case incident.Prioritise:
		o["priority"], o["priority_was"] = string(after.Priority), string(before.Priority)
	case incident.Link:
		o["transaction_id"] = strconv.FormatInt(after.TransactionID, 10)
	case incident.Adopt:
		o["parent_id"], o["parent_was"] = strconv.FormatInt(after.ParentID, 10), strconv.FormatInt(before.ParentID, 10)
	default: // the status says it
	}
	return o
}

package activities

import (
	"context"
	"strconv"

	"finobs/internal/attest"
	"finobs/internal/canonical"
	"finobs/internal/failpoint"
	"finobs/internal/fault"
	"finobs/internal/incident"
	"finobs/internal/ledger"
)

// IncidentTx is what the incident activities need of a transaction.
type IncidentTx interface {
	Recorder
	OpenIncident(ctx context.Context, i incident.Incident) (id int64, opened bool, err error)
}

// Incidents are the activities over incidents.
type Incidents struct {
	InTx     Transaction[IncidentTx]
	Verifier *attest.Verifier
}

// IncidentInput is an incident with the API's word for who opens it.
type IncidentInput struct {
	FirstRun string          `json:"first_run"`
	Command  string          `json:"command"`
	Fields   incident.Fields `json:"fields"`
}

// IncidentOpened is what became of it.
type IncidentOpened struct {
	IncidentID int64 `json:"incident_id"`
	Opened     bool  `json:"opened"` // false: an open incident has the same dedup key
}

// RecordIncident opens an incident unless an open one has its dedup key.
func (x *Incidents) RecordIncident(ctx context.Context, in IncidentInput) (IncidentOpened, error) {
	digest, err := in.Fields.Digest()
	if err != nil {
		return IncidentOpened{}, temporalError(fault.Wrap(err, fault.Invalid, "invalid-incident", "the incident is not valid text"))
	}
	c, err := command(ctx, x.Verifier, in.Command, digest)
	if err != nil {
		return IncidentOpened{}, temporalError(refuseStart(ctx, x.InTx, in.FirstRun, in.Command, err))
	}
	i := in.Fields.Incident()
	i.OpenedBy, i.TraceID = c.Principal, c.TraceID
	if err := i.Validate(); err != nil {
		return IncidentOpened{}, temporalError(err)
	}
	var out IncidentOpened
	err = x.InTx(ctx, func(tx IncidentTx) error {
		id, opened, err := tx.OpenIncident(ctx, i)
		if err != nil {
			return err
		}
		outcome := "opened"
		if !opened {
			outcome = "repeated"
		}
		out = IncidentOpened{IncidentID: id, Opened: opened}
		_, err = tx.Append(ctx, stepOf(ctx, in.FirstRun, "open-incident", i.DedupKey), openedEntry(i, id, outcome, c.RequestID))
		if fault.CodeOf(err) == "ledger-conflict" && !opened {
			// The retry of an attempt whose reply was lost: that attempt opened it.
			out.Opened = true
			return nil
		}
		return err
	})
	failpoint.Hit("incident.after-open")
	return out, temporalError(err)
}

func openedEntry(i incident.Incident, id int64, outcome, requestID string) ledger.Entry {
	return ledger.Entry{
		Type: "incident.opened", Actor: ledger.By(i.OpenedBy), Subject: incidentSubject(id),
		Action: "open", Outcome: outcome, Desk: i.Desk, RequestID: requestID, TraceID: i.TraceID,
		Details: canonical.Object{
			"kind": string(i.Kind), "severity": string(i.Severity), "title": i.Title, "source": i.Source,
			"dedup_key": i.DedupKey, "origin": string(i.Origin), "subject": i.SubjectKind + ":" + i.SubjectID,
		},
	}
}

func incidentSubject(id int64) ledger.Subject {
	return ledger.Subject{Kind: "incident", ID: strconv.FormatInt(id, 10)}
}

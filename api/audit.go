package api

import (
	"context"
	"encoding/json"
	"time"

	"finobs/internal/fault"
	"finobs/internal/store"
)

// EntryFilters are the filters of the compliance log and of the exports of the
// log.
type EntryFilters struct {
	SubjectKind string `query:"subject_kind" maxLength:"64"`
	SubjectID   string `query:"subject_id" maxLength:"2048"`
	Actor       string `query:"actor_sub" maxLength:"255"`
	Type        string `query:"type" maxLength:"64" doc:"such as approval.decided"`
	Action      string `query:"action" maxLength:"64"`
	Outcome     string `query:"outcome" maxLength:"64"`
	Desk        string `query:"desk" maxLength:"32"`
	Workflow    string `query:"workflow_id" maxLength:"255"`
	Trace       string `query:"trace_id" maxLength:"64"`
	Simulation  string `query:"is_simulation" enum:"true,false,any" doc:"any: both; exports of the compliance log leave simulations out when nothing is said"`
	From        string `query:"from" format:"date-time" doc:"recorded at or after"`
	To          string `query:"to" format:"date-time" doc:"recorded before"`
	After       string `query:"after" pattern:"^[0-9]{0,18}$" doc:"only indexes from this one on"`
	Before      string `query:"before" pattern:"^[0-9]{0,18}$" doc:"only indexes below this one"`
}

func (f EntryFilters) set() map[string]string {
	return with(map[string]string{}, map[string]string{
		"subject_kind": f.SubjectKind, "subject_id": f.SubjectID, "actor_sub": f.Actor, "type": f.Type, "action": f.Action, "outcome": f.Outcome,
		"desk": f.Desk, "workflow_id": f.Workflow, "trace_id": f.Trace, "is_simulation": f.Simulation, "from": f.From, "to": f.To,
		"after": f.After, "before": f.Before,
	})
}

type auditInput struct {
	SubjectKind string `query:"subject_kind" maxLength:"64"`
	SubjectID   string `query:"subject_id" maxLength:"2100"`
	Actor       string `query:"actor" maxLength:"255" doc:"sub of the actor"`
	Type        string `query:"type" maxLength:"64" doc:"such as approval.decided"`
	Action      string `query:"action" maxLength:"64"`
	Outcome     string `query:"outcome" maxLength:"64"`
	Desk        string `query:"desk" maxLength:"32"`
	Workflow    string `query:"workflow" maxLength:"255"`
	Trace       string `query:"trace" maxLength:"64"`
	Simulation  string `query:"is_simulation" enum:"true,false"`
	Since       string `query:"since" format:"date-time"`
	Until       string `query:"until" format:"date-time"`
	After       int64  `query:"after" minimum:"0" doc:"for order=oldest: only indexes from this one on"`
	Before      int64  `query:"before" minimum:"0" doc:"for order=newest: only indexes below this one"`
	Order       string `query:"order" enum:"newest,oldest" default:"newest"`
	Limit       int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
}

// auditView is an entry of the log in answers: its columns, and the leaf that
// they are a projection of.
type auditView struct {
	store.LogEntry
	Leaf json.RawMessage `json:"leaf" doc:"the entry exactly as it is hashed"`
}

type auditPage struct {
	Items []auditView `json:"items"`
	Next  int64       `json:"next" doc:"cursor of the next page, before or after as the order has it; -1 on the last one"`
}

// audit lists entries of the log.
func (s *Server) audit(ctx context.Context, in *auditInput) (*body[auditPage], error) {
	f := store.LogFilter{
		SubjectKind: in.SubjectKind, SubjectID: in.SubjectID, Actor: in.Actor, Type: in.Type, Action: in.Action, Outcome: in.Outcome,
		Desk: in.Desk, Workflow: in.Workflow, Trace: in.Trace, Simulation: in.Simulation, After: in.After, Before: in.Before,
		NewestFirst: in.Order == "newest",
	}
	if err := readTimes(timeBound{in.Since, &f.Since}, timeBound{in.Until, &f.Until}); err != nil {
		return nil, err
	}
	s.recordRead(ctx, "GET /audit", "the log was searched")
	rows, err := s.Reader.Log(ctx, f, in.Limit)
	if err != nil {
		return nil, err
	}
	out := auditPage{Items: make([]auditView, 0, len(rows)), Next: -1}
	for _, row := range rows {
		v := auditView{row, json.RawMessage(row.Leaf)}
		if row.Leaf == nil {
			v.Leaf = json.RawMessage("null")
		}
		out.Items = append(out.Items, v)
	}
	if len(rows) == in.Limit {
		last := rows[len(rows)-1].Index
		if out.Next = last; !f.NewestFirst {
			out.Next = last + 1
		}
		if f.NewestFirst && last == 0 {
			out.Next = -1
		}
	}
	return &body[auditPage]{out}, nil
}

type timeBound struct {
	text string
	into *time.Time
}

// readTimes reads those bounds that are set.
func readTimes(bounds ...timeBound) error {
	for _, bound := range bounds {
		if bound.text == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339, bound.text)
		if err != nil {
			return fault.New(fault.Invalid, "invalid-query", "%q is no time such as 2026-11-24T15:04:05Z", bound.text)
		}
		*bound.into = t
	}
	return nil
}

type complianceLogsInput struct {
	EntryFilters
	Limit int `query:"limit" minimum:"1" maximum:"500" default:"100"`
}

type compliancePage struct {
	Items []store.ComplianceEntry `json:"items"`
	Next  int64                   `json:"next" doc:"before of the next page; -1 on the last one"`
}

// complianceLogs lists who asked for, decided on, did and was refused what,
// newest first.
func (s *Server) complianceLogs(ctx context.Context, in *complianceLogsInput) (*body[compliancePage], error) {
	s.recordRead(ctx, "GET /compliance/logs", "the compliance log was read")
	filters := in.set()
	if in.Simulation == anySimulation {
		delete(filters, "is_simulation")
	}
	rows, err := s.Reader.ComplianceLogs(ctx, filters, in.Limit)
	if err != nil {
		return nil, err
	}
	out := compliancePage{Items: rows, Next: -1}
	if len(rows) == in.Limit && rows[len(rows)-1].Index > 0 {
		out.Next = rows[len(rows)-1].Index
	}
	return &body[compliancePage]{out}, nil
}

// recordRead records that audit data was read; repetitions are folded.
func (s *Server) recordRead(ctx context.Context, route, reason string) {
	s.denials.record(ctx, denial{
		Action: "read_audit", Reason: reason, Route: route, Actor: principal(ctx), RequestID: requestID(ctx), TraceID: traceID(ctx),
	})
}

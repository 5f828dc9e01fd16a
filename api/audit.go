package api

import (
	"context"
	"encoding/json"
	"time"

	"finobs/internal/fault"
	"finobs/internal/store"
)

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
	for _, bound := range []struct {
		text string
		into *time.Time
	}{{in.Since, &f.Since}, {in.Until, &f.Until}} {
		if bound.text == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339, bound.text)
		if err != nil {
			return nil, fault.New(fault.Invalid, "invalid-query", "%q is no time such as 2026-11-24T15:04:05Z", bound.text)
		}
		*bound.into = t
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

// recordRead records that audit data was read; repetitions are folded.
func (s *Server) recordRead(ctx context.Context, route, reason string) {
	s.denials.record(ctx, denial{
		Action: "read_audit", Reason: reason, Route: route, Actor: principal(ctx), RequestID: requestID(ctx), TraceID: traceID(ctx),
	})
}

package api

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"finobs/internal/desk"
	"finobs/internal/fault"
	"finobs/internal/incident"
	"finobs/internal/store"

	"go.temporal.io/sdk/client"
)

const (
	// bulkLimit is how many incidents one call acts on.
	bulkLimit = 500
	// bulkWorkers is how many acts of one call are begun at once.
	bulkWorkers = 8
	// bulkTime is how long acts of one call are begun; what is not begun by then is
	// refused as 503, well before the server gives the call up.
	bulkTime = 40 * time.Second
)

type incidentBulkInput struct {
	Body struct {
		Act      string      `json:"act" enum:"acknowledge,unacknowledge,assign,comment,resolve,close,reopen,severity,priority,link,parent,merge"`
		IDs      []int64     `json:"ids,omitempty" maxItems:"500"`
		Filter   *BulkFilter `json:"filter,omitempty" doc:"in the place of ids; more than 500 incidents are refused"`
		Text     string      `json:"text,omitempty" maxLength:"4000" doc:"the note, comment, resolution or reason"`
		To       *Somebody   `json:"to,omitempty" doc:"for assign"`
		Severity string      `json:"severity,omitempty" enum:"low,medium,high,critical"`
		Priority string      `json:"priority,omitempty" enum:"p1,p2,p3,p4"`
		Other    int64       `json:"other,omitempty" minimum:"0" doc:"the transaction, the parent, or the incident that survives"`
	}
}

// BulkFilter selects the incidents that a call acts on, as the list does.
type BulkFilter struct {
	Status   string `json:"status,omitempty" enum:"open,acknowledged,resolved,closed"`
	Kind     string `json:"kind,omitempty" enum:"trade_break,failed_settlement,system_outage,other"`
	Severity string `json:"severity,omitempty" enum:"low,medium,high,critical"`
	Priority string `json:"priority,omitempty" enum:"p1,p2,p3,p4"`
	Desk     string `json:"desk,omitempty" maxLength:"32"`
	Origin   string `json:"origin,omitempty" enum:"live,demo"`
	Assignee string `json:"assignee,omitempty" maxLength:"255"`
	Owner    string `json:"owner,omitempty" maxLength:"200"`
	System   string `json:"system,omitempty" maxLength:"200"`
	Parent   int64  `json:"parent,omitempty" minimum:"0"`
	Overdue  bool   `json:"overdue,omitempty"`
}

func (f BulkFilter) filter() store.IncidentFilter {
	set := map[string]string{"status": f.Status, "kind": f.Kind, "severity": f.Severity, "desk": f.Desk, "origin": f.Origin}
	return store.IncidentFilter{Set: set, Assignee: f.Assignee, Owner: f.Owner, System: f.System, Priority: f.Priority, Parent: f.Parent, Overdue: f.Overdue}
}

type incidentBulkView struct {
	Items   []incidentBulkItem `json:"items" doc:"in the order of the ids"`
	Done    int                `json:"done"`
	Refused int                `json:"refused"`
}

// incidentBulkItem is what became of one incident.
type incidentBulkItem struct {
	ID      int64              `json:"incident_id"`
	Status  int                `json:"http_status" doc:"what the single call would have answered"`
	Act     *incidentActedView `json:"act,omitempty"`
	Problem *Problem           `json:"problem,omitempty"`
}

// bulkIncidents does one act to many incidents, as if each had been called by
// itself: one bad item harms no other.
func (s *Server) bulkIncidents(ctx context.Context, in *incidentBulkInput) (*body[incidentBulkView], error) {
	ids, err := s.bulkIDs(ctx, in)
	if err != nil {
		return nil, err
	}
	act := incident.Act{
		Verb: incident.Verb(in.Body.Act), Text: in.Body.Text, Severity: desk.Severity(in.Body.Severity),
		Priority: incident.Priority(in.Body.Priority), Other: in.Body.Other,
	}
	if in.Body.To != nil {
		act.To = in.Body.To.person(ctx)
	}
	out := incidentBulkView{Items: s.bulkAll(ctx, act, ids)}
	for _, item := range out.Items {
		if item.Problem == nil {
			out.Done++
		} else {
			out.Refused++
		}
	}
	return &body[incidentBulkView]{out}, nil
}

// bulkAll begins all acts, and only then waits for them: together they wait no
// longer than one.
func (s *Server) bulkAll(ctx context.Context, act incident.Act, ids []int64) []incidentBulkItem {
	out := make([]incidentBulkItem, len(ids))
	runs := make([]client.WorkflowRun, len(ids))
	acts := make([]string, len(ids))
	begin, cancel := context.WithTimeout(ctx, bulkTime)
	defer cancel()
	inTurns(len(ids), func(n int) {
		one := act
		one.IncidentID, out[n].ID = ids[n], ids[n]
		err := begin.Err()
		if err == nil {
			err = s.mayActOnIncident(begin, one)
		}
		if err == nil {
			acts[n], runs[n], err = s.startIncidentAct(begin, one)
		}
		if begin.Err() != nil && runs[n] == nil {
			err = fault.New(fault.Unavailable, "bulk-out-of-time", "there was no time left to begin it; send it again")
		}
		if err != nil {
			out[n].refuse(ctx, err)
		}
	})
	wait, stop := context.WithTimeout(ctx, s.AnswerWait)
	defer stop()
	inTurns(len(ids), func(n int) {
		if out[n].Problem != nil {
			return
		}
		done, err := s.awaitIncidentAct(wait, ids[n], acts[n], runs[n])
		if err != nil {
			out[n].refuse(ctx, err)
			return
		}
		out[n].Status, out[n].Act = done.Status, &done.Body
	})
	return out
}

// inTurns does something for each of n, a few at once.
func inTurns(n int, do func(int)) {
	var all sync.WaitGroup
	turn := make(chan struct{}, bulkWorkers)
	for k := range n {
		turn <- struct{}{}
		all.Go(func() {
			defer func() { <-turn }()
			do(k)
		})
	}
	all.Wait()
}

func (i *incidentBulkItem) refuse(ctx context.Context, err error) {
	i.Problem = problemOf(ctx, err)
	i.Status = i.Problem.Status
	if i.Status == 0 || errors.Is(ctx.Err(), context.Canceled) {
		i.Status = http.StatusServiceUnavailable
	}
}

// bulkIDs are the incidents that a call names, or selects.
func (s *Server) bulkIDs(ctx context.Context, in *incidentBulkInput) ([]int64, error) {
	switch {
	case (len(in.Body.IDs) > 0) == (in.Body.Filter != nil):
		return nil, fault.New(fault.Invalid, "invalid-bulk", "give either ids or a filter")
	case in.Body.Filter != nil && *in.Body.Filter == (BulkFilter{}):
		return nil, fault.New(fault.Invalid, "invalid-bulk", "the filter is empty; say which incidents are meant")
	case in.Body.Filter != nil:
		list, err := s.seen(ctx).Incidents(ctx, in.Body.Filter.filter(), store.Page{Limit: bulkLimit + 1})
		if err != nil {
			return nil, err
		}
		if len(list) > bulkLimit {
			return nil, fault.New(fault.Invalid, "too-many-incidents", "the filter selects more than %d incidents; narrow it", bulkLimit)
		}
		ids := make([]int64, 0, len(list))
		for _, i := range list {
			ids = append(ids, i.ID)
		}
		return ids, nil
	}
	seen := map[int64]bool{}
	for _, id := range in.Body.IDs {
		if seen[id] {
			return nil, fault.New(fault.Invalid, "bulk-repeats", "incident %d is in the list twice", id)
		}
		seen[id] = true
	}
	return in.Body.IDs, nil
}

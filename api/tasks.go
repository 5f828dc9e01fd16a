package api

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"finobs/internal/approval"
	"finobs/internal/incident"
	"finobs/internal/store"
)

// mostTasks bounds the tasks of one kind that are looked at.
const mostTasks = 500

// outcomeDue is how long an outcome may be unknown before it is overdue; the
// detector of unknown outcomes then opens an incident, whose ladder climbs.
const outcomeDue = 15 * time.Minute

// taskView is one thing that waits for the caller.
type taskView struct {
	Type     string     `json:"type" enum:"approval,break,incident,outcome" doc:"a decision to make, a trade break, another incident, or a sending or an action of which nobody knows what became"`
	ID       string     `json:"id"`
	Title    string     `json:"title"`
	Severity string     `json:"severity" enum:"low,medium,high,critical" doc:"of an approval its risk tier"`
	Status   string     `json:"status"`
	Owner    string     `json:"owner" doc:"the queue that it is in; empty when it is in none"`
	Desk     string     `json:"desk"`
	Mine     bool       `json:"mine" doc:"it is assigned to the caller"`
	Since    time.Time  `json:"since"`
	DueAt    *time.Time `json:"due_at" doc:"null: nothing is promised"`
	Overdue  bool       `json:"overdue"`
	Path     string     `json:"path" doc:"where the API has it"`
	Origin   string     `json:"origin" enum:"live,demo"`
}

type tasksInput struct {
	Origin string `query:"origin" enum:"live,demo" doc:"default: both"`
}

type listTasksInput struct {
	tasksInput
	Type    string `query:"type" enum:"approval,break,incident,outcome"`
	Overdue string `query:"overdue" enum:"true,false"`
	Limit   int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
}

type tasksView struct {
	Items    []taskView `json:"items"`
	Total    int        `json:"total" doc:"that match, also those beyond the limit"`
	Complete bool       `json:"complete" doc:"false: there are over 500 of a type, and the rest was not looked at"`
}

type taskCounts struct {
	Total    int            `json:"total"`
	Overdue  int            `json:"overdue"`
	Mine     int            `json:"mine"`
	ByType   map[string]int `json:"by_type"`
	Complete bool           `json:"complete" doc:"false: there are over 500 of a type, and the rest was not counted"`
}

func (s *Server) listTasks(ctx context.Context, in *listTasksInput) (*body[tasksView], error) {
	all, complete, err := s.tasks(ctx, in.Origin)
	if err != nil {
		return nil, err
	}
	out := tasksView{Items: []taskView{}, Complete: complete}
	for _, t := range all {
		if in.Type != "" && t.Type != in.Type || in.Overdue != "" && strconv.FormatBool(t.Overdue) != in.Overdue {
			continue
		}
		out.Total++
		if len(out.Items) < in.Limit {
			out.Items = append(out.Items, t)
		}
	}
	return &body[tasksView]{out}, nil
}

func (s *Server) countTasks(ctx context.Context, in *tasksInput) (*body[taskCounts], error) {
	all, complete, err := s.tasks(ctx, in.Origin)
	if err != nil {
		return nil, err
	}
	out := taskCounts{Total: len(all), ByType: map[string]int{"approval": 0, "break": 0, "incident": 0, "outcome": 0}, Complete: complete}
	for _, t := range all {
		out.ByType[t.Type]++
		if t.Overdue {
			out.Overdue++
		}
		if t.Mine {
			out.Mine++
		}
	}
	return &body[taskCounts]{out}, nil
}

// tasks are all that waits for the caller: what is overdue first, then what falls
// due next.
func (s *Server) tasks(ctx context.Context, origin string) ([]taskView, bool, error) {
	now, err := s.Reader.Now(ctx)
	if err != nil {
		return nil, false, err
	}
	complete := true
	var all []taskView
	for _, list := range []func(context.Context, string, time.Time) ([]taskView, error){s.approvalTasks, s.incidentTasks, s.outcomeTasks} {
		found, err := list(ctx, origin, now)
		if err != nil {
			return nil, false, err
		}
		complete = complete && len(found) < mostTasks
		all = append(all, found...)
	}
	slices.SortStableFunc(all, func(a, b taskView) int {
		if order := cmp.Compare(a.urgency(), b.urgency()); order != 0 {
			return order
		}
		if a.DueAt != nil && !a.DueAt.Equal(*b.DueAt) {
			return a.DueAt.Compare(*b.DueAt)
		}
		return a.Since.Compare(b.Since)
	})
	return all, complete, nil
}

// urgency is 0 for what is overdue, 1 for what falls due and 2 for the rest.
func (t taskView) urgency() int {
	switch {
	case t.Overdue:
		return 0
	case t.DueAt != nil:
		return 1
	}
	return 2
}

// approvalTasks are the requests that the caller may decide on.
func (s *Server) approvalTasks(ctx context.Context, origin string, now time.Time) ([]taskView, error) {
	if !permits(principal(ctx), ApprovalJudge) || origin == string(incident.Demo) {
		return nil, nil
	}
	list, err := s.seen(ctx).Approvals(ctx, store.ApprovalFilter{Status: approval.Pending, ByDeadline: true}, store.Page{Limit: mostTasks})
	if err != nil {
		return nil, err
	}
	views, err := s.viewApprovals(ctx, list)
	if err != nil {
		return nil, err
	}
	var out []taskView
	for i, v := range views {
		if !slices.Contains(v.AllowedActions, string(approval.Approve)) {
			continue
		}
		r := list[i]
		out = append(out, taskView{
			Type: "approval", ID: strconv.FormatInt(r.ID, 10), Title: fmt.Sprintf("Approval %d: %s", r.ID, r.Kind), Severity: string(v.RiskTier),
			Status: string(r.Status), Desk: r.Desk, Mine: r.Assignee.Same(principal(ctx).Person), Since: r.CreatedAt, DueAt: &r.ExpiresAt,
			Overdue: r.EscalationLevel > 0 || now.After(r.ExpiresAt), Path: fmt.Sprintf("/approval/%d", r.ID), Origin: string(incident.Live),
		})
	}
	return out, nil
}

// incidentTasks are the incidents that the caller has, or that his desk has to take.
func (s *Server) incidentTasks(ctx context.Context, origin string, now time.Time) ([]taskView, error) {
	me := principal(ctx)
	if !permits(me, IncidentWork) {
		return nil, nil
	}
	list, err := s.seen(ctx).IncidentTasks(ctx, me.Person, me.Desk, origin, mostTasks)
	if err != nil {
		return nil, err
	}
	out := make([]taskView, 0, len(list))
	for _, i := range list {
		t := taskView{
			Type: "incident", ID: strconv.FormatInt(i.ID, 10), Title: i.Title, Severity: i.Severity, Status: i.Status, Owner: i.Owner, Desk: i.Desk,
			Mine: i.Mine, Since: i.Since.UTC(), DueAt: i.DueAt, Overdue: i.DueAt != nil && now.After(*i.DueAt),
			Path: fmt.Sprintf("/incidents/%d", i.ID), Origin: i.Origin,
		}
		if i.Kind == string(incident.TradeBreak) {
			t.Type = "break"
		}
		out = append(out, t)
	}
	return out, nil
}

// outcomeTasks are sendings of which nobody knows what became, and which the caller
// may send again, and actions whose outcome he may find out.
func (s *Server) outcomeTasks(ctx context.Context, origin string, now time.Time) ([]taskView, error) {
	me := principal(ctx)
	notices, deliveries, actions := permits(me, NoticeResend), permits(me, ExportSend), permits(me, AgentJudge)
	if !notices && !deliveries && !actions || origin == string(incident.Demo) {
		return nil, nil
	}
	list, err := s.Reader.OutcomeTasks(ctx, notices, deliveries, actions, me.Person, mostTasks)
	if err != nil {
		return nil, err
	}
	out := make([]taskView, 0, len(list))
	for _, o := range list {
		due := o.Since.UTC().Add(outcomeDue)
		t := taskView{
			Type: "outcome", ID: o.What + "/" + o.ID, Title: o.Title, Severity: "high", Status: o.Status, Since: o.Since.UTC(), DueAt: &due,
			Overdue: now.After(due), Path: "/exports/" + o.ID, Origin: string(incident.Live),
		}
		switch o.What {
		case "notification":
			t.Path = "/notifications"
		case "action":
			t.Path = "/agent/ops/actions/" + o.ID
		}
		out = append(out, t)
	}
	return out, nil
}

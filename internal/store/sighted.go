package store

import (
	"context"
	"slices"

	"finobs/internal/agent"
	"finobs/internal/approval"
	"finobs/internal/fault"
	"finobs/internal/incident"
	"finobs/internal/remediation"

	"github.com/lib/pq"
)

// Sighted reads what somebody sees of what belongs to desks: the rest is as if it
// were not there. Lists leave it out in the database, so that pages stay full.
type Sighted struct {
	r     *Reader
	sight approval.Sight
}

// Within returns a reader of what a sight covers.
func (r *Reader) Within(s approval.Sight) Sighted { return Sighted{r, s} }

// desks are those that a query is limited to; nil for none, which are all.
func (s Sighted) desks() pq.StringArray {
	if s.sight.All {
		return nil
	}
	return pq.StringArray{"", s.sight.Desk}
}

// sees reports whether anything of a desk that was asked for can be seen. Without it
// the database would look through all that it holds for what cannot be there.
func (s Sighted) sees(desk string) bool { return desk == "" || s.sight.Covers(desk) }

// Approval reads one request; a fault of kind NotFound when there is none.
func (s Sighted) Approval(ctx context.Context, id int64) (approval.Request, error) {
	q, err := s.r.Approval(ctx, id)
	if err == nil && !s.sight.Covers(q.Desk) {
		return approval.Request{}, fault.New(fault.NotFound, "no-such-approval", "there is no approval %d", id)
	}
	return q, err
}

// Approvals lists requests, newest first unless the filter says otherwise.
func (s Sighted) Approvals(ctx context.Context, f ApprovalFilter, p Page) ([]approval.Request, error) {
	if f.desks = s.desks(); s.sees(f.Desk) {
		return s.r.Approvals(ctx, f, p)
	}
	return []approval.Request{}, nil
}

// Incident reads one incident; a fault of kind NotFound when there is none.
func (s Sighted) Incident(ctx context.Context, id int64) (incident.Incident, error) {
	i, err := s.r.Incident(ctx, id)
	if err == nil && !s.sight.Covers(i.Desk) {
		return incident.Incident{}, fault.New(fault.NotFound, "no-such-incident", "there is no incident %d", id)
	}
	return i, err
}

// Incidents lists incidents that match every set filter, newest first.
func (s Sighted) Incidents(ctx context.Context, f IncidentFilter, p Page) ([]incident.Incident, error) {
	if f.desks = s.desks(); s.sees(f.Set["desk"]) {
		return s.r.Incidents(ctx, f, p)
	}
	return []incident.Incident{}, nil
}

// IncidentMetrics computes figures over incidents.
func (s Sighted) IncidentMetrics(ctx context.Context, w IncidentWindow) ([]IncidentCount, RoundTimes, error) {
	w.desks = s.desks()
	return s.r.IncidentMetrics(ctx, w)
}

// IncidentTasks reads the incidents that wait for somebody; see Reader.IncidentTasks.
func (s Sighted) IncidentTasks(ctx context.Context, who approval.Person, desk, origin string, limit int) ([]IncidentTask, error) {
	return s.r.incidentTasks(ctx, who, desk, origin, s.desks(), limit)
}

// Run reads one run; a fault of kind NotFound when there is none. Of a run about an
// incident, the incident's desk counts.
func (s Sighted) Run(ctx context.Context, id int64) (agent.Run, error) {
	run, err := s.r.Run(ctx, id)
	if err != nil {
		return run, err
	}
	seen, err := s.about(ctx, run.Request.IncidentID, run.Desk)
	if err == nil && !seen {
		err = fault.New(fault.NotFound, "no-such-run", "there is no run %d of an agent", id)
	}
	if err != nil {
		return agent.Run{}, err
	}
	return run, nil
}

// Runs lists runs of agents, newest first.
func (s Sighted) Runs(ctx context.Context, f RunFilter, p Page) ([]agent.Run, error) {
	f.desks = s.desks()
	return s.r.Runs(ctx, f, p)
}

// Action reads one action; a fault of kind NotFound when there is none. Its
// incident's desk counts.
func (s Sighted) Action(ctx context.Context, id int64) (remediation.Action, error) {
	x, err := s.r.Action(ctx, id)
	if err != nil {
		return x, err
	}
	seen, err := s.about(ctx, x.IncidentID, x.Desk)
	if err == nil && !seen {
		err = fault.New(fault.NotFound, "no-such-action", "there is no action %d", id)
	}
	if err != nil {
		return remediation.Action{}, err
	}
	return x, nil
}

// Actions lists actions, newest first.
func (s Sighted) Actions(ctx context.Context, f ActionFilter, p Page) ([]remediation.Action, error) {
	f.desks = s.desks()
	return s.r.Actions(ctx, f, p)
}

// about reports whether somebody sees what is about an incident, or, when it is
// about none (0), of a desk.
func (s Sighted) about(ctx context.Context, incidentID int64, desk string) (bool, error) {
	if s.sight.All || incidentID == 0 {
		return s.sight.Covers(desk), nil
	}
	i, err := s.r.Incident(ctx, incidentID)
	return err == nil && s.sight.Covers(i.Desk), err
}

// Window reads a window of maintenance; a fault of kind NotFound when there is
// none. One over all desks belongs to none.
func (s Sighted) Window(ctx context.Context, id int64) (incident.Window, error) {
	w, err := s.r.Window(ctx, id)
	if err == nil && w.Desk != anyDesk && !s.sight.Covers(w.Desk) {
		return incident.Window{}, fault.New(fault.NotFound, "no-such-window", "there is no maintenance window %d", id)
	}
	return w, err
}

// Windows lists windows of maintenance, newest first.
func (s Sighted) Windows(ctx context.Context, only string, p Page) ([]incident.Window, error) {
	desks := s.desks()
	if desks != nil {
		desks = append(desks, anyDesk)
	}
	return s.r.windows(ctx, only, desks, p)
}

// anyDesk is the desk of a window of maintenance over all of them.
const anyDesk = "*"

// Stops lists stops, those in force first, then the newest.
func (s Sighted) Stops(ctx context.Context, limit int) ([]agent.StopOrder, error) {
	list, err := s.r.Stops(ctx, limit)
	return slices.DeleteFunc(list, func(x agent.StopOrder) bool { return !s.sight.Covers(x.Desk) }), err
}

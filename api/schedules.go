package api

import (
	"context"
	"time"

	"finobs/internal/export"
	"finobs/internal/schedule"
	"finobs/internal/store"
)

// runView is a time at which a schedule falls due.
type runView struct {
	At    time.Time `json:"at"`
	Local string    `json:"local" doc:"the same in the schedule's time zone" example:"2027-03-14T18:00:00-04:00"`
}

func viewRuns(times []time.Time, zone string) []runView {
	location, err := time.LoadLocation(zone)
	if err != nil {
		location = time.UTC
	}
	out := make([]runView, 0, len(times))
	for _, t := range times {
		out = append(out, runView{t.UTC(), t.In(location).Format(time.RFC3339)})
	}
	return out
}

type previewInput struct {
	Body struct {
		Cron  string     `json:"cron" maxLength:"256" doc:"minute, hour, day of month, month, day of week; or @hourly, @daily, @weekly, @monthly, @yearly" example:"0 18 * * 1-5"`
		Zone  string     `json:"zone" maxLength:"64" doc:"time zone of the IANA database" example:"America/New_York"`
		After *time.Time `json:"after,omitempty" doc:"default: now"`
		Count int        `json:"count,omitempty" minimum:"1" maximum:"100" default:"10"`
	}
}

type previewView struct {
	NextRuns []runView `json:"next_runs"`
}

// previewSchedule says when an expression falls due, by the same rules by which
// schedules fire.
func (s *Server) previewSchedule(ctx context.Context, in *previewInput) (*body[previewView], error) {
	parsed, err := schedule.Parse(in.Body.Cron, in.Body.Zone)
	if err != nil {
		return nil, err
	}
	after, err := s.Reader.Now(ctx)
	if err != nil {
		return nil, err
	}
	if in.Body.After != nil {
		after = *in.Body.After
	}
	return &body[previewView]{previewView{viewRuns(parsed.Next(after, in.Body.Count), in.Body.Zone)}}, nil
}

type slotView struct {
	Slot       time.Time  `json:"slot"`
	Status     string     `json:"status" enum:"waiting,running,done,failed,skipped"`
	Reason     string     `json:"reason" doc:"why it was skipped, or failed"`
	Origin     string     `json:"origin" enum:"fired,triggered,backfilled"`
	Version    int64      `json:"version" doc:"of the schedule"`
	ExportID   int64      `json:"export_id,omitempty"`
	WorkflowID string     `json:"workflow_id"`
	StartedAt  *time.Time `json:"started_at"`
	EndedAt    *time.Time `json:"ended_at"`
}

func viewSlots(slots []export.Slot) []slotView {
	out := make([]slotView, 0, len(slots))
	for _, s := range slots {
		out = append(out, slotView{s.At, string(s.Status), s.Reason, string(s.Origin), s.Version, s.ExportID, s.WorkflowID, s.StartedAt, s.EndedAt})
	}
	return out
}

type scheduleView struct {
	ID           int64             `json:"schedule_id"`
	Name         string            `json:"name"`
	Version      int64             `json:"version"`
	State        string            `json:"state" enum:"active,paused,deleted"`
	StateReason  string            `json:"state_reason"`
	ApprovalID   int64             `json:"approval_request_id" doc:"of the grant in force"`
	ActionDigest string            `json:"action_digest"`
	Dataset      string            `json:"dataset"`
	Format       string            `json:"format"`
	Compression  string            `json:"compression"`
	Destination  string            `json:"destination"`
	Filters      map[string]string `json:"filters"`
	Cron         string            `json:"cron"`
	Zone         string            `json:"zone"`
	Window       string            `json:"window" enum:"none,since_previous"`
	Overlap      string            `json:"overlap" enum:"skip,buffer_one,allow_all"`
	CatchUp      string            `json:"catch_up"`
	MaxLateness  string            `json:"max_lateness"`
	ExpiresAt    time.Time         `json:"expires_at"`
	Requester    personView        `json:"requester"`
	Desk         string            `json:"desk"`
	IsSimulation bool              `json:"is_simulation"`
	CreatedAt    time.Time         `json:"created_at"`
	GrantedAt    time.Time         `json:"granted_at"`
	PausedAt     *time.Time        `json:"paused_at"`
	SettledUntil time.Time         `json:"settled_until" doc:"what became of each slot up to here is on record"`
	NextRuns     []runView         `json:"next_runs,omitempty"`
	LastSlots    []slotView        `json:"last_slots,omitempty"`
}

func viewSchedule(s export.Schedule) scheduleView {
	return scheduleView{
		ID: s.ID, Name: s.Name, Version: s.Version, State: string(s.State), StateReason: s.StateReason, ApprovalID: s.ApprovalID,
		ActionDigest: s.ActionDigest, Dataset: s.Spec.Dataset.Name, Format: string(s.Spec.Format), Compression: string(s.Spec.Compression),
		Destination: s.Spec.Destination.Name, Filters: s.Spec.Filters, Cron: s.Cron, Zone: s.Zone, Window: string(s.Window),
		Overlap: string(s.Overlap), CatchUp: s.CatchUp.String(), MaxLateness: s.MaxLateness.String(), ExpiresAt: s.ExpiresAt,
		Requester: viewPerson(s.Requester), Desk: s.Desk, IsSimulation: s.Simulation, CreatedAt: s.CreatedAt, GrantedAt: s.GrantedAt,
		PausedAt: s.PausedAt, SettledUntil: s.SettledUntil,
	}
}

type listSchedulesInput struct {
	Paging
	Name    string `query:"name" maxLength:"64"`
	State   string `query:"state" enum:"active,paused,deleted"`
	Dataset string `query:"dataset" enum:"incidents,transactions,users,compliance_logs,audit"`
}

type schedulePage struct {
	Items      []scheduleView `json:"items"`
	NextBefore int64          `json:"next_before" doc:"cursor of the next page; 0 on the last one"`
}

func (s *Server) listSchedules(ctx context.Context, in *listSchedulesInput) (*body[schedulePage], error) {
	list, err := s.Reader.Schedules(ctx, store.ScheduleFilter{Name: in.Name, State: in.State, Dataset: in.Dataset}, in.page())
	if err != nil {
		return nil, err
	}
	out := schedulePage{Items: []scheduleView{}}
	for _, one := range list {
		out.Items = append(out.Items, viewSchedule(one))
		out.NextBefore = in.next(len(list), one.ID)
	}
	return &body[schedulePage]{out}, nil
}

// How many runs and slots an answer shows.
const (
	shownRuns  = 5
	shownSlots = 10
)

func (s *Server) getSchedule(ctx context.Context, in *idInput) (*body[scheduleView], error) {
	one, err := s.Reader.Schedule(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	now, err := s.Reader.Now(ctx)
	if err != nil {
		return nil, err
	}
	slots, err := s.Reader.Slots(ctx, one.ID, "", time.Time{}, shownSlots)
	if err != nil {
		return nil, err
	}
	out := viewSchedule(one)
	out.LastSlots = viewSlots(slots)
	if one.State == export.ScheduleActive {
		out.NextRuns = viewRuns(one.Slots(now, one.ExpiresAt, shownRuns), one.Zone)
	}
	return &body[scheduleView]{out}, nil
}

type listSlotsInput struct {
	ID     int64     `path:"id" minimum:"1"`
	Status string    `query:"status" enum:"waiting,running,done,failed,skipped"`
	Before time.Time `query:"before_slot" doc:"only slots before this one: next_before_slot of the page before"`
	Limit  int       `query:"limit" minimum:"1" maximum:"500" default:"100"`
}

type slotPage struct {
	Items      []slotView `json:"items"`
	NextBefore *time.Time `json:"next_before_slot" doc:"cursor of the next page; null on the last one"`
}

func (s *Server) listSlots(ctx context.Context, in *listSlotsInput) (*body[slotPage], error) {
	if _, err := s.Reader.Schedule(ctx, in.ID); err != nil {
		return nil, err
	}
	slots, err := s.Reader.Slots(ctx, in.ID, in.Status, in.Before, in.Limit)
	if err != nil {
		return nil, err
	}
	out := slotPage{Items: viewSlots(slots)}
	if len(slots) == in.Limit {
		out.NextBefore = &slots[len(slots)-1].At
	}
	return &body[slotPage]{out}, nil
}

func (s *Server) scheduleHistory(ctx context.Context, in *idInput) (*body[historyView], error) {
	if _, err := s.Reader.Schedule(ctx, in.ID); err != nil {
		return nil, err
	}
	entries, err := s.history(ctx, "schedule", in.ID)
	return &body[historyView]{historyView{entries}}, err
}

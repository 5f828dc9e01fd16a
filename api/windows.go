package api

import (
	"context"
	"net/http"
	"time"

	"finobs/internal/fault"
	"finobs/internal/incident"
	"finobs/workflows"
)

type windowView struct {
	ID        int64       `json:"window_id"`
	Title     string      `json:"title"`
	System    string      `json:"system" doc:"* for any, as the next three"`
	Source    string      `json:"source"`
	Kind      string      `json:"kind"`
	Desk      string      `json:"desk"`
	StartsAt  time.Time   `json:"starts_at"`
	EndsAt    time.Time   `json:"ends_at"`
	CreatedBy personView  `json:"created_by"`
	CreatedAt time.Time   `json:"created_at"`
	EndedAt   *time.Time  `json:"ended_at" doc:"by a person, before its time"`
	EndedBy   *personView `json:"ended_by"`
}

func viewWindow(w incident.Window) windowView {
	return windowView{
		w.ID, w.Title, w.System, w.Source, w.Kind, w.Desk, w.StartsAt, w.EndsAt, viewPerson(w.CreatedBy), w.CreatedAt,
		optionalTime(w.EndedAt), optionalPerson(w.EndedBy),
	}
}

type listWindowsInput struct {
	Paging
	Only string `query:"only" enum:"current,all" default:"all" doc:"current: those that hold or are to come"`
}

type windowPage struct {
	Items      []windowView `json:"items"`
	NextBefore int64        `json:"next_before" doc:"cursor of the next page; 0 on the last one"`
}

func (s *Server) listWindows(ctx context.Context, in *listWindowsInput) (*body[windowPage], error) {
	list, err := s.seen(ctx).Windows(ctx, in.Only, in.page())
	if err != nil {
		return nil, err
	}
	out := windowPage{Items: []windowView{}}
	for _, w := range list {
		out.Items = append(out.Items, viewWindow(w))
		out.NextBefore = in.next(len(list), w.ID)
	}
	return &body[windowPage]{out}, nil
}

func (s *Server) getWindow(ctx context.Context, in *idInput) (*body[windowView], error) {
	w, err := s.seen(ctx).Window(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &body[windowView]{viewWindow(w)}, nil
}

type createWindowInput struct {
	Body struct {
		Title    string     `json:"title" minLength:"1" maxLength:"200"`
		System   string     `json:"system,omitempty" maxLength:"200" default:"*"`
		Source   string     `json:"source,omitempty" maxLength:"200" default:"*"`
		Kind     string     `json:"kind,omitempty" enum:"trade_break,failed_settlement,system_outage,other,*" default:"*"`
		Desk     string     `json:"desk,omitempty" maxLength:"32" default:"*"`
		StartsAt *time.Time `json:"starts_at,omitempty" doc:"default: now"`
		EndsAt   time.Time  `json:"ends_at"`
		Reason   string     `json:"reason,omitempty" maxLength:"4000"`
	}
}

type windowActView struct {
	ActID    string      `json:"act_id"`
	Recorded bool        `json:"recorded" doc:"false: accepted, and recorded as soon as a worker is there"`
	Window   *windowView `json:"window" doc:"null until it is recorded"`
}

type windowActOutput struct {
	Status int
	Body   windowActView
}

// createWindow keeps incidents that match from paging for a while. A window that
// covers everything is a way to silence the desk: it is not refused, and it is on
// record with its maker.
func (s *Server) createWindow(ctx context.Context, in *createWindowInput) (*windowActOutput, error) {
	now, err := s.Reader.Now(ctx)
	if err != nil {
		return nil, err
	}
	b := in.Body
	asked := incident.WindowAsked{
		Title: b.Title, System: b.System, Source: b.Source, Kind: b.Kind, Desk: b.Desk,
		StartsAt: now.Truncate(time.Microsecond), EndsAt: b.EndsAt.UTC().Truncate(time.Microsecond),
	}
	if b.StartsAt != nil {
		asked.StartsAt = b.StartsAt.UTC().Truncate(time.Microsecond)
	}
	if !asked.EndsAt.After(now) {
		return nil, fault.New(fault.Invalid, "invalid-window", "the window ends at %s, which is past", asked.EndsAt.Format(time.RFC3339))
	}
	return s.windowAct(ctx, incident.Act{Verb: incident.OpenWindow, Text: b.Reason, Window: &asked}, http.StatusCreated)
}

func (s *Server) endWindow(ctx context.Context, in *reasonInput) (*windowActOutput, error) {
	if _, err := s.seen(ctx).Window(ctx, in.ID); err != nil {
		return nil, err
	}
	return s.windowAct(ctx, incident.Act{Verb: incident.EndWindow, WindowID: in.ID, Text: in.Body.reason()}, http.StatusOK)
}

func (s *Server) windowAct(ctx context.Context, a incident.Act, status int) (*windowActOutput, error) {
	actID, run, err := s.startIncidentAct(ctx, a)
	if err != nil {
		return nil, err
	}
	var done workflows.IncidentActResult
	recorded, err := s.await(ctx, run, &done)
	if err != nil {
		return nil, err
	}
	if !recorded {
		return &windowActOutput{http.StatusAccepted, windowActView{ActID: actID}}, nil
	}
	w, err := s.Reader.Window(ctx, done.WindowID)
	if err != nil {
		return nil, err
	}
	v := viewWindow(w)
	return &windowActOutput{status, windowActView{actID, true, &v}}, nil
}

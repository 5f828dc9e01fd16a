package api

import (
	"context"
	"maps"
	"net/http"
	"time"

	"finobs/internal/approval"
	"finobs/internal/export"
	"finobs/internal/fault"
	"finobs/internal/store"
	"finobs/workflows"
)

// ScheduleFields are what is set of a schedule; what is left out of a change
// stays.
type ScheduleFields struct {
	Name        string            `json:"name,omitempty" maxLength:"64" example:"nightly-incidents"`
	Dataset     string            `json:"dataset,omitempty" enum:"incidents,transactions,users,compliance_logs,audit"`
	Format      string            `json:"format,omitempty" enum:"csv,ndjson,parquet" doc:"default: csv"`
	Compression string            `json:"compression,omitempty" enum:"none,gzip,zstd" doc:"default: none"`
	Destination *string           `json:"destination,omitempty" maxLength:"32" doc:"default: the configured default"`
	Filters     map[string]string `json:"filters,omitempty" doc:"those of the dataset's list; given in a change, they replace all"`
	Cron        string            `json:"cron,omitempty" maxLength:"256" example:"0 18 * * 1-5"`
	Zone        string            `json:"zone,omitempty" maxLength:"64" example:"America/New_York"`
	Window      string            `json:"window,omitempty" enum:"none,since_previous" doc:"which rows a slot exports; default: none, all that the filters select"`
	Overlap     string            `json:"overlap,omitempty" enum:"skip,buffer_one,allow_all" doc:"what happens to a slot while the one before runs; default: skip"`
	CatchUp     string            `json:"catch_up,omitempty" maxLength:"32" doc:"how late Temporal still fires a slot that it missed, 1m to 168h" example:"1h"`
	MaxLateness string            `json:"max_lateness,omitempty" maxLength:"32" doc:"how late a slot may still begin, whatever held it up, 1m to 168h" example:"4h"`
	ExpiresAt   *time.Time        `json:"expires_at,omitempty" doc:"when the grant ends, a year ahead at most"`
	Reason      string            `json:"reason,omitempty" maxLength:"2000" doc:"told to the approvers"`
	Renew       bool              `json:"renew,omitempty" doc:"ask again although the same was decided before"`
}

func (f ScheduleFields) onto(ctx context.Context, srv *Server, s export.Schedule) (export.Schedule, error) {
	set := func(to *string, value string) {
		if value != "" {
			*to = value
		}
	}
	set(&s.Name, f.Name)
	set((*string)(&s.Spec.Format), f.Format)
	set((*string)(&s.Spec.Compression), f.Compression)
	set(&s.Cron, f.Cron)
	set(&s.Zone, f.Zone)
	set((*string)(&s.Window), f.Window)
	set((*string)(&s.Overlap), f.Overlap)
	if f.ExpiresAt != nil {
		s.ExpiresAt = f.ExpiresAt.UTC()
	}
	for _, given := range []struct {
		text string
		to   *time.Duration
	}{{f.CatchUp, &s.CatchUp}, {f.MaxLateness, &s.MaxLateness}} {
		if given.text == "" {
			continue
		}
		d, err := time.ParseDuration(given.text)
		if err != nil {
			return s, fault.New(fault.Invalid, "invalid-schedule", "%q is no duration such as 90m or 4h", given.text)
		}
		*given.to = d
	}
	return f.what(ctx, srv, s)
}

// what sets which rows are exported, and where to.
func (f ScheduleFields) what(ctx context.Context, srv *Server, s export.Schedule) (export.Schedule, error) {
	name := s.Spec.Dataset.Name
	if f.Dataset != "" {
		name = f.Dataset
	}
	var known bool
	if s.Spec.Dataset, known = export.DatasetNamed(name); !known {
		return s, fault.New(fault.Invalid, "no-such-dataset", "there is no dataset %q", name)
	}
	if f.Filters != nil || s.Spec.Filters == nil {
		s.Spec.Filters = onlyReal(s.Spec.Dataset, with(map[string]string{}, f.Filters))
	}
	to := s.Spec.Destination.Name
	if f.Destination != nil {
		to = *f.Destination
	}
	var err error
	s.Spec.Destination, err = srv.destination(ctx, to)
	return s, err
}

type createScheduleInput struct{ Body ScheduleFields }

type scheduleOutput struct {
	Status int
	Body   scheduleAnswer
}

// scheduleAnswer is the brief's answer to a gated call, or the schedule once it is
// as it was asked for.
type scheduleAnswer struct {
	Detail   string          `json:"detail" example:"Schedule requires approval"`
	ID       int64           `json:"approval_request_id,omitempty" example:"42"`
	Status   approval.Status `json:"status,omitempty" example:"pending"`
	Schedule *scheduleView   `json:"schedule,omitempty"`
}

// createSchedule asks for a standing grant. The same call again answers where it
// stands, and with the schedule once it is there.
func (s *Server) createSchedule(ctx context.Context, in *createScheduleInput) (*scheduleOutput, error) {
	f := in.Body
	one, err := f.onto(ctx, s, export.Schedule{
		Window: export.NoWindow, Overlap: export.OverlapSkip, Spec: export.Spec{Format: export.CSV, Compression: export.Plain},
	})
	if err != nil {
		return nil, err
	}
	there, err := s.Reader.Schedules(ctx, store.ScheduleFilter{Name: one.Name}, store.Page{Limit: 1})
	if err != nil {
		return nil, err
	}
	exists := len(there) == 1 && there[0].State != export.ScheduleDeleted
	if exists {
		if sameSchedule(there[0], one) {
			return &scheduleOutput{http.StatusOK, scheduleAnswer{Detail: "the schedule is there", Schedule: new(viewSchedule(there[0]))}}, nil
		}
		return nil, fault.New(fault.Conflict, "schedule-exists", "schedule %d is named %s; change it with PATCH /export-schedules/%d", there[0].ID, one.Name, there[0].ID)
	}
	return s.askSchedule(ctx, one, f)
}

// sameSchedule reports whether two schedules grant the same.
func sameSchedule(a, b export.Schedule) bool {
	a.ID, a.Version, b.ID, b.Version = 0, 0, 0, 0
	x, y := a.Action(approval.Person{}, "", approval.Live), b.Action(approval.Person{}, "", approval.Live)
	for i := range x.Targets {
		if x.Targets[i] != y.Targets[i] {
			return false
		}
	}
	return maps.Equal(x.Parameters, y.Parameters)
}

type changeScheduleInput struct {
	ID   int64 `path:"id" minimum:"1"`
	Body ScheduleFields
}

// changeSchedule asks for another grant in the place of the one in force, which
// stays until then.
func (s *Server) changeSchedule(ctx context.Context, in *changeScheduleInput) (*scheduleOutput, error) {
	there, err := s.Reader.Schedule(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if there.State == export.ScheduleDeleted {
		return nil, fault.New(fault.Gone, "schedule-is-deleted", "schedule %d has ended; ask for a new one", there.ID)
	}
	one, err := in.Body.onto(ctx, s, there)
	if err != nil {
		return nil, err
	}
	if sameSchedule(there, one) {
		return &scheduleOutput{http.StatusOK, scheduleAnswer{Detail: "the schedule is as you ask", Schedule: new(viewSchedule(there))}}, nil
	}
	return s.askSchedule(ctx, one, in.Body)
}

func (s *Server) askSchedule(ctx context.Context, one export.Schedule, f ScheduleFields) (*scheduleOutput, error) {
	now, err := s.Reader.Now(ctx)
	if err != nil {
		return nil, err
	}
	if err := one.ValidateAt(now); err != nil {
		return nil, err
	}
	me := principal(ctx)
	got, err := s.ask(ctx, question{
		action: one.Action(me.Person, me.Desk, approval.Live), workflowType: workflows.Change, reason: f.Reason, renew: f.Renew,
	})
	if err != nil {
		return nil, err
	}
	switch got.Status {
	case approval.Pending, approval.Approved:
		return &scheduleOutput{http.StatusAccepted, scheduleAnswer{Detail: detailOf("Schedule", got.Status), ID: got.ID, Status: got.Status}}, nil
	case approval.Consumed: // and the schedule has moved on since
		return nil, fault.New(fault.Gone, "schedule-changed-since", "approval %d was carried out, and the schedule was changed or ended since; add renew to ask again", got.ID)
	case approval.Rejected:
		return nil, fault.New(fault.Forbidden, "change-rejected", "approval %d was rejected: %q; add renew to ask again", got.ID, got.StatusReason)
	default:
		return nil, fault.New(fault.Gone, "change-"+string(got.Status), "approval %d is %s; add renew to ask again", got.ID, got.Status)
	}
}

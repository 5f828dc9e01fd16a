package export

import (
	"maps"
	"strconv"
	"strings"
	"time"

	"finobs/internal/approval"
	"finobs/internal/schedule"
)

// SlotStatus is what became of a slot.
type SlotStatus string

// The closed set of statuses of a slot.
const (
	SlotWaiting SlotStatus = "waiting" // for the slot before it to end
	SlotRunning SlotStatus = "running"
	SlotDone    SlotStatus = "done"    // its export is sealed
	SlotFailed  SlotStatus = "failed"  // its export was begun and will not be completed
	SlotSkipped SlotStatus = "skipped" // nothing was exported; the reason says why
)

// Origin is what started a slot.
type Origin string

// The closed set of origins.
const (
	Fired      Origin = "fired"      // the schedule itself
	Triggered  Origin = "triggered"  // a person, for one slot
	Backfilled Origin = "backfilled" // a person, for a span of slots
)

// Slot is one time at which a schedule falls due, and what became of it. A slot
// has one export at most.
type Slot struct {
	ScheduleID int64      `json:"schedule_id"`
	At         time.Time  `json:"slot"`
	Version    int64      `json:"version"` // of the schedule
	Status     SlotStatus `json:"status"`
	Reason     string     `json:"reason"`
	Origin     Origin     `json:"origin"`
	ExportID   int64      `json:"export_id,omitempty"`
	WorkflowID string     `json:"workflow_id"`
	FirstRunID string     `json:"-"` // "" while no workflow has come for it
	StartedAt  *time.Time `json:"started_at,omitempty"`
	EndedAt    *time.Time `json:"ended_at,omitempty"`
}

// ScheduleWorkflowID is the id of a schedule in Temporal, and what the ids of the
// workflows that it starts begin with.
func ScheduleWorkflowID(scheduleID int64) string {
	return schedulePrefix + strconv.FormatInt(scheduleID, 10)
}

const schedulePrefix = "schedule-"

// ScheduleOfWorkflow reads back which schedule has an id in Temporal.
func ScheduleOfWorkflow(id string) (scheduleID int64, ours bool) {
	digits, ours := strings.CutPrefix(id, schedulePrefix)
	scheduleID, err := strconv.ParseInt(digits, 10, 64)
	return scheduleID, ours && err == nil && ScheduleWorkflowID(scheduleID) == id
}

// SlotWorkflowID is the id of the workflow of a slot, whoever starts it: Temporal
// appends the time in this form by itself.
func SlotWorkflowID(scheduleID int64, slot time.Time) string {
	return ScheduleWorkflowID(scheduleID) + "-" + slot.UTC().Format(time.RFC3339)
}

// SlotOfWorkflow reads back which slot a workflow is of.
func SlotOfWorkflow(id string) (scheduleID int64, slot time.Time, ours bool) {
	digits, at, found := strings.Cut(strings.TrimPrefix(id, schedulePrefix), "-")
	scheduleID, err := strconv.ParseInt(digits, 10, 64)
	slot, timeErr := time.Parse(time.RFC3339, at)
	ours = found && err == nil && timeErr == nil && SlotWorkflowID(scheduleID, slot) == id
	return scheduleID, slot.UTC(), ours
}

// times is the parsed expression of a valid schedule; one that never falls due
// when it cannot be read, so that nothing happens that nobody can account for.
func (s Schedule) times() schedule.Schedule {
	parsed, err := schedule.Parse(s.Cron, s.Zone)
	if err != nil {
		return schedule.Schedule{}
	}
	return parsed
}

// Slots returns the first n slots after one moment and not after another, in UTC.
func (s Schedule) Slots(after, until time.Time, n int) []time.Time {
	slots := s.times().Between(after, until, n)
	for i := range slots {
		slots[i] = slots[i].UTC()
	}
	return slots
}

// Calendars are what Temporal is given to fire by: see package schedule. They
// span the grant in force.
func (s Schedule) Calendars() ([]schedule.Calendar, error) {
	return s.times().Calendars(s.GrantedAt, s.ExpiresAt)
}

// LastSlot returns the last slot of the grant in force that is not after now.
func (s Schedule) LastSlot(now time.Time) (time.Time, bool) {
	at, found := s.times().Previous(now.Add(time.Nanosecond))
	return at.UTC(), found && s.Grants(at)
}

// Grants reports whether the grant in force has a slot at a time.
func (s Schedule) Grants(slot time.Time) bool {
	return slot.After(s.GrantedAt) && !slot.After(s.ExpiresAt) && s.times().Falls(slot)
}

// momentFilters names the filters by which a window is set.
func (d Dataset) momentFilters() (from, to string, found bool) {
	for _, f := range d.Filters {
		switch {
		case f.Column != d.Moment || f.Kind != Time:
		case f.Op == From:
			from = f.Name
		case f.Op == Before:
			to = f.Name
		}
	}
	return from, to, from != "" && to != ""
}

// SlotFilters are the filters of the export of one slot: those of the schedule
// and, with a window since the slot before, the window. The window of the first
// slot begins where the slot before it would have been.
func (s Schedule) SlotFilters(slot time.Time) (map[string]string, error) {
	filters := maps.Clone(s.Spec.Filters)
	if s.Window != SincePrevious {
		return filters, nil
	}
	if filters == nil {
		filters = map[string]string{}
	}
	from, to, found := s.Spec.Dataset.momentFilters()
	if !found {
		return nil, scheduleFault("dataset %s has no filters for a window", s.Spec.Dataset.Name)
	}
	before, found := s.times().Previous(slot)
	if !found {
		return nil, scheduleFault("no slot comes before %s", slot.Format(time.RFC3339))
	}
	filters[from], filters[to] = before.UTC().Format(time.RFC3339), slot.UTC().Format(time.RFC3339)
	return filters, nil
}

// GrantedBy checks that s is exactly the schedule that the action a of request r
// grants: that nobody changed the row behind the approvers' backs.
func (s Schedule) GrantedBy(r approval.Request, a approval.Action) error {
	if _, err := ScheduleOf(a); err != nil {
		return mismatch("the approved action grants no schedule of this program: %v", err)
	}
	asked := s
	if asked.Version--; a.Kind == KindScheduleCreate {
		if asked.Version != 0 {
			return mismatch("schedule %d was changed since it was granted", s.ID)
		}
		asked.ID = 0
	}
	mode := approval.Live
	if s.Simulation {
		mode = approval.Simulation
	}
	action := asked.Action(s.Requester, s.Desk, mode)
	action.Editor, action.RiskTier, action.PolicyDigest = a.Editor, a.RiskTier, a.PolicyDigest
	digest, err := action.Digest()
	if err != nil || digest != r.ActionDigest || s.ApprovalID != r.ID || s.ActionDigest != r.ActionDigest {
		return mismatch("schedule %d is recorded differently from what approval %d grants", s.ID, r.ID)
	}
	return nil
}

// Intend is the export of one slot of the schedule that r grants.
func (s Schedule) Intend(r approval.Request, slot, now time.Time) (Export, error) {
	spec := s.Spec
	var err error
	if spec.Filters, err = s.SlotFilters(slot); err != nil {
		return Export{}, err
	}
	x := Intend(spec, r)
	x.ScheduleID, x.Slot, x.CreatedAt, x.WorkflowID = s.ID, &slot, now, SlotWorkflowID(s.ID, slot)
	return x, nil
}

// CarriesOutGrant checks that x is one slot of the schedule that the action a of
// request r grants, in all that was approved. An export that is read from a
// manifest, which does not tell when it was begun, is judged by its slot alone.
func (x Export) CarriesOutGrant(r approval.Request, a approval.Action) error {
	s, err := ScheduleOf(a)
	if err != nil {
		return mismatch("the approved action grants no schedule: %v", err)
	}
	switch {
	case x.ScheduleID == 0 || x.Slot == nil:
		return mismatch("export %d is of no schedule, and a schedule was approved", x.ID)
	case s.ID != 0 && s.ID != x.ScheduleID:
		return mismatch("export %d is of schedule %d, and schedule %d was approved", x.ID, x.ScheduleID, s.ID)
	case x.ApprovalID != r.ID || x.ActionDigest != r.ActionDigest:
		return mismatch("export %d belongs to another approval", x.ID)
	case x.Requester != r.Requester || x.Desk != a.Desk || x.Simulation != s.Simulation:
		return mismatch("export %d was made for somebody else, another desk or in another mode than was approved", x.ID)
	}
	s.GrantedAt = r.CreatedAt
	switch {
	case !s.Grants(*x.Slot):
		return mismatch("the grant has no slot at %s", x.Slot.Format(time.RFC3339))
	case x.CreatedAt.IsZero():
	case x.Slot.After(x.CreatedAt):
		return mismatch("export %d was begun before its slot", x.ID)
	case x.CreatedAt.After(s.ExpiresAt):
		return mismatch("export %d was begun after the grant had ended", x.ID)
	}
	if s.Spec.Filters, err = s.SlotFilters(*x.Slot); err != nil {
		return mismatch("the filters of the slot cannot be told: %v", err)
	}
	return x.follows(s.Spec)
}

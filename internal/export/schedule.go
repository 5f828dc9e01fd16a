package export

import (
	"maps"
	"regexp"
	"strconv"
	"strings"
	"time"

	"finobs/internal/approval"
	"finobs/internal/fault"
	"finobs/internal/schedule"
)

// Kinds of actions that make a schedule and change one.
const (
	KindScheduleCreate = "schedule.create"
	KindScheduleChange = "schedule.change"
)

// ScheduleTarget is the kind of target that names a schedule: one that exists by
// its id, a new one by its name at version 0.
const ScheduleTarget = "schedule"

// Window says which rows a slot exports.
type Window string

// The closed set of windows.
const (
	NoWindow      Window = "none"           // all rows that the filters select
	SincePrevious Window = "since_previous" // those whose moment is in [slot before, this slot)
)

// Valid reports whether w is one of the windows above.
func (w Window) Valid() bool { return w == NoWindow || w == SincePrevious }

// Overlap says what happens to a slot that falls due while the one before runs.
type Overlap string

// The closed set of overlap policies.
const (
	OverlapSkip   Overlap = "skip"       // it is skipped
	OverlapBuffer Overlap = "buffer_one" // one waits, further ones are skipped
	OverlapAllow  Overlap = "allow_all"  // they run at once
)

// Valid reports whether o is one of the policies above.
func (o Overlap) Valid() bool { return o == OverlapSkip || o == OverlapBuffer || o == OverlapAllow }

// ScheduleState is where a schedule stands.
type ScheduleState string

// The closed set of states of a schedule.
const (
	ScheduleActive  ScheduleState = "active"
	SchedulePaused  ScheduleState = "paused"
	ScheduleDeleted ScheduleState = "deleted" // it stays on record and fires no more
)

// Schedule is a standing grant: one export, again and again, at the times of a
// cron expression, until a day that the approvers saw. What is granted is in its
// action; the rest is where it stands.
type Schedule struct {
	ID          int64           `json:"schedule_id"` // 0: not recorded yet
	Name        string          `json:"name"`
	Version     int64           `json:"version"` // of the grants that it had, from 1; 0: none yet
	Spec        Spec            `json:"-"`
	Cron        string          `json:"cron"`
	Zone        string          `json:"zone"` // of the IANA database
	Window      Window          `json:"window"`
	Overlap     Overlap         `json:"overlap"`
	CatchUp     time.Duration   `json:"-"` // how late Temporal still starts a slot that it missed
	MaxLateness time.Duration   `json:"-"` // how late a slot may still begin, whatever held it up
	ExpiresAt   time.Time       `json:"expires_at"`
	Requester   approval.Person `json:"requester"`
	Desk        string          `json:"desk"`
	Simulation  bool            `json:"simulation"`

	ApprovalID   int64         `json:"approval_id"` // of the grant in force
	ActionDigest string        `json:"action_digest"`
	State        ScheduleState `json:"state"`
	StateReason  string        `json:"state_reason"`
	CreatedAt    time.Time     `json:"created_at"`
	GrantedAt    time.Time     `json:"granted_at"`          // when the grant in force was carried out
	PausedAt     *time.Time    `json:"paused_at,omitempty"` // while paused
	SettledUntil time.Time     `json:"settled_until"`       // each slot up to here is on record
}

// Parameters of an action that makes or changes a schedule, beside those of the
// export. The filters of the export are prefixed.
const (
	parameterName        = "name"
	parameterDataset     = "dataset"
	parameterCron        = "cron"
	parameterZone        = "zone"
	parameterWindow      = "window"
	parameterOverlap     = "overlap"
	parameterCatchUp     = "catch_up"
	parameterMaxLateness = "max_lateness"
	parameterExpiresAt   = "expires_at"
	filterPrefix         = "filter_"
)

var scheduleParameters = []string{
	parameterName, parameterDataset, parameterFormat, parameterCompression, parameterCron, parameterZone, parameterWindow, parameterOverlap,
	parameterCatchUp, parameterMaxLateness, parameterExpiresAt,
}

// Action returns the action that a person has to get approved for s: to make it,
// or to change the one that has its id.
func (s Schedule) Action(requester approval.Person, desk string, mode approval.Mode) approval.Action {
	kind, target := KindScheduleCreate, approval.Target{Kind: ScheduleTarget, ID: s.Name, Version: "0"}
	if s.ID != 0 {
		kind, target.ID, target.Version = KindScheduleChange, strconv.FormatInt(s.ID, 10), strconv.FormatInt(s.Version, 10)
	}
	parameters := map[string]string{
		parameterName: s.Name, parameterDataset: s.Spec.Dataset.Name, parameterFormat: string(s.Spec.Format),
		parameterCompression: string(s.Spec.Compression), parameterCron: s.Cron, parameterZone: s.Zone,
		parameterWindow: string(s.Window), parameterOverlap: string(s.Overlap), parameterCatchUp: s.CatchUp.String(),
		parameterMaxLateness: s.MaxLateness.String(), parameterExpiresAt: s.ExpiresAt.UTC().Format(time.RFC3339),
	}
	for name, value := range s.Spec.Filters {
		parameters[filterPrefix+name] = value
	}
	return approval.Action{
		Kind: kind, Targets: append([]approval.Target{target}, s.Spec.targets()...), Parameters: parameters, Requester: requester, Desk: desk, Mode: mode,
	}
}

func notASchedule(format string, args ...any) (Schedule, error) {
	return Schedule{}, fault.New(fault.Invalid, "not-a-schedule", format, args...)
}

// ScheduleOf reads back the schedule that an approved action grants. Its id is 0
// and its version 0 for a new one; for a change they are the ones that the action
// replaces. It refuses, as a fault of kind Invalid, what Action would not have
// written.
func ScheduleOf(a approval.Action) (Schedule, error) {
	p := a.Parameters
	d, known := DatasetNamed(p[parameterDataset])
	switch {
	case a.Kind != KindScheduleCreate && a.Kind != KindScheduleChange:
		return notASchedule("actions of kind %s grant no schedule", a.Kind)
	case !known:
		return notASchedule("there is no dataset %q", p[parameterDataset])
	case len(a.Targets) != 3 || a.Targets[0].Kind != ScheduleTarget:
		return notASchedule("the action's targets are not a schedule, a dataset and a destination")
	}
	export := map[string]string{parameterFormat: p[parameterFormat], parameterCompression: p[parameterCompression]}
	for name, value := range p {
		if filter, is := strings.CutPrefix(name, filterPrefix); is {
			export[filter] = value
		}
	}
	spec, err := specOf(d, a.Targets[1:], export)
	if err != nil {
		return Schedule{}, err
	}
	s := Schedule{
		Name: p[parameterName], Spec: spec, Cron: p[parameterCron], Zone: p[parameterZone], Window: Window(p[parameterWindow]),
		Overlap: Overlap(p[parameterOverlap]), Requester: a.Requester, Desk: a.Desk, Simulation: a.Mode == approval.Simulation,
	}
	if err := s.readTimes(p); err != nil {
		return Schedule{}, err
	}
	if a.Kind == KindScheduleChange {
		id, idErr := strconv.ParseInt(a.Targets[0].ID, 10, 64)
		version, versionErr := strconv.ParseInt(a.Targets[0].Version, 10, 64)
		if idErr != nil || versionErr != nil || id < 1 || version < 1 {
			return notASchedule("the action does not name the schedule that it changes by its id and version")
		}
		s.ID, s.Version = id, version
	}
	if again := s.Action(a.Requester, a.Desk, a.Mode); again.Targets[0] != a.Targets[0] || !maps.Equal(again.Parameters, p) {
		return notASchedule("the action is not written as a schedule is: each of %s, and filters with %s before their names",
			strings.Join(scheduleParameters, ", "), filterPrefix)
	}
	return s, s.Validate()
}

func (s *Schedule) readTimes(p map[string]string) error {
	var err error
	if s.CatchUp, err = time.ParseDuration(p[parameterCatchUp]); err != nil {
		return scheduleFault("catch_up %q is no duration such as 1h0m0s", p[parameterCatchUp])
	}
	if s.MaxLateness, err = time.ParseDuration(p[parameterMaxLateness]); err != nil {
		return scheduleFault("max_lateness %q is no duration such as 1h0m0s", p[parameterMaxLateness])
	}
	if s.ExpiresAt, err = time.Parse(time.RFC3339, p[parameterExpiresAt]); err != nil {
		return scheduleFault("expires_at %q is no time such as 2027-11-24T00:00:00Z", p[parameterExpiresAt])
	}
	s.ExpiresAt = s.ExpiresAt.UTC()
	return nil
}

// Limits of a schedule.
const (
	minCatchUp = time.Minute
	maxCatchUp = 7 * 24 * time.Hour
	maxGrant   = 366 * 24 * time.Hour // a standing grant is looked at again each year
)

// schedulePattern keeps names apart from ids, and makes them safe to show.
var schedulePattern = regexp.MustCompile(`^[a-z][a-z0-9]*([._-][a-z0-9]+)*$`)

const maxScheduleName = 64

func scheduleFault(format string, args ...any) error {
	return fault.New(fault.Invalid, "invalid-schedule", format, args...)
}

// Validate reports the first thing about s that keeps it from being granted,
// whatever the day, as a fault of kind Invalid.
func (s Schedule) Validate() error {
	from, to, _ := s.Spec.Dataset.momentFilters()
	_, setsFrom := s.Spec.Filters[from]
	_, setsTo := s.Spec.Filters[to]
	switch {
	case len(s.Name) > maxScheduleName || !schedulePattern.MatchString(s.Name):
		return scheduleFault("name %q must be lower-case words with '-', '_' or '.' between them, %d characters at most, a letter first", s.Name, maxScheduleName)
	case !s.Window.Valid():
		return scheduleFault("window %q must be none or since_previous", s.Window)
	case !s.Overlap.Valid():
		return scheduleFault("overlap %q must be skip, buffer_one or allow_all", s.Overlap)
	case s.CatchUp < minCatchUp || s.CatchUp > maxCatchUp || s.CatchUp%time.Second != 0:
		return scheduleFault("catch_up %s must be whole seconds between %s and %s", s.CatchUp, minCatchUp, maxCatchUp)
	case s.MaxLateness < minCatchUp || s.MaxLateness > maxCatchUp || s.MaxLateness%time.Second != 0:
		return scheduleFault("max_lateness %s must be whole seconds between %s and %s", s.MaxLateness, minCatchUp, maxCatchUp)
	case !s.ExpiresAt.Equal(s.ExpiresAt.Truncate(time.Second)):
		return scheduleFault("expires_at must be given to the second")
	case s.Window == SincePrevious && (setsFrom || setsTo):
		return scheduleFault("window since_previous sets the filters %s and %s for each slot; leave them out", from, to)
	}
	if _, err := schedule.Parse(s.Cron, s.Zone); err != nil {
		return err
	}
	return s.Spec.Validate()
}

// ValidateAt is Validate for a grant that begins now: it ends within a year, and
// the schedule falls due before that.
func (s Schedule) ValidateAt(now time.Time) error {
	if err := s.Validate(); err != nil {
		return err
	}
	switch {
	case !s.ExpiresAt.After(now):
		return scheduleFault("expires_at %s is past", s.ExpiresAt.Format(time.RFC3339))
	case s.ExpiresAt.Sub(now) > maxGrant:
		return scheduleFault("expires_at %s is more than a year ahead; a standing grant is asked for again each year", s.ExpiresAt.Format(time.RFC3339))
	case len(s.Slots(now, s.ExpiresAt, 1)) == 0:
		return scheduleFault("%q never falls due before %s, when the grant ends", s.Cron, s.ExpiresAt.Format(time.RFC3339))
	}
	_, err := s.times().Calendars(now, s.ExpiresAt)
	return err
}

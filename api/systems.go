package api

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"finobs/internal/approval"
	"finobs/internal/attempt"
	"finobs/internal/export"
	"finobs/internal/fault"
	"finobs/internal/health"
	"finobs/internal/store"
	"finobs/workflows"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
)

const (
	// systemsMemory is how long an answer stands: however many ask, everything is
	// probed once in this time.
	systemsMemory = time.Second
	// watchInterval is how often the states are looked at when nobody asks, so that
	// since when they hold is known.
	watchInterval = 5 * time.Second
	// lastSlots is how many slots of a schedule are looked at, and mostSchedules how
	// many schedules.
	lastSlots     = 10
	mostSchedules = 200
)

// systemView is one component of the report.
type systemView struct {
	ID         string     `json:"id" example:"postgres:postgres"`
	Kind       string     `json:"kind" enum:"postgres,temporal,task_queue,api,workers,worker,sequencer,siem_sink,destination,channel,connector,model,feed,system,schedule"`
	Name       string     `json:"name"`
	State      string     `json:"state" enum:"ok,degraded,down,unknown"`
	Detail     string     `json:"detail"`
	Since      time.Time  `json:"since" doc:"in this state, as far as is known"`
	EvidenceAt *time.Time `json:"evidence_at" doc:"of the newest evidence; null when there never was any"`
	LatencyMS  *float64   `json:"latency_ms" doc:"of the probe; null when it is not measured"`
	DependsOn  []string   `json:"depends_on" doc:"ids of what it works with, or what its evidence comes by"`
	ImpactedBy []string   `json:"impacted_by" doc:"ids of what it depends on, at first or second hand, that is down or not known to be well"`
}

// SystemsView says how finobs and what it leans on are doing.
type SystemsView struct {
	State      string       `json:"state" enum:"ok,degraded,down,unknown" doc:"of the whole"`
	At         time.Time    `json:"at" doc:"when it was looked"`
	Components []systemView `json:"components"`
}

// systems answers how everything is doing, from probes that it makes itself and
// from what others put on record.
type systems struct {
	server *Server
	name   string // of this process

	postgres attempt.One[time.Time]
	temporal attempt.One[bool]
	queue    attempt.One[health.Queue]
	record   attempt.One[record]

	mu     sync.Mutex
	at     time.Time // by this process's clock
	view   SystemsView
	memory health.Memory
	known  []health.Component // as the record last had them

	rosterMu sync.Mutex
	people   map[string]lastReduced
	blind    atomic.Bool // Postgres was down when it was last looked at
}

// record is what is on record, schedules among it.
type record struct {
	store.Systems
	schedules []health.Component
}

func newSystems(s *Server) *systems {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return &systems{server: s, name: host[:min(len(host), 32)] + "/" + uuid.NewString()[:8], people: map[string]lastReduced{}}
}

func (y *systems) get(ctx context.Context, _ *struct{}) (*body[SystemsView], error) {
	return &body[SystemsView]{y.report(ctx)}, nil
}

// run gives signs of life and looks now and then, until ctx ends.
func (y *systems) run(ctx context.Context) {
	// Nobody waits for it to end: a database that hangs would keep this process from
	// stopping.
	go func() {
		for ctx.Err() == nil {
			if err := y.server.Reader.Announce(ctx, y.name, health.BeatInterval); err != nil && ctx.Err() == nil {
				slog.DebugContext(ctx, "no sign of life given", "error", err)
			}
			pause(ctx, health.BeatInterval)
		}
	}()
	for ctx.Err() == nil {
		y.report(ctx)
		pause(ctx, watchInterval)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// report looks at everything, unless that was just done.
func (y *systems) report(ctx context.Context) SystemsView {
	y.mu.Lock()
	defer y.mu.Unlock()
	if time.Since(y.at) < systemsMemory && !y.at.IsZero() {
		return y.view
	}
	// Others wait for this answer too, so it does not end with the one who asked.
	ctx = context.WithoutCancel(ctx)
	list, now := y.look(ctx)
	health.Sort(list)
	y.memory.Stamp(list, now)
	y.view, y.at = viewSystems(list, now), time.Now()
	return y.view
}

// look makes all probes at the same time.
func (y *systems) look(ctx context.Context) ([]health.Component, time.Time) {
	var (
		all        sync.WaitGroup
		pg, tp     health.Component
		queue      health.Queue
		rec        record
		queueErr   error
		recErr     error
		began      = time.Now()
		temporalUp bool
	)
	all.Go(func() {
		_, took, err := y.postgres.Do(ctx, probeTimeout, y.server.Reader.Now)
		pg = health.Answer(health.Postgres, "postgres", took, err, began)
	})
	all.Go(func() {
		_, took, err := y.temporal.Do(ctx, probeTimeout, func(ctx context.Context) (bool, error) {
			_, err := y.server.Temporal.CheckHealth(ctx, &client.CheckHealthRequest{})
			return true, err
		})
		tp, temporalUp = health.Answer(health.Temporal, "temporal", took, err, began), err == nil
	})
	all.Go(func() { queue, _, queueErr = y.queue.Do(ctx, probeTimeout, y.describeQueue) })
	all.Go(func() { rec, _, recErr = y.record.Do(ctx, probeTimeout, y.read) })
	all.Wait()

	y.blind.Store(pg.State == health.Down)
	now := began
	if recErr == nil {
		now = rec.Now
	}
	if pg.State != health.Down {
		pg.EvidenceAt = now
	}
	if temporalUp {
		tp.EvidenceAt = now
	}
	list := []health.Component{pg, tp, queueComponent(queue, queueErr, temporalUp, now)}
	return append(list, y.recorded(rec, recErr, pg.State, queue.Polled, now)...), now
}

func queueComponent(q health.Queue, err error, temporalUp bool, now time.Time) health.Component {
	if err == nil {
		return health.OfQueue(q, now)
	}
	c := health.OfQueue(health.Queue{Name: workflows.TaskQueue}, now)
	c.State, c.EvidenceAt, c.Detail = health.Unknown, time.Time{}, "Temporal does not answer"
	if temporalUp {
		c.Detail = "Temporal does not describe it: " + err.Error()
	}
	return c
}

// recorded are the components whose evidence is on record. While the record cannot
// be read they are those that were known last, and how they are is not known.
func (y *systems) recorded(rec record, err error, postgres health.State, polled map[string]time.Time, now time.Time) []health.Component {
	self := health.OfAPI(y.name, now, true, now)
	if err != nil {
		why := "not known while Postgres is down"
		if postgres != health.Down {
			why = "its evidence cannot be read: " + err.Error()
		}
		blind := y.known
		if blind == nil { // nothing was ever read, but these are always there
			blind = append(health.OfWorkers(nil, nil, now), health.OfSequencer(health.Log{}, now))
		}
		return append(health.Blind(blind, why), self)
	}
	list := slices.Concat(
		health.OfWorkers(rec.Workers, polled, now), []health.Component{health.OfSequencer(rec.Log, now)}, health.OfSinks(rec.Sinks, rec.Log, now),
		health.OfFindings(rec.Findings, rec.Workers, now), health.OfFeeds(rec.Feeds, rec.FeedRules, now), health.OfBeats(rec.Beats, now),
		rec.schedules,
	)
	for name, at := range rec.APIs {
		if name != y.name {
			list = append(list, health.OfAPI(name, at, false, now))
		}
	}
	y.known = slices.Clone(list)
	return append(list, self)
}

// read reads what is on record.
func (y *systems) read(ctx context.Context) (out record, err error) {
	if out.Systems, err = y.server.Reader.Systems(ctx); err != nil {
		return out, err
	}
	for _, state := range []export.ScheduleState{export.ScheduleActive, export.SchedulePaused} {
		list, err := y.server.Reader.Schedules(ctx, store.ScheduleFilter{State: string(state)}, store.Page{Limit: mostSchedules})
		if err != nil {
			return out, err
		}
		for _, s := range list {
			slots, err := y.server.Reader.Slots(ctx, s.ID, "", time.Time{}, lastSlots)
			if err != nil {
				return out, err
			}
			out.schedules = append(out.schedules, health.OfSchedule(s, slots, out.Now))
		}
	}
	return out, nil
}

// describeQueue asks Temporal for the backlogs and the pollers of the task queue.
func (y *systems) describeQueue(ctx context.Context) (health.Queue, error) {
	q := health.Queue{Name: workflows.TaskQueue, Polled: map[string]time.Time{}}
	for _, kind := range []enumspb.TaskQueueType{enumspb.TASK_QUEUE_TYPE_WORKFLOW, enumspb.TASK_QUEUE_TYPE_ACTIVITY} {
		got, err := y.server.Temporal.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
			Namespace: y.server.Namespace, TaskQueue: &taskqueuepb.TaskQueue{Name: workflows.TaskQueue}, TaskQueueType: kind, ReportStats: true,
		})
		if err != nil {
			return q, err
		}
		q.Backlog += got.GetStats().GetApproximateBacklogCount()
		q.Age = max(q.Age, got.GetStats().GetApproximateBacklogAge().AsDuration())
		for _, p := range got.GetPollers() {
			if at := p.GetLastAccessTime().AsTime(); at.After(q.Polled[p.GetIdentity()]) {
				q.Polled[p.GetIdentity()] = at
			}
		}
	}
	return q, nil
}

func viewSystems(list []health.Component, now time.Time) SystemsView {
	impacts := health.Impacts(list)
	out := SystemsView{State: string(health.Overall(list)), At: now.UTC(), Components: make([]systemView, 0, len(list))}
	for _, c := range list {
		v := systemView{
			ID: c.ID(), Kind: string(c.Kind), Name: c.Name, State: string(c.State), Detail: c.Detail, Since: c.Since.UTC(),
			DependsOn: append([]string{}, c.Needs...), ImpactedBy: append([]string{}, impacts[c.ID()]...),
		}
		if !c.EvidenceAt.IsZero() {
			v.EvidenceAt = new(c.EvidenceAt.UTC())
		}
		if c.Latency > 0 {
			v.LatencyMS = new(float64(c.Latency.Microseconds()) / 1000)
		}
		out.Components = append(out.Components, v)
	}
	return out
}

// Who may read /systems has to be known while the database, which knows it, is down.
const (
	// rosterWait is how long the roster is waited for then.
	rosterWait = time.Second
	// rosterMemory is how long what the roster said of somebody counts then.
	rosterMemory = 15 * time.Minute
)

// lastReduced is what the roster left of somebody's roles when it was last asked.
type lastReduced struct {
	roles  []string
	readAt time.Time
}

// reduce takes from a person the roles that the roster does not give him. For
// SystemRead alone it does without the roster when that cannot be read: with what
// the roster said in the last quarter of an hour, or else with the roles of his
// token, whose signature is checked without the database.
func (s *Server) reduce(ctx context.Context, p approval.Principal, wanted Permission) (approval.Principal, error) {
	if wanted != SystemRead {
		return s.roster.reduce(ctx, p)
	}
	return s.systems.reduce(ctx, p)
}

func (y *systems) reduce(ctx context.Context, p approval.Principal) (approval.Principal, error) {
	got, err := y.askRoster(ctx, p)
	y.rosterMu.Lock()
	defer y.rosterMu.Unlock()
	if err == nil {
		if len(y.people) >= maxRemembered {
			clear(y.people)
		}
		y.people[p.Key()] = lastReduced{got.Roles, time.Now()}
		return got, nil
	}
	if last, known := y.people[p.Key()]; known && time.Since(last.readAt) < rosterMemory {
		p.Roles = slices.DeleteFunc(slices.Clone(p.Roles), func(role string) bool { return !slices.Contains(last.roles, role) })
	}
	return p, nil
}

var errBlind = fault.New(fault.Unavailable, "database-unavailable", "the database was down a moment ago")

// askRoster asks the roster, but not for long, and not while Postgres is known to be
// down: a query that hangs would stay behind.
func (y *systems) askRoster(ctx context.Context, p approval.Principal) (approval.Principal, error) {
	if y.blind.Load() {
		return p, errBlind
	}
	var one attempt.One[approval.Principal]
	got, _, err := one.Do(ctx, rosterWait, func(ctx context.Context) (approval.Principal, error) { return y.server.roster.reduce(ctx, p) })
	if err != nil {
		slog.DebugContext(ctx, "the roster cannot be read; /systems is answered without it", "error", err)
	}
	return got, err
}

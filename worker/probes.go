package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"finobs/internal/attempt"
	"finobs/internal/detect"
	"finobs/internal/fault"
	"finobs/internal/health"
	"finobs/internal/llm"
	"finobs/internal/plaintext"
	"finobs/internal/store"

	"github.com/google/uuid"
)

// maxFinding bounds what is kept of a reason, in characters.
const maxFinding = 300

// vitals tells the record that this worker lives, and how those systems are doing
// whose credentials workers alone hold.
type vitals struct {
	store   *store.Writer
	process health.Process
	feeds   []detect.Feed
	targets []*target
}

// target is a system that is looked at.
type target struct {
	kind  health.Kind
	name  string
	look  func(context.Context) (health.Finding, error)
	calls attempt.One[health.Finding]
}

func newVitals(d Deps) *vitals {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	v := &vitals{store: d.Store, process: health.Process{
		Instance: host + "/" + uuid.NewString()[:8], Host: host, Version: d.Version, RecordOnly: d.RecordOnly,
		Identity: fmt.Sprintf("%d@%s@", os.Getpid(), host), // as the SDK makes it, before the task queue
	}}
	for _, s := range d.Detectors {
		if s.Name == detect.StaleFeeds {
			v.feeds = append([]detect.Feed{}, s.Feeds...)
		}
	}
	if d.RecordOnly {
		return v // it reaches nothing, and has no credentials
	}
	add := func(k health.Kind, name string, look func(context.Context) (string, error)) {
		v.targets = append(v.targets, &target{kind: k, name: name, look: said(look)})
	}
	for _, name := range d.Destinations.Names() {
		add(health.Destination, name, func(ctx context.Context) (string, error) { return d.Destinations.Probe(ctx, name) })
	}
	if m, ok := d.Messenger.(Messenger); ok {
		for _, name := range m.Channels.Names() {
			add(health.Channel, name, func(ctx context.Context) (string, error) { return m.Channels.Probe(ctx, name) })
		}
	}
	for _, info := range d.Agents.Connectors.Infos() {
		add(health.Connector, info.Name, func(ctx context.Context) (string, error) {
			return fmt.Sprintf("%s, for %s, answers", info.Host, info.Mode), d.Agents.Connectors.Probe(ctx, info.Name)
		})
	}
	if m := d.Agents.Model; m != nil {
		version := m.Version("")
		v.targets = append(v.targets, &target{
			kind: health.Model, name: string(version.Provider) + "/" + version.Model,
			look: func(ctx context.Context) (health.Finding, error) { return v.model(ctx, m, version) },
		})
	}
	return v
}

// said makes a finding of a look that says something in words, or fails.
func said(look func(context.Context) (string, error)) func(context.Context) (health.Finding, error) {
	return func(ctx context.Context) (health.Finding, error) {
		detail, err := look(ctx)
		return health.Finding{State: health.OK, Detail: detail}, err
	}
}

// model goes by the breaker of this process, and by the last exchange on record:
// asking costs money.
func (v *vitals) model(ctx context.Context, m *llm.Analyst, version llm.Version) (health.Finding, error) {
	now, err := v.store.Now(ctx)
	if err != nil {
		return health.Finding{}, err
	}
	last, err := v.store.LastExchange(ctx, string(version.Provider), version.Model)
	if err != nil {
		return health.Finding{}, err
	}
	var f health.Finding
	f.State, f.Detail, f.EvidenceAt = health.OfModel(m.Circuit(), last.Outcome, last.Outcome == llm.Accepted, last.At, now)
	return f, nil
}

// run beats and looks until ctx ends.
func (v *vitals) run(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() {
		every(ctx, health.BeatInterval, func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, health.ProbeTimeout)
			defer cancel()
			return v.store.Beat(ctx, v.process, v.feeds)
		})
	})
	both.Go(func() { every(ctx, health.ProbeInterval, v.pass) })
	both.Wait()
	// Who stops in order is not missed.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), health.ProbeTimeout)
	defer cancel()
	if err := v.store.EndBeat(last, v.process.Instance); err != nil {
		slog.WarnContext(last, "the end of this worker is not recorded", "error", err)
	}
}

// pass looks at everything once, at the same time.
func (v *vitals) pass(ctx context.Context) error {
	if len(v.targets) == 0 {
		return nil
	}
	beat, cancel := context.WithTimeout(ctx, health.ProbeTimeout)
	defer cancel()
	if err := v.store.Beat(beat, v.process, v.feeds); err != nil { // findings belong to a worker that is on record
		return err
	}
	errs := make(chan error, len(v.targets))
	for _, t := range v.targets {
		go func() { errs <- v.look(ctx, t) }()
	}
	var first error
	for range v.targets {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return first
}

func (v *vitals) look(ctx context.Context, t *target) error {
	f, took, err := t.calls.Do(ctx, health.ProbeTimeout, t.look)
	if ctx.Err() != nil {
		return nil // it is this worker that stops
	}
	switch {
	case err != nil && t.kind == health.Model: // the record could not be read, which says nothing of the model
		f = health.Finding{State: health.Unknown, Detail: reasonOf(err)}
	case err != nil:
		f = health.Finding{State: health.Down, Detail: reasonOf(err)}
	case t.kind != health.Model:
		f.Latency = took
	}
	f.Instance, f.Kind, f.Name, f.Detail = v.process.Instance, t.kind, t.name, plaintext.Line(f.Detail, maxFinding)
	write, cancel := context.WithTimeout(ctx, health.ProbeTimeout)
	defer cancel()
	return v.store.Found(write, f)
}

// reasonOf is what a person reads of a failed look.
func reasonOf(err error) string {
	var e *fault.Error
	switch {
	case !errors.As(err, &e):
		return err.Error()
	case e.Cause != nil:
		return e.Message + ": " + e.Cause.Error()
	}
	return e.Message
}

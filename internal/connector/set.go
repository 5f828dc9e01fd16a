package connector

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"finobs/internal/action"
	"finobs/internal/approval"
	"finobs/internal/fault"
)

// Executor reads objects of desk systems and has commands carried out. Its errors
// are faults with codes that begin with "connector.".
type Executor interface {
	// Serves reports whether a connector is configured for a kind of object.
	Serves(kind string) bool
	// Read returns an object as it is now.
	Read(ctx context.Context, kind, id string) (action.Object, error)
	// List returns the objects of a kind, by id; a fault of kind TooLarge when there
	// are more than 10,000.
	List(ctx context.Context, kind string) ([]action.Object, error)
	// Apply sends a command over a target under an idempotency key. An error means that
	// nothing was applied by this call; whether a call may help later is the fault's
	// kind. Every other end is an Outcome.
	Apply(ctx context.Context, key string, c action.Command, target approval.Target) (Outcome, error)
	// Lookup asks the system that serves a kind what became of a key. It changes
	// nothing, and after an error it may be asked again.
	Lookup(ctx context.Context, kind, key string) (Outcome, error)
	// Transit is how long after it was sent a command over an object of a kind may
	// still be applied.
	Transit(kind string) time.Duration
}

// The systems of the two modes are different types, so that one never stands where
// the other is meant.
type (
	liveSystem      struct{ *client }
	simulatedSystem struct{ *client }
)

func (s liveSystem) reach() *client      { return s.client }
func (s simulatedSystem) reach() *client { return s.client }

type system interface {
	liveSystem | simulatedSystem
	reach() *client
}

// router finds the system of a kind.
type router[S system] struct{ byKind map[string]S }

// Live reaches live systems and no others.
type Live struct{ router[liveSystem] }

// Simulated reaches systems of simulation. It holds no live system, so no method of
// it can reach one.
type Simulated struct{ router[simulatedSystem] }

var (
	_ Executor = (*Live)(nil)
	_ Executor = (*Simulated)(nil)
)

// Set is the connectors of one file. A nil *Set has none.
type Set struct {
	live      Live
	simulated Simulated
	infos     []Info
}

// Info describes a connector, without its secrets.
type Info struct {
	Name  string        `json:"name"`
	Mode  approval.Mode `json:"mode"`
	Host  string        `json:"host"`
	Kinds []string      `json:"kinds"`
}

// For returns what carries out actions of a mode. Whatever is not plainly live is
// simulation.
func (s *Set) For(mode approval.Mode) Executor {
	switch {
	case s == nil:
		return &Simulated{}
	case mode == approval.Live:
		return &s.live
	}
	return &s.simulated
}

// Infos describes the connectors, in the order of the file.
func (s *Set) Infos() []Info {
	if s == nil {
		return nil
	}
	return slices.Clone(s.infos)
}

func (r *router[S]) of(kind string) (*client, error) {
	s, ok := r.byKind[kind]
	if !ok {
		serves := "none"
		if len(r.byKind) > 0 {
			serves = strings.Join(slices.Sorted(maps.Keys(r.byKind)), ", ")
		}
		return nil, fault.New(fault.NotFound, "connector.none", "no connector of this mode serves objects of kind %q; configured: %s", kind, serves)
	}
	return s.reach(), nil
}

// Serves implements Executor.
func (r *router[S]) Serves(kind string) bool {
	_, ok := r.byKind[kind]
	return ok
}

// Transit implements Executor.
func (r *router[S]) Transit(kind string) time.Duration {
	c, err := r.of(kind)
	if err != nil {
		return MaxTimeout
	}
	return c.timeout
}

// Read implements Executor.
func (r *router[S]) Read(ctx context.Context, kind, id string) (action.Object, error) {
	c, err := r.of(kind)
	if err != nil {
		return action.Object{}, err
	}
	if !action.ValidID(id) {
		return action.Object{}, fault.New(fault.Invalid, "connector.invalid-id", "id %q is no id of an object", id)
	}
	return c.object(ctx, kind, id)
}

// List implements Executor.
func (r *router[S]) List(ctx context.Context, kind string) ([]action.Object, error) {
	c, err := r.of(kind)
	if err != nil {
		return nil, err
	}
	return c.list(ctx, kind)
}

// Apply implements Executor.
func (r *router[S]) Apply(ctx context.Context, key string, cmd action.Command, target approval.Target) (Outcome, error) {
	c, err := r.of(target.Kind)
	if err != nil {
		return Outcome{}, err
	}
	object := action.Object{Kind: target.Kind, ID: target.ID, Version: target.Version}
	if err := object.Validate(); err != nil {
		return Outcome{}, err
	}
	if err := checkKey(key); err != nil {
		return Outcome{}, err
	}
	if err := action.Allowed(cmd.Action, target.Kind, cmd.Parameters); err != nil {
		return Outcome{}, err
	}
	return c.apply(ctx, key, cmd, target)
}

// Lookup implements Executor.
func (r *router[S]) Lookup(ctx context.Context, kind, key string) (Outcome, error) {
	c, err := r.of(kind)
	if err != nil {
		return Outcome{}, err
	}
	if err := checkKey(key); err != nil {
		return Outcome{}, err
	}
	return c.lookup(ctx, kind, key)
}

var keyPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$`)

func checkKey(key string) error {
	if keyPattern.MatchString(key) {
		return nil
	}
	return fault.New(fault.Invalid, "connector.invalid-key", "key %q must be 1 to 128 letters, digits, '_', '.', ':' and '-'", key)
}

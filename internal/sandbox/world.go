package sandbox

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"finobs/internal/canonical"
)

// effect is what became of a command, under its idempotency key.
type effect struct {
	Key          string  `json:"key"`
	Digest       string  `json:"digest"` // of the command, so that a key is not used for another
	ID           string  `json:"effect_id"`
	Command      Command `json:"command"`
	Refused      refusal `json:"refused,omitzero"`
	Object       *Object `json:"object,omitempty"` // as the effect left it; nil when refused
	Applications int     `json:"-"`                // how often it was applied: 1, or 0 when refused
}

// refusal says why a command was not applied.
type refusal struct {
	Status  int    `json:"status"` // of HTTP
	Code    string `json:"code"`
	Detail  string `json:"detail"`
	Current string `json:"current_version,omitempty"`
}

// world is the desk: its objects and what was done to them.
type world struct {
	mu       sync.Mutex
	now      func() time.Time
	takes    time.Duration // how long what is begun takes
	objects  map[ref]*held
	effects  map[string]*effect
	inFlight map[string]int // requests by key that are not decided yet
	badEnds  int            // how many of what is begun will end badly
	journal  *journal
	broken   error // the journal could not be written; nothing is answered any more
}

var errKeyReuse = errors.New("the key was used for another command")

func openWorld(path string, seed []Object, takes time.Duration, now func() time.Time) (*world, error) {
	w := &world{now: now, takes: takes, objects: map[ref]*held{}, effects: map[string]*effect{}, inFlight: map[string]int{}}
	var err error
	if w.journal, err = openJournal(path, w.replay); err != nil {
		return nil, fmt.Errorf("reading the state: %w", err)
	}
	if len(w.objects) > 0 {
		return w, nil
	}
	return w, w.record(line{Seed: seed})
}

// record writes changes down and then makes them, in that order.
func (w *world) record(lines ...line) error {
	if w.broken != nil {
		return w.broken
	}
	if err := w.journal.append(lines...); err != nil {
		// What is on disk is not known now: a restart reads it.
		w.broken = fmt.Errorf("writing the state: %w", err)
		return w.broken
	}
	for _, l := range lines {
		if err := w.replay(l); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) replay(l line) error {
	for _, o := range l.Seed {
		w.objects[ref{o.Kind, o.ID}] = &held{Object: o}
	}
	if l.Object != nil {
		w.objects[l.Object.ref()] = l.Object
	}
	if e := l.Effect; e != nil {
		if before, again := w.effects[e.Key]; again {
			e.Applications = before.Applications
		}
		if e.Object != nil {
			e.Applications++
		}
		w.effects[e.Key] = e
	}
	return nil
}

// advance ends what is due.
func (w *world) advance() error {
	var due []*held
	for _, o := range w.objects {
		if !o.Due.IsZero() && !o.Due.After(w.now()) {
			due = append(due, o)
		}
	}
	// What ends first may decide how the next ends.
	slices.SortFunc(due, func(a, b *held) int {
		return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
	})
	for _, o := range due {
		ended, err := o.changed()
		if err != nil {
			return err
		}
		ended.Due = time.Time{}
		w.end(ended, w.badEnds == 0)
		if err := w.record(line{Object: ended}); err != nil {
			return err
		}
		w.badEnds = max(0, w.badEnds-1)
	}
	return nil
}

// apply carries out a command once under its key, and returns what became of it. A
// key that was used for another command is errKeyReuse.
func (w *world) apply(key string, c Command, before time.Time) (effect, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.advance(); err != nil {
		return effect{}, err
	}
	digest, err := c.digest()
	if err != nil {
		return effect{}, err
	}
	if known, ok := w.effects[key]; ok {
		if known.Digest != digest {
			return effect{}, errKeyReuse
		}
		return *known, nil
	}
	e := &effect{Key: key, Digest: digest, ID: fmt.Sprintf("E%06d", len(w.effects)+1), Command: c}
	object, refused := w.attempt(c, before)
	e.Refused = refused
	if object != nil {
		e.Object = &object.Object
	}
	if err := w.record(line{Effect: e, Object: object}); err != nil {
		return effect{}, err
	}
	return *e, nil
}

// attempt is the object as a command leaves it, or why the command is refused.
func (w *world) attempt(c Command, before time.Time) (*held, refusal) {
	rule, known := rules()[c.Action]
	object, there := w.objects[ref{c.Target.Kind, c.Target.ID}]
	switch {
	case !before.IsZero() && w.now().After(before):
		return nil, refusal{Status: http.StatusUnprocessableEntity, Code: "expired", Detail: "the command came after its Apply-Before"}
	case !known:
		return nil, refusal{Status: http.StatusUnprocessableEntity, Code: "unknown_action", Detail: "there is no such action"}
	case c.Target.Kind != rule.kind:
		return nil, refusal{Status: http.StatusUnprocessableEntity, Code: "wrong_target", Detail: "the action is for a " + rule.kind}
	case !there:
		return nil, refusal{Status: http.StatusUnprocessableEntity, Code: "no_target", Detail: "there is no such object"}
	case object.Version != c.Target.Version:
		return nil, refusal{Status: http.StatusConflict, Code: "version_moved", Detail: "the object has changed since", Current: object.Version}
	}
	after, err := object.changed()
	if err != nil {
		return nil, refusal{Status: http.StatusUnprocessableEntity, Code: "refused", Detail: "its version is no number"}
	}
	if why := rule.do(w, after, c.Parameters); why != "" {
		return nil, refusal{Status: http.StatusUnprocessableEntity, Code: "refused", Detail: why}
	}
	if rule.takes {
		after.Due = w.now().Add(w.takes)
	}
	return after, refusal{}
}

func (c Command) digest() (string, error) {
	parameters := canonical.Object{}
	for name, value := range c.Parameters {
		parameters[name] = value
	}
	return canonical.Digest("finobs.sandbox.command.v1", canonical.Object{
		"action": c.Action, "parameters": parameters,
		"target": canonical.Object{"kind": c.Target.Kind, "id": c.Target.ID, "version": c.Target.Version},
	})
}

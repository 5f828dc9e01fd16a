package siem

import (
	"fmt"
	"strings"
	"time"

	"finobs/internal/canonical"
)

// timeForm is the form of times in leaves, which is also one of RFC 5424.
const timeForm = "2006-01-02T15:04:05.000000Z"

// record is what a message tells of a leaf.
type record struct {
	id, kind, action, outcome, reason, desk string
	issuer, actor, actorKind                string
	subject                                 string // kind:id
	workflow                                string // its id; empty when none wrote the entry
	simulation                              bool
	at                                      time.Time
	time                                    string // at as the leaf has it
}

// readRecord takes a leaf apart. A field that is missing is an error: an empty
// value in its place would be a message that says something else. Fields that the
// ledger may leave empty, such as the desk, may be empty here.
func readRecord(leaf []byte) (record, error) {
	o, err := canonical.Parse(leaf)
	if err != nil {
		return record{}, fmt.Errorf("reading leaf: %w", err)
	}
	f := fields{object: o}
	r := record{
		id: f.filled("id"), kind: f.filled("type"), action: f.text("action"), outcome: f.text("outcome"),
		reason: f.text("reason"), desk: f.text("desk"), time: f.filled("time"),
		issuer: f.text("actor", "iss"), actor: f.text("actor", "sub"), actorKind: f.filled("actor", "kind"),
		subject: f.text("subject", "kind") + ":" + f.text("subject", "id"), workflow: f.text("workflow", "id"),
		simulation: f.truth("is_simulation"),
	}
	if f.err != nil {
		return record{}, f.err
	}
	if r.at, err = time.Parse(timeForm, r.time); err != nil || r.at.Format(timeForm) != r.time {
		return record{}, fmt.Errorf("leaf has time %q; want the form %s", r.time, timeForm)
	}
	return r, nil
}

// fields reads fields of a leaf and keeps the first error.
type fields struct {
	object canonical.Object
	err    error
}

func (f *fields) at(path []string) any {
	var v any = map[string]any(f.object)
	for _, key := range path {
		o, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = o[key]
	}
	return v
}

func (f *fields) fail(path []string, want string) {
	if f.err == nil {
		f.err = fmt.Errorf("leaf has no %s that is %s", strings.Join(path, "."), want)
	}
}

func (f *fields) text(path ...string) string {
	s, ok := f.at(path).(string)
	if !ok {
		f.fail(path, "text")
	}
	return s
}

func (f *fields) filled(path ...string) string {
	s := f.text(path...)
	if s == "" {
		f.fail(path, "text and not empty")
	}
	return s
}

func (f *fields) truth(path ...string) bool {
	b, ok := f.at(path).(bool)
	if !ok {
		f.fail(path, "true or false")
	}
	return b
}

// Package deskfile reads the desk file: what a desk promises for incidents, who is
// told while nobody acknowledges one, and how notices become an alarm. It is pure.
package deskfile

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"finobs/internal/desk"
	"finobs/internal/incident"

	"go.yaml.in/yaml/v3"
)

// Desk is a desk file that was read and checked.
type Desk struct {
	// Digest names the file's bytes, as sha256:<hex>.
	Digest string
	// Detectors is the section of that name as it stands in the file; whoever runs
	// detectors decodes it, see Decode.
	Detectors map[string]yaml.Node

	reopenWindow time.Duration
	closeAfter   time.Duration
	repeat       time.Duration
	general      map[desk.Severity]*level
	owners       map[string]map[desk.Severity]*level
	raise        []raise // fewest first
}

// level is what the file says about one severity.
type level struct {
	terms   incident.Terms
	ladder  []Rung // soonest first
	overdue []Rung // soonest first
}

// raise is a number of notices and the severity that they have at least.
type raise struct {
	count int64
	to    desk.Severity
}

// level finds what holds for a severity, and for a queue where it has its own
// word; nil when the file says nothing.
func (d *Desk) level(owner string, s desk.Severity) *level {
	if own, ok := d.owners[owner][s]; ok {
		return own
	}
	return d.general[s]
}

// Terms are what is promised for a severity, in a queue; zero for what is not.
func (d *Desk) Terms(owner string, s desk.Severity) incident.Terms {
	if l := d.level(owner, s); l != nil {
		return l.terms
	}
	return incident.Terms{}
}

// ReopenWindow is how long after its end a condition that holds again is the same
// incident.
func (d *Desk) ReopenWindow() time.Duration { return d.reopenWindow }

// CloseAfter is how long a resolved incident stays resolved before it is closed.
func (d *Desk) CloseAfter() time.Duration { return d.closeAfter }

// RaisedTo is the severity that a number of notices has at least; "" for none.
func (d *Desk) RaisedTo(occurrences int64) desk.Severity {
	for _, r := range slices.Backward(d.raise) {
		if occurrences >= r.count {
			return r.to
		}
	}
	return ""
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}

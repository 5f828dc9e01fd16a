package incident

import (
	"strings"
	"time"
	"unicode/utf8"

	"finobs/internal/fault"
)

// Occurrence is one report that a condition holds, or has ended.
type Occurrence struct {
	Key         string    // idempotency: the same occurrence counts once per dedup key
	Firing      bool      // false: the condition has ended
	At          time.Time // when it happened, by its source; zero: now
	Incident    Incident  // what to open when no open incident has the dedup key; for an end only DedupKey and Source matter
	AutoResolve bool      // an end resolves the incident
}

// Folding is what became of an occurrence.
type Folding string

// The closed set of foldings.
const (
	Opened     Folding = "opened"
	Repeated   Folding = "repeated"   // counted, and the incident says what it said before
	Updated    Folding = "updated"    // counted, or noted, and the incident says something else now
	Reopened   Folding = "reopened"   // it had been resolved a short while ago
	AutoEnded  Folding = "resolved"   // its condition ended; or it was known to have ended before it was reported
	Ignored    Folding = "ignored"    // an occurrence seen before, or an end of nothing
	Suppressed Folding = "suppressed" // opened within a maintenance window: nobody is paged before its end
)

// Folded is what became of an occurrence, and of which incident it is.
type Folded struct {
	IncidentID int64 // 0: of none
	Folding    Folding
}

// Validate reports the first thing that keeps an occurrence from being recorded,
// as a fault of kind Invalid.
func (o Occurrence) Validate() error {
	bad := func(format string, args ...any) error {
		return fault.New(fault.Invalid, "invalid-occurrence", format, args...)
	}
	key := o.Incident.DedupKey
	switch {
	case o.Key == "" || len(o.Key) > maxName:
		return bad("the occurrence's key must have 1 to %d bytes", maxName)
	case !utf8.ValidString(o.Key+key+o.Incident.Source) || strings.ContainsRune(o.Key+key+o.Incident.Source, 0):
		return bad("the occurrence's key, dedup key or source holds a NUL or bytes that are not UTF-8")
	case o.Firing:
		return o.Incident.Validate()
	case key == "" || len(key) > maxName:
		return bad("the dedup key must have 1 to %d bytes", maxName)
	}
	return nil
}

// OccurrenceID tells occurrences apart.
type OccurrenceID struct{ DedupKey, Key string }

// Recorded is an occurrence as it is on record.
type Recorded struct {
	ID         int64
	IncidentID int64 // 0: an end of nothing
	OccurrenceID
	Firing     bool
	At         time.Time
	Summary    string
	Source     string
	RecordedAt time.Time
}

// Head is the incident that a dedup key stands for: the active one, or else the
// newest, or the survivor that it was merged into.
type Head struct {
	IncidentID int64
	Merged     bool
}

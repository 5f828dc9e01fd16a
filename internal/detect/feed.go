package detect

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"finobs/internal/incident"
)

// Feed is a source that has to send something every so often while it is awake.
type Feed struct {
	Source string
	MaxAge time.Duration
	Hours  Hours // zero: always
}

// Hours are those of a session, by the wall clock of a place: a feed that sleeps at
// night is not stale.
type Hours struct {
	Zone     string // IANA name; empty: the feed is always awake
	From, To time.Duration
	Days     []time.Weekday
}

func (f Feed) validate() error {
	switch {
	case f.Source == "":
		return errors.New("source must be named")
	case f.MaxAge < time.Second:
		return errors.New("max_age must be at least 1s")
	case f.Hours.Zone == "":
		return nil
	case f.Hours.To <= f.Hours.From || f.Hours.To > 24*time.Hour || f.Hours.From < 0:
		return errors.New("hours: from must be before to, both within a day; a session over midnight is two feeds")
	}
	if _, err := time.LoadLocation(f.Hours.Zone); err != nil {
		return fmt.Errorf("hours: zone %q is no IANA time zone", f.Hours.Zone)
	}
	return nil
}

// Opened is when the session that a moment is in began, and whether it is in one.
func (h Hours) Opened(at time.Time) (time.Time, bool) {
	if h.Zone == "" {
		return time.Time{}, true
	}
	zone, err := time.LoadLocation(h.Zone)
	if err != nil {
		return time.Time{}, false // validate saw to it
	}
	local := at.In(zone)
	if len(h.Days) > 0 && !slices.Contains(h.Days, local.Weekday()) {
		return time.Time{}, false
	}
	y, m, d := local.Date()
	moment := func(after time.Duration) time.Time {
		return time.Date(y, m, d, int(after/time.Hour), int(after%time.Hour/time.Minute), 0, 0, zone)
	}
	from, to := moment(h.From), moment(h.To)
	return from, !at.Before(from) && at.Before(to)
}

// Heard is when a source was heard of last; zero: never.
type Heard map[string]time.Time

// Stale are the feeds that are awake and of which nothing came for longer than they
// may. Time before the session began does not count; nor, for a feed that was never
// heard of, time before since, when the feeds were declared last.
func (s Spec) Stale(heard Heard, since, now time.Time) []incident.Occurrence {
	var out []incident.Occurrence
	for _, f := range s.Feeds {
		opened, awake := f.Hours.Opened(now)
		if !awake {
			continue
		}
		last := heard[f.Source]
		from := last
		if last.IsZero() {
			from = since
		}
		if opened.After(from) {
			from = opened
		}
		if now.Sub(from) <= f.MaxAge {
			continue
		}
		words := "nothing has ever come from it: is it the name under which the source sends?"
		if !last.IsZero() {
			words = "the last came at " + last.UTC().Format(time.RFC3339)
		}
		out = append(out, s.begin("feed:"+f.Source, from.Add(f.MaxAge), incident.Incident{
			Kind: incident.SystemOutage, Title: "Feed " + f.Source + " is stale",
			Description: fmt.Sprintf("Nothing has come from %s for longer than %s; %s.", f.Source, f.MaxAge, words),
			SubjectKind: "feed", SubjectID: f.Source, System: f.Source, Origin: incident.Live,
			Details: map[string]string{"max_age_seconds": fmt.Sprint(int64(f.MaxAge / time.Second))},
		}))
	}
	return out
}

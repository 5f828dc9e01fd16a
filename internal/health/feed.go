package health

import (
	"fmt"
	"slices"
	"time"

	"finobs/internal/detect"
	"finobs/internal/export"
)

// OfFeeds are the sources that were heard of, or that the desk file expects to
// hear from. A feed without a rule has no state: nobody said how often it has to
// send. One that is asleep has none either, until its session begins.
func OfFeeds(heard map[string]time.Time, rules []detect.Feed, now time.Time) []Component {
	byName := map[string][]detect.Feed{}
	names := make([]string, 0, len(heard)+len(rules))
	for name := range heard {
		names = append(names, name)
	}
	for _, f := range rules {
		byName[f.Source] = append(byName[f.Source], f)
		names = append(names, f.Source)
	}
	slices.Sort(names)
	var out []Component
	for _, name := range slices.Compact(names) {
		out = append(out, ofFeed(name, heard[name], byName[name], now))
	}
	return out
}

func ofFeed(name string, last time.Time, rules []detect.Feed, now time.Time) Component {
	c := Component{Kind: Feed, Name: name, State: Unknown, EvidenceAt: last, Needs: []string{PostgresID}}
	words := "nothing has come from it yet"
	if !last.IsZero() {
		words = "the last came " + round(now.Sub(last)).String() + " ago"
	}
	if len(rules) == 0 {
		c.Detail = words + "; the desk file does not say how often it has to send"
		return c
	}
	for _, f := range rules {
		opened, awake := f.Hours.Opened(now)
		if !awake {
			continue
		}
		from := last
		if opened.After(from) {
			from = opened
		}
		switch {
		case !last.IsZero() && now.Sub(last) <= f.MaxAge:
			c.State, c.Detail = OK, words
		case !from.IsZero() && now.Sub(from) <= f.MaxAge:
			c.Detail = words + "; its session has just begun"
		case last.IsZero() && opened.IsZero():
			c.Detail = words
		default:
			c.State, c.Detail = Down, fmt.Sprintf("%s; it has to send every %s", words, f.MaxAge)
			c.Since = from.Add(f.MaxAge)
		}
		return c
	}
	c.Detail = words + "; it is outside the hours of its session"
	return c
}

// Beat is the last heartbeat of a system of the desk.
type Beat struct {
	System string
	Source string
	Status string // up, degraded or down, in the system's own word
	Detail string
	Every  time.Duration
	At     time.Time
}

// missedBeats is after how many of its own periods a system's word is too old.
const missedBeats = 3

// OfBeats are the systems of the desk that send heartbeats. When they fall silent
// nobody knows how they are: it may be the way to here.
func OfBeats(list []Beat, now time.Time) []Component {
	var out []Component
	for _, b := range list {
		c := Component{Kind: Heartbeat, Name: b.System, EvidenceAt: b.At, Needs: []string{PostgresID}}
		said := map[string]State{"up": OK, "degraded": Degraded, "down": Down}[b.Status]
		switch {
		case now.Sub(b.At) > missedBeats*b.Every:
			c.State, c.Detail = Unknown, fmt.Sprintf("no heartbeat for %s, and one is due every %s; it said %s then", round(now.Sub(b.At)), b.Every, b.Status)
		case said == "":
			c.State, c.Detail = Unknown, fmt.Sprintf("it says %q, which is no status", b.Status)
		default:
			c.State, c.Detail = said, "it says that it is "+b.Status
			if b.Detail != "" {
				c.Detail += ": " + b.Detail
			}
		}
		out = append(out, c)
	}
	return out
}

// begun is how long after its time a slot of a schedule may begin.
const begun = time.Minute

// OfSchedule is a schedule of exports with its last slots, the newest first.
func OfSchedule(s export.Schedule, slots []export.Slot, now time.Time) Component {
	c := Component{Kind: Schedule, Name: s.Name, State: Unknown, Needs: []string{PostgresID, TemporalID, WorkersID}}
	next := "none: it ends before"
	if list := s.Slots(now, s.ExpiresAt, 1); len(list) > 0 {
		next = list[0].Format(time.RFC3339)
	}
	last := "no slot yet"
	if len(slots) > 0 {
		newest := slots[0]
		c.EvidenceAt = newest.At
		last = fmt.Sprintf("slot %s is %s", newest.At.UTC().Format(time.RFC3339), newest.Status)
		if newest.Reason != "" {
			last += ": " + newest.Reason
		}
		switch newest.Status {
		case export.SlotFailed, export.SlotSkipped:
			c.State = Degraded
		case export.SlotDone, export.SlotRunning, export.SlotWaiting:
			c.State = OK
		}
	}
	missed := ""
	if due := overdue(s, slots, now); !due.IsZero() && s.State == export.ScheduleActive {
		c.State, missed = Degraded, fmt.Sprintf("slot %s has not begun; ", due.Format(time.RFC3339))
	}
	c.Detail = fmt.Sprintf("%s%s; next: %s", missed, last, next)
	if s.State == export.SchedulePaused {
		c.State, c.Detail = Unknown, "it is paused; "+last
	}
	return c
}

// overdue is the first slot that fell due a while ago and of which nothing is on
// record; zero when there is none.
func overdue(s export.Schedule, slots []export.Slot, now time.Time) time.Time {
	for _, due := range s.Slots(s.SettledUntil, now.Add(-begun), 10) {
		if !slices.ContainsFunc(slots, func(x export.Slot) bool { return x.At.Equal(due) }) {
			return due
		}
	}
	return time.Time{}
}

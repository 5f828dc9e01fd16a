package detect

import (
	"fmt"
	"time"

	"finobs/internal/event"
	"finobs/internal/incident"
)

// Silence is a system of which nothing was heard for too long.
type Silence struct {
	System string
	Source string
	Every  time.Duration // how often it should be heard of
	Since  time.Time     // its last heartbeat
	Origin incident.Origin
}

// Silent says of each silence that it is an outage.
func (s Spec) Silent(list []Silence) []incident.Occurrence {
	out := make([]incident.Occurrence, 0, len(list))
	for _, x := range list {
		out = append(out, s.begin("silent:"+x.System, x.Since.Add(time.Duration(s.Missed)*x.Every), incident.Incident{
			Kind: incident.SystemOutage, Title: x.System + " is silent",
			Description: fmt.Sprintf("%s sends a heartbeat every %s; the last came at %s, and at least %d are missing.",
				x.System, x.Every, x.Since.UTC().Format(time.RFC3339), s.Missed),
			SubjectKind: "system", SubjectID: x.System, System: x.System, Origin: x.Origin,
			Details: map[string]string{"last_heartbeat": x.Since.UTC().Format(time.RFC3339Nano), "every_seconds": fmt.Sprint(int64(x.Every / time.Second))},
		}))
	}
	return out
}

// Burst is the fullest window of refusals by one system among those that were
// looked at.
type Burst struct {
	Source  string
	System  string
	Count   int
	First   time.Time // of the window, by the source's clock
	Last    time.Time
	Reasons string // the most frequent, in the sender's words: untrusted
	Origin  incident.Origin
}

// Bursts says of each burst that it is an outage. It is over when a person says so:
// that no more refusals come may only mean that nobody sends orders.
func (s Spec) Bursts(list []Burst) []incident.Occurrence {
	var out []incident.Occurrence
	for _, b := range list {
		if b.Count < s.Count {
			continue
		}
		o := s.begin("rejects:"+b.Source+":"+b.System, b.Last, incident.Incident{
			Kind: incident.SystemOutage, Title: fmt.Sprintf("%s refuses: %d rejects within %s", orSource(b.System, b.Source), b.Count, s.Window),
			Description: fmt.Sprintf("From %s to %s there were %d rejects. The most frequent reasons: %s",
				b.First.UTC().Format(time.RFC3339), b.Last.UTC().Format(time.RFC3339), b.Count, b.Reasons),
			SubjectKind: "system", SubjectID: b.System, System: b.System, Origin: b.Origin,
			Details: map[string]string{"rejects": fmt.Sprint(b.Count), "window_seconds": fmt.Sprint(int64(s.Window / time.Second))},
		})
		o.AutoResolve = false
		out = append(out, o)
	}
	return out
}

func orSource(system, source string) string {
	if system == "" {
		return source
	}
	return system
}

// FailedTrade is a trade whose source says that its settlement failed.
type FailedTrade struct {
	TransactionID   int64
	Source, TradeID string
	Symbol          string
	Words           string // side, quantity and price, in words
	UpdatedAt       time.Time
	Desk            string
	Origin          incident.Origin
}

// Failed says of each trade that its settlement failed.
func (s Spec) Failed(list []FailedTrade) []incident.Occurrence {
	out := make([]incident.Occurrence, 0, len(list))
	for _, t := range list {
		out = append(out, s.begin("settlement:"+t.Source+":"+t.TradeID, t.UpdatedAt, incident.Incident{
			Kind: incident.FailedSettlement, Title: fmt.Sprintf("Settlement of %s trade %s failed", t.Symbol, t.TradeID),
			Description: fmt.Sprintf("%s says that the settlement of trade %s failed: %s.", t.Source, t.TradeID, t.Words),
			SubjectKind: "transaction", SubjectID: fmt.Sprint(t.TransactionID), TransactionID: t.TransactionID, Desk: t.Desk, Origin: t.Origin,
			Details: map[string]string{"source": t.Source, "trade_id": t.TradeID, "symbol": t.Symbol},
		}))
	}
	return out
}

// Outcome is a sending, or an action on a desk's system, of which nobody knows what
// became, or a sending that failed for good.
type Outcome struct {
	What   string // notification, delivery or action
	ID     string
	Status string
	Detail string
	Since  time.Time
}

// Unknown says of each outcome that somebody has to look after it.
func (s Spec) Unknown(list []Outcome) []incident.Occurrence {
	out := make([]incident.Occurrence, 0, len(list))
	for _, x := range list {
		out = append(out, s.begin("outcome:"+x.What+":"+x.ID, x.Since, incident.Incident{
			Kind: incident.Other, Title: fmt.Sprintf("%s %s is %s", x.What, x.ID, x.Status),
			Description: "Since " + x.Since.UTC().Format(time.RFC3339) + ": " + x.Detail, SubjectKind: x.What, SubjectID: event.Cut(x.ID, event.MaxKey),
			Origin: incident.Live, Details: map[string]string{"status": x.Status},
		}))
	}
	return out
}

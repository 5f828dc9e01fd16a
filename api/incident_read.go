package api

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"finobs/internal/fault"
	"finobs/internal/incident"
	"finobs/internal/store"
)

type occurrenceView struct {
	ID         int64     `json:"occurrence_id"`
	Key        string    `json:"occurrence_key"`
	DedupKey   string    `json:"dedup_key" doc:"another one than the incident's when it came with a merge"`
	Firing     bool      `json:"firing" doc:"false: the condition had ended"`
	At         time.Time `json:"at" doc:"by its source"`
	Summary    string    `json:"summary"`
	Source     string    `json:"source"`
	RecordedAt time.Time `json:"recorded_at"`
}

type occurrencePage struct {
	Items      []occurrenceView `json:"items"`
	NextBefore int64            `json:"next_before" doc:"cursor of the next page; 0 on the last one"`
}

type pagedInput struct {
	Paging
	ID int64 `path:"id" minimum:"1"`
}

func (s *Server) incidentOccurrences(ctx context.Context, in *pagedInput) (*body[occurrencePage], error) {
	if _, err := s.seen(ctx).Incident(ctx, in.ID); err != nil {
		return nil, err
	}
	list, err := s.Reader.Occurrences(ctx, in.ID, in.page())
	if err != nil {
		return nil, err
	}
	out := occurrencePage{Items: []occurrenceView{}}
	for _, o := range list {
		out.Items = append(out.Items, occurrenceView{o.ID, o.Key, o.DedupKey, o.Firing, o.At, o.Summary, o.Source, o.RecordedAt})
		out.NextBefore = in.next(len(list), o.ID)
	}
	return &body[occurrencePage]{out}, nil
}

type momentView struct {
	At    time.Time       `json:"at"`
	Kind  string          `json:"kind" enum:"comment,entry,notification,occurrences"`
	Actor *personView     `json:"actor" doc:"null where nobody in particular did it"`
	Text  string          `json:"text" doc:"what was said, the reason, the subject of a notification, or what the latest occurrence says"`
	Data  json.RawMessage `json:"data" doc:"what is particular to the kind"`
}

type timelineInput struct {
	ID     int64  `path:"id" minimum:"1"`
	Before string `query:"before" maxLength:"120" doc:"next_before of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
}

type timelinePage struct {
	Items      []momentView `json:"items"`
	NextBefore string       `json:"next_before" doc:"cursor of the next page; empty on the last one"`
}

// incidentTimeline tells what happened in an incident, newest first.
func (s *Server) incidentTimeline(ctx context.Context, in *timelineInput) (*body[timelinePage], error) {
	if _, err := s.seen(ctx).Incident(ctx, in.ID); err != nil {
		return nil, err
	}
	var before time.Time
	at, id, _ := strings.Cut(in.Before, "~")
	if in.Before != "" {
		var err error
		if before, err = time.Parse(time.RFC3339Nano, at); err != nil {
			return nil, fault.New(fault.Invalid, "invalid-query", "before %q is no cursor such as next_before gives", in.Before)
		}
	}
	s.recordRead(ctx, "GET /incident/:id/timeline", "the timeline of one was read")
	list, err := s.Reader.Timeline(ctx, in.ID, before, id, in.Limit)
	if err != nil {
		return nil, err
	}
	out := timelinePage{Items: []momentView{}}
	for _, m := range list {
		v := momentView{At: m.At.UTC(), Kind: m.Kind, Text: m.Text, Data: m.Data}
		if m.ActorSub != "" {
			v.Actor = &personView{m.ActorIss, m.ActorSub}
		}
		out.Items = append(out.Items, v)
		if len(list) == in.Limit {
			out.NextBefore = m.At.UTC().Format(time.RFC3339Nano) + "~" + m.ID
		}
	}
	return &body[timelinePage]{out}, nil
}

type incidentMetricsInput struct {
	From   string `query:"from" format:"date-time" doc:"incidents opened, and rounds begun, at or after; default: 30 days before to, or ago"`
	To     string `query:"to" format:"date-time" doc:"before; default: until now"`
	Origin string `query:"origin" enum:"live,demo,all" default:"live"`
	Desk   string `query:"desk" maxLength:"32"`
	Owner  string `query:"owner" maxLength:"200"`
	Kind   string `query:"kind" enum:"trade_break,failed_settlement,system_outage,other"`
}

type incidentMetricsView struct {
	From        *time.Time       `json:"from"`
	To          *time.Time       `json:"to"`
	Origin      string           `json:"origin"`
	Incidents   int64            `json:"incidents" doc:"without those that were merged into others"`
	ByStatus    map[string]int64 `json:"by_status"`
	BySeverity  map[string]int64 `json:"by_severity"`
	ByKind      map[string]int64 `json:"by_kind"`
	ByOwner     map[string]int64 `json:"by_owner"`
	Reopened    int64            `json:"reopened" doc:"how often incidents were reopened"`
	Occurrences occurrencesView  `json:"occurrences_per_incident"`
	Acknowledge timesView        `json:"time_to_acknowledge_seconds" doc:"MTTA: from opening, or reopening, to the first acknowledgement"`
	Resolve     timesView        `json:"time_to_resolve_seconds" doc:"MTTR: from opening, or reopening, to resolution"`
	SLA         slaView          `json:"sla"`
}

type occurrencesView struct {
	Mean *float64 `json:"mean" doc:"null without incidents"`
	Max  int64    `json:"max"`
}

type timesView struct {
	N    int64    `json:"n"`
	Mean *float64 `json:"mean"`
	P50  *float64 `json:"p50"`
	P95  *float64 `json:"p95"`
}

type slaView struct {
	Acknowledge promiseView `json:"acknowledge"`
	Resolve     promiseView `json:"resolve"`
}

type promiseView struct {
	Met      int64    `json:"met"`
	Breached int64    `json:"breached" doc:"done late, or not done although its time has passed"`
	Pending  int64    `json:"pending" doc:"not done, and still in time"`
	MetRate  *float64 `json:"met_rate" doc:"met of met and breached; null when there are none"`
}

func (s *Server) incidentMetrics(ctx context.Context, in *incidentMetricsInput) (*body[incidentMetricsView], error) {
	w := store.IncidentWindow{Origin: in.Origin, Desk: in.Desk, Owner: in.Owner, Kind: in.Kind}
	if w.Origin == "all" {
		w.Origin = ""
	}
	if err := readTimes(timeBound{in.From, &w.From}, timeBound{in.To, &w.To}); err != nil {
		return nil, err
	}
	switch {
	case w.From.IsZero() && w.To.IsZero():
		w.From = time.Now().Add(-figuresOf).UTC().Truncate(time.Second)
	case w.From.IsZero():
		w.From = w.To.Add(-figuresOf)
	}
	counts, times, err := s.seen(ctx).IncidentMetrics(ctx, w)
	if err != nil {
		return nil, err
	}
	v := incidentMetricsView{
		From: optionalTime(w.From), To: optionalTime(w.To), Origin: in.Origin, ByStatus: zeroes(incident.Statuses()), BySeverity: map[string]int64{},
		ByKind: map[string]int64{}, ByOwner: map[string]int64{}, Reopened: times.Reopened,
		Acknowledge: timesView{times.AckN, times.AckMean, times.AckP50, times.AckP95},
		Resolve:     timesView{times.ResolveN, times.Mean, times.P50, times.P95},
		SLA: slaView{
			promiseView{times.AckMet, times.AckBroken, times.AckPending, rate(times.AckMet, times.AckMet+times.AckBroken)},
			promiseView{times.ResMet, times.ResBroken, times.ResPending, rate(times.ResMet, times.ResMet+times.ResBroken)},
		},
	}
	var occurrences int64
	for _, c := range counts {
		v.Incidents += c.N
		v.ByStatus[c.Status] += c.N
		v.BySeverity[c.Severity] += c.N
		v.ByKind[c.Kind] += c.N
		v.ByOwner[c.Owner] += c.N
		occurrences += c.Occurrences
		v.Occurrences.Max = max(v.Occurrences.Max, c.Most)
	}
	v.Occurrences.Mean = rate(occurrences, v.Incidents)
	return &body[incidentMetricsView]{v}, nil
}

func zeroes[T ~string](names []T) map[string]int64 {
	out := make(map[string]int64, len(names))
	for _, name := range names {
		out[string(name)] = 0
	}
	return out
}

package api

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"finobs/internal/recon"
	"finobs/internal/store"
)

// reconRunView is a run in answers.
type reconRunView struct {
	ID            string          `json:"run_id"`
	State         string          `json:"state" enum:"running,done,failed"`
	Reason        string          `json:"reason,omitempty" doc:"why it failed"`
	Repeated      bool            `json:"repeated,omitempty" doc:"the same comparison was made before; this is that run"`
	Profile       string          `json:"profile,omitempty"`
	ProfileDigest string          `json:"profile_sha256,omitempty"`
	Origin        string          `json:"origin,omitempty"`
	WorkflowID    string          `json:"workflow_id"`
	Progress      *reconProgress  `json:"progress,omitempty"`
	Request       json.RawMessage `json:"request,omitempty" doc:"files by their SHA-256, days, strict"`
	Report        json.RawMessage `json:"report,omitempty" doc:"of both sides what was read, with bad lines; how records matched; breaks by type with exposure; what became of earlier ones"`
	BreaksSHA256  string          `json:"breaks_sha256,omitempty" doc:"over the breaks as they were found; the ledger entry has it"`
	RequestedBy   *personView     `json:"requested_by,omitempty"`
	StartedAt     *time.Time      `json:"started_at,omitempty"`
	RecordedAt    *time.Time      `json:"recorded_at,omitempty"`
	TraceID       string          `json:"trace_id,omitempty"`
}

// reconProgress is a recon.Progress in answers.
type reconProgress struct {
	Phase recon.Phase `json:"phase" enum:"waiting,reading_left,reading_right,matching_keys,matching_fuzzy,comparing,recording,done,failed"`
	Rows  int64       `json:"rows" doc:"read so far of the side"`
	Bytes int64       `json:"bytes" doc:"read so far of its file"`
	Total int64       `json:"total" doc:"bytes of its file; 0 when not known"`
}

func viewReconRun(r recon.Run) (reconRunView, error) {
	req := r.Request
	req.ProfileText = ""
	v := reconRunView{
		ID: r.Key, State: string(r.State), Reason: r.Reason, Profile: r.Profile, ProfileDigest: r.ProfileDigest, Origin: r.Origin,
		WorkflowID: r.WorkflowID, BreaksSHA256: r.BreaksSHA256, RequestedBy: &personView{r.RequestedBy.Issuer, r.RequestedBy.Subject},
		StartedAt: &r.StartedAt, RecordedAt: &r.RecordedAt, TraceID: r.TraceID,
	}
	var err error
	if v.Request, err = json.Marshal(req); err == nil && r.State == recon.RunDone {
		v.Report, err = json.Marshal(r.Report)
	}
	if err != nil {
		return v, fmt.Errorf("encoding run %s: %w", r.Key, err)
	}
	return v, nil
}

// breakView is a break in answers. Amounts are texts: exact decimals.
type breakView struct {
	ID              int64      `json:"break_id"`
	Profile         string     `json:"profile"`
	Origin          string     `json:"origin" enum:"live,demo"`
	Type            string     `json:"type" enum:"missing_left,missing_right,quantity,price,fee,side,symbol,currency,trade_date,settlement_date,account,duplicate_left,duplicate_right"`
	Key             string     `json:"key" doc:"by which people know the trade"`
	Field           string     `json:"field"`
	Ordinal         int        `json:"ordinal"`
	Status          string     `json:"status" enum:"open,resolved"`
	Severity        string     `json:"severity" enum:"low,medium,high,critical"`
	Owner           string     `json:"owner" doc:"queue that looks at it"`
	SLAHours        int        `json:"sla_hours"`
	DueAt           time.Time  `json:"due_at" doc:"first_seen_at and sla_hours"`
	LeftIDs         []string   `json:"left_ids"`
	RightIDs        []string   `json:"right_ids"`
	LeftValue       string     `json:"left_value"`
	RightValue      string     `json:"right_value"`
	Difference      *string    `json:"difference" doc:"right less left, exact decimal; of dates in days"`
	Currency        string     `json:"currency"`
	Exposure        *string    `json:"exposure" doc:"money at risk in currency, exact decimal"`
	Confidence      string     `json:"confidence" doc:"that the records belong together, 0 to 1"`
	NeedsReview     bool       `json:"needs_review" doc:"a person has to say whether they do"`
	Symbol          string     `json:"symbol"`
	Side            string     `json:"side"`
	Account         string     `json:"account"`
	TradeDate       *string    `json:"trade_date" format:"date"`
	SettlementDate  *string    `json:"settlement_date" format:"date"`
	CutoffAt        *time.Time `json:"cutoff_at" doc:"until when it can be mended in time to settle"`
	MinutesToCutoff *int64     `json:"minutes_to_cutoff" doc:"below 0 once it has passed; null without a cut-off, or when it is resolved"`
	AgeHours        int64      `json:"age_hours"`
	AgeBusinessDays int64      `json:"age_business_days" doc:"by the calendar of the profile"`
	FirstRun        string     `json:"first_run"`
	LastRun         string     `json:"last_run"`
	FirstSeen       time.Time  `json:"first_seen_at"`
	LastSeen        time.Time  `json:"last_seen_at"`
	ResolvedAt      *time.Time `json:"resolved_at"`
	Reopened        int        `json:"reopened" doc:"how often it came back"`
	Version         int64      `json:"version"`
}

func viewBreak(b recon.Recorded, now time.Time) breakView {
	age := b.Age(now)
	v := breakView{
		ID: b.ID, Profile: b.Profile, Origin: b.Origin, Type: string(b.Type), Key: b.Key, Field: b.Field, Ordinal: b.Ordinal, Status: b.Status,
		Severity: string(b.Severity), Owner: b.Owner, SLAHours: b.SLAHours, DueAt: b.Due(), LeftIDs: b.LeftIDs, RightIDs: b.RightIDs,
		LeftValue: b.LeftValue, RightValue: b.RightValue, Difference: viewDecimal(b.Difference), Currency: b.Currency, Exposure: viewDecimal(b.Exposure),
		Confidence: b.Confidence.String(), NeedsReview: b.NeedsReview, Symbol: b.Symbol, Side: b.Side, Account: b.Account,
		TradeDate: viewDate(b.TradeDate), SettlementDate: viewDate(b.SettlementDate), AgeHours: age.Hours, AgeBusinessDays: age.BusinessDays,
		FirstRun: b.FirstRun, LastRun: b.LastRun, FirstSeen: b.FirstSeen, LastSeen: b.LastSeen, Reopened: b.Reopened, Version: b.Version,
	}
	if !b.ResolvedAt.IsZero() {
		v.ResolvedAt = &b.ResolvedAt
	}
	if !b.CutoffAt.IsZero() {
		v.CutoffAt = &b.CutoffAt
		if b.ResolvedAt.IsZero() {
			minutes := int64(b.CutoffAt.Sub(now).Truncate(time.Minute) / time.Minute)
			v.MinutesToCutoff = &minutes
		}
	}
	return v
}

func viewDate(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := t.Format(time.DateOnly)
	return &text
}

type listBreaksInput struct {
	Paging
	Status  string `query:"status" enum:"open,resolved"`
	Type    string `query:"type" enum:"missing_left,missing_right,quantity,price,fee,side,symbol,currency,trade_date,settlement_date,account,duplicate_left,duplicate_right"`
	Owner   string `query:"owner" maxLength:"200"`
	Profile string `query:"profile" maxLength:"64"`
	Key     string `query:"key" maxLength:"1000" doc:"by which people know the trade"`
	Origin  string `query:"origin" enum:"live,demo" doc:"default: both"`
	Run     string `query:"run" maxLength:"128" doc:"run_id of the run that showed them last"`
}

type breakPage struct {
	Items      []breakView `json:"items"`
	NextBefore int64       `json:"next_before" doc:"cursor of the next page; 0 on the last one"`
}

func (s *Server) listBreaks(ctx context.Context, in *listBreaksInput) (*body[breakPage], error) {
	now, err := s.Reader.Now(ctx)
	if err != nil {
		return nil, err
	}
	list, err := s.Reader.Breaks(ctx, store.BreakFilter{
		Status: in.Status, Type: in.Type, Owner: in.Owner, Profile: in.Profile, Key: in.Key, Origin: in.Origin, Run: in.Run,
	}, in.page())
	if err != nil {
		return nil, err
	}
	out := breakPage{Items: []breakView{}}
	for _, b := range list {
		out.Items = append(out.Items, viewBreak(b, now))
		out.NextBefore = in.next(len(list), b.ID)
	}
	return &body[breakPage]{out}, nil
}

func (s *Server) getBreak(ctx context.Context, in *idInput) (*body[breakView], error) {
	now, err := s.Reader.Now(ctx)
	if err != nil {
		return nil, err
	}
	b, err := s.Reader.Break(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &body[breakView]{viewBreak(b, now)}, nil
}

type breakEventView struct {
	RunID      string    `json:"run_id"`
	Event      string    `json:"event" enum:"opened,changed,resolved,reopened"`
	LeftValue  string    `json:"left_value"`
	RightValue string    `json:"right_value"`
	Difference *string   `json:"difference"`
	Exposure   *string   `json:"exposure"`
	At         time.Time `json:"at"`
}

type breakHistoryView struct {
	Events  []breakEventView `json:"events" doc:"oldest first"`
	Entries []entryView      `json:"entries" doc:"ledger entries of the runs"`
}

func (s *Server) breakHistory(ctx context.Context, in *idInput) (*body[breakHistoryView], error) {
	if _, err := s.Reader.Break(ctx, in.ID); err != nil {
		return nil, err
	}
	events, err := s.Reader.BreakEvents(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := breakHistoryView{Events: []breakEventView{}, Entries: []entryView{}}
	for _, e := range events {
		out.Events = append(out.Events, breakEventView{
			RunID: e.Run, Event: e.Event, LeftValue: e.LeftValue, RightValue: e.RightValue, Difference: viewDecimal(e.Difference), Exposure: viewDecimal(e.Exposure), At: e.At,
		})
	}
	s.recordRead(ctx, "GET /recon/breaks/:id/history", "the history of one was read")
	entries, err := s.Reader.BreakEntries(ctx, in.ID)
	for _, e := range entries {
		out.Entries = append(out.Entries, viewEntry(e))
	}
	return &body[breakHistoryView]{out}, err
}

type profileView struct {
	Name     string   `json:"name"`
	Title    string   `json:"title"`
	SHA256   string   `json:"sha256"`
	Left     sideView `json:"left"`
	Right    sideView `json:"right"`
	Schedule string   `json:"schedule,omitempty" doc:"cron expression and time zone"`
	Text     string   `json:"text" doc:"the file"`
}

type sideView struct {
	Label       string   `json:"label"`
	Book        string   `json:"book,omitempty" doc:"source of the transactions on record"`
	Columns     []string `json:"columns,omitempty" doc:"that the file must have"`
	Allocations bool     `json:"allocations"`
}

type profilesView struct {
	Items []profileView `json:"items"`
}

func (s *Server) listProfiles(context.Context, *struct{}) (*body[profilesView], error) {
	out := profilesView{Items: []profileView{}}
	for _, p := range s.Profiles.All() {
		v := profileView{Name: p.Name, Title: p.Title, SHA256: p.Digest, Text: p.Text}
		for h, side := range map[recon.Hand]*sideView{recon.Left: &v.Left, recon.Right: &v.Right} {
			b := p.Books[h]
			*side = sideView{b.Label, b.Book, b.Layout.Mapping.Columns(), b.Allocations != nil}
		}
		if p.Schedule != nil {
			v.Schedule = p.Schedule.Cron + " " + p.Schedule.Zone
		}
		out.Items = append(out.Items, v)
	}
	return &body[profilesView]{out}, nil
}

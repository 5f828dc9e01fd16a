package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"finobs/internal/agent"
	"finobs/internal/approval"
	"finobs/internal/desk"
	"finobs/internal/event"
	"finobs/internal/incident"
	"finobs/internal/intake"
	"finobs/internal/pgtest"
	"finobs/internal/store"
	"finobs/internal/transaction"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
)

// books is a database with incidents and what surrounds them.
type books struct {
	t  *testing.T
	w  *store.Writer
	r  *store.Reader
	db pgtest.Database
}

func person(sub string) approval.Person { return approval.Person{Issuer: "test", Subject: sub} }

func openBooks(t *testing.T) books {
	t.Helper()
	w, r, db := open(t)
	return books{t, w, r, db}
}

func (b books) in(fn func(*store.Tx) error) {
	b.t.Helper()
	if err := inTx(b.t, b.w, fn); err != nil {
		b.t.Fatal(err)
	}
}

func (b books) exec(statement string, args ...any) {
	b.t.Helper()
	if err := pgtest.Exec(b.t, b.db.Admin, statement, args...); err != nil {
		b.t.Fatal(err)
	}
}

func (b books) incident(change func(*incident.Incident)) (id int64) {
	b.t.Helper()
	i := incident.Incident{
		Kind: incident.SystemOutage, Severity: desk.High, Priority: incident.P2, Title: "Gateway down", Description: "since noon", Source: "test", Owner: "fix",
		DedupKey: uuid.NewString(), Origin: incident.Live, OpenedBy: approval.Principal{Person: person("alice"), Kind: approval.Human}, Status: incident.Open, Version: 1,
		Occurrences: 1,
	}
	change(&i)
	b.in(func(tx *store.Tx) (err error) {
		for _, at := range []*time.Time{&i.BeganAt, &i.OpenedAt, &i.UpdatedAt, &i.LastSeenAt, &i.FiringAt, &i.LadderFrom} {
			*at = tx.Now()
		}
		id, _, err = tx.InsertIncident(ctx, i)
		return err
	})
	return id
}

// found reads one kind of evidence.
func (b books) found(find func(*store.Tx) ([]agent.Found, error)) (out []agent.Found) {
	b.t.Helper()
	b.in(func(tx *store.Tx) (err error) {
		out, err = find(tx)
		return err
	})
	return out
}

// shows wants facts of an evidence.
func (b books) shows(f agent.Found, kind agent.EvidenceKind, source string, facts map[string]string) {
	b.t.Helper()
	if f.Kind != kind || f.Source != source {
		b.t.Errorf("%s from %s, want %s from %s", f.Kind, f.Source, kind, source)
	}
	for name, want := range facts {
		if got, there := f.Facts[name]; got != want || !there && want != "" {
			b.t.Errorf("%s: %s is %q, want %q", source, name, got, want)
		}
	}
}

func sources(list []agent.Found) string {
	out := []string{}
	for _, f := range list {
		out = append(out, f.Source)
	}
	return strings.Join(out, " ")
}

func TestFindIncidentAndWhatHappenedToIt(t *testing.T) {
	b := openBooks(t)
	usd := decimal.RequireFromString("1250000.50")
	parent := b.incident(func(i *incident.Incident) { i.System = "elsewhere" })
	id := b.incident(func(i *incident.Incident) {
		i.System, i.SubjectKind, i.SubjectID, i.Desk, i.ExposureUSD = "fix-1", "system", "fix-1", "EQ", decimal.NewNullDecimal(usd)
		i.Details = map[string]string{"host": "h1", "note": "ignore all"}
	})
	b.exec("UPDATE finobs.incident SET began_at = now() - interval '90 minutes', ack_due_at = now() - interval '1 minute', resolve_due_at = now() + interval '1 hour', parent_id = $2 WHERE incident_id = $1", id, parent)
	got := b.found(func(tx *store.Tx) ([]agent.Found, error) { return tx.FindIncident(ctx, id) })
	if len(got) != 1 || got[0].Text != "Gateway down\nsince noon" {
		t.Fatalf("got %+v", got)
	}
	source := fmt.Sprintf("incident:%d", id)
	b.shows(got[0], agent.OfIncident, source, map[string]string{
		"kind": "system_outage", "severity": "high", "priority": "p2", "status": "open", "system": "fix-1", "exposure_usd": "1250000.5", "desk": "EQ",
		"subject_kind": "system", "subject_id": "fix-1", "age_minutes": "90", "ack_overdue": "true", "resolve_overdue": "false", "details.host": "h1",
		"details.note": "ignore all", "owner": "fix", "occurrences": "1", "reopened": "0", "origin": "live",
	})
	for _, fact := range agent.FactsOf(agent.OfIncident) {
		if _, there := got[0].Facts[fact]; !there && !slices.Contains([]string{agent.FactImpact, agent.FactUrgency, agent.FactScale}, fact) {
			t.Errorf("no fact %s", fact)
		}
	}
	none := b.found(func(tx *store.Tx) ([]agent.Found, error) { return tx.FindIncident(ctx, 4711) })
	if quiet := b.found(func(tx *store.Tx) ([]agent.Found, error) { return tx.FindTimeline(ctx, id) }); len(quiet)+len(none) != 0 {
		t.Errorf("got %+v, %+v", quiet, none)
	}

	at := time.Date(2026, 6, 12, 9, 0, 0, 0, time.UTC)
	b.in(func(tx *store.Tx) error {
		return tx.InsertOccurrences(ctx, []incident.Recorded{
			{OccurrenceID: incident.OccurrenceID{DedupKey: "d", Key: "1"}, Firing: true, At: at, Summary: "first word", Source: "probe", IncidentID: id},
		})
	})
	b.in(func(tx *store.Tx) error {
		return tx.InsertOccurrences(ctx, []incident.Recorded{
			{OccurrenceID: incident.OccurrenceID{DedupKey: "d", Key: "2"}, At: at, Summary: strings.Repeat("é", 500), Source: "probe", IncidentID: id},
		})
	})
	b.in(func(tx *store.Tx) error {
		return tx.InsertIncidentComment(ctx, uuid.NewString(), id, person("bob"), "I look")
	})
	line := b.found(func(tx *store.Tx) ([]agent.Found, error) { return tx.FindTimeline(ctx, id) })
	if len(line) != 1 || line[0].Facts["moments"] != "3" {
		t.Fatalf("got %+v", line)
	}
	lines := strings.Split(line[0].Text, "\n")
	if len(lines) != 3 || !strings.HasSuffix(lines[0], "Z reported by probe: first word") || !strings.Contains(lines[1], " end reported by probe: é") ||
		len([]rune(lines[1])) > 460 || !strings.HasSuffix(lines[2], "Z comment by bob: I look") {
		t.Errorf("got %q", lines)
	}
	for range 60 {
		b.in(func(tx *store.Tx) error {
			return tx.InsertIncidentComment(ctx, uuid.NewString(), id, person("bob"), "again")
		})
	}
	line = b.found(func(tx *store.Tx) ([]agent.Found, error) { return tx.FindTimeline(ctx, id) })
	if line[0].Facts["moments"] != "40" || strings.Contains(line[0].Text, "first word") {
		t.Errorf("got %+v", line[0].Facts)
	}
	b.in(func(tx *store.Tx) error {
		e := entry("why")
		e.Subject.Kind, e.Subject.ID = "incident", fmt.Sprint(id)
		_, err := tx.Append(ctx, step, e)
		return err
	})
	if logged := b.found(func(tx *store.Tx) ([]agent.Found, error) { return tx.FindEntries(ctx, id) }); len(logged) != 0 {
		t.Errorf("entries that are in no tree yet: %+v", logged)
	}
}

func TestFindRelated(t *testing.T) {
	b := openBooks(t)
	loadTrades(t, b.w, "oms", "live", trade("A"))
	b.incident(func(i *incident.Incident) { i.System = "" }) // nothing in common
	me := b.incident(func(i *incident.Incident) { i.System, i.SubjectKind, i.SubjectID = "fix-1", "order", "O-1" })
	bySystem := b.incident(func(i *incident.Incident) { i.System = "fix-1" })
	b.incident(func(i *incident.Incident) { i.System, i.Origin = "fix-1", incident.Demo })
	b.incident(func(i *incident.Incident) { i.System, i.SubjectKind, i.SubjectID = "fix-2", "trade", "O-1" })
	bySubject := b.incident(func(i *incident.Incident) { i.SubjectKind, i.SubjectID = "order", "O-1" })
	parent, child := b.incident(func(*incident.Incident) {}), b.incident(func(*incident.Incident) {})
	byTrade := b.incident(func(*incident.Incident) {})
	b.exec("UPDATE finobs.incident SET parent_id = $2 WHERE incident_id = $1", me, parent)
	b.exec("UPDATE finobs.incident SET parent_id = $2 WHERE incident_id = $1", child, me)
	b.exec("UPDATE finobs.incident SET transaction_id = (SELECT transaction_id FROM finobs.transaction) WHERE incident_id IN ($1, $2)", me, byTrade)
	got := b.found(func(tx *store.Tx) ([]agent.Found, error) { return tx.FindRelated(ctx, me) })
	want := []string{}
	for _, id := range []int64{byTrade, child, parent, bySubject, bySystem} {
		want = append(want, fmt.Sprintf("incident:%d", id))
	}
	if sources(got) != strings.Join(want, " ") || got[0].Text != "Gateway down" || got[4].Facts["system"] != "fix-1" {
		t.Errorf("got %s, want %v", sources(got), want)
	}
	for range 12 {
		b.incident(func(i *incident.Incident) { i.System = "fix-1" })
	}
	if got := b.found(func(tx *store.Tx) ([]agent.Found, error) { return tx.FindRelated(ctx, me) }); len(got) != 8 {
		t.Errorf("%d related", len(got))
	}
}

func TestFindTradeAndItsOtherSides(t *testing.T) {
	b := openBooks(t)
	day := time.Date(2026, 6, 15, 0, 0, 0, 0, time.UTC)
	loadTrades(t, b.w, "oms", "live", trade("A", func(x *transaction.Transaction) { x.CUSIP, x.SettlementDate, x.Counterparty = "594918104", day, "GALE" }), trade("B"))
	loadTrades(t, b.w, "broker", "live", trade("A", priced("180.00")))
	loadTrades(t, b.w, "custodian", "demo", trade("A"))
	id := b.incident(func(i *incident.Incident) { i.SubjectKind, i.SubjectID = "trade_break", "A" })
	alone := b.incident(func(*incident.Incident) {})
	if got := b.found(func(tx *store.Tx) ([]agent.Found, error) { return tx.FindTrade(ctx, alone) }); len(got) != 0 {
		t.Errorf("got %+v", got)
	}
	b.exec("UPDATE finobs.incident SET transaction_id = (SELECT transaction_id FROM finobs.transaction WHERE trade_id = 'A' AND source = 'oms') WHERE incident_id = $1", id)
	got := b.found(func(tx *store.Tx) ([]agent.Found, error) { return tx.FindTrade(ctx, id) })
	if len(got) != 1 {
		t.Fatalf("got %+v", got)
	}
	b.shows(got[0], agent.OfTrade, "transaction:"+got[0].Facts["transaction_id"], map[string]string{
		"trade_id": "A", "side": "buy", "quantity": "1500", "price": "179.52", "currency": "USD", "symbol": "MSFT", "cusip": "594918104", "account": "PA",
		"counterparty": "GALE", "trade_date": "2026-06-12", "settlement_date": "2026-06-15", "status": "new", "source": "oms",
	})
	b.exec(`INSERT INTO finobs.recon_run (run_key, workflow_id, profile, profile_digest, origin, state, reason, request, report, breaks_sha256, requested_iss,
		requested_sub, trace_id, started_at, recorded_at) SELECT 'k', 'w', 'p', '', 'live', 'done', '', '{}', '{}', sha256(''), '', '', '', now(), now()`)
	broken := func(origin, key string) {
		b.exec(`INSERT INTO finobs.trade_break (profile, origin, type, key, field, ordinal, status, severity, owner, sla_hours, left_key, right_key, left_ids,
				right_ids, left_value, right_value, difference, currency, exposure, confidence, needs_review, symbol, side, account, calendar, first_run, last_run,
				first_seen_at, last_seen_at)
			SELECT 'p', $1, 'price', $2, 'price', 1, 'open', 'high', 'o', 4, $2, $2, '{}', '{}', '179.52', '180.00', 0.48, 'USD', 720.00, 0.90, true, 'MSFT', 'buy', 'PA',
				'', run_id, run_id, now(), now() FROM finobs.recon_run`, origin, key)
	}
	broken("live", "A")
	broken("live", "B")
	broken("demo", "A")
	got = b.found(func(tx *store.Tx) ([]agent.Found, error) { return tx.FindOtherSides(ctx, id) })
	if len(got) != 2 {
		t.Fatalf("got %+v", got)
	}
	b.shows(got[0], agent.OfOtherSide, got[0].Source, map[string]string{"trade_id": "A", "source": "broker", "price": "180"})
	b.shows(got[1], agent.OfOtherSide, got[1].Source, map[string]string{
		"break_type": "price", "break_key": "A", "left_value": "179.52", "right_value": "180.00", "difference": "0.48", "exposure": "720", "confidence": "0.9",
		"needs_review": "true", "status": "open", "settlement_date": "",
	})
	if !strings.HasPrefix(got[1].Source, "break:") {
		t.Errorf("got %s", got[1].Source)
	}
	byID := b.incident(func(i *incident.Incident) {
		i.SubjectKind, i.SubjectID = "break", strings.TrimPrefix(got[1].Source, "break:")
	})
	if other := b.found(func(tx *store.Tx) ([]agent.Found, error) { return tx.FindOtherSides(ctx, byID) }); sources(other) != got[1].Source {
		t.Errorf("by its number: %s", sources(other))
	}
}

func TestFindSettlementAndSystem(t *testing.T) {
	b := openBooks(t)
	b.in(func(tx *store.Tx) error {
		id, err := tx.NextImportID(ctx)
		if err != nil {
			return err
		}
		var list []intake.Fail
		for day := range 3 {
			price := decimal.NewNullDecimal(decimal.RequireFromString("179.50"))
			list = append(list, intake.Fail{
				SettlementDate: time.Date(2026, 6, 10+day, 0, 0, 0, 0, time.UTC), CUSIP: "594918104", Symbol: "MSFT", Quantity: int64(1000 * (day + 1)), Price: price,
			})
		}
		if _, err := tx.PutFails(ctx, id, list); err != nil {
			return err
		}
		return tx.InsertImport(ctx, intake.Import{ID: id, Kind: intake.KindFails, Source: intake.SourceFails, ContentSHA256: fmt.Sprintf("%064x", id), Origin: "live", Report: []byte("{}")})
	})
	id := b.incident(func(i *incident.Incident) { i.SubjectKind, i.SubjectID, i.System = "security", "594918104", "fix-1" })
	got := b.found(func(tx *store.Tx) ([]agent.Found, error) { return tx.FindSettlement(ctx, id) })
	if len(got) != 1 {
		t.Fatalf("got %+v", got)
	}
	b.shows(got[0], agent.OfSettlement, "fails:594918104", map[string]string{
		"fails_quantity": "3000", "fails_days": "3", "price_usd": "179.5", "fails_value_usd": "538500", "settlement_date": "2026-06-12", "status": "failed", "symbol": "MSFT",
	})
	other := b.incident(func(i *incident.Incident) { i.SubjectKind, i.SubjectID = "order", "594918104" })
	for what, find := range map[string]func(*store.Tx) ([]agent.Found, error){
		"fails of an order": func(tx *store.Tx) ([]agent.Found, error) { return tx.FindSettlement(ctx, other) },
		"a silent system":   func(tx *store.Tx) ([]agent.Found, error) { return tx.FindSystem(ctx, id) },
	} {
		if got := b.found(find); len(got) != 0 {
			t.Errorf("%s: %+v", what, got)
		}
	}
	b.in(func(tx *store.Tx) error {
		_, err := tx.Beat(ctx, []event.Beat{{
			Heartbeat: event.Heartbeat{System: "fix-1", Status: event.Degraded, Detail: "slow", Every: 10 * time.Second, At: tx.Now()}, Source: "probe", Origin: incident.Live,
		}})
		return err
	})
	for silent, age := range map[string]string{"false": "25", "true": "35"} {
		b.exec("UPDATE finobs.heartbeat SET received_at = clock_timestamp() - $1::integer * interval '1 second'", age)
		got := b.found(func(tx *store.Tx) ([]agent.Found, error) { return tx.FindSystem(ctx, id) })
		if len(got) != 1 || got[0].Text != "slow" {
			t.Fatalf("got %+v", got)
		}
		b.shows(got[0], agent.OfSystem, "system:fix-1", map[string]string{"status": "degraded", "every_seconds": "10", "silent": silent})
	}
}

// The transactions of a compliance run are those that its filters name, by date,
// and whoever stops reading leaves nothing open.
func TestTransactionsOfARun(t *testing.T) {
	b := openBooks(t)
	on := func(day int) func(*transaction.Transaction) {
		return func(x *transaction.Transaction) { x.TradeDate = time.Date(2026, 6, day, 0, 0, 0, 0, time.UTC) }
	}
	other := func(x *transaction.Transaction) { x.Account = "PB" }
	loadTrades(t, b.w, "oms", "live", trade("C", on(14)), trade("A", on(12)), trade("B", on(13), other))
	loadTrades(t, b.w, "broker", "live", trade("A", on(15)))
	loadTrades(t, b.w, "oms", "demo", trade("D", on(12)))
	for name, tc := range map[string]struct {
		r    agent.Request
		want string
	}{
		"all":        {agent.Request{Origin: "live"}, "A B C A"},
		"demo":       {agent.Request{Origin: "demo"}, "D"},
		"from":       {agent.Request{Origin: "live", Start: "2026-06-13"}, "B C A"},
		"to":         {agent.Request{Origin: "live", End: "2026-06-13"}, "A B"},
		"one day":    {agent.Request{Origin: "live", Start: "2026-06-13", End: "2026-06-13"}, "B"},
		"a source":   {agent.Request{Origin: "live", Source: "broker"}, "A"},
		"an account": {agent.Request{Origin: "live", Account: "PB"}, "B"},
		"none":       {agent.Request{Origin: "live", Account: "PC"}, ""},
	} {
		ids := []string{}
		for x, err := range b.w.Transactions(ctx, tc.r) {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, x.TradeID)
		}
		if got := strings.Join(ids, " "); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
	for range 50 { // more than there are connections
		for _, err := range b.w.Transactions(ctx, agent.Request{Origin: "live"}) {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	today, err := b.w.Today(ctx)
	if err != nil || today.Hour()+today.Minute() != 0 || time.Since(today) > 25*time.Hour {
		t.Errorf("today is %s, %v", today, err)
	}
}

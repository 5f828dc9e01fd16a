package store_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/canonical"
	"finobs/internal/desk"
	"finobs/internal/fault"
	"finobs/internal/intake"
	"finobs/internal/ledger"
	"finobs/internal/pgtest"
	"finobs/internal/raceflag"
	"finobs/internal/store"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) {
	// Properties are computed by one goroutine and by Postgres, where the race detector
	// has nothing to find. Set before the flags are read: -rapid.checks says otherwise.
	if err := flag.Set("rapid.checks", strconv.Itoa(raceflag.Of(100, 40))); err != nil {
		panic(err)
	}
	pgtest.Main(m)
}

var ctx = context.Background()

func open(t *testing.T) (*store.Writer, *store.Reader, pgtest.Database) {
	t.Helper()
	db := pgtest.New(t)
	w, err := store.OpenWriter(ctx, db.Worker)
	if err != nil {
		t.Fatal(err)
	}
	r, err := store.OpenReader(ctx, db.API)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(w.Close(), r.Close()); err != nil {
			t.Error(err)
		}
	})
	return w, r, db
}

func inTx(t *testing.T, w *store.Writer, fn func(*store.Tx) error) error {
	t.Helper()
	return store.InTx[*store.Tx](w)(ctx, fn)
}

func entry(reason string) ledger.Entry {
	return ledger.Entry{
		Type: "test.entry", Actor: ledger.Itself("test"), Subject: ledger.Subject{Kind: "test", ID: "1"},
		Action: "test", Outcome: "done", Reason: reason, Details: canonical.Object{"n": "1"},
	}
}

var step = ledger.Step{Workflow: ledger.Workflow{Namespace: "default", ID: "w", FirstRun: "r"}, Step: "s", Ordinal: "1"}

func TestAppendIsIdempotent(t *testing.T) {
	w, _, db := open(t)
	var first, second ledger.Receipt
	for _, into := range []*ledger.Receipt{&first, &second} {
		err := inTx(t, w, func(tx *store.Tx) (err error) {
			*into, err = tx.Append(ctx, step, entry("same"))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if first.Replayed || !second.Replayed || first.EntryID != second.EntryID {
		t.Errorf("got %+v, then %+v", first, second)
	}
	err := inTx(t, w, func(tx *store.Tx) error {
		_, err := tx.Append(ctx, step, entry("different"))
		return err
	})
	if fault.CodeOf(err) != "ledger-conflict" || fault.KindOf(err).Retryable() {
		t.Errorf("other content under the same key: %v", err)
	}
	if n := pgtest.Value(t, db.Admin, "SELECT count(*) FROM ledger.entry"); n != "1" {
		t.Errorf("%s entries", n)
	}
}

func TestAppendFromManyAtOnceIsOneEntry(t *testing.T) {
	w, _, db := open(t)
	var all sync.WaitGroup
	for range 20 {
		all.Add(1)
		go func() {
			defer all.Done()
			err := inTx(t, w, func(tx *store.Tx) error {
				_, err := tx.Append(ctx, step, entry("same"))
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}()
	}
	all.Wait()
	if n := pgtest.Value(t, db.Admin, "SELECT count(*) FROM ledger.entry"); n != "1" {
		t.Errorf("%s entries", n)
	}
}

func TestEntryAndStateCommitTogetherOrNotAtAll(t *testing.T) {
	w, _, db := open(t)
	boom := errors.New("boom")
	err := inTx(t, w, func(tx *store.Tx) error {
		if _, err := tx.Append(ctx, step, entry("x")); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatalf("got %v", err)
	}
	if n := pgtest.Value(t, db.Admin, "SELECT count(*) FROM ledger.entry"); n != "0" {
		t.Errorf("%s entries", n)
	}
}

func TestAgentFieldsReachTheView(t *testing.T) {
	w, r, _ := open(t)
	e := entry("because")
	e.Agent = &ledger.AgentRecord{Explanation: "why", Input: []byte(`{"in":1}`), Output: []byte(`{"out":2}`), Version: "rulebook/1"}
	e.OverrideType, e.Simulation = "ai_override", true
	if err := inTx(t, w, func(tx *store.Tx) error { _, err := tx.Append(ctx, step, e); return err }); err != nil {
		t.Fatal(err)
	}
	list, err := r.History(ctx, "test", "1")
	if err != nil || len(list) != 1 {
		t.Fatalf("got %v, %v", list, err)
	}
	got := list[0]
	if *got.AIExplanation != "why" || *got.AgentInput != `{"in":1}` || *got.AgentOutput != `{"out":2}` || *got.AgentVersion != "rulebook/1" ||
		got.ActorType != "system" || *got.OverrideType != "ai_override" || !got.IsSimulation {
		t.Errorf("got %+v", got)
	}
}

// The database builds the leaf of a security event by itself; it must be the bytes
// that Go would hash.
func TestSecurityEventIsTheLeafThatGoWouldWrite(t *testing.T) {
	w, r, _ := open(t)
	_ = w
	rapid.Check(t, func(t *rapid.T) {
		text := func(name string) string {
			return strings.ReplaceAll(rapid.StringN(0, 40, 120).Draw(t, name), "\x00", "")
		}
		id := uuid.Must(uuid.NewV7()).String()
		action := rapid.SampledFrom([]string{"authorize", "sign_in", "signed_in", "signed_out", "read_audit"}).Draw(t, "action")
		kind, outcome := "security.denied", "denied"
		switch action {
		case "signed_in", "signed_out":
			kind, outcome = "security."+action, "done"
		case "read_audit":
			kind, outcome = "audit.read", "done"
		}
		event := store.SecurityEvent{
			EntryID: id, Idem: id, Action: action, Reason: text("reason"),
			Actor: approval.Principal{Kind: approval.Human, Person: approval.Person{Issuer: text("iss"), Subject: text("sub")}},
			Route: "GET /" + id + text("route"), RequestID: text("request"), TraceID: text("trace"),
			Count: rapid.IntRange(1, 1e6).Draw(t, "count"), FirstAt: time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "first")).UTC(),
		}
		if err := r.AppendSecurityEvent(ctx, event); err != nil {
			t.Fatal(err)
		}
		list, err := r.History(ctx, "route", event.Route)
		if err != nil || len(list) != 1 {
			t.Fatalf("got %v, %v", list, err)
		}
		sealed, err := ledger.Entry{
			Type: kind, Actor: ledger.By(event.Actor), Subject: ledger.Subject{Kind: "route", ID: event.Route},
			Action: action, Outcome: outcome, Reason: event.Reason, RequestID: event.RequestID, TraceID: event.TraceID,
			Details: canonical.Object{"count": fmt.Sprint(event.Count), "first_at": ledger.FormatTime(event.FirstAt)},
		}.Seal(id, list[0].RecordedAt, sha256.Sum256([]byte("finobs.security.v1\n"+id)))
		if err != nil {
			t.Fatal(err)
		}
		if list[0].Leaf != string(sealed.Leaf) {
			t.Fatalf("Postgres wrote\n%s\nGo would write\n%s", list[0].Leaf, sealed.Leaf)
		}
	})
}

func TestFailedSecuritiesAgreeWithTheOracle(t *testing.T) {
	t.Parallel()
	w, _, db := open(t)
	calendar := []time.Time{}
	for d := range 8 {
		calendar = append(calendar, time.Date(2021, 1, 4+d, 0, 0, 0, 0, time.UTC))
	}
	rapid.Check(t, func(rt *rapid.T) {
		if err := pgtest.Exec(t, db.Admin, "DELETE FROM finobs.settlement_fail; DELETE FROM finobs.import"); err != nil {
			rt.Fatal(err)
		}
		// One security is in every file day, so that the calendar is complete.
		batch := []intake.Fail{}
		want := map[string]desk.Streak{}
		for s := range 6 {
			cusip := fmt.Sprintf("TEST%05d", s)
			var days []desk.Day
			for i, date := range calendar {
				shares := rapid.Int64Range(0, 4).Draw(rt, "shares")
				if s == 0 {
					shares = 1
				}
				if shares == 0 {
					continue
				}
				price := decimal.NewNullDecimal(decimal.NewFromInt(int64(i)))
				days = append(days, desk.Day{Date: date, Shares: shares, Price: price})
				batch = append(batch, intake.Fail{SettlementDate: date, CUSIP: cusip, Symbol: "T", Quantity: shares, Price: price})
			}
			if streak, found := desk.FindStreak(calendar, days, 2, 3); found {
				want[cusip] = streak
			}
		}
		var got []desk.FailedSecurity
		err := inTx(t, w, func(tx *store.Tx) (err error) {
			if err = putImport(tx, batch); err != nil {
				return err
			}
			got, err = tx.FailedSecurities(ctx, 2, 3)
			return err
		})
		if err != nil {
			rt.Fatal(err)
		}
		if len(got) != len(want) {
			rt.Fatalf("got %+v, want %+v", got, want)
		}
		for _, f := range got {
			if w := want[f.CUSIP]; fmt.Sprint(w) != fmt.Sprint(f.Streak) {
				rt.Fatalf("%s: got %+v, want %+v", f.CUSIP, f.Streak, w)
			}
		}
	})
}

func putImport(tx *store.Tx, batch []intake.Fail) error {
	id, err := tx.NextImportID(ctx)
	if err != nil {
		return err
	}
	if _, err := tx.PutFails(ctx, id, batch); err != nil {
		return err
	}
	report, err := json.Marshal(intake.ImportReport{})
	if err != nil {
		return err
	}
	return tx.InsertImport(ctx, intake.Import{
		ID: id, Kind: intake.KindFails, Source: intake.SourceFails, ContentSHA256: fmt.Sprintf("%064x", id), Origin: "demo", Report: report,
		ImportedIss: "i", ImportedSub: "s", WorkflowID: "w",
	})
}

func TestPutFailsCountsWhatItChanged(t *testing.T) {
	w, _, _ := open(t)
	day := time.Date(2021, 1, 4, 0, 0, 0, 0, time.UTC)
	fail := func(cusip string, shares int64) intake.Fail {
		return intake.Fail{SettlementDate: day, CUSIP: cusip, Symbol: "T", Quantity: shares}
	}
	if err := inTx(t, w, func(tx *store.Tx) error { return putImport(tx, []intake.Fail{fail("TEST00001", 5)}) }); err != nil {
		t.Fatal(err)
	}
	var got intake.Changes
	err := inTx(t, w, func(tx *store.Tx) (err error) {
		got, err = tx.PutFails(ctx, 1, []intake.Fail{
			fail("TEST00001", 5), fail("TEST00002", 7), fail("TEST00003", 1), fail("TEST00003", 2),
		})
		return err
	})
	if want := (intake.Changes{Added: 2, Unchanged: 1, Repeated: 1}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	err = inTx(t, w, func(tx *store.Tx) (err error) {
		got, err = tx.PutFails(ctx, 1, []intake.Fail{fail("TEST00001", 6)})
		return err
	})
	if want := (intake.Changes{Corrected: 1}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestStatusesOnlyMoveForward(t *testing.T) {
	t.Parallel()
	_, _, db := open(t)
	insert := `INSERT INTO finobs.approval_request (approval_id, workflow_id, first_run_id, kind, action, action_digest, policy_id, policy,
		policy_digest, requester_iss, requester_sub, desk, is_simulation, reason, command, request_id, trace_id, created_at, expires_at,
		status, closed_at, use_by, consumed_at, consumed_by)
		SELECT $1::bigint, 'w', 'r', 'k', '', 'sha256:' || lpad($1::bigint::text, 64, '0'), 'p', '', 'sha256:' || repeat('0', 64), 'i', 's', '', false, '', '', '', '',
		now(), now() + interval '1 hour', $2, CASE WHEN $2 <> 'pending' THEN now() END, CASE WHEN $2 IN ('approved', 'consumed') THEN now() END,
		CASE WHEN $2 = 'consumed' THEN now() END, CASE WHEN $2 = 'consumed' THEN 'w' END`
	id := 0
	for _, from := range approval.Statuses() {
		for _, to := range approval.Statuses() {
			id++
			if err := pgtest.Exec(t, db.Admin, insert, id, string(from)); err != nil {
				t.Fatal(err)
			}
			err := pgtest.Exec(t, db.Worker, `UPDATE finobs.approval_request SET status = $2, closed_at = coalesce(closed_at, CASE WHEN $2 <> 'pending' THEN now() END),
				use_by = CASE WHEN $2 IN ('approved', 'consumed') THEN now() END,
				consumed_at = CASE WHEN $2 = 'consumed' THEN now() END, consumed_by = CASE WHEN $2 = 'consumed' THEN 'w' END WHERE approval_id = $1`, id, string(to))
			if allowed := from == to || from.CanBecome(to); allowed != (err == nil) {
				t.Errorf("from %s to %s: the domain allows it: %v; the database says %v", from, to, allowed, err)
			}
			if err := pgtest.Exec(t, db.Admin, "DELETE FROM finobs.approval_request WHERE approval_id = $1", id); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestConnectionsThatAreNotThere(t *testing.T) {
	_, err := store.OpenReader(ctx, "postgres://finobs_api:wrong@127.0.0.1:1/none?sslmode=disable&connect_timeout=1")
	if err == nil {
		t.Error("connected to nothing")
	}
	w, _, db := open(t)
	if err := pgtest.Exec(t, db.Admin, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'finobs_worker' AND datname = current_database()"); err != nil {
		t.Fatal(err)
	}
	// A connection that broke is either replaced unseen or reported as passing.
	if err := inTx(t, w, func(*store.Tx) error { return nil }); err != nil && fault.KindOf(err) != fault.Unavailable {
		t.Errorf("got %v of kind %s", err, fault.KindOf(err))
	}
}

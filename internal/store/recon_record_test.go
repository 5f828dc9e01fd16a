package store_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"finobs/internal/fault"
	"finobs/internal/pgtest"
	"finobs/internal/recon"
	"finobs/internal/store"

	"pgregory.net/rapid"
)

var started = time.Date(2026, 6, 12, 18, 0, 0, 0, time.UTC)

// record records what was found as the activity does.
func record(t testing.TB, w *store.Writer, p *recon.Profile, key string, req recon.Request, found *recon.Found) recon.Report {
	t.Helper()
	report := found.Report
	run := recon.Run{
		Key: key, WorkflowID: "recon-" + key, Profile: p.Name, ProfileDigest: p.Digest, Origin: req.Origin, State: recon.RunDone,
		Request: req, Report: report, BreaksSHA256: recon.BreaksDigest(found.Breaks),
	}
	run.StartedAt = started
	err := store.InTx[*store.Tx](w)(ctx, func(tx *store.Tx) error {
		if err := tx.StageBreaks(ctx, p, found.Breaks); err != nil {
			return err
		}
		if err := tx.LockBreaks(ctx, run.Profile, run.Origin); err != nil {
			return err
		}
		id, err := tx.InsertReconRun(ctx, run, p.Text)
		if err != nil {
			return err
		}
		if err := tx.MergeBreaks(ctx, id, run.Profile, run.Origin, found.Covered, &report); err != nil {
			return err
		}
		return tx.SetReconReport(ctx, id, report)
	})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// side is a file of the generated profile: executions with their prices.
func side(prices map[string]string) []byte {
	var b strings.Builder
	b.WriteString("id,exec,order,symbol,side,qty,px,commission,other,ccy,traded,settles,account\n")
	for _, exec := range slices.Sorted(maps.Keys(prices)) {
		fmt.Fprintf(&b, "%s,%[1]s,,AAPL,buy,100,%s,0,0,USD,2026-06-12,2026-06-16,MAIN\n", exec, prices[exec])
	}
	return []byte(b.String())
}

// Over any runs, a break is open when the last run that could have shown it did.
func TestBreaksAgreeWithTheOracleOverRuns(t *testing.T) {
	t.Parallel()
	w, r, db := open(t)
	p := profileOf(t, booksProfile)
	rapid.Check(t, func(rt *rapid.T) {
		if err := pgtest.Exec(t, db.Admin, "TRUNCATE finobs.recon_run, finobs.trade_break, finobs.trade_break_event CASCADE"); err != nil {
			rt.Fatal(err)
		}
		status := map[string]string{} // what the oracle expects, by type and key
		reopened := map[string]int{}
		for n := range rapid.IntRange(1, 6).Draw(rt, "runs") {
			left, right, shown := map[string]string{}, map[string]string{}, map[string]bool{}
			for i := range 5 {
				exec := fmt.Sprintf("E%d", i)
				switch rapid.IntRange(0, 4).Draw(rt, "state") {
				case 0: // neither side speaks of it
				case 1:
					left[exec] = "20"
					shown["missing_right "+exec] = true
				case 2:
					right[exec] = "20"
					shown["missing_left "+exec] = true
				case 3:
					left[exec], right[exec] = "20", "30"
					shown["price "+exec] = true
				default:
					left[exec], right[exec] = "20", "20"
				}
			}
			for name, s := range status {
				kind, exec, _ := strings.Cut(name, " ")
				inLeft, inRight := left[exec] != "", right[exec] != ""
				seen := inLeft && kind != "missing_left" || inRight && kind != "missing_right"
				if s == "open" && !shown[name] && seen {
					status[name] = "resolved"
				}
			}
			for name := range shown {
				if status[name] == "resolved" {
					reopened[name]++
				}
				status[name] = "open"
			}
			files := spool{}
			req := recon.Request{Left: files.add(side(left)), Right: files.add(side(right)), Origin: "live"}
			found, err := find(t, w, p, files, req)
			if err != nil {
				rt.Fatal(err)
			}
			record(t, w, p, fmt.Sprintf("run-%d", n), req, found)
			list, err := r.Breaks(ctx, store.BreakFilter{}, store.Page{Limit: 100})
			if err != nil {
				rt.Fatal(err)
			}
			got := map[string]string{}
			for _, b := range list {
				name := string(b.Type) + " " + b.Key
				got[name] = b.Status
				if b.Reopened != reopened[name] {
					rt.Fatalf("%s came back %d times, not %d", name, b.Reopened, reopened[name])
				}
			}
			if !maps.Equal(got, status) {
				rt.Fatalf("after run %d: got %v, want %v", n, got, status)
			}
		}
	})
}

func TestARunIsRecordedOnceAndAFailedOneAgain(t *testing.T) {
	w, r, _ := open(t)
	p := profileOf(t, booksProfile)
	files := spool{}
	req := recon.Request{Left: files.add(side(map[string]string{"A": "1"})), Right: files.add(side(nil)), Origin: "demo"}
	failed := recon.Run{Key: "k", WorkflowID: "recon-k", Profile: p.Name, ProfileDigest: p.Digest, Origin: "demo", State: recon.Failed, Reason: "no", StartedAt: started}
	insert := func(run recon.Run) error {
		return store.InTx[*store.Tx](w)(ctx, func(tx *store.Tx) error {
			_, err := tx.InsertReconRun(ctx, run, p.Text)
			return err
		})
	}
	if err := insert(failed); err != nil {
		t.Fatal(err)
	}
	found, err := find(t, w, p, files, req)
	if err != nil {
		t.Fatal(err)
	}
	report := record(t, w, p, "k", req, found)
	if report.Opened != 1 || report.Breaks != 1 {
		t.Errorf("got %+v", report)
	}
	if err := insert(failed); fault.CodeOf(err) != "recon-recorded" {
		t.Errorf("got %v", err)
	}
	run, err := r.ReconRun(ctx, "k")
	if err != nil || run.State != recon.RunDone || run.Report.Opened != 1 || run.BreaksSHA256 != recon.BreaksDigest(found.Breaks) || run.Request.Left != req.Left {
		t.Errorf("got %+v, %v", run, err)
	}
	if _, err := r.ReconRun(ctx, "none"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("got %v", err)
	}
	if _, err := r.Break(ctx, 1<<40); fault.KindOf(err) != fault.NotFound {
		t.Errorf("got %v", err)
	}
	runs, err := r.ReconRuns(ctx, p.Name, store.Page{Limit: 10})
	if err != nil || len(runs) != 1 {
		t.Errorf("got %v, %v", runs, err)
	}
	list, err := r.Breaks(ctx, store.BreakFilter{Status: "open", Type: "missing_right", Owner: "Broker Operations", Profile: p.Name, Key: "A", Origin: "demo", Run: "k"}, store.Page{Limit: 10})
	if err != nil || len(list) != 1 || list[0].LeftIDs[0] != "A" || len(list[0].RightIDs) != 0 || list[0].Exposure.Decimal.String() != "100" {
		t.Errorf("got %+v, %v", list, err)
	}
}

// A stated window covers what no file speaks of any more.
func TestDaysThatWereAskedForAreCovered(t *testing.T) {
	w, r, _ := open(t)
	p := profileOf(t, booksProfile)
	files := spool{}
	one, none := files.add(side(map[string]string{"A": "1"})), files.add(side(nil))
	for n, req := range []recon.Request{
		{Left: one, Right: none}, {Left: none, Right: none}, {Left: none, Right: none, From: "2026-06-13"}, {Left: none, Right: none, From: "2026-06-12", To: "2026-06-12"},
	} {
		req.Origin = "live"
		found, err := find(t, w, p, files, req)
		if err != nil {
			t.Fatal(err)
		}
		report := record(t, w, p, fmt.Sprint(n), req, found)
		if want := int64(n / 3); report.Resolved != want {
			t.Errorf("run %d resolved %d, want %d", n, report.Resolved, want)
		}
	}
	if list, err := r.Breaks(ctx, store.BreakFilter{Status: "resolved"}, store.Page{Limit: 10}); err != nil || len(list) != 1 || list[0].ResolvedAt.IsZero() {
		t.Errorf("got %v, %v", list, err)
	}
}

func TestTooManyBreaksAndBadFilesAreRefused(t *testing.T) {
	w, _, _ := open(t)
	p := profileOf(t, booksProfile+"max_breaks: 3\n")
	files := spool{}
	good := files.add(side(map[string]string{"A": "1"}))
	many := files.add(side(map[string]string{"A": "1", "B": "1", "C": "1", "D": "1", "E": "1"}))
	bad := files.add([]byte(string(files[good]) + "x\n"))
	worse := files.add([]byte(booksHeader + "x\n"))
	altered := files.add([]byte("whatever"))
	files[altered] = files[good]
	for _, tc := range []struct {
		req  recon.Request
		code string
	}{
		{recon.Request{Left: many, Right: good}, "too-many-breaks"}, {recon.Request{Left: bad, Right: good, Strict: true}, "file-not-clean"},
		{recon.Request{Left: bad, Right: good}, ""}, {recon.Request{Left: worse, Right: good}, "file-not-clean"},
		{recon.Request{Left: altered, Right: good}, "file-altered"},
	} {
		if _, err := find(t, w, p, files, tc.req); (err != nil) != (tc.code != "") || err != nil && fault.CodeOf(err) != tc.code {
			t.Errorf("%s: got %v", tc.code, err)
		}
	}
}

package activities_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"finobs/activities"
	"finobs/internal/attest"
	"finobs/internal/intake"
	"finobs/internal/recon"
	"finobs/internal/store"
	"finobs/profiles"
)

const (
	ownTrades    = "TradeID,Date,Ticker,Quantity,Price,Side,Broker\n1,2026-06-12,AAPL,100,190,Buy,X\n2,2026-06-12,MSFT,10,20,Sell,X\n"
	brokerTrades = "TradeID,Date,Ticker,Quantity,Price,Side,Broker\n1,2026-06-12,AAPL,100,191,Buy,X\n"
)

// recons are the activities of reconciliation over a desk.
func (d *desk) recons(t *testing.T) *activities.Recons {
	t.Helper()
	catalogue, err := recon.LoadCatalogue(profiles.FS)
	if err != nil {
		t.Fatal(err)
	}
	return &activities.Recons{
		InTx: store.InTx[activities.ReconTx](d.writer), Verifier: attest.NewVerifier(d.signer.Key.Public()), Spool: d.spool, Profiles: catalogue, Book: d.writer.ReadBook,
		Open: func(ctx context.Context, p *recon.Profile) (activities.Matcher, error) { return d.writer.Recon(ctx, p) },
	}
}

// asked spools two files and signs a request to compare them.
func (d *desk) asked(t *testing.T, x *activities.Recons, left, right string, change func(*recon.Request)) activities.ReconInput {
	t.Helper()
	put := func(text string) string {
		sha, _, err := d.spool.Put(strings.NewReader(text), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		return sha
	}
	p, err := x.Profiles.Named("by-trade-id")
	if err != nil {
		t.Fatal(err)
	}
	req := recon.Request{Profile: p.Name, ProfileDigest: p.Digest, Left: put(left), Right: put(right), Origin: "live"}
	if change != nil {
		change(&req)
	}
	digest, err := req.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return activities.ReconInput{FirstRun: firstRun, Command: d.command(t, human("alice", "analyst"), digest), Request: req}
}

func TestTwoSidesAreComparedOnce(t *testing.T) {
	d := newDesk(t)
	x := d.recons(t)
	in := d.asked(t, x, ownTrades, brokerTrades, nil)
	for range 2 {
		done, err := run[activities.ReconDone](t, x.Reconcile, in)
		if err != nil || done.Breaks != 2 || done.RunKey == "" {
			t.Fatalf("got %+v, %v", done, err)
		}
	}
	for query, want := range map[string]string{
		"SELECT count(*) FROM finobs.recon_run WHERE state = 'done'":                                               "1",
		"SELECT string_agg(type || ' ' || key, ', ' ORDER BY type) FROM finobs.trade_break":                        "missing_right 2, price 1",
		"SELECT count(*) FROM finobs.trade_break_event":                                                            "2",
		"SELECT count(*) FROM ledger.entry WHERE type = 'recon.done'":                                              "1",
		"SELECT count(*) FROM ledger.blob b JOIN finobs.recon_run r ON r.profile_digest = encode(b.sha256, 'hex')": "1",
		`SELECT convert_from(leaf, 'UTF8')::jsonb #>> '{details,breaks_sha256}' = (SELECT encode(breaks_sha256, 'hex') FROM finobs.recon_run)
			FROM ledger.entry WHERE type = 'recon.done'`: "true",
		"SELECT convert_from(leaf, 'UTF8')::jsonb #>> '{details,by_type,price}' FROM ledger.entry WHERE type = 'recon.done'": "1",
	} {
		if got := d.count(t, query); got != want {
			t.Errorf("%s gives %s, want %s", query, got, want)
		}
	}
}

func TestAComparisonIsBoundToItsRequest(t *testing.T) {
	d := newDesk(t)
	x := d.recons(t)
	for name, change := range map[string]func(*recon.Request){
		"left": func(r *recon.Request) { r.Left = r.Right }, "profile": func(r *recon.Request) { r.Profile = "oms-vs-broker" },
		"text": func(r *recon.Request) { r.ProfileText = "version: 1" }, "origin": func(r *recon.Request) { r.Origin = "demo" }, "days": func(r *recon.Request) { r.From = "2026-06-12" },
	} {
		in := d.asked(t, x, ownTrades, brokerTrades, nil)
		change(&in.Request)
		if _, err := run[activities.ReconDone](t, x.Reconcile, in); code(err) != "start-not-signed" {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if n := d.count(t, "SELECT count(*) FROM finobs.recon_run"); n != "0" {
		t.Errorf("%s runs", n)
	}
	if n := d.count(t, "SELECT count(*) FROM ledger.entry WHERE type = 'workflow.refused'"); n != "5" {
		t.Errorf("%s refusals", n)
	}
}

// What the worker does not know, or cannot read, makes no run that is done.
func TestAComparisonThatCannotBeMadeIsRecorded(t *testing.T) {
	d := newDesk(t)
	x := d.recons(t)
	for want, in := range map[string]activities.ReconInput{
		"profile-changed": d.asked(t, x, ownTrades, brokerTrades, func(r *recon.Request) { r.ProfileDigest = strings.Repeat("0", 64) }),
		"no-such-profile": d.asked(t, x, ownTrades, brokerTrades, func(r *recon.Request) { r.Profile = "nosuch" }),
		"invalid-profile": d.asked(t, x, ownTrades, brokerTrades, func(r *recon.Request) { r.ProfileText = "version: 1" }),
		"invalid-recon":   d.asked(t, x, ownTrades, brokerTrades, func(r *recon.Request) { r.Right = "" }),
	} {
		if _, err := run[activities.ReconDone](t, x.Reconcile, in); code(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	for want, in := range map[string]activities.ReconInput{
		"not-a-trade-file": d.asked(t, x, "<xml/>", brokerTrades, nil), "file-not-clean": d.asked(t, x, ownTrades+"x\n", brokerTrades, func(r *recon.Request) { r.Strict = true }),
		"no-such-file": d.asked(t, x, ownTrades, brokerTrades, func(r *recon.Request) { r.Left = strings.Repeat("0", 64) }),
	} {
		if _, err := run[activities.ReconDone](t, x.Reconcile, in); code(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if got := d.count(t, "SELECT count(*) || ' ' || min(state) || ' ' || max(state) FROM finobs.recon_run"); got != "1 failed failed" { // one workflow, one run
		t.Errorf("got %s", got)
	}
	if n := d.count(t, "SELECT count(*) FROM ledger.entry WHERE type = 'recon.failed'"); n == "0" {
		t.Error("no failure is in the ledger")
	}
	done, err := run[activities.ReconDone](t, x.Reconcile, d.asked(t, x, ownTrades, brokerTrades, nil))
	if err != nil || done.Breaks != 2 {
		t.Errorf("tried again: %+v, %v", done, err)
	}
}

func TestOnlyProfilesWithAScheduleRunByThemselves(t *testing.T) {
	d := newDesk(t)
	x := d.recons(t)
	for want, name := range map[string]string{"not-scheduled": "by-trade-id", "no-such-profile": "nosuch"} {
		if _, err := run[activities.ReconDone](t, x.ReconcileScheduled, activities.ScheduledReconInput{FirstRun: firstRun, Profile: name}); code(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	done, err := run[activities.ReconDone](t, x.ReconcileScheduled, activities.ScheduledReconInput{FirstRun: firstRun, Profile: "dropcopy-vs-broker"})
	if err != nil || done.Breaks != 0 {
		t.Errorf("got %+v, %v", done, err)
	}
	if got := d.count(t, "SELECT actor_sub FROM ledger.entry WHERE type = 'recon.done'"); got != "worker" {
		t.Errorf("done by %s", got)
	}
}

// A file in somebody's own form is loaded by the profile that was signed.
func TestTradesAreLoadedByASignedProfile(t *testing.T) {
	d := newDesk(t)
	d.transactions.Profiles = d.recons(t).Profiles
	p, err := d.transactions.Profiles.Named("by-trade-id")
	if err != nil {
		t.Fatal(err)
	}
	mapped := func(change func(*intake.File)) activities.ImportInput {
		return d.received(t, ownTrades, func(f *intake.File) {
			f.Format, f.Profile, f.ProfileDigest, f.ProfileSide, f.Status = "", p.Name, p.Digest, "left", "confirmed"
			if change != nil {
				change(f)
			}
		})
	}
	for want, in := range map[string]activities.ImportInput{
		"profile-changed": mapped(func(f *intake.File) { f.ProfileDigest = strings.Repeat("0", 64) }),
		"invalid-profile": mapped(func(f *intake.File) { f.ProfileSide = "up" }),
	} {
		if _, err := run[json.RawMessage](t, d.transactions.ImportTransactionsFile, in); code(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	forged := mapped(nil)
	forged.File.ProfileSide = "right"
	if _, err := run[json.RawMessage](t, d.transactions.ImportTransactionsFile, forged); code(err) != "start-not-signed" {
		t.Errorf("got %v", err)
	}
	report, err := run[intake.TransactionReport](t, d.transactions.ImportTransactionsFile, mapped(nil))
	if err != nil || report.Changes.Added != 2 {
		t.Errorf("got %+v, %v", report, err)
	}
	if got := d.count(t, "SELECT string_agg(DISTINCT status || currency, ' ') FROM finobs.transaction"); got != "confirmedUSD" {
		t.Errorf("got %s", got)
	}
}

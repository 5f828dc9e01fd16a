package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// booked are transactions of one desk: by trade id, which rule they break; those with
// none break none.
var booked = []struct{ rule, line string }{
	{"wash-trade", "W-1,2026-06-10,buy,ZZA,1000,10.00,USD,ACC-1,CP-1,2026-06-11,settled"},
	{"wash-trade", "W-2,2026-06-10,sell,ZZA,1000,10.00,USD,ACC-1,CP-1,2026-06-11,settled"},
	{"self-trade", "S-1,2026-06-10,buy,ZZB,100,5.00,USD,ACC-2,ACC-2,2026-06-11,settled"},
	{"late-settlement", "L-1,2026-06-10,buy,ZZC,100,5.00,USD,ACC-3,CP-1,2026-06-22,settled"},
	{"order-notional", "B-1,2026-06-10,buy,ZZD,600000,100.00,USD,ACC-4,CP-1,2026-06-11,settled"},
	{"position-limit", "P-1,2026-06-10,buy,ZZE,1500000,1.00,USD,ACC-5,CP-1,2026-06-11,settled"},
	{"sanctioned-name", "N-1,2026-06-10,buy,ZZF,100,5.00,USD,ACC-6,BANCO NACIONAL DE CUBA,2026-06-11,settled"},
	{"", "G-1,2026-06-10,buy,ZZG,100,5.00,USD,ACC-7,CP-1,2026-06-11,settled"},
	{"", "G-2,2026-06-10,buy,ZZH,700000,100.00,USD,ACC-8,CP-1,2026-06-11,cancelled"},
}

// complianceEntry is an entry of the log as /compliance/logs, and with its leaf /audit,
// shows it.
type complianceEntry struct {
	Index   int64  `json:"leaf_index"`
	Outcome string `json:"outcome"`
	Reason  string `json:"reason"`
	Leaf    struct {
		Details struct {
			RunID    string `json:"run_id"`
			Rule     string `json:"rule"`
			Severity string `json:"severity"`
			Party    string `json:"party"`
			Records  string `json:"records"`
		} `json:"details"`
	} `json:"leaf"`
}

// logged reads the entries about findings of a workflow, by their leaf.
func (d *deskStack) logged(t *testing.T, route, workflow string) map[int64]complianceEntry {
	t.Helper()
	var page struct{ Items []complianceEntry }
	r := want(t, d.call(t, "eve", "GET", route+url.QueryEscape(workflow)+"&type=agent.finding", ""), http.StatusOK)
	if err := json.Unmarshal(r.Body, &page); err != nil {
		t.Fatal(err)
	}
	out := map[int64]complianceEntry{}
	for _, e := range page.Items {
		out[e.Index] = e
	}
	return out
}

// TestComplianceRunsOverTheBooks: transactions are imported, an agent looks over them
// by the shipped rules and a sanctions list, and what it finds is in the compliance
// log: each breach once, nothing else, with the transactions that show it.
func TestComplianceRunsOverTheBooks(t *testing.T) {
	t.Parallel()
	names, err := filepath.Abs(filepath.Join("..", "internal", "sanctions", "testdata"))
	if err != nil {
		t.Fatal(err)
	}
	d := newDesk(t, "FINOBS_SANCTIONS="+names)
	lines := []string{"trade_id,trade_date,side,symbol,quantity,price,currency,account,counterparty,settlement_date,status"}
	for _, b := range booked {
		lines = append(lines, b.line)
	}
	file := strings.Join(lines, "\n") + "\n"
	for source, origin := range map[string]string{"books": "live", "others": "live", "story": "demo"} {
		var r reply
		eventually(t, "a worker has imported "+source, func() bool {
			r = d.call(t, "alice", "POST", "/transactions?origin="+origin+"&file_name=test.csv&source="+source, file, "Content-Type", "text/csv")
			if r.Status >= http.StatusBadRequest {
				t.Fatalf("answered %d: %s", r.Status, r.Body)
			}
			return r.Status == http.StatusOK
		})
		if n := count(t, d.stack, "SELECT count(*) FROM finobs.transaction WHERE source = $1", source); n != len(booked) || reportOf(t, r).Report.BadLines != 0 {
			t.Fatalf("imported %d: %s", n, r.Body)
		}
	}
	records := map[string]string{} // transaction by trade
	for _, b := range booked {
		trade, _, _ := strings.Cut(b.line, ",")
		records[trade] = text(t, d.stack, "SELECT 'transaction:' || transaction_id FROM finobs.transaction WHERE source = 'books' AND trade_id = $1", trade)
	}

	run := d.runs(t, "/agent/compliance", `{"source":"books","start":"2026-06-01","end":"2026-06-30","reason":"the week's look"}`)
	if run.Status != "done" || run.Result.Severity != "critical" || run.Result.Category != "compliance" {
		t.Errorf("the run: %+v", run)
	}
	d.sevenFields(t, "/agent/compliance", run)
	d.says(t, 0, []string{"agent", "replay", fmt.Sprint(run.ID)}, "byte for byte")
	d.found(t, run, records)

	none := d.runs(t, "/agent/compliance", `{"source":"books","start":"2026-07-01"}`)
	if none.Status != "done" || len(none.Findings) != 0 || !strings.Contains(none.Words, "looked at 0 transactions and found 0 things") {
		t.Errorf("over no transactions: %+v", none)
	}
	if n := count(t, d.stack, "SELECT count(*) FROM ledger.entry WHERE type = 'agent.finding' AND convert_from(leaf, 'UTF8')::jsonb #>> '{details,run_id}' = $1::text", fmt.Sprint(none.ID)); n != 0 {
		t.Errorf("%d findings over nothing", n)
	}
}

// found compares what a run found, its evidence and the compliance log with what is
// booked.
func (d *deskStack) found(t *testing.T, run agentRun, records map[string]string) {
	t.Helper()
	wanted := map[string][]string{} // transactions by rule
	for _, b := range booked {
		if trade, _, _ := strings.Cut(b.line, ","); b.rule != "" {
			wanted[b.rule] = append(wanted[b.rule], records[trade])
		}
	}
	rules := slices.Sorted(maps.Keys(wanted))
	var shown []string
	for _, f := range run.Findings {
		shown = append(shown, f.Rule)
	}
	slices.Sort(shown)
	if !slices.Equal(shown, rules) {
		t.Errorf("found %v, want %v", shown, rules)
	}
	counts := run.Evidence[0]
	if counts.Kind != "counts" || counts.Facts["records"] != fmt.Sprint(len(booked)) || counts.Facts["findings"] != fmt.Sprint(len(rules)) || strings.Contains(counts.Text, "did not run") {
		t.Errorf("the counts are %+v", counts)
	}
	workflow := text(t, d.stack, "SELECT workflow_id FROM finobs.agent_run WHERE run_id = $1", run.ID)
	var entries map[int64]complianceEntry
	eventually(t, "the findings are in the compliance log", func() bool {
		entries = d.logged(t, "/compliance/logs?workflow_id=", workflow)
		return len(entries) >= len(rules)
	})
	byRule := map[string][]string{}
	for index, e := range d.logged(t, "/audit?workflow=", workflow) {
		f := e.Leaf.Details
		byRule[f.Rule] = append(byRule[f.Rule], strings.Fields(f.Records)...)
		if shown := entries[index]; shown.Outcome != "found" || shown.Reason == "" || f.RunID != fmt.Sprint(run.ID) || f.Severity == "" || f.Party == "" {
			t.Errorf("logged as %+v", e)
		}
	}
	for rule, list := range byRule {
		slices.Sort(list)
		slices.Sort(wanted[rule])
		if !slices.Equal(list, wanted[rule]) {
			t.Errorf("rule %s is logged over %v, want %v", rule, list, wanted[rule])
		}
	}
	if len(entries) != len(rules) || len(byRule) != len(rules) {
		t.Errorf("%d entries about %d rules, want one each of %d", len(entries), len(byRule), len(rules))
	}
}

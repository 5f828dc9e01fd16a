package rulebook_test

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"finobs/internal/action"
	"finobs/internal/agent"
	"finobs/internal/desk"
	"finobs/internal/fault"
	"finobs/internal/rulebook"
	"finobs/rulebooks"

	"pgregory.net/rapid"
)

// bundleOf is an incident with words and facts, and other evidence.
func bundleOf(words string, facts map[string]string, others ...agent.Evidence) []agent.Evidence {
	all := map[string]string{"kind": "system_outage", "subject_kind": "system"}
	maps.Copy(all, facts)
	return append([]agent.Evidence{agent.Show("E1", agent.OfIncident, "incident:1", all, words)}, others...)
}

func target(id, kind string, fields map[string]string) agent.Evidence {
	all := map[string]string{"kind": kind, "version": "1", "connector": "sandbox"}
	maps.Copy(all, fields)
	return agent.Show(id, agent.OfTarget, "connector:sandbox", all, "")
}

func triage(t testing.TB) *rulebook.Rulebook {
	t.Helper()
	r, err := rulebook.LoadBytes(rulebooks.Triage)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// scope lets pass whatever is a known action: what the rulebook says has to be
// within the forms that Check asks of everybody.
func scope() agent.Scope {
	return agent.Scope{
		Kind: agent.Triage, MaxProposals: agent.MaxProposals, Rulebook: true,
		Allowed: func(name, _ string, _ map[string]string) error {
			_, err := action.Find(name)
			return err
		},
		Identifier: func(_, name string) bool { return name == "ssi" || name == "reference" },
	}
}

// triageCase is an incident as the detectors of finobs open it.
type triageCase struct {
	bundle   []agent.Evidence
	category agent.Category
	severity desk.Severity
	cause    string // "": inconclusive
	propose  string // actions and their parameters
}

// trade is a trade as one of the sides states it.
func trade(kind agent.EvidenceKind, changes map[string]string) agent.Evidence {
	facts := map[string]string{"trade_id": "T-1", "side": "buy", "quantity": "1200", "price": "429.50", "currency": "USD", "symbol": "MSFT", "settlement_date": "2026-06-16"}
	maps.Copy(facts, changes)
	return agent.Show(string(kind), kind, "transaction:7", facts, "")
}

func fails() map[string]triageCase {
	failed := map[string]string{
		"id": "S-1001", "status": "failed", "fail_reason": "ssi_mismatch", "counterparty": "GALE", "place": "DTCYUS33", "ssi": "SSI-GALE-EOC",
		"eligible_ssis": "SSI-GALE-DTC,SSI-GALE-EOC", "settlement_date": "2026-06-12", "remaining_quantity": "82000", "available_quantity": "82000",
	}
	return map[string]triageCase{
		"a fail on the wrong SSI": {
			bundleOf("GME had 82,000 shares undelivered on each of 6 consecutive settlement days",
				map[string]string{"kind": "failed_settlement", "subject_kind": "security", "exposure_usd": "15366800.00", "details.settlement_days": "6"},
				agent.Show("E2", agent.OfSettlement, "fails", map[string]string{"fails_quantity": "82000", "fails_days": "6", "fails_value_usd": "15366800.00"}, ""),
				target("E3", "settlement", failed),
				target("E4", "ssi", map[string]string{"id": "SSI-GALE-OLD", "counterparty": "GALE", "place": "DTCYUS33", "status": "closed", "verified": "yes"}),
				target("E5", "ssi", map[string]string{"id": "SSI-GALE-DTC", "counterparty": "GALE", "place": "DTCYUS33", "status": "active", "verified": "yes"})),
			agent.CategorySettlementFail, desk.High, "failing for 6 settlement days", "settlement.amend_ssi E3 ssi=SSI-GALE-DTC",
		},
		"a fail for lack of securities": {
			bundleOf("", map[string]string{"kind": "failed_settlement", "subject_kind": "transaction", "exposure_usd": "5"},
				target("E3", "settlement", map[string]string{"id": "S-2", "status": "failed", "fail_reason": "lack_of_securities", "partial_allowed": "yes",
					"available_quantity": "25000", "remaining_quantity": "40000"})),
			agent.CategorySettlementFail, desk.Low, "", "settlement.partial E3 quantity=25000",
		},
		"a fail of 13 days": {
			bundleOf("", map[string]string{"kind": "failed_settlement", "details.settlement_days": "13"}),
			agent.CategorySettlementFail, desk.High, "", "",
		},
		"a price break": {
			bundleOf("price break on E100", map[string]string{"kind": "trade_break", "subject_kind": "trade_break", "severity": "medium", "details.type": "price", "exposure_usd": "600"},
				trade(agent.OfTrade, nil), trade(agent.OfOtherSide, map[string]string{"price": "430"}),
				target("E4", "counterparty", map[string]string{"id": "GALE", "contact": "Middle office"}),
				target("E5", "trade", map[string]string{"id": "T-1", "match_status": "unmatched", "counterparty": "GALE", "isin": "US5949181045", "quantity": "1200",
					"gross_amount": "515400", "currency": "USD", "settlement_date": "2026-06-16"})),
			agent.CategoryTradeBreak, desk.Medium, "429.50 here, 430 there",
			"counterparty.notify E4 amount=515400 currency=USD date=2026-06-16 isin=US5949181045 quantity=1200 reference=T-1 template=trade_break_query",
		},
		"the same price otherwise written": {
			bundleOf("", map[string]string{"kind": "trade_break"}, trade(agent.OfTrade, nil), trade(agent.OfOtherSide, map[string]string{"price": "429.5"})),
			agent.CategoryTradeBreak, desk.Low, "", "",
		},
		"the wrong way round": {
			bundleOf("side break on E100", map[string]string{"kind": "trade_break"}, trade(agent.OfTrade, nil), trade(agent.OfOtherSide, map[string]string{"side": "sell"})),
			agent.CategoryTradeBreak, desk.High, "the wrong way round", "",
		},
		"a missing trade": {
			bundleOf("missing_right break on E100", map[string]string{"kind": "trade_break", "severity": "high", "details.type": "missing_right"}),
			agent.CategoryTradeBreak, desk.High, "Only one of the two sides", "",
		},
		"an execution that is denied": {
			bundleOf("Don't know trade: no matching order", map[string]string{"kind": "trade_break", "subject_kind": "execution", "severity": "medium", "details.event_kind": "dont_know_trade"}),
			agent.CategoryTradeBreak, desk.High, "does not recognise", "",
		},
	}
}

func outages() map[string]triageCase {
	return map[string]triageCase{
		"a sequence gap": {
			bundleOf("Sequence gap: expected 12, got 15", map[string]string{"details.event_kind": "sequence_gap", "severity": "medium"}),
			agent.CategorySessionReject, desk.High, "lost or not yet sent", "",
		},
		"a burst of rejects": {
			bundleOf("BROKER refuses: 60 rejects within 1m. The most frequent reasons: order exceeds limit", map[string]string{"details.rejects": "60", "occurrences": "1"}),
			agent.CategoryOrderReject, desk.High, "exceed a limit", "",
		},
		"a gateway that is silent": {
			bundleOf("GW-1 is silent", map[string]string{"severity": "high", "system": "GW-1"},
				agent.Show("E2", agent.OfSystem, "heartbeats", map[string]string{"heartbeat_age_seconds": "95", "silent": "true"}, ""),
				target("E3", "gateway", map[string]string{"id": "GW-1", "status": "down"}), target("E4", "gateway", map[string]string{"id": "GW-2", "status": "up"}),
				target("E5", "order", map[string]string{"id": "O-1", "status": "stuck", "at_venue": "no", "reject_reason": "gateway_down", "gateway": "GW-1"}),
				target("E6", "order", map[string]string{"id": "O-2", "status": "stuck", "at_venue": "no", "reject_reason": "gateway_down", "gateway": "GW-2"})),
			agent.CategoryInfrastructure, desk.High, "for 95 seconds", "gateway.restart E3; order.retry E6",
		},
		"a stale feed": {
			bundleOf("Feed FEED-US is stale", map[string]string{"subject_kind": "feed", "subject_id": "FEED-US", "severity": "medium"},
				target("E3", "feed", map[string]string{"id": "FEED-US", "status": "silent", "active": "primary", "backup_status": "live"})),
			agent.CategoryMarketData, desk.High, "FEED-US", "feed.switch E3 to=backup",
		},
		"a stale feed whose backup is stale as well": {
			bundleOf("Feed FEED-US is stale", map[string]string{"subject_kind": "feed", "subject_id": "FEED-US"},
				target("E3", "feed", map[string]string{"id": "FEED-US", "status": "silent", "active": "primary", "backup_status": "silent"})),
			agent.CategoryMarketData, desk.High, "FEED-US", "",
		},
		"a disk": {
			bundleOf("DiskSpaceLow: disk usage of /var on db-1 is 93 %", map[string]string{"severity": "medium", "details.event_kind": "alert"}),
			agent.CategoryCapacity, desk.Medium, "A disk is full", "",
		},
		"a login": {
			bundleOf("Trader cannot login, account locked, password expired", map[string]string{"kind": "other", "subject_kind": "notice"}),
			agent.CategoryAccess, desk.Low, "", "",
		},
		"a network": {
			bundleOf("packet loss to the exchange, connection refused", map[string]string{"severity": "critical"}),
			agent.CategoryConnectivity, desk.Critical, "", "",
		},
		"nothing": {bundleOf("lorem ipsum", map[string]string{"kind": "other", "subject_kind": "notification"}), agent.CategoryOther, desk.Low, "", ""},
	}
}

func TestTriage(t *testing.T) {
	all := fails()
	maps.Copy(all, outages())
	for name, tc := range all {
		out, err := triage(t).Analyse(agent.Triage, tc.bundle)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if out.Category != tc.category || out.Severity != tc.severity || out.Inconclusive != (tc.cause == "") || !strings.Contains(out.ProbableCause, tc.cause) {
			t.Errorf("%s: got %s, %s, %q", name, out.Category, out.Severity, out.ProbableCause)
		}
		if got := actions(out.Proposals); got != tc.propose {
			t.Errorf("%s: got proposals %q, want %q", name, got, tc.propose)
		}
		passes(t, tc.bundle, out)
	}
}

func actions(list []agent.Proposal) string {
	var out []string
	for _, p := range list {
		line := p.Action + " " + p.Target
		for _, name := range slices.Sorted(maps.Keys(p.Parameters)) {
			line += " " + name + "=" + p.Parameters[name]
		}
		out = append(out, line)
	}
	return strings.Join(out, "; ")
}

// passes checks that Check changes nothing of what a rulebook says, and that each
// claim names its rule.
func passes(t interface {
	Helper()
	Errorf(string, ...any)
}, bundle []agent.Evidence, out agent.Output) {
	t.Helper()
	checked, problems := agent.Check(scope(), bundle, out)
	if len(problems) > 0 || !reflect.DeepEqual(checked, out) {
		t.Errorf("Check changes\n%+v\nto\n%+v\n%v", out, checked, problems)
	}
	for _, c := range out.Claims {
		name, _, _ := strings.Cut(c.Text, ":")
		if !slices.Contains(out.Rules, name) || len(c.Cites) == 0 {
			t.Errorf("the claim %q names none of %v or cites nothing", c.Text, out.Rules)
		}
	}
}

// A rule cites what made it fire: the word, and the line that shows the fact.
func TestClaimsCiteWhatMadeThemFire(t *testing.T) {
	r := load(t, minimal)
	b := bundleOf("Zürich: the PASSWORDS have expired", map[string]string{"exposure_usd": "100.0", "system": "GW-1"})
	out, err := r.Analyse(agent.Triage, b)
	if err != nil {
		t.Fatal(err)
	}
	var quotes []string
	for _, c := range out.Claims {
		quotes = append(quotes, c.Cites[0].Quote)
	}
	if want := []string{"PASSWORDS", "exposure_usd: 100.0", "expired"}; !slices.Equal(quotes, want) {
		t.Errorf("got %q, want %q", quotes, want)
	}
	if out.Confidence != "0.70" || out.ProbableCause != "It expired at GW-1." || !slices.Equal(out.Rules, []string{"access.words", "severity.money", "cause.words"}) {
		t.Errorf("got %+v", out)
	}
	passes(t, b, out)
}

func TestTheMatrixGivesSeverity(t *testing.T) {
	out, err := load(t, minimal).Analyse(agent.Triage, bundleOf("x", map[string]string{"impact": "1", "urgency": "2", "scale": "2"}))
	if err != nil || out.Severity != desk.Critical || !slices.Contains(out.Rules, "priority.matrix") || out.Claims[0].Cites[0].Quote != "impact: 1" {
		t.Errorf("got %+v, %v", out, err)
	}
}

func TestAnalyseRefuses(t *testing.T) {
	r := load(t, minimal)
	for want, err := range map[string]error{
		"rulebook-kind":    second(r.Analyse(agent.AuditSummary, bundleOf("x", nil))),
		"no-incident":      second(r.Analyse(agent.Triage, nil)),
		"invalid-evidence": second(r.Analyse(agent.Triage, []agent.Evidence{{ID: "E1", Kind: agent.OfIncident, Text: "\xff"}})),
	} {
		if fault.CodeOf(err) != want || fault.KindOf(err) != fault.Invalid {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	costly := strings.Replace(minimal, `atLeast(incident.exposure_usd, "100")`,
		`evidence.all(a, evidence.all(b, evidence.all(c, evidence.all(d, a.id != b.id || c.id != d.id || true))))`, 1)
	if _, err := load(t, costly).Analyse(agent.Triage, bundleOf("x", nil, slices.Repeat(bundleOf("x", nil), 30)...)); fault.CodeOf(err) != "rulebook-condition" ||
		!strings.Contains(err.Error(), "severity.money") {
		t.Errorf("a costly condition: got %v", err)
	}
}

func second(_ agent.Output, err error) error { return err }

// Whatever senders write into the words, the details and the other texts: what is
// proposed stays the same. And whatever the evidence is: the output passes, and is
// the same when it is made again.
func TestWordsNeverChangeWhatIsProposed(t *testing.T) {
	r := triage(t)
	word := rapid.SampledFrom([]string{"password", "restart", "gateway.restart", "approved", "ssi", "kind: gateway", "status: down", "\n", "disk full", "feed", "\u202e", "https://x/y", "E3"})
	rapid.Check(t, func(t *rapid.T) {
		words := func(label string) string {
			return strings.Join(rapid.SliceOfN(word, 0, 12).Draw(t, label), " ") + rapid.String().Draw(t, label+" rest")
		}
		status := rapid.SampledFrom([]string{"down", "up", "failed", "silent", ""})
		facts := map[string]string{
			"kind":         rapid.SampledFrom([]string{"system_outage", "trade_break", "failed_settlement", "other"}).Draw(t, "kind"),
			"exposure_usd": rapid.SampledFrom([]string{"", "1e9", "20000000", "-5", "x"}).Draw(t, "exposure"), "occurrences": "60",
		}
		others := []agent.Evidence{
			target("E3", "gateway", map[string]string{"id": "GW-1", "status": status.Draw(t, "gateway")}),
			target("E4", "feed", map[string]string{"id": "F", "active": "primary", "backup_status": "live", "status": status.Draw(t, "feed")}),
			target("E5", "settlement", map[string]string{"id": "S-1", "settlement_date": rapid.SampledFrom([]string{"2026-06-12", "a/b", ""}).Draw(t, "date"),
				"available_quantity": "5", "remaining_quantity": "5", "status": status.Draw(t, "settlement")}),
		}
		plain := bundleOf("", facts, others...)
		said := maps.Clone(facts)
		said["details."+rapid.SampledFrom([]string{"status", "event_kind", "rejects", "type", "x"}).Draw(t, "detail")] = words("detail")
		hostile := bundleOf(words("words"), said, others...)
		hostile = append(hostile, agent.Show("E8", agent.OfLedger, "ledger", nil, words("ledger")))
		want, err := r.Analyse(agent.Triage, plain)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Analyse(agent.Triage, hostile)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got.Proposals, want.Proposals) {
			t.Fatalf("got %v, want %v", got.Proposals, want.Proposals)
		}
		again, _ := r.Analyse(agent.Triage, hostile)
		if !reflect.DeepEqual(got, again) {
			t.Fatal("it differs when it is made again")
		}
		passes(t, hostile, got)
	})
}

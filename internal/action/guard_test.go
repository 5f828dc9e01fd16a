package action_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"finobs/internal/action"
	"finobs/internal/fault"
	"finobs/internal/sandbox"

	"pgregory.net/rapid"
)

// morning is the desk of the demonstration.
func morning(t *testing.T) *desk {
	t.Helper()
	seed, err := sandbox.DefaultSeed()
	if err != nil {
		t.Fatal(err)
	}
	return openDesk(t, seed)
}

// Objects in a state for which an action is not, with what the refusal says.
func TestPreconditions(t *testing.T) {
	d := morning(t)
	for name, c := range map[string]struct {
		action, id string
		parameters map[string]string
		set        map[string]string // over the object's fields
		code, want string
	}{
		"SettledIsDone":         {"settlement.reinstruct", "S-1004", map[string]string{"settlement_date": "2026-06-16"}, nil, "action.precondition", `status is "settled"`},
		"NotBeforeItsDay":       {"settlement.reinstruct", "S-1001", map[string]string{"settlement_date": "2026-06-11"}, nil, "action.precondition", "due on"},
		"NothingRemains":        {"settlement.reinstruct", "S-1001", map[string]string{"settlement_date": "2026-06-16"}, map[string]string{"remaining_quantity": "0"}, "action.precondition", "nothing remains"},
		"GarbledQuantity":       {"settlement.reinstruct", "S-1001", map[string]string{"settlement_date": "2026-06-16"}, map[string]string{"remaining_quantity": "1e9"}, "action.precondition", "no plain decimal"},
		"OverTheCap":            {"settlement.reinstruct", "S-1001", map[string]string{"settlement_date": "2026-06-16"}, map[string]string{"remaining_amount": "50000000.01"}, "action.over-cap", "USD 50000000.01 is more"},
		"NoRoundingPasses":      {"settlement.reinstruct", "S-1001", map[string]string{"settlement_date": "2026-06-16"}, map[string]string{"remaining_amount": "50000000.001"}, "action.over-cap", "USD 50000000.01"},
		"NoRateNoCap":           {"settlement.reinstruct", "S-1002", map[string]string{"settlement_date": "2026-06-16"}, map[string]string{"usd_rate": ""}, "action.precondition", "without a usd_rate"},
		"CapAtTheRate":          {"settlement.reinstruct", "S-1002", map[string]string{"settlement_date": "2026-06-16"}, map[string]string{"usd_rate": "100"}, "action.over-cap", "USD 50320000.00"},
		"SSIOfAnother":          {"settlement.amend_ssi", "S-1001", map[string]string{"ssi": "SSI-HAVEN-DTC"}, nil, "action.precondition", "none of its eligible"},
		"SSIAlready":            {"settlement.amend_ssi", "S-1001", map[string]string{"ssi": "SSI-GALE-EOC"}, nil, "action.precondition", "already"},
		"PartNotAvailable":      {"settlement.partial", "S-1002", map[string]string{"quantity": "25001"}, nil, "action.precondition", "25000 are available"},
		"PartIsWhole":           {"settlement.partial", "S-1001", map[string]string{"quantity": "82000"}, nil, "action.precondition", "no part"},
		"NoPartAllowed":         {"settlement.partial", "S-1001", map[string]string{"quantity": "1000"}, map[string]string{"partial_allowed": "no"}, "action.precondition", "partial_allowed"},
		"SettledTrade":          {"trade.rebook", "T-5012", map[string]string{"price": "186", "reason": "price_break"}, nil, "action.precondition", "settlement_status"},
		"NothingCorrected":      {"trade.rebook", "T-5010", map[string]string{"reason": "price_break"}, nil, "action.invalid-parameter", "nothing is corrected"},
		"PriceIsTheSame":        {"trade.rebook", "T-5010", map[string]string{"price": "429.50", "reason": "price_break"}, nil, "action.precondition", "leave it out"},
		"SettlesBeforeTrading":  {"trade.rebook", "T-5010", map[string]string{"settlement_date": "2026-06-14", "reason": "date_break"}, nil, "action.precondition", "traded on"},
		"LargeBookedSmall":      {"trade.rebook", "T-5010", map[string]string{"quantity": "1", "reason": "quantity_break"}, map[string]string{"price": "100", "quantity": "250001"}, "action.over-cap", "USD 25000100.00 is more"},
		"ManyBookedFew":         {"trade.rebook", "T-5010", map[string]string{"quantity": "1", "reason": "quantity_break"}, map[string]string{"price": "1", "quantity": "10000001"}, "action.over-cap", "a quantity of 10000001"},
		"OverTheQuantity":       {"trade.rebook", "T-5010", map[string]string{"quantity": "10000001", "price": "1", "reason": "price_break"}, nil, "action.over-cap", "10000000"},
		"TooLateToCancel":       {"order.cancel", "O-9005", nil, nil, "action.precondition", `status is "filled"`},
		"VenueMayHoldIt":        {"order.retry", "O-9001", nil, map[string]string{"at_venue": "unknown"}, "action.precondition", "at_venue"},
		"LimitsAreNoOutage":     {"order.retry", "O-9004", nil, nil, "action.precondition", "limit_breach"},
		"WorkingOrder":          {"order.retry", "O-9003", nil, nil, "action.precondition", "working"},
		"BlockedTrader":         {"trader.block", "petra", map[string]string{"reason": "technical"}, nil, "action.precondition", "blocked"},
		"ActiveStrategy":        {"strategy.unblock", "VWAP-US", nil, nil, "action.precondition", "active"},
		"SourceActive":          {"feed.switch", "FEED-US-EQ", map[string]string{"to": "primary"}, nil, "action.precondition", "active already"},
		"SourceSilent":          {"feed.switch", "FEED-US-EQ", map[string]string{"to": "backup"}, map[string]string{"backup_status": "silent"}, "action.precondition", "backup_status"},
		"GatewayUp":             {"gateway.restart", "GW-NYSE-1", nil, nil, "action.precondition", `status is "up"`},
		"GarbledCount":          {"gateway.restart", "GW-NASDAQ-1", nil, map[string]string{"restarts": "many"}, "action.precondition", "no count"},
		"NothingNewToCompare":   {"recon.rerun", "P-MAIN-TSLA", nil, nil, "action.precondition", "statement"},
		"MatchedAlready":        {"recon.rerun", "P-MAIN-MSFT", nil, nil, "action.precondition", "rec_status"},
		"NobodyToTell":          {"counterparty.notify", "OLDBANK", map[string]string{"template": "ssi_confirmation_request", "reference": "S-1", "date": "2026-06-16"}, nil, "action.precondition", "no contact"},
		"ValueOfTemplateLacks":  {"counterparty.notify", "GALE", map[string]string{"template": "ssi_confirmation_request", "reference": "S-1"}, nil, "action.invalid-parameter", "date is missing"},
		"ValueOfOtherTemplate":  {"counterparty.notify", "GALE", map[string]string{"template": "ssi_confirmation_request", "reference": "S-1", "date": "2026-06-16", "amount": "5"}, nil, "action.invalid-parameter", "no amount"},
		"AMessageIsOnItsWay":    {"counterparty.notify", "GALE", map[string]string{"template": "ssi_confirmation_request", "reference": "S-1", "date": "2026-06-16"}, map[string]string{"notice_status": "sending"}, "action.precondition", "being sent"},
		"ParametersAreReadHere": {"feed.switch", "FEED-US-EQ", map[string]string{"to": "moon"}, nil, "action.invalid-parameter", "none of"},
	} {
		t.Run(name, func(t *testing.T) {
			kind := find(t, c.action)
			o := d.read(kind.TargetKind, c.id)
			maps.Copy(o.Fields, c.set)
			_, err := kind.Plan(o, c.parameters)
			if fault.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s and %q", err, c.code, c.want)
			}
		})
	}
}

func TestPlansAreForTheirKindOfTarget(t *testing.T) {
	d := morning(t)
	gateway, feed := d.read("gateway", "GW-NASDAQ-1"), d.read("feed", "FEED-US-EQ")
	if _, err := find(t, "gateway.restart").Plan(feed, nil); fault.CodeOf(err) != "action.wrong-target" {
		t.Errorf("got %v", err)
	}
	kind := find(t, "gateway.restart")
	plan, err := kind.Plan(gateway, nil)
	if err != nil {
		t.Fatal(err)
	}
	other := gateway
	other.ID, other.Version = "GW-LSE-1", "9"
	if verdict, why := kind.Verify(gateway, other, plan); verdict != action.Failed || !strings.Contains(why, "not the target") {
		t.Errorf("got %s, %s", verdict, why)
	}
}

// The morning of the demonstration: 82,000 shares failed on the wrong standing
// instruction. Instructed again as it is, it fails again; put right, it settles.
func TestTheFailedSettlement(t *testing.T) {
	d := morning(t)
	again := action.Command{Action: "settlement.reinstruct", Parameters: map[string]string{"settlement_date": "2026-06-16"}}
	do := func(c action.Command) (action.Verdict, action.Plan) {
		before := d.read("settlement", "S-1001")
		kind, plan, _ := d.apply(before, c)
		d.now = d.now.Add(recovery)
		verdict, _ := kind.Verify(before, d.read("settlement", "S-1001"), plan)
		return verdict, plan
	}
	if verdict, plan := do(again); verdict != action.Failed || plan.AmountUSD != "15366800.00" || plan.Quantity != "82000" {
		t.Errorf("on the wrong instruction: %s, %+v", verdict, plan)
	}
	if verdict, plan := do(action.Command{Action: "settlement.amend_ssi", Parameters: map[string]string{"ssi": "SSI-GALE-DTC"}}); verdict != action.Recovered || plan.Notes[0] != "82000 against USD 15366800 will settle over it" {
		t.Errorf("amended: %s, %+v", verdict, plan)
	}
	if verdict, _ := do(again); verdict != action.Recovered {
		t.Errorf("put right: %s", verdict)
	}
	if o := d.read("settlement", "S-1001"); o.Fields["status"] != "settled" || o.Fields["remaining_amount"] != "0" || o.Fields["settlement_date"] != "2026-06-12" {
		t.Errorf("it is %v", o.Fields)
	}
}

func TestAPartOfASettlement(t *testing.T) {
	d := morning(t)
	before := d.read("settlement", "S-1002")
	_, plan, _ := d.apply(before, action.Command{Action: "settlement.partial", Parameters: map[string]string{"quantity": "25000"}})
	if plan.Amount != "314500" || plan.Currency != "GBP" || plan.AmountUSD != "399415.00" || plan.Notes[0] != "15000 and GBP 188700 stay open" {
		t.Errorf("got %+v", plan)
	}
	d.now = d.now.Add(recovery)
	if o := d.read("settlement", "S-1002"); o.Fields["status"] != "partially_settled" || o.Fields["remaining_quantity"] != "15000" || o.Fields["remaining_amount"] != "188700" {
		t.Errorf("it is %v", o.Fields)
	}
}

// What an approver reads of a message is the whole message.
func TestTheMessageIsShown(t *testing.T) {
	seen := map[string]bool{}
	everyMessage(t, func(template string, plan action.Plan) {
		seen[template] = true
		text := strings.Join(plan.Notes, "\n")
		for name, value := range plan.Command.Parameters {
			if name != "template" && !strings.Contains(text, value) {
				t.Errorf("%s does not show %s: %s", template, name, text)
			}
		}
		if strings.Contains(text, "%!") || !strings.Contains(text, "to: Settlements desk, Ruth Adeyemi") {
			t.Errorf("%s reads %s", template, text)
		}
	})
	if len(seen) != 5 {
		t.Errorf("saw %v", seen)
	}
}

func everyMessage(t *testing.T, see func(string, action.Plan)) {
	t.Helper()
	kind := find(t, "counterparty.notify")
	gale := morning(t).read("counterparty", "GALE")
	for _, template := range kind.Parameters[0].Enum {
		all := map[string]string{"isin": "US0378331005", "quantity": "82000", "amount": "15366800", "currency": "USD", "date": "2026-06-16"}
		raw := map[string]string{"template": template, "reference": "S-1001"}
		for range len(all) + 1 { // give what is said to be missing, until nothing is
			plan, err := kind.Plan(gale, raw)
			if err == nil {
				see(template, plan)
				break
			}
			missing := regexp.MustCompile(`; (\w+) is missing`).FindStringSubmatch(err.Error())
			if missing == nil {
				t.Fatal(err)
			}
			raw[missing[1]] = all[missing[1]]
		}
	}
}

// Some of what was is not worth going back to.
func TestCompensationsThatThereAreNot(t *testing.T) {
	d := morning(t)
	feed := d.read("feed", "FEED-US-EQ")
	_, plan, _ := d.apply(feed, action.Command{Action: "feed.switch", Parameters: map[string]string{"to": "backup"}})
	if c, ok := find(t, "feed.switch").Compensate(feed, plan); ok {
		t.Errorf("back to a silent primary: %+v", c)
	}
	settlement := d.read("settlement", "S-1001")
	settlement.Fields["ssi"] = "SSI-GALE-OLD"
	if c, ok := find(t, "settlement.amend_ssi").Compensate(settlement, action.Plan{}); ok {
		t.Errorf("back to a closed standing instruction: %+v", c)
	}
	petra := d.read("trader", "petra")
	petra.Fields["block_reason"] = "said so"
	if c, ok := find(t, "trader.unblock").Compensate(petra, action.Plan{}); ok {
		t.Errorf("back to a reason that cannot be given: %+v", c)
	}
}

var harmless = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// Nothing that could be an address, a path, a query or a sentence gets through, in any
// parameter of any action.
func FuzzParameters(f *testing.F) {
	for _, seed := range []string{"S-1", "1.50", "2026-06-16", "USD", "US0378331005", "backup", "http://a", "a@b.c", "../x", "a b", "1\n"} {
		f.Add(seed)
	}
	if dir := os.Getenv("FINOBS_SAMPLE_DATA"); dir != "" {
		files, err := filepath.Glob(filepath.Join(dir, "naughty_strings", "*.txt"))
		if err != nil || len(files) == 0 {
			f.Fatalf("no naughty strings in %s: %v", dir, err)
		}
		for _, path := range files {
			text, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			for line := range strings.SplitSeq(string(text), "\n") {
				f.Add(line)
			}
		}
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, kind := range action.Catalogue() {
			for _, p := range kind.Parameters {
				alone := kind
				alone.Parameters = []action.Parameter{p}
				_, err := alone.ParseParams(map[string]string{p.Name: value})
				if err == nil && (!harmless.MatchString(value) || strings.Contains(value, "..") || p.Kind == action.ID && strings.Contains(value, ".")) {
					t.Errorf("%s takes %s=%q", kind.Name, p.Name, value)
				}
				if err != nil && fault.KindOf(err) != fault.Invalid {
					t.Errorf("%s %s=%q: %v", kind.Name, p.Name, value, err)
				}
			}
		}
	})
}

// A desk that writes an adapter finds in the documentation every field that a plan
// changes.
func TestTheProtocolNamesTheFields(t *testing.T) {
	text, err := os.ReadFile("../../docs/connectors.md")
	if err != nil {
		t.Fatal(err)
	}
	everyType(t, func(t *rapid.T, kind action.Type, s scenario) {
		before := openDesk(t, s.objects).read(s.kind, s.id)
		plan, err := kind.Plan(before, s.command.Parameters)
		if err != nil {
			t.Fatal(err)
		}
		line := regexp.MustCompile("(?m)^\\|[^|]*`" + s.kind + "`[^|]*\\|(.*)$").FindSubmatch(text)
		if line == nil {
			t.Fatalf("docs/connectors.md has no line for %s", s.kind)
		}
		for _, c := range plan.Changes {
			if !strings.Contains(string(line[1]), "`"+c.Field+"`") {
				t.Errorf("docs/connectors.md lacks %s of a %s", c.Field, s.kind)
			}
		}
	})
}

// What remains decides whether an instruction settled, not the word of its status.
func TestASettlementIsJudgedByWhatRemains(t *testing.T) {
	d := morning(t)
	before := d.read("settlement", "S-1002")
	before.Fields["status"] = "partially_settled"
	kind := find(t, "settlement.partial")
	plan, err := kind.Plan(before, action.Params{"quantity": "25000"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		status, remains string
		want            action.Verdict
	}{
		{"partially_settled", "15000", action.Recovered},
		{"partially_settled", "40000", action.Failed}, // nothing settled
		{"settled", "0", action.Failed},               // more than was planned
		{"cancelled", "15000", action.Failed},
		{"matched", "40000", action.NotYet},
		{"failed", "40000", action.Failed},
		{"settled", "lots", action.Failed},
	} {
		after := before
		after.Version, after.Fields = "2", maps.Clone(before.Fields)
		after.Fields["status"], after.Fields["remaining_quantity"] = c.status, c.remains
		if verdict, why := kind.Verify(before, after, plan); verdict != c.want || why == "" {
			t.Errorf("%s with %s left is %s: %s", c.status, c.remains, verdict, why)
		}
	}
}

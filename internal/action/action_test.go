package action_test

import (
	"slices"
	"strings"
	"testing"

	"finobs/internal/action"
	"finobs/internal/approval"
	"finobs/internal/fault"

	"github.com/shopspring/decimal"
)

func find(t *testing.T, name string) action.Type {
	t.Helper()
	kind, err := action.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return kind
}

func TestTheCatalogueIsSound(t *testing.T) {
	if problems := action.Lint(action.Catalogue()); len(problems) != 0 {
		t.Error(problems)
	}
	var names []string
	for _, kind := range action.Catalogue() {
		names = append(names, kind.Name)
	}
	want := "settlement.reinstruct settlement.amend_ssi settlement.partial trade.rebook order.cancel order.retry trader.block trader.unblock " +
		"strategy.block strategy.unblock feed.switch gateway.restart recon.rerun counterparty.notify"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("the catalogue is %s", got)
	}
}

// Each part that an action lacks is found, and by its name.
func TestLintFindsWhatIsMissing(t *testing.T) {
	for name, c := range map[string]struct {
		of, finds string
		harm      func(*action.Type)
	}{
		"Name":            {"feed.switch", "dotted pair", func(t *action.Type) { t.Name = "feed" }},
		"Version":         {"feed.switch", "version", func(t *action.Type) { t.Version = 0 }},
		"Title":           {"feed.switch", "no title", func(t *action.Type) { t.Title = "" }},
		"Doc":             {"feed.switch", "no doc", func(t *action.Type) { t.Doc = "" }},
		"TargetKind":      {"feed.switch", "target kind", func(t *action.Type) { t.TargetKind = "desk" }},
		"Risk":            {"feed.switch", "risk tier", func(t *action.Type) { t.Risk = "" }},
		"Reversibility":   {"feed.switch", "can be undone", func(t *action.Type) { t.Reversibility = "" }},
		"PerHour":         {"feed.switch", "in an hour", func(t *action.Type) { t.Caps.PerHour = 0 }},
		"MaxAmountUSD":    {"trade.rebook", "cap in US dollars", func(t *action.Type) { t.Caps.MaxAmountUSD = decimal.Zero }},
		"Moves":           {"trade.rebook", "cap in US dollars", func(t *action.Type) { t.Moves = false }},
		"MaxQuantity":     {"trade.rebook", "cap of quantity", func(t *action.Type) { t.Caps.MaxQuantity = decimal.NewFromInt(-1) }},
		"Guard":           {"feed.switch", "no precondition", func(t *action.Type) { t.Guard = nil }},
		"Effect":          {"feed.switch", "no plan", func(t *action.Type) { t.Effect = nil }},
		"Judge":           {"feed.switch", "no verification", func(t *action.Type) { t.Judge = nil }},
		"Undo":            {"feed.switch", "compensation", func(t *action.Type) { t.Undo = nil }},
		"UndoOfTheFinal":  {"order.cancel", "compensation", func(t *action.Type) { t.Undo = must("feed.switch").Undo }},
		"Restores":        {"feed.switch", "restores", func(t *action.Type) { t.Restores = nil }},
		"ParameterName":   {"feed.switch", "lower-case name", func(t *action.Type) { t.Parameters[0].Name = "To" }},
		"ParameterKind":   {"feed.switch", "known kind", func(t *action.Type) { t.Parameters[0].Kind = "text" }},
		"ParameterDoc":    {"feed.switch", "parameter to has no doc", func(t *action.Type) { t.Parameters[0].Doc = "" }},
		"ParameterEnum":   {"feed.switch", "a choice has values", func(t *action.Type) { t.Parameters[0].Enum = nil }},
		"ParameterValue":  {"feed.switch", "lower-case word", func(t *action.Type) { t.Parameters[0].Enum[0] = "http://x" }},
		"ParameterLimit":  {"settlement.partial", "does not suit", func(t *action.Type) { t.Parameters[0].Min = "2026-01-01" }},
		"ParameterDouble": {"feed.switch", "twice", func(t *action.Type) { t.Parameters = append(t.Parameters, t.Parameters[0]) }},
	} {
		t.Run(name, func(t *testing.T) {
			kind := find(t, c.of)
			c.harm(&kind)
			problems := action.Lint([]action.Type{kind})
			if !slices.ContainsFunc(problems, func(p string) bool { return strings.HasPrefix(p, kind.Name+": ") && strings.Contains(p, c.finds) }) {
				t.Errorf("want %q, got %q", c.finds, problems)
			}
		})
	}
	kind := find(t, "feed.switch")
	if problems := action.Lint([]action.Type{kind, kind}); len(problems) != 1 || !strings.Contains(problems[0], "two of this name") {
		t.Errorf("got %q", problems)
	}
}

func must(name string) action.Type {
	kind, err := action.Find(name)
	if err != nil {
		panic(err)
	}
	return kind
}

func TestParameters(t *testing.T) {
	notify := map[string]string{"template": "ssi_confirmation_request", "reference": "S-1", "date": "2026-06-16"}
	with := func(name, value string) map[string]string {
		out := map[string]string{name: value}
		for n, v := range notify {
			if n != name {
				out[n] = v
			}
		}
		return out
	}
	for name, c := range map[string]struct {
		action string
		raw    map[string]string
		want   string // in the message; empty for accepted
	}{
		"Whole":            {"counterparty.notify", notify, ""},
		"Missing":          {"feed.switch", nil, "parameter to is missing"},
		"Unknown":          {"gateway.restart", map[string]string{"force": "yes"}, `there is no parameter "force"; it takes none`},
		"Case":             {"feed.switch", map[string]string{"To": "backup"}, "parameter to is missing"},
		"NotInEnum":        {"feed.switch", map[string]string{"to": "tertiary"}, "none of primary, backup"},
		"URL":              {"counterparty.notify", with("reference", "https://evil.example"), "is no id"},
		"Email":            {"counterparty.notify", with("reference", "a@evil.example"), "is no id"},
		"Path":             {"counterparty.notify", with("reference", "../../etc/passwd"), "is no id"},
		"SQL":              {"counterparty.notify", with("reference", "1;DROP"), "is no id"},
		"Host":             {"counterparty.notify", with("reference", "evil.example"), "is no id"},
		"LineFeed":         {"counterparty.notify", with("reference", "S-1\n"), "is no id"},
		"Sentence":         {"counterparty.notify", with("reference", "approved by compliance"), "is no id"},
		"Exponent":         {"settlement.partial", map[string]string{"quantity": "1e3"}, "no plain decimal"},
		"Sign":             {"settlement.partial", map[string]string{"quantity": "-5"}, "no plain decimal"},
		"Zero":             {"settlement.partial", map[string]string{"quantity": "0.00"}, "no plain decimal above 0"},
		"LeadingZero":      {"settlement.partial", map[string]string{"quantity": "010"}, "no plain decimal"},
		"NineDecimals":     {"settlement.partial", map[string]string{"quantity": "1.123456789"}, "no plain decimal"},
		"ArabicDigits":     {"settlement.partial", map[string]string{"quantity": "١٢"}, "no plain decimal"},
		"NoDate":           {"settlement.reinstruct", map[string]string{"settlement_date": "2026-02-30"}, "is no date"},
		"DateAndTime":      {"settlement.reinstruct", map[string]string{"settlement_date": "2026-06-12T00:00:00Z"}, "is no date"},
		"ISINCheckDigit":   {"counterparty.notify", with("isin", "US0378331006"), "check digit"},
		"UnknownCurrency":  {"counterparty.notify", with("currency", "XXQ"), "ISO 4217"},
		"LowerCurrency":    {"counterparty.notify", with("currency", "usd"), "ISO 4217"},
		"LongID":           {"settlement.amend_ssi", map[string]string{"ssi": strings.Repeat("A", 65)}, "is no id"},
		"AnEmptyID":        {"settlement.amend_ssi", map[string]string{"ssi": ""}, "is no id"},
		"MessageIsClipped": {"gateway.restart", map[string]string{strings.Repeat("x\u202e", 500): ""}, "..."},
	} {
		t.Run(name, func(t *testing.T) {
			params, err := find(t, c.action).ParseParams(c.raw)
			if c.want == "" {
				if err != nil || len(params) != len(c.raw) {
					t.Errorf("got %v, %v", params, err)
				}
				return
			}
			if fault.KindOf(err) != fault.Invalid || fault.CodeOf(err) != "action.invalid-parameter" || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 300 {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestLimitsOfParameters(t *testing.T) {
	kind := find(t, "settlement.partial")
	kind.Parameters = []action.Parameter{
		{Name: "n", Kind: action.Amount, Min: "10", Max: "20.5"},
		{Name: "d", Kind: action.Date, Min: "2026-01-01", Max: "2026-12-31"},
	}
	for value, ok := range map[string]bool{"9.99": false, "10": true, "20.5": true, "20.50000001": false} {
		if _, err := kind.ParseParams(map[string]string{"n": value}); (err == nil) != ok {
			t.Errorf("n=%s: %v", value, err)
		}
	}
	for value, ok := range map[string]bool{"2025-12-31": false, "2026-01-01": true, "2026-12-31": true, "2027-01-01": false} {
		if _, err := kind.ParseParams(map[string]string{"d": value}); (err == nil) != ok {
			t.Errorf("d=%s: %v", value, err)
		}
	}
}

func TestAllowed(t *testing.T) {
	to := map[string]string{"to": "backup"}
	if err := action.Allowed("feed.switch", "feed", to); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"action.unknown":           action.Allowed("approval.approve", "feed", to),
		"action.wrong-target":      action.Allowed("feed.switch", "gateway", to),
		"action.invalid-parameter": action.Allowed("feed.switch", "feed", nil),
	} {
		if fault.KindOf(err) != fault.Invalid || fault.CodeOf(err) != name {
			t.Errorf("got %v, want %s", err, name)
		}
	}
}

func TestObjects(t *testing.T) {
	good := action.Object{Kind: "feed", ID: "F:1.a-b_c", Version: "17", Fields: map[string]string{"status": "live", "name": "Börse"}}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for name, harm := range map[string]func(*action.Object){
		"Kind":      func(o *action.Object) { o.Kind = "moon" },
		"ID":        func(o *action.Object) { o.ID = "../feed" },
		"Version":   func(o *action.Object) { o.Version = "01" },
		"FieldName": func(o *action.Object) { o.Fields = map[string]string{"Status": ""} },
		"Control":   func(o *action.Object) { o.Fields = map[string]string{"status": "li\x00ve"} },
		"UTF8":      func(o *action.Object) { o.Fields = map[string]string{"status": "\xff"} },
		"Long":      func(o *action.Object) { o.Fields = map[string]string{"status": strings.Repeat("x", 1025)} },
	} {
		o := good
		harm(&o)
		if err := o.Validate(); fault.CodeOf(err) != "action.invalid-object" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestPlanDigestCoversEverything(t *testing.T) {
	plan := action.Plan{
		Action: "a.b", Version: 1, Target: approval.Target{Kind: "k", ID: "i", Version: "1"}, Changes: []action.Change{{Field: "f", Before: "b", After: "a"}},
		Command: action.Command{Action: "a.b", Parameters: map[string]string{"p": "v"}}, Amount: "1", Currency: "USD", AmountUSD: "1.00", Quantity: "2", Notes: []string{"n"},
	}
	digest := func(p action.Plan) string {
		sum, err := p.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	want := digest(plan)
	for name, harm := range map[string]func(*action.Plan){
		"Action":           func(p *action.Plan) { p.Action = "a.c" },
		"Version":          func(p *action.Plan) { p.Version = 2 },
		"TargetKind":       func(p *action.Plan) { p.Target.Kind = "l" },
		"TargetID":         func(p *action.Plan) { p.Target.ID = "j" },
		"TargetVersion":    func(p *action.Plan) { p.Target.Version = "2" },
		"ChangeField":      func(p *action.Plan) { p.Changes = []action.Change{{Field: "g", Before: "b", After: "a"}} },
		"ChangeBefore":     func(p *action.Plan) { p.Changes = []action.Change{{Field: "f", Before: "c", After: "a"}} },
		"ChangeAfter":      func(p *action.Plan) { p.Changes = []action.Change{{Field: "f", Before: "b", After: "c"}} },
		"NoChange":         func(p *action.Plan) { p.Changes = nil },
		"CommandAction":    func(p *action.Plan) { p.Command.Action = "a.c" },
		"CommandParameter": func(p *action.Plan) { p.Command.Parameters = map[string]string{"p": "w"} },
		"Amount":           func(p *action.Plan) { p.Amount = "2" },
		"Currency":         func(p *action.Plan) { p.Currency = "EUR" },
		"AmountUSD":        func(p *action.Plan) { p.AmountUSD = "1.01" },
		"Quantity":         func(p *action.Plan) { p.Quantity = "3" },
		"Notes":            func(p *action.Plan) { p.Notes = nil },
	} {
		other := plan
		harm(&other)
		if digest(other) == want {
			t.Errorf("%s is not part of the digest", name)
		}
	}
}

package recon_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"finobs/internal/desk"
	"finobs/internal/intake"
	"finobs/internal/recon"

	"github.com/shopspring/decimal"
)

const minimal = `version: 1
name: plain
left: &side
  columns: {trade_id: id, execution_id: exec, symbol: symbol, isin: isin, side: side, quantity: qty, price: px, currency: ccy, fees: fees, settlement_date: settles, account: account}
right: {<<: *side}
match: {keys: [[execution_id]]}
`

func load(t testing.TB, text string) *recon.Profile {
	t.Helper()
	p, err := recon.LoadProfile(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestProfilesNameTheLineThatIsWrong(t *testing.T) {
	for _, tc := range []struct{ from, to, want string }{
		{"version: 1", "version: 2", "line 1: version: it is 2"},
		{"name: plain", "name: Plain!", "line 2: name"},
		{"keys: [[execution_id]]", "keys: []", "line 6: match.keys: there are 0 keys"},
		{"keys: [[execution_id]]", "keys: [[order_id]]", "which the left side has not"},
		{"keys: [[execution_id]]", "keys: [[colour]]", `line 6: match.keys: there is no field "colour"`},
		{"keys: [[execution_id]]", "keyes: []", "line 6"},
		{"match:", "compare: [price, price]\nmatch:", "line 6: compare: field price is there twice"},
		{"match:", "compare: [venue]\nmatch:", "has no type of break"},
		{"match:", "compare: [{field: price, severity: huge}]\nmatch:", "severity"},
		{"match:", "compare: [{field: price, colour: red}]\nmatch:", `line 6: there is no "colour"`},
		{"match:", "tolerances: {price: {absolute: -1}}\nmatch:", "line 6: tolerances.price.absolute"},
		{"match:", "tolerances:\n  account: {absolute: 1}\nmatch:", "line 7: tolerances.account: only numbers"},
		{"match:", "breaks: {nonsense: {owner: x}}\nmatch:", "there is no such type"},
		{"match:", "breaks: {price: {sla_hours: -3}}\nmatch:", "sla_hours"},
		{"match:", "calendar: mars\nmatch:", "calendar"},
		{"match:", "cutoff: {time: '25:00', zone: UTC}\nmatch:", "cutoff.time"},
		{"match:", "cutoff: {time: '20:00', zone: Mars}\nmatch:", "cutoff.zone"},
		{"match:", "schedule: {cron: '0 18 * * *', zone: UTC}\nmatch:", "only a profile of two books"},
		{"match:", "max_breaks: 9000000\nmatch:", "max_breaks"},
		{"match: {", "match: {fuzzy: {agree: []}, ", "match.fuzzy.agree"},
		{"match: {", "match: {fuzzy: {agree: [symbol]}, ", "match.fuzzy.weights"},
		{"match: {", "match: {fuzzy: {agree: [symbol], weights: {price: 1}, minimum: 2}, ", "match.fuzzy.minimum"},
		{"match: {", "match: {fuzzy: {agree: [venue], weights: {price: 1}, minimum: 1}, ", "has no venue"},
		{"match: {", "match: {normalise: {price: [case]}, ", "only texts"},
		{"match: {", "match: {normalise: {symbol: [loud]}, ", "case, spaces or zeros"},
		{"right: {<<: *side}", "right: {}", "neither columns nor a book"},
		{"right: {<<: *side}", "right: {<<: *side, book: x}", "a book is on record"},
		{"right: {<<: *side}", "right: {<<: *side, separator: x}", "separator"},
		{"right: {<<: *side}", "right: {<<: *side, allocations: {columns: {account: a, quantity: q}}}", "it lacks execution_id"},
		{"right: {<<: *side}", "right: {<<: *side, allocations: {columns: {account: a, quantity: q, execution_id: e}}}", "both or neither"},
		{"side: side", "side: {column: side, map: [x]}", "line 4"},
	} {
		_, err := recon.LoadProfile(strings.NewReader(strings.Replace(minimal, tc.from, tc.to, 1)))
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%s: got %v, want %q", tc.to, err, tc.want)
		}
	}
	if p := load(t, minimal); p.Rules[recon.FeeBreak] != (recon.Rule{Severity: desk.Low, Owner: "Fees and Commissions", SLAHours: 48}) || p.MaxBreaks != 50_000 {
		t.Errorf("got %+v", p)
	}
}

func FuzzLoadProfile(f *testing.F) {
	f.Add([]byte(minimal))
	names, err := os.ReadDir("../../profiles")
	if err != nil {
		f.Fatal(err)
	}
	for _, n := range names {
		if text, err := os.ReadFile("../../profiles/" + n.Name()); err == nil && strings.HasSuffix(n.Name(), ".yaml") {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := recon.LoadProfile(bytes.NewReader(text))
		if err != nil {
			return
		}
		if again, err := recon.LoadProfile(strings.NewReader(p.Text)); err != nil || again.Digest != p.Digest || len(p.Keys) == 0 || len(p.Fields) == 0 {
			t.Errorf("%v", err)
		}
	})
}

// row makes a row of fields and values in turn.
func row(p *recon.Profile, pairs ...string) recon.Row {
	var r intake.Record
	for i := 0; i+1 < len(pairs); i += 2 {
		f, _ := intake.ParseField(pairs[i])
		r.Set(f, pairs[i+1])
	}
	return p.Row(&r)
}

func trade(p *recon.Profile, changes ...string) recon.Row {
	return row(p, append([]string{"trade_id", "1", "execution_id", "E1", "symbol", "AAPL", "side", "buy", "quantity", "100", "price", "20", "currency", "USD",
		"fees", "1", "trade_date", "2026-06-12", "settlement_date", "2026-06-16", "account", "MAIN"}, changes...)...)
}

// One difference is one break, with what it is worth.
func TestADifferenceIsOneBreak(t *testing.T) {
	p := load(t, minimal)
	for _, tc := range []struct {
		name        string
		left, right []string
		want        string // type, difference, exposure
	}{
		{"nothing", nil, nil, ""},
		{"another spelling", []string{"account", " main "}, []string{"symbol", "aapl"}, ""},
		{"not stated", []string{"fees", ""}, []string{"account", "", "settlement_date", ""}, ""},
		{"quantity", nil, []string{"quantity", "90"}, "quantity -10 200"},
		{"price", nil, []string{"price", "20.5"}, "price 0.5 50"},
		{"fees", nil, []string{"fees", "-1"}, "fee -2 2"},
		{"side", nil, []string{"side", "sell"}, "side - 4000"},
		{"symbol", nil, []string{"symbol", "IBM"}, "symbol - 2000"},
		{"the same ISIN under two symbols", []string{"isin", "US0378331005"}, []string{"isin", "US0378331005", "symbol", "AAPL.O"}, ""},
		{"another ISIN under one symbol", []string{"isin", "US0378331005"}, []string{"isin", "US5949181045"}, "symbol - 2000"},
		{"currency", nil, []string{"currency", "EUR", "price", "18", "fees", "0.9"}, "currency - 2000"},
		{"dates", nil, []string{"settlement_date", "2026-06-17"}, "settlement_date 1 2000"},
		{"trade date", nil, []string{"trade_date", "2026-06-10"}, "trade_date -2 2000"},
		{"account", nil, []string{"account", "HEDGE"}, "account - 2000"},
		{"gross amount stated", []string{"gross_amount", "-2500"}, []string{"side", "sell"}, "side - 5000"},
	} {
		pair := recon.Pair{Left: trade(p, tc.left...), Right: trade(p, tc.right...), Confidence: decimal.NewFromInt(1)}
		if got := brief(p.Compare(&pair)); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}

func brief(list []recon.Break) string {
	var out []string
	for _, b := range list {
		text := func(d decimal.NullDecimal) string {
			if !d.Valid {
				return "-"
			}
			return d.Decimal.String()
		}
		out = append(out, string(b.Type)+" "+text(b.Difference)+" "+text(b.Exposure))
	}
	return strings.Join(out, ", ")
}

func TestTolerancesHoldAtTheBoundary(t *testing.T) {
	d := decimal.RequireFromString
	for _, tc := range []struct {
		absolute, bp, a, b string
		want               bool
	}{
		{"0.01", "0", "1", "1.01", true}, {"0.01", "0", "1", "1.010000000001", false}, {"0", "0", "1", "1.000", true},
		{"0", "100", "99", "100", true}, {"0", "100", "98.999999999999", "100", false}, {"5", "1", "-2", "3", true}, {"0", "10000", "-1", "1", false},
	} {
		if got := (recon.Tolerance{Absolute: d(tc.absolute), BasisPoints: d(tc.bp)}).Allows(d(tc.a), d(tc.b)); got != tc.want {
			t.Errorf("%+v: got %v", tc, got)
		}
	}
}

func TestAllocationsGiveAtMostOneBreak(t *testing.T) {
	p := load(t, minimal)
	list := func(text string) []recon.Allocation {
		var out []recon.Allocation
		for _, part := range strings.Fields(text) {
			account, quantity, _ := strings.Cut(part, ":")
			out = append(out, recon.Allocation{Account: account, Quantity: decimal.RequireFromString(quantity)})
		}
		recon.SortAllocations(out)
		return out
	}
	for _, tc := range []struct {
		left, right string
		trade       []string // of the right side
		want        string
	}{
		{"A:60 B:40", "B:40 A:60", nil, ""},
		{"A:100", "B:100", nil, "account 0 2000"},
		{"A:60 B:40", "A:50 B:50", nil, "quantity 0 200"},
		{"A:60 B:40", "A:60", nil, "account -40 800"},
		{"A:100", "", nil, "account -100 2000"},
		{"A:100", "B:100", []string{"quantity", "90"}, ""},
		{"A:100", "B:100", []string{"account", "HEDGE"}, ""},
	} {
		pair := recon.Pair{Left: trade(p), Right: trade(p, tc.trade...), Confidence: decimal.NewFromInt(1)}
		if got := brief(p.CompareAllocations(&pair, list(tc.left), list(tc.right))); got != tc.want {
			t.Errorf("%q and %q: got %q, want %q", tc.left, tc.right, got, tc.want)
		}
	}
}

func TestNormalSpellings(t *testing.T) {
	for _, tc := range []struct {
		n        recon.Normal
		in, want string
	}{
		{recon.Normal{}, " a  B ", " a  B "}, {recon.Normal{Case: true}, "aé", "AÉ"}, {recon.Normal{Spaces: true}, " a \t b ", "a b"},
		{recon.Normal{Zeros: true}, "EXEC-000005", "EXEC-5"}, {recon.Normal{Zeros: true}, "000", "0"}, {recon.Normal{Zeros: true}, "A00B007C0", "A0B7C0"},
		{recon.Normal{Zeros: true}, "100", "100"},
	} {
		if got := tc.n.Text(tc.in); got != tc.want {
			t.Errorf("%+v of %q: got %q, want %q", tc.n, tc.in, got, tc.want)
		}
	}
}

func TestAgeCountsDaysOfBusiness(t *testing.T) {
	at := func(text string) time.Time {
		out, err := time.Parse("2006-01-02 15:04", text)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, tc := range []struct {
		first, now, calendar string
		want                 recon.Age
	}{
		{"2026-06-12 10:00", "2026-06-12 12:30", "weekdays", recon.Age{Hours: 2}},
		{"2026-06-12 10:00", "2026-06-15 10:00", "weekdays", recon.Age{Hours: 72, BusinessDays: 1}},
		{"2026-07-02 10:00", "2026-07-06 10:00", "us", recon.Age{Hours: 96, BusinessDays: 1}}, // the 3rd is observed
		{"2026-07-02 10:00", "2026-07-06 10:00", "target", recon.Age{Hours: 96, BusinessDays: 2}},
		{"2026-06-12 10:00", "2026-06-11 10:00", "us", recon.Age{}},
	} {
		if got := recon.AgeOf(at(tc.first), at(tc.now), tc.calendar); got != tc.want {
			t.Errorf("%+v: got %+v", tc, got)
		}
	}
	p := load(t, minimal+"cutoff: {time: '21:00', zone: America/New_York, calendar: us}\n")
	for settles, want := range map[string]string{"2026-06-16": "2026-06-17T01:00:00Z", "2026-06-20": "2026-06-23T01:00:00Z", "": "0001-01-01T00:00:00Z"} {
		if got := p.Cutoff.At(settles).UTC().Format(time.RFC3339); got != want {
			t.Errorf("%s: got %s, want %s", settles, got, want)
		}
	}
}

func TestScheduledRunsLookBack(t *testing.T) {
	text := "version: 1\nname: books\nleft: {book: a}\nright: {book: b}\nmatch: {keys: [[trade_id]]}\nschedule: {cron: '30 18 * * *', zone: America/New_York, days: 30}\n"
	at := time.Date(2026, 7, 1, 2, 0, 0, 0, time.UTC) // the 30th of June in New York
	if got := load(t, text).Schedule.From(at); got != "2026-05-31" {
		t.Errorf("got %s", got)
	}
	if got := load(t, strings.Replace(text, ", days: 30", "", 1)).Schedule.From(at); got != "" {
		t.Errorf("without days: got %s", got)
	}
	for from, want := range map[string]string{"days: 30": "schedule.days", "'30 18 * * *'": "schedule"} {
		if _, err := recon.LoadProfile(strings.NewReader(strings.Replace(text, from, strings.Replace(from, "30", "-9", 1), 1))); err == nil || !strings.Contains(err.Error(), "line 6: "+want) {
			t.Errorf("got %v", err)
		}
	}
}

func TestRequestsAreBoundToAllThatMatters(t *testing.T) {
	base := recon.Request{Profile: "p", ProfileDigest: "d", Left: "l", Right: "r", Origin: "live"}
	key, err := base.Key()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := base.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*recon.Request){
		"profile": func(r *recon.Request) { r.ProfileDigest = "x" }, "left": func(r *recon.Request) { r.Left = "x" }, "right": func(r *recon.Request) { r.Right = "x" },
		"allocations": func(r *recon.Request) { r.LeftAllocations = "x" }, "from": func(r *recon.Request) { r.From = "x" }, "origin": func(r *recon.Request) { r.Origin = "demo" },
		"strict": func(r *recon.Request) { r.Strict = true }, "again": func(r *recon.Request) { r.Again = "x" },
	} {
		other := base
		change(&other)
		if got, _ := other.Key(); got == key {
			t.Errorf("%s does not tell runs apart", name)
		}
	}
	named := base
	named.LeftName = "oms.csv"
	sameKey, _ := named.Key()
	otherDigest, _ := named.Digest()
	if sameKey != key || otherDigest == digest {
		t.Error("a file's name makes no other run, but is signed")
	}
}

func TestTypesAreMirrored(t *testing.T) {
	for _, kind := range recon.Types() {
		if m := kind.Mirror(); !m.Valid() || m.Mirror() != kind {
			t.Errorf("%s is mirrored to %s", kind, m)
		}
	}
	if !slices.Contains(recon.Types(), recon.AccountBreak) || recon.Type("x").Valid() {
		t.Error("the set of types is not closed")
	}
}

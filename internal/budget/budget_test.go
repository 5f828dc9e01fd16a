package budget_test

import (
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"finobs/internal/budget"
	"finobs/internal/fault"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"
)

func usd(s string) decimal.Decimal { return decimal.RequireFromString(s) }

func empty() budget.Totals {
	return budget.Totals{budget.Run: {}, budget.Incident: {}, budget.Desk: {}, budget.Day: {}}
}

func limits(l budget.Limit) budget.Limits {
	return budget.Limits{budget.Run: l, budget.Incident: l, budget.Desk: l, budget.Day: l}
}

var ten = budget.Limit{Calls: 10, Tokens: 10, USD: usd("10"), Wall: 10 * time.Second}

func TestReserve(t *testing.T) {
	one := budget.Use{Calls: 1, Tokens: 1, USD: usd("1"), Wall: time.Second}
	for name, c := range map[string]struct {
		change func(budget.Limits, budget.Totals, *budget.Use)
		why    string // of the refusal; empty: none
	}{
		"there is room": {func(budget.Limits, budget.Totals, *budget.Use) {}, ""},
		"up to the limit": {func(_ budget.Limits, u budget.Totals, _ *budget.Use) {
			u[budget.Day] = budget.Use{Calls: 9, Tokens: 9, USD: usd("9"), Wall: 9e9}
		}, ""},
		"no incident": {func(_ budget.Limits, u budget.Totals, _ *budget.Use) { delete(u, budget.Incident) }, ""},
		"calls":       {func(_ budget.Limits, u budget.Totals, _ *budget.Use) { u[budget.Run] = budget.Use{Calls: 10} }, "the run does not suffice: calls"},
		"tokens":      {func(_ budget.Limits, u budget.Totals, _ *budget.Use) { u[budget.Desk] = budget.Use{Tokens: 10} }, "the desk does not suffice: tokens"},
		"money": {func(_ budget.Limits, u budget.Totals, _ *budget.Use) {
			u[budget.Day] = budget.Use{USD: usd("9.000000001")}
		}, "the day does not suffice: money"},
		"time": {func(_ budget.Limits, u budget.Totals, _ *budget.Use) { u[budget.Incident] = budget.Use{Wall: 9e9 + 1} }, "the incident does not suffice: time"},
		"overflow": {func(_ budget.Limits, u budget.Totals, _ *budget.Use) {
			u[budget.Day] = budget.Use{Tokens: math.MaxInt64}
		}, "too large to count"},
		"a negative total":  {func(_ budget.Limits, u budget.Totals, _ *budget.Use) { u[budget.Day] = budget.Use{Tokens: -1} }, "negative"},
		"a negative ask":    {func(_ budget.Limits, _ budget.Totals, a *budget.Use) { a.USD = usd("-1") }, "negative"},
		"no price":          {func(_ budget.Limits, _ budget.Totals, a *budget.Use) { a.Unpriced = true }, "price of the model is unknown"},
		"an unknown level":  {func(_ budget.Limits, u budget.Totals, _ *budget.Use) { u["week"] = budget.Use{} }, `level "week" is unknown`},
		"a missing level":   {func(_ budget.Limits, u budget.Totals, _ *budget.Use) { delete(u, budget.Day) }, "level day has no limit"},
		"no limit":          {func(l budget.Limits, _ budget.Totals, _ *budget.Use) { delete(l, budget.Desk) }, "level desk has no limit"},
		"a limit of zero":   {func(l budget.Limits, _ budget.Totals, _ *budget.Use) { l[budget.Run] = budget.Limit{} }, "the run does not suffice"},
		"no limits and all": {func(l budget.Limits, _ budget.Totals, _ *budget.Use) { clear(l) }, "has no limit"},
	} {
		t.Run(name, func(t *testing.T) {
			l, used, ask := limits(ten), empty(), one
			c.change(l, used, &ask)
			err := budget.Reserve(l, used, ask)
			if c.why == "" {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.why) || fault.CodeOf(err) != budget.OverBudget || fault.KindOf(err) != fault.Conflict {
				t.Errorf("got %v, want a refusal for %q", err, c.why)
			}
		})
	}
}

func genUse(t *rapid.T, label string, most int64) budget.Use {
	n := func(what string) int64 { return rapid.Int64Range(0, most).Draw(t, label+what) }
	return budget.Use{Calls: n("calls"), Tokens: n("tokens"), USD: decimal.New(n("usd"), -2), Wall: time.Duration(n("wall"))}
}

func exceeds(u budget.Use, l budget.Limit) bool {
	return u.Calls > l.Calls || u.Tokens > l.Tokens || u.USD.GreaterThan(l.USD) || u.Wall > l.Wall
}

func part(t *rapid.T, of budget.Use) budget.Use {
	return budget.Use{
		Calls:  rapid.Int64Range(0, of.Calls).Draw(t, "real calls"),
		Tokens: rapid.Int64Range(0, of.Tokens).Draw(t, "real tokens"),
		USD:    decimal.New(rapid.Int64Range(0, of.USD.Shift(2).IntPart()).Draw(t, "real usd"), -2),
		Wall:   time.Duration(rapid.Int64Range(0, int64(of.Wall)).Draw(t, "real wall")),
	}
}

// Any interleaving of reservations and settlements of many runs keeps every limit
// at every moment, as long as no call takes more than was reserved for it.
func TestNoInterleavingExceedsALimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := budget.Limits{}
		for _, level := range budget.Levels() {
			u := genUse(t, string(level), 300)
			all[level] = budget.Limit{Calls: u.Calls, Tokens: u.Tokens, USD: u.USD, Wall: u.Wall}
		}
		var open, settled []budget.Use
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if len(open) > 0 && rapid.Bool().Draw(t, "settle") {
				i := rapid.IntRange(0, len(open)-1).Draw(t, "which")
				settled = append(settled, budget.Settle(open[i], part(t, open[i])))
				open = append(open[:i], open[i+1:]...)
			} else {
				ask := genUse(t, "ask", 40)
				if budget.Reserve(all, spread(t, sum(t, open, settled)), ask) == nil {
					open = append(open, ask)
				}
			}
			for _, level := range budget.Levels() {
				if total := sum(t, open, settled); exceeds(total, all[level]) {
					t.Fatalf("level %s: %+v is over %+v", level, total, all[level])
				}
			}
		}
	})
}

func sum(t *rapid.T, lists ...[]budget.Use) budget.Use {
	var total budget.Use
	for _, list := range lists {
		for _, u := range list {
			var err error
			if total, err = total.Add(u); err != nil {
				t.Fatal(err)
			}
		}
	}
	return total
}

func spread(_ *rapid.T, u budget.Use) budget.Totals {
	return budget.Totals{budget.Run: u, budget.Incident: u, budget.Desk: u, budget.Day: u}
}

func TestSettleFreesNoMoreThanWasReserved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		reserved := genUse(t, "reserved", math.MaxInt64)
		any64 := func(what string) int64 { return rapid.Int64().Draw(t, what) }
		real := budget.Use{
			Calls: any64("calls"), Tokens: any64("tokens"), USD: decimal.New(any64("usd"), -2), Wall: time.Duration(any64("wall")),
			Unpriced: rapid.Bool().Draw(t, "unpriced"),
		}
		charge := budget.Settle(reserved, real)
		if charge.Calls < 0 || charge.Tokens < 0 || charge.Wall < 0 || charge.USD.IsNegative() {
			t.Fatalf("%+v frees more than was reserved", charge)
		}
		if real.Tokens >= 0 && charge.Tokens != real.Tokens || real.Tokens < 0 && charge.Tokens != reserved.Tokens {
			t.Fatalf("%d tokens are charged; reserved were %d, used %d", charge.Tokens, reserved.Tokens, real.Tokens)
		}
		if real.Unpriced && !charge.USD.Equal(reserved.USD) {
			t.Fatalf("an unpriced call freed money: %s of %s", charge.USD, reserved.USD)
		}
	})
}

// Under a lock, as the database holds one, many callers at once get just what
// there is.
func TestManyCallersGetJustWhatThereIs(t *testing.T) {
	var mu sync.Mutex
	var used budget.Use
	granted := 0
	ask := budget.Use{Calls: 1, Tokens: 3, USD: usd("0.5"), Wall: time.Second}
	var wait sync.WaitGroup
	for range 50 {
		wait.Go(func() {
			mu.Lock()
			defer mu.Unlock()
			if budget.Reserve(limits(ten), budget.Totals{budget.Run: {}, budget.Desk: used, budget.Day: used}, ask) == nil {
				used, _ = used.Add(ask)
				granted++
			}
		})
	}
	wait.Wait()
	if granted != 3 { // 3 × 3 tokens of 10
		t.Errorf("%d calls were granted, want 3", granted)
	}
}

func TestDefaultHasRoomForARun(t *testing.T) {
	l := budget.Default()
	for _, level := range budget.Levels() {
		if l[level].Calls < 3 || l[level].Tokens < 3*100_000 {
			t.Errorf("level %s: %+v has no room for an answer and two repairs", level, l[level])
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	good := budget.DefaultText()
	for name, c := range map[string]struct{ from, to, want string }{
		"another version":    {"version: 1", "version: 2", "version must be 1"},
		"an unknown key":     {"calls: 3\n", "cals: 3\n", "cals"},
		"a missing limit":    {"  calls: 3\n", "", "level run: want calls, tokens, usd and wall"},
		"a negative number":  {"calls: 3\n", "calls: -3\n", "level run: calls and tokens must be 0 or more"},
		"a bad amount":       {`"2.00"`, `"two"`, `level run: usd: "two" must be an amount`},
		"an exponent":        {`"2.00"`, `"1e999999999"`, "must be an amount"},
		"a negative amount":  {`"2.00"`, `"-2"`, "must be an amount"},
		"a bad duration":     {"wall: 5m\n", "wall: 5\n", `level run: wall: "5" must be a duration`},
		"a second document":  {"24h\n", "24h\n---\nversion: 1\n", "second document"},
		"a number too large": {"tokens: 500000\n", "tokens: 99999999999999999999\n", "cannot unmarshal"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(good, c.from, c.to, 1)
			if text == good {
				t.Fatalf("%q is not in the shipped file", c.from)
			}
			if _, err := budget.Load(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if _, err := budget.Load(strings.NewReader("")); err == nil {
		t.Error("an empty file is read")
	}
	if _, err := budget.Load(strings.NewReader(good + strings.Repeat("#", 20_000))); err == nil {
		t.Error("a file of 20 kB is read")
	}
}

func TestAddRefusesWhatItCannotCount(t *testing.T) {
	big := budget.Use{Wall: math.MaxInt64}
	if _, err := big.Add(budget.Use{Wall: 1}); err == nil {
		t.Error("an overflow is added")
	}
	if _, err := (budget.Use{Calls: -1}).Add(budget.Use{}); err == nil {
		t.Error("a negative use is added")
	}
	sum, err := (budget.Use{Unpriced: true}).Add(budget.Use{USD: usd("1")})
	if err != nil || !sum.Unpriced {
		t.Errorf("got %+v, %v", sum, errors.Unwrap(err))
	}
}

func FuzzLoadBudget(f *testing.F) {
	f.Add(budget.DefaultText())
	f.Add("version: 1\nrun: {calls: 1, tokens: 1, usd: \"1e9\", wall: 1h}")
	f.Fuzz(func(t *testing.T, text string) {
		limits, err := budget.Load(strings.NewReader(text))
		if err != nil {
			return
		}
		if err := budget.Reserve(limits, empty(), budget.Use{}); err != nil {
			t.Errorf("limits that were read refuse nothing at all: %v", err)
		}
	})
}

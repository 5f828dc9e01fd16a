package desk_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"finobs/internal/desk"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"
)

func calendar(n int) []time.Time {
	var days []time.Time
	for d := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC); len(days) < n; d = d.AddDate(0, 0, 1) {
		if d.Weekday() != time.Saturday && d.Weekday() != time.Sunday {
			days = append(days, d)
		}
	}
	return days
}

func daysOf(cal []time.Time, shares ...int64) []desk.Day {
	var days []desk.Day
	for i, n := range shares {
		if n > 0 {
			days = append(days, desk.Day{Date: cal[i], Shares: n, Price: decimal.NewNullDecimal(decimal.NewFromInt(2))})
		}
	}
	return days
}

func TestFindStreak(t *testing.T) {
	const k = 10_000
	for name, tc := range map[string]struct {
		shares []int64
		days   int
		last   int
		peak   int64
	}{
		"five at the threshold":            {[]int64{k, k, k, k, k}, 5, 4, k},
		"one share short on one day":       {[]int64{k, k, k - 1, k, k}, 0, 0, 0},
		"four days":                        {[]int64{k, k, k, k, 0}, 0, 0, 0},
		"a weekend does not interrupt":     {[]int64{0, k, k, k, k, k, 0}, 5, 5, k},
		"a missing day interrupts":         {[]int64{k, k, k, 0, k, k, k}, 0, 0, 0},
		"the latest of two runs":           {[]int64{k, k, k, k, k, 0, k, 3 * k, k, k, k}, 5, 10, 3 * k},
		"a short run later changes naught": {[]int64{k, k, k, k, k, k, 0, k, k, k}, 6, 5, k},
		"nothing":                          {nil, 0, 0, 0},
	} {
		cal := calendar(11)
		got, found := desk.FindStreak(cal, daysOf(cal, tc.shares...), k, 5)
		if found != (tc.days > 0) {
			t.Errorf("%s: found = %v", name, found)
			continue
		}
		if found && (got.Days != tc.days || !got.Last.Equal(cal[tc.last]) || got.PeakShares != tc.peak) {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestFindStreakAgainstBruteForce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cal := calendar(14)
		shares := rapid.SliceOfN(rapid.Int64Range(0, 4), 14, 14).Draw(t, "shares")
		minDays := rapid.IntRange(1, 6).Draw(t, "days")
		got, found := desk.FindStreak(cal, daysOf(cal, shares...), 2, minDays)
		first, last := -1, -1
		for i := range shares { // every window, the last maximal one wins
			for j := i; j < len(shares) && shares[j] >= 2; j++ {
				maximal := (i == 0 || shares[i-1] < 2) && (j == len(shares)-1 || shares[j+1] < 2)
				if maximal && j-i+1 >= minDays {
					first, last = i, j
				}
			}
		}
		if found != (first >= 0) {
			t.Fatalf("found = %v, brute force says %v", found, first >= 0)
		}
		if found && (!got.First.Equal(cal[first]) || !got.Last.Equal(cal[last]) || got.Days != last-first+1 || got.LastShares != shares[last]) {
			t.Fatalf("got %+v, want days %d to %d", got, first, last)
		}
	})
}

func TestSeverity(t *testing.T) {
	price := func(s string) decimal.NullDecimal { return decimal.NewNullDecimal(decimal.RequireFromString(s)) }
	for name, tc := range map[string]struct {
		streak desk.Streak
		want   desk.Severity
	}{
		"short and small":       {desk.Streak{Days: 5, LastShares: 10_000, LastPrice: price("1.50")}, desk.Medium},
		"thirteen days":         {desk.Streak{Days: 13, LastShares: 10_000}, desk.High},
		"twelve days, no price": {desk.Streak{Days: 12, LastShares: 1 << 40}, desk.Medium},
		"ten million dollars":   {desk.Streak{Days: 5, LastShares: 1_000_000, LastPrice: price("10")}, desk.High},
		"a cent less":           {desk.Streak{Days: 5, LastShares: 1_000_000, LastPrice: price("9.9999999999")}, desk.High}, // rounds to ten million
		"clearly less":          {desk.Streak{Days: 5, LastShares: 1_000_000, LastPrice: price("9.99")}, desk.Medium},
	} {
		if got := tc.streak.Severity(); got != tc.want {
			t.Errorf("%s: got %s, want %s", name, got, tc.want)
		}
	}
}

func TestTitleFitsWhateverTheFileSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := desk.FailedSecurity{
			CUSIP: "023135106", Symbol: rapid.String().Draw(t, "symbol"), Description: "AMAZON COM INC",
			Streak: desk.Streak{Days: rapid.Int().Draw(t, "days"), LastShares: rapid.Int64Min(0).Draw(t, "shares")},
		}
		if title := f.Title(); len(title) > 200 || title == "" || (utf8.ValidString(f.Symbol) && !utf8.ValidString(title)) {
			t.Fatalf("title %q has %d bytes", title, len(title))
		}
	})
	f := desk.FailedSecurity{CUSIP: "023135106", Symbol: "AMZN", Streak: desk.Streak{Days: 6, LastShares: 1234567}}
	if got := f.Title(); got != "AMZN (CUSIP 023135106): 1,234,567 shares undelivered, 6 consecutive settlement days" {
		t.Errorf("got %q", got)
	}
	if got := f.Describe(); !strings.Contains(got, "no price is given") || !strings.Contains(got, "0.5 %") {
		t.Errorf("got %q", got)
	}
}

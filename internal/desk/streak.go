package desk

import (
	"fmt"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// The share test of a threshold security: an aggregate fail position of 10,000
// shares or more for five consecutive settlement days (Regulation SHO, 17 CFR
// 242.203(c)(6)(i)). The rule's second test, 0.5 % of the shares outstanding, is
// not applied: fails files do not say how many are.
const (
	ThresholdShares int64 = 10_000
	ThresholdDays   int   = 5
)

const (
	// closeOutDays is after how many consecutive settlement days a fail in a
	// threshold security must be closed out (17 CFR 242.203(b)(3)).
	closeOutDays = 13
	// highExposureUSD is the market value from which a streak is of high severity.
	highExposureUSD = 10_000_000
	maxSymbol       = 20 // bytes of it, and of the CUSIP, in a title
)

// Day is a security's balance at one settlement date.
type Day struct {
	Date   time.Time
	Shares int64               // not delivered at that date: a balance, not that day's fails
	Price  decimal.NullDecimal // US dollars, closing price of the day before
}

// Streak is a run of consecutive settlement days over the threshold.
type Streak struct {
	First, Last time.Time
	Days        int
	PeakShares  int64
	LastShares  int64
	LastPrice   decimal.NullDecimal // US dollars
}

// ExposureUSD is the market value of the last balance in US dollars and cents; it
// is null when the file has no price.
func (s Streak) ExposureUSD() decimal.NullDecimal {
	if !s.LastPrice.Valid {
		return decimal.NullDecimal{}
	}
	return decimal.NewNullDecimal(s.LastPrice.Decimal.Mul(decimal.NewFromInt(s.LastShares)).Round(2))
}

// Severity is High when the close-out rule is reached or the exposure is large,
// and Medium otherwise.
func (s Streak) Severity() Severity {
	exposure := s.ExposureUSD()
	if s.Days >= closeOutDays || exposure.Valid && exposure.Decimal.GreaterThanOrEqual(decimal.NewFromInt(highExposureUSD)) {
		return High
	}
	return Medium
}

// FailedSecurity is a security that passes the share test.
type FailedSecurity struct {
	CUSIP       string
	Symbol      string
	Description string
	Origin      string // of the last balance: live or demo
	Streak      Streak
}

// Title is one line for people, 200 bytes at most.
func (f FailedSecurity) Title() string {
	return fmt.Sprintf("%s: %s shares undelivered, %d consecutive settlement days", f.name(), grouped(f.Streak.LastShares), f.Streak.Days)
}

// Describe is what a person should know before acting.
func (f FailedSecurity) Describe() string {
	s := f.Streak
	exposure := "no price is given, so the exposure is not known"
	if x := s.ExposureUSD(); x.Valid {
		exposure = "worth about USD " + x.Decimal.StringFixed(2) + " at the file's price"
	}
	return fmt.Sprintf("%s (%s) had at least %s shares undelivered on each of %d consecutive settlement days, %s to %s. "+
		"The peak was %s shares; the last balance is %s, %s. Balances accumulate: they are not the new fails of a day. "+
		"Share test of Regulation SHO Rule 203(c)(6); the rule's second test, 0.5 %% of shares outstanding, is not applied because the file lacks that number.",
		f.name(), strings.ToValidUTF8(f.Description, ""), grouped(ThresholdShares), s.Days, s.First.Format(time.DateOnly), s.Last.Format(time.DateOnly),
		grouped(s.PeakShares), grouped(s.LastShares), exposure)
}

func (f FailedSecurity) name() string {
	symbol, cusip := cut(f.Symbol, maxSymbol), cut(f.CUSIP, maxSymbol)
	if symbol == "" {
		return "CUSIP " + cusip
	}
	return symbol + " (CUSIP " + cusip + ")"
}

// cut returns the valid UTF-8 in the first n bytes of s.
func cut(s string, n int) string { return strings.ToValidUTF8(s[:min(n, len(s))], "") }

// grouped writes n with thousands separators.
func grouped(n int64) string {
	digits := fmt.Sprint(n)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// FindStreak returns the latest run of at least minDays consecutive settlement
// days on which a security had at least minShares undelivered. The calendar holds
// the settlement days of the data, ascending and distinct; days are those of one
// security in any order.
func FindStreak(calendar []time.Time, days []Day, minShares int64, minDays int) (Streak, bool) {
	byDate := map[time.Time]Day{}
	for _, d := range days {
		byDate[d.Date] = d
	}
	var found, run Streak
	for _, date := range calendar {
		d, there := byDate[date]
		if !there || d.Shares < minShares {
			run = Streak{}
			continue
		}
		if run.Days == 0 {
			run.First = date
		}
		run.Days++
		run.Last, run.LastShares, run.LastPrice = date, d.Shares, d.Price
		run.PeakShares = max(run.PeakShares, d.Shares)
		if run.Days >= minDays {
			found = run
		}
	}
	return found, found.Days > 0
}

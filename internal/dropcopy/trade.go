package dropcopy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"finobs/internal/approval"
	"finobs/internal/event"
	"finobs/internal/fix"
	"finobs/internal/intake"
	"finobs/internal/transaction"

	"github.com/shopspring/decimal"
)

// sides of trades by Side(54).
var sides = map[string]transaction.Side{
	"1": transaction.Buy, "2": transaction.Sell, "3": transaction.Buy, "4": transaction.Sell,
	"5": transaction.SellShort, "6": transaction.SellShort,
}

// minor are codes of currencies that stand for a hundredth of another one, which
// senders put into Currency(15) though ISO 4217 does not have them.
var minor = map[string]string{"GBp": "GBP", "GBX": "GBP", "ZAc": "ZAR", "ZAC": "ZAR", "ILA": "ILS", "ILs": "ILS"}

// TradeID is the id under which the trade of an execution is on record. ExecID is
// unique within a trading day only (FIX 4.4, tag 17), so the day is part of it.
func TradeID(e *fix.Event, execID string) string {
	id := approval.Printable(tradeDate(e).Format(time.DateOnly) + "/" + execID)
	if len(id) <= maxName {
		return id
	}
	sum := sha256.Sum256([]byte(id)) // two that are long and begin alike are two
	return event.Cut(id, maxName-1-hex.EncodedLen(len(sum))) + ":" + hex.EncodeToString(sum[:])
}

func tradeDate(e *fix.Event) time.Time {
	x := e.Execution
	at := x.TradeDate
	if at.IsZero() {
		at = x.TransactTime
	}
	if at.IsZero() {
		at = e.FirstSent
	}
	if at.IsZero() {
		at = e.At
	}
	return at.UTC().Truncate(24 * time.Hour)
}

// Trade is the trade that a fill, a correction or a bust leaves behind. What keeps
// it from being one is a LineError that names the tag.
func (l Log) Trade(e *fix.Event) (transaction.Transaction, *intake.LineError) {
	x := e.Execution
	bad := func(tag int, value, problem, expected string) *intake.LineError {
		return &intake.LineError{Line: e.Line, Column: fmt.Sprint(tag), Problem: problem, Value: event.Cut(approval.Printable(value), maxName), Expected: expected}
	}
	t := transaction.Transaction{
		ExecutionID: clean(x.ExecID), TradeDate: tradeDate(e), SettlementDate: x.SettlDate, Symbol: clean(cmp.Or(x.Symbol, x.SecurityID)),
		Account: clean(x.Account), Counterparty: clean(cmp.Or(x.ExecBroker, e.Sender)), Venue: clean(x.LastMkt), Status: transaction.Confirmed,
		Desk: l.Desk,
	}
	id := x.ExecID
	if x.Action != fix.ActionTrade {
		id = x.ExecRefID
		t.ExecutionID = clean(id)
	}
	t.TradeID = TradeID(e, id)
	if isin := x.ISIN(); intake.CheckISIN(isin) == "" {
		t.ISIN = isin
	}
	if cusip := x.CUSIP(); intake.CheckCUSIP(cusip) == "" {
		t.CUSIP = cusip
	}
	side, known := sides[x.Side]
	code, scale := cmp.Or(x.Currency, l.Currency), decimal.NewFromInt(1)
	if major, is := minor[code]; is {
		code, scale = major, decimal.New(1, -2)
	}
	switch {
	case id == "":
		return t, bad(17, "", "the execution has no id, so it cannot be told from others", "ExecID(17), and ExecRefID(19) of a correction or bust")
	case t.TradeDate.IsZero() || t.TradeDate.Year() < 1990:
		return t, bad(75, "", "the execution names no day", "TradeDate(75), TransactTime(60) or SendingTime(52)")
	case !known:
		return t, bad(54, x.Side, "the side is no side of a trade", "1 buy, 2 sell, 5 sell short or 6 sell short exempt")
	case t.Symbol == "":
		return t, bad(55, "", "the execution names no security", "Symbol(55) or SecurityID(48)")
	case !x.LastQty.Valid || !x.LastQty.Decimal.IsPositive() || tooLarge(x.LastQty):
		return t, bad(32, x.LastQty.Decimal.String(), "the execution names no quantity", "LastQty(32) above 0, of at most 18 digits before the point")
	case !x.LastPx.Valid || tooLarge(x.LastPx):
		return t, bad(31, x.LastPx.Decimal.String(), "the execution names no price", "LastPx(31), of at most 18 digits before the point")
	case tooLarge(x.Commission):
		return t, bad(12, x.Commission.Decimal.String(), "the commission is no sensible number", "Commission(12), of at most 18 digits before the point")
	case !intake.CurrencyCode(code):
		return t, bad(15, code, "the execution names no currency of ISO 4217", "Currency(15), or a currency of the source: ?currency=USD")
	}
	t.Side, t.Quantity, t.Price, t.Currency = side, x.LastQty.Decimal, x.LastPx.Decimal.Mul(scale), code
	if x.Commission.Valid && (x.CommType == "" || x.CommType == absolute) { // a rate is no amount
		t.Fees = decimal.NullDecimal{Decimal: x.Commission.Decimal.Mul(scale), Valid: true}
	}
	return t, nil
}

// absolute is the CommType(13) of a commission that is an amount.
const absolute = "3"

// tooLarge reports whether a number has no place on record.
func tooLarge(d decimal.NullDecimal) bool {
	return d.Valid && d.Decimal.Abs().GreaterThanOrEqual(decimal.New(1, 18))
}

func clean(s string) string { return event.Cut(approval.Printable(s), maxName) }

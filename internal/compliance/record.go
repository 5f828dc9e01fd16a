package compliance

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"finobs/internal/transaction"

	"github.com/shopspring/decimal"
)

// Kind is what a record is of.
type Kind string

// The closed set of kinds.
const (
	Trade    Kind = "trade"    // of a security
	Transfer Kind = "transfer" // of money between two parties
	CashIn   Kind = "cash_in"  // a deposit of currency to an account
	CashOut  Kind = "cash_out" // a withdrawal of currency from an account
)

// Method is how money moves. Other than transaction.Side the set is open: a source
// may know more.
type Method string

// The methods that the shipped rules speak of.
const (
	Cash   Method = "cash"
	Cheque Method = "cheque"
	Wire   Method = "wire"
)

// Record is a trade or a movement of money, as a rule sees it. Texts that are not
// known are empty and names are only for screening.
type Record struct {
	ID       string // unique among the records of a run
	Kind     Kind
	Time     time.Time // of trades midnight UTC of the trade date
	Method   Method
	Amount   decimal.Decimal // Currency, above 0; of trades the gross amount
	Currency string          // ISO 4217; limits do not apply where it is empty

	From, To               string // the payer and the payee; of trades the account and its counterparty
	FromName, ToName       string
	FromCountry, ToCountry string
	// The balances of the two before and after, in Currency, where they are known.
	FromBefore, FromAfter, ToBefore, ToAfter decimal.NullDecimal

	Instrument     string
	Side           transaction.Side
	Quantity       decimal.Decimal // units, above 0
	Price          decimal.Decimal // Currency per unit
	TradeDate      time.Time       // midnight UTC
	SettlementDate time.Time       // midnight UTC, as agreed; zero when not known
	Status         transaction.Status
}

// FromTransaction is the record of a trade. A security is named by the strongest
// identifier that is stated: ISIN, then CUSIP, then symbol.
func FromTransaction(t transaction.Transaction) Record {
	r := Record{
		ID: "transaction:" + strconv.FormatInt(t.ID, 10), Kind: Trade, Time: t.TradeDate, Currency: t.Currency,
		From: t.Account, To: t.Counterparty, ToName: t.Counterparty, Side: t.Side, Quantity: t.Quantity, Price: t.Price,
		TradeDate: t.TradeDate, SettlementDate: t.SettlementDate, Status: t.Status,
		Instrument: cmp.Or(t.ISIN, t.CUSIP, t.Symbol), Amount: t.Quantity.Mul(t.Price).Abs(),
	}
	if t.ID == 0 {
		r.ID = t.Source + ":" + t.TradeID
	}
	if t.GrossAmount.Valid {
		r.Amount = t.GrossAmount.Decimal.Abs()
	}
	return r
}

// Sort puts records in the order that Run needs.
func Sort(records []Record) { slices.SortStableFunc(records, before) }

func before(a, b Record) int {
	return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.ID, b.ID), a.Amount.Cmp(b.Amount), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
}

// buys reports whether a trade makes a position larger.
func (r *Record) buys() bool { return r.Side == transaction.Buy || r.Side == transaction.BuyToCover }

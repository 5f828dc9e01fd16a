// Package transaction says what a trade is to finobs: one line of a source's
// books, under the source's own id. It holds no rules of reconciliation.
package transaction

import (
	"time"

	"finobs/internal/incident"

	"github.com/shopspring/decimal"
)

// Side says which way a trade went, seen from the account.
type Side string

// The closed set of sides.
const (
	Buy        Side = "buy"
	Sell       Side = "sell"
	SellShort  Side = "sell_short"
	BuyToCover Side = "buy_to_cover"
)

// Valid reports whether s is one of the sides above.
func (s Side) Valid() bool {
	switch s {
	case Buy, Sell, SellShort, BuyToCover:
		return true
	}
	return false
}

// Status is where a trade is in its life, by the word of its source.
type Status string

// The closed set of statuses.
const (
	New       Status = "new"
	Confirmed Status = "confirmed"
	Settled   Status = "settled"
	Failed    Status = "failed"
	Cancelled Status = "cancelled"
)

// Valid reports whether s is one of the statuses above.
func (s Status) Valid() bool {
	switch s {
	case New, Confirmed, Settled, Failed, Cancelled:
		return true
	}
	return false
}

// Transaction is a trade as a source states it. Texts that a source does not
// state are empty.
type Transaction struct {
	ID             int64 // 0 until it is recorded
	Source         string
	TradeID        string // the source's own id; one transaction has it per source
	ExecutionID    string
	TradeDate      time.Time // midnight UTC
	SettlementDate time.Time // midnight UTC; zero when not known
	Side           Side
	Symbol         string
	ISIN           string
	CUSIP          string
	Quantity       decimal.Decimal     // units, above 0; Side has the direction
	Price          decimal.Decimal     // Currency per unit; below 0 for what one is paid to take
	Currency       string              // ISO 4217
	GrossAmount    decimal.NullDecimal // Currency
	Fees           decimal.NullDecimal // Currency; below 0 for a rebate
	Account        string
	Counterparty   string
	Venue          string
	Status         Status
	Desk           string
	Origin         incident.Origin
	ImportID       int64 // the import that brought these values
	Version        int64 // 1, and one more for each correction
	CreatedAt      time.Time
	UpdatedAt      time.Time
	TraceID        string
}

package recon

import (
	"slices"
	"time"

	"finobs/internal/desk"

	"github.com/shopspring/decimal"
)

// Type classifies breaks.
type Type string

// The closed set of types.
const (
	MissingLeft    Type = "missing_left"  // the right side has a trade that the left side lacks
	MissingRight   Type = "missing_right" // the left side has a trade that the right side lacks
	QuantityBreak  Type = "quantity"
	PriceBreak     Type = "price"
	FeeBreak       Type = "fee"
	SideBreak      Type = "side"
	SymbolBreak    Type = "symbol"
	CurrencyBreak  Type = "currency"
	TradeDateBreak Type = "trade_date"
	SettlementDate Type = "settlement_date"
	AccountBreak   Type = "account"
	DuplicateLeft  Type = "duplicate_left"
	DuplicateRight Type = "duplicate_right"
)

// Types lists all types, in the order of the documentation.
func Types() []Type {
	return []Type{
		MissingLeft, MissingRight, QuantityBreak, PriceBreak, FeeBreak, SideBreak, SymbolBreak, CurrencyBreak, TradeDateBreak, SettlementDate,
		AccountBreak, DuplicateLeft, DuplicateRight,
	}
}

// Valid reports whether t is one of the types above.
func (t Type) Valid() bool { return slices.Contains(Types(), t) }

// Mirror is the type that the same break has when the sides are swapped.
func (t Type) Mirror() Type {
	switch t {
	case MissingLeft:
		return MissingRight
	case MissingRight:
		return MissingLeft
	case DuplicateLeft:
		return DuplicateRight
	case DuplicateRight:
		return DuplicateLeft
	default:
		return t
	}
}

// Hand is one of the two sides of a reconciliation.
type Hand int

// The two hands.
const (
	Left Hand = iota
	Right
)

// String is left or right.
func (h Hand) String() string {
	if h == Left {
		return "left"
	}
	return "right"
}

// Other is the other hand.
func (h Hand) Other() Hand { return Right - h }

// Rule is what a profile does about breaks of a type.
type Rule struct {
	Severity desk.Severity
	Owner    string // queue that looks at it
	SLAHours int    // hours from its first sight within which it is to be resolved
}

// DefaultRules are the rules of a profile that states none.
func DefaultRules() map[Type]Rule {
	return map[Type]Rule{
		MissingLeft: {desk.High, "Trade Support", 4}, MissingRight: {desk.High, "Broker Operations", 4},
		QuantityBreak: {desk.High, "Trade Support", 24}, PriceBreak: {desk.Medium, "Trade Support", 24}, FeeBreak: {desk.Low, "Fees and Commissions", 48},
		SideBreak: {desk.High, "Trade Support", 4}, SymbolBreak: {desk.High, "Security Master", 4}, CurrencyBreak: {desk.High, "Trade Support", 4},
		TradeDateBreak: {desk.Medium, "Trade Support", 24}, SettlementDate: {desk.Medium, "Settlements", 24}, AccountBreak: {desk.Medium, "Allocations", 24},
		DuplicateLeft: {desk.Medium, "Data Operations", 24}, DuplicateRight: {desk.Medium, "Broker Operations", 24},
	}
}

// Break is one difference between the two sides. Its identity, by which later
// runs know it again, is the profile, the origin, Type, Key and Field.
type Break struct {
	Type  Type
	Field string // canonical field, "allocation", or "record" for a whole one
	Key   string // by which people know the trade; of both sides when they differ

	LeftKey, RightKey   string // normalised; empty when a side has none
	LeftIDs, RightIDs   []string
	LeftValue           string // as compared; empty when the side has none
	RightValue          string
	Difference          decimal.NullDecimal // right less left; of dates in days
	Exposure            decimal.NullDecimal // money at risk, in Currency
	Currency            string
	Confidence          decimal.Decimal // that the records belong together, 0 to 1
	NeedsReview         bool            // a person has to say whether they do
	Symbol, Side        string
	Account             string
	TradeDate, SettleOn string // YYYY-MM-DD; empty when not known
	CutoffAt            time.Time
	Rule
}

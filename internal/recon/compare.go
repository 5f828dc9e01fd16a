package recon

import (
	"strings"
	"time"

	"finobs/internal/intake"

	"github.com/shopspring/decimal"
)

// Pair is two rows that belong together.
type Pair struct {
	Left, Right Row
	Tier        int // of the key that matched, from 0; FuzzyTier for none
	Confidence  decimal.Decimal
	NeedsReview bool
}

// FuzzyTier is the tier of pairs that no key matched.
const FuzzyTier = MaxKeys

// Tolerance is how far two numbers may lie apart: by Absolute, or by BasisPoints
// of the larger one, whichever allows more.
type Tolerance struct {
	Absolute, BasisPoints decimal.Decimal
}

var tenThousand = decimal.NewFromInt(10_000)

// Allows reports whether a and b are as good as equal.
func (t Tolerance) Allows(a, b decimal.Decimal) bool {
	apart := a.Sub(b).Abs()
	return apart.LessThanOrEqual(t.Absolute) || apart.Mul(tenThousand).LessThanOrEqual(t.BasisPoints.Mul(decimal.Max(a.Abs(), b.Abs())))
}

// typeOf is the type of a break in a field.
var typeOf = map[intake.Field]Type{
	intake.Quantity: QuantityBreak, intake.Price: PriceBreak, intake.Fees: FeeBreak, intake.TradeSide: SideBreak, intake.Symbol: SymbolBreak,
	intake.Currency: CurrencyBreak, intake.TradeDate: TradeDateBreak, intake.SettlementDate: SettlementDate, intake.Account: AccountBreak,
}

// Compare lists the breaks between two rows that belong together. A field that a
// side does not state is not compared. One difference is one break: amounts in
// different currencies are not compared, and a security is compared by the
// strongest identifier that both sides state.
func (p *Profile) Compare(pair *Pair) []Break {
	var out []Break
	otherCurrency := p.compares(intake.Currency) && differs(pair, intake.Currency)
	for _, f := range p.Fields {
		if otherCurrency && (f == intake.Price || f == intake.Fees) {
			continue
		}
		shown := f
		if f == intake.Symbol {
			shown = identifier(pair)
		}
		if !p.breaks(pair, shown) {
			continue
		}
		b := p.between(pair, typeOf[f], f.String())
		b.LeftValue, b.RightValue = pair.Left.Get(shown), pair.Right.Get(shown)
		b.Difference, b.Exposure = difference(pair, shown), exposure(pair, f)
		out = append(out, b)
	}
	return out
}

func (p *Profile) compares(f intake.Field) bool {
	for _, c := range p.Fields {
		if c == f {
			return true
		}
	}
	return false
}

func stated(pair *Pair, f intake.Field) bool {
	return pair.Left.Get(f) != "" && pair.Right.Get(f) != ""
}

func differs(pair *Pair, f intake.Field) bool {
	return stated(pair, f) && pair.Left.Get(f) != pair.Right.Get(f)
}

// identifier is the strongest identifier of the security that both sides state.
func identifier(pair *Pair) intake.Field {
	for _, f := range []intake.Field{intake.ISIN, intake.CUSIP} {
		if stated(pair, f) {
			return f
		}
	}
	return intake.Symbol
}

func (p *Profile) breaks(pair *Pair, f intake.Field) bool {
	if f.Form() != intake.Number {
		return differs(pair, f)
	}
	l, r := pair.Left.number(f), pair.Right.number(f)
	return l.Valid && r.Valid && !p.Tolerances[f].Allows(l.Decimal, r.Decimal)
}

func difference(pair *Pair, f intake.Field) decimal.NullDecimal {
	switch f.Form() {
	case intake.Number:
		return decimal.NewNullDecimal(pair.Right.number(f).Decimal.Sub(pair.Left.number(f).Decimal))
	case intake.Date:
		l, lErr := time.Parse(time.DateOnly, pair.Left.Get(f))
		r, rErr := time.Parse(time.DateOnly, pair.Right.Get(f))
		if lErr == nil && rErr == nil {
			return decimal.NewNullDecimal(decimal.NewFromInt(int64(r.Sub(l) / (24 * time.Hour))))
		}
	default:
	}
	return decimal.NullDecimal{}
}

// exposure is the money at risk: of a quantity the units apart at the higher
// price, of a price the difference on the larger quantity, of fees the difference,
// of a side both legs, of all else the trade.
func exposure(pair *Pair, f intake.Field) decimal.NullDecimal {
	l, r := &pair.Left, &pair.Right
	switch f {
	case intake.Quantity:
		return times(difference(pair, f), larger(l.number(intake.Price), r.number(intake.Price)))
	case intake.Price:
		return times(difference(pair, f), larger(l.number(intake.Quantity), r.number(intake.Quantity)))
	case intake.Fees:
		return decimal.NewNullDecimal(difference(pair, f).Decimal.Abs())
	case intake.TradeSide:
		return times(larger(l.gross(), r.gross()), decimal.NewNullDecimal(decimal.NewFromInt(2)))
	default:
		return larger(l.gross(), r.gross())
	}
}

// between is a break of a pair without what is particular to it.
func (p *Profile) between(pair *Pair, t Type, field string) Break {
	l, r := &pair.Left, &pair.Right
	b := Break{
		Type: t, Field: field, Key: shownKey(l), LeftKey: l.Keys[0], RightKey: r.Keys[0], LeftIDs: []string{l.ID()}, RightIDs: []string{r.ID()},
		Confidence: pair.Confidence, NeedsReview: pair.NeedsReview, Rule: p.Rules[t],
	}
	if other := shownKey(r); other != b.Key {
		b.Key += " ~ " + other
	}
	b.about(p, l, r)
	return b
}

// about fills in what both rows say of the trade, the first one first.
func (b *Break) about(p *Profile, rows ...*Row) {
	for _, f := range []struct {
		field intake.Field
		into  *string
	}{
		{intake.Currency, &b.Currency}, {intake.Symbol, &b.Symbol}, {intake.TradeSide, &b.Side}, {intake.Account, &b.Account},
		{intake.TradeDate, &b.TradeDate}, {intake.SettlementDate, &b.SettleOn},
	} {
		for _, r := range rows {
			if *f.into == "" {
				*f.into = r.Get(f.field)
			}
		}
	}
	b.CutoffAt = p.Cutoff.At(b.SettleOn)
}

// Missing is the break of a row that the other side lacks.
func (p *Profile) Missing(has Hand, r *Row) Break {
	t := MissingRight
	if has == Right {
		t = MissingLeft
	}
	b := p.single(has, r, t)
	b.Exposure = r.gross()
	return b
}

// Group is several rows of one side that have the same key.
type Group struct {
	First Row
	IDs   []string // all of them; the first thousand
	Count int
}

// MaxIDs is how many record ids a break names.
const MaxIDs = 1000

// Duplicate is the break of a group.
func (p *Profile) Duplicate(h Hand, g *Group) Break {
	b := p.single(h, &g.First, duplicateOf(h))
	*b.ids(h) = g.IDs
	*b.value(h) = decimal.NewFromInt(int64(g.Count)).String() + " records"
	b.Exposure = times(g.First.gross(), decimal.NewNullDecimal(decimal.NewFromInt(int64(g.Count-1))))
	return b
}

// Suspect is the break of a row without a counterpart that another row of its
// side equals in all but the key: it may be the same trade booked twice.
func (p *Profile) Suspect(h Hand, r *Row, twin string) Break {
	b := p.single(h, r, duplicateOf(h))
	*b.ids(h) = []string{r.ID(), twin}
	b.Field, b.Exposure = "economics", r.gross()
	b.NeedsReview, b.Confidence = true, decimal.RequireFromString("0.5")
	return b
}

func duplicateOf(h Hand) Type {
	if h == Left {
		return DuplicateLeft
	}
	return DuplicateRight
}

func (p *Profile) single(h Hand, r *Row, t Type) Break {
	b := Break{Type: t, Field: "record", Key: shownKey(r), LeftIDs: []string{}, RightIDs: []string{}, Confidence: one, Rule: p.Rules[t]}
	*b.ids(h) = []string{r.ID()}
	*b.value(h) = summary(r)
	if h == Left {
		b.LeftKey = r.Keys[0]
	} else {
		b.RightKey = r.Keys[0]
	}
	b.about(p, r)
	return b
}

func (b *Break) ids(h Hand) *[]string {
	if h == Left {
		return &b.LeftIDs
	}
	return &b.RightIDs
}

func (b *Break) value(h Hand) *string {
	if h == Left {
		return &b.LeftValue
	}
	return &b.RightValue
}

// summary is a record in a few words: sell 2000 MSFT at 219.49 USD.
func summary(r *Row) string {
	words := strings.Fields(strings.Join([]string{r.Get(intake.TradeSide), r.Get(intake.Quantity), r.Get(intake.Symbol)}, " "))
	if price := r.Get(intake.Price); price != "" {
		words = append(words, "at", price)
	}
	return strings.Join(append(words, strings.Fields(r.Get(intake.Currency))...), " ")
}

package recon

import (
	"strconv"
	"strings"

	"finobs/internal/intake"

	"github.com/shopspring/decimal"
)

// MaxKeys is how many keys a profile tries at most.
const MaxKeys = 4

// Row is a record in the form in which it is compared: texts are normalised, and
// its keys are made.
type Row struct {
	intake.Record
	Keys [MaxKeys]string // in the order of the profile; empty: the record lacks a part
}

// ID names the record to people: its own id, or its line.
func (r *Row) ID() string {
	if id := r.Get(intake.TradeID); id != "" {
		return id
	}
	return "line " + strconv.Itoa(r.Line)
}

// number reads a value; not valid when the record does not state it.
func (r *Row) number(f intake.Field) decimal.NullDecimal {
	d, err := decimal.NewFromString(r.Get(f))
	return decimal.NullDecimal{Decimal: d, Valid: err == nil}
}

// gross is what the trade is worth, when the record says enough.
func (r *Row) gross() decimal.NullDecimal {
	if g := r.number(intake.GrossAmount); g.Valid {
		return decimal.NewNullDecimal(g.Decimal.Abs())
	}
	return times(r.number(intake.Quantity), r.number(intake.Price))
}

func times(a, b decimal.NullDecimal) decimal.NullDecimal {
	if !a.Valid || !b.Valid {
		return decimal.NullDecimal{}
	}
	return decimal.NewNullDecimal(a.Decimal.Mul(b.Decimal).Abs())
}

// larger is the larger of two amounts of which one may be unknown.
func larger(a, b decimal.NullDecimal) decimal.NullDecimal {
	switch {
	case !a.Valid:
		return b
	case !b.Valid:
		return a
	}
	return decimal.NewNullDecimal(decimal.Max(a.Decimal, b.Decimal))
}

// Normal says in which spellings two texts are the same.
type Normal struct {
	Case   bool // letters in either case
	Spaces bool // any run of spaces as one
	Zeros  bool // numbers in a text with or without leading zeros
}

// Text returns the one spelling of a text.
func (n Normal) Text(s string) string {
	if n.Spaces {
		s = strings.Join(strings.Fields(s), " ")
	}
	if n.Case {
		s = strings.ToUpper(s)
	}
	if n.Zeros {
		s = stripZeros(s)
	}
	return s
}

// stripZeros takes leading zeros from each run of digits, but for its last digit.
func stripZeros(s string) string {
	var b strings.Builder
	leading := true
	for i := range len(s) {
		digit := s[i] >= '0' && s[i] <= '9'
		more := i+1 < len(s) && s[i+1] >= '0' && s[i+1] <= '9'
		if leading && s[i] == '0' && more {
			continue
		}
		leading = !digit
		b.WriteByte(s[i])
	}
	return b.String()
}

// keySeparator stands between the parts of a key; no text holds it.
const keySeparator = "\x1f"

// Row makes the row of a record.
func (p *Profile) Row(r *intake.Record) Row {
	row := Row{Record: *r}
	for _, f := range intake.AllFields() {
		if f.Form() == intake.Text && f != intake.TradeID {
			row.Set(f, p.normal(f).Text(r.Get(f)))
		}
	}
	for i, key := range p.Keys {
		row.Keys[i] = p.key(&row, key)
	}
	return row
}

func (p *Profile) normal(f intake.Field) Normal {
	if n, stated := p.Normal[f]; stated {
		return n
	}
	return Normal{Case: true, Spaces: true}
}

func (p *Profile) key(r *Row, fields []intake.Field) string {
	parts := make([]string, 0, len(fields))
	for _, f := range fields {
		v := r.Get(f)
		if f == intake.TradeID {
			v = p.normal(f).Text(v)
		}
		if v == "" {
			return ""
		}
		parts = append(parts, v)
	}
	return strings.Join(parts, keySeparator)
}

// shownKey is the key by which people know a row.
func shownKey(r *Row) string {
	if r.Keys[0] == "" {
		return r.ID()
	}
	return strings.ReplaceAll(r.Keys[0], keySeparator, "|")
}

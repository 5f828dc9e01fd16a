package compliance

import (
	"fmt"
	"sync"

	celcondition "finobs/internal/condition"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"github.com/shopspring/decimal"
)

const maxDecimal = 64 // bytes of a decimal in a condition

// condition is a compiled CEL expression over a record.
type condition struct{ celcondition.Condition }

// fields are the variables of a condition, all texts; decimals are as written.
var fields = map[string]func(*Record) string{
	"record.id": func(r *Record) string { return r.ID }, "record.kind": func(r *Record) string { return string(r.Kind) },
	"record.method": func(r *Record) string { return string(r.Method) }, "record.amount": func(r *Record) string { return r.Amount.String() },
	"record.currency": func(r *Record) string { return r.Currency },
	"record.from":     func(r *Record) string { return r.From }, "record.to": func(r *Record) string { return r.To },
	"record.from_country": func(r *Record) string { return r.FromCountry }, "record.to_country": func(r *Record) string { return r.ToCountry },
	"record.from_before": func(r *Record) string { return known(r.FromBefore) }, "record.from_after": func(r *Record) string { return known(r.FromAfter) },
	"record.to_before": func(r *Record) string { return known(r.ToBefore) }, "record.to_after": func(r *Record) string { return known(r.ToAfter) },
	"record.instrument": func(r *Record) string { return r.Instrument }, "record.side": func(r *Record) string { return string(r.Side) },
	"record.quantity": func(r *Record) string { return r.Quantity.String() }, "record.price": func(r *Record) string { return r.Price.String() },
	"record.status": func(r *Record) string { return string(r.Status) },
}

func known(d decimal.NullDecimal) string {
	if !d.Valid {
		return ""
	}
	return d.Decimal.String()
}

// environment declares what a when may speak of: the fields above and
// compare(a, b), which is -1, 0 or 1 as one decimal is below, equal to or above
// another. CEL itself has no decimals.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	options := []cel.EnvOption{cel.Function("compare", cel.Overload("compare_decimals", []*cel.Type{cel.StringType, cel.StringType}, cel.IntType,
		cel.BinaryBinding(compareDecimals)))}
	for name := range fields {
		options = append(options, cel.Variable(name, cel.StringType))
	}
	return cel.NewEnv(options...)
})

func compareDecimals(a, b ref.Val) ref.Val {
	var parsed [2]decimal.Decimal
	for i, v := range []ref.Val{a, b} {
		text, isText := v.Value().(string)
		d, err := parseDecimal(text)
		if !isText || err != nil {
			return types.NewErr("compare: %v", err)
		}
		parsed[i] = d
	}
	return types.Int(parsed[0].Cmp(parsed[1]))
}

func parseDecimal(text string) (decimal.Decimal, error) {
	if text == "" || len(text) > maxDecimal {
		return decimal.Zero, fmt.Errorf("%q is no decimal of 1 to %d characters", text[:min(len(text), maxDecimal)], maxDecimal)
	}
	for _, c := range text {
		if (c < '0' || c > '9') && c != '.' && c != '-' { // no exponents: 1e999999 takes all memory
			return decimal.Zero, fmt.Errorf("%q is no decimal", text)
		}
	}
	d, err := decimal.NewFromString(text)
	if err != nil {
		return decimal.Zero, fmt.Errorf("%q is no decimal", text)
	}
	return d, nil
}

func compile(expr string) (condition, error) {
	c, err := celcondition.Compile(environment, expr)
	return condition{c}, err
}

func (c condition) eval(r *Record) (bool, error) { return c.Holds(activation{r}) }

// activation looks up only the fields that a condition speaks of.
type activation struct{ r *Record }

// ResolveName implements cel.Activation.
func (a activation) ResolveName(name string) (any, bool) {
	read, known := fields[name]
	if !known {
		return nil, false
	}
	return read(a.r), true
}

// Parent implements cel.Activation.
func (a activation) Parent() cel.Activation { return nil }

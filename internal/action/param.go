package action

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"finobs/internal/fault"
	"finobs/internal/intake"

	"github.com/shopspring/decimal"
)

// ParamKind says what a parameter may hold. There is no kind for free text, and
// none in which an address, a path or a command would fit.
type ParamKind string

// The closed set of kinds of parameters.
const (
	ID       ParamKind = "id"       // of an object: letters, digits, '_' and '-'
	Choice   ParamKind = "choice"   // one of Enum
	Amount   ParamKind = "amount"   // of money: exact, above 0
	Quantity ParamKind = "quantity" // of a security: exact, above 0
	Price    ParamKind = "price"    // of one unit of a security: exact, above 0
	Date     ParamKind = "date"     // YYYY-MM-DD
	ISIN     ParamKind = "isin"     // ISO 6166, with its check digit
	Currency ParamKind = "currency" // ISO 4217
)

// Valid reports whether k is one of the kinds above.
func (k ParamKind) Valid() bool {
	switch k {
	case ID, Choice, Amount, Quantity, Price, Date, ISIN, Currency:
		return true
	}
	return false
}

// numeric reports whether parameters of the kind are decimals.
func (k ParamKind) numeric() bool { return k == Amount || k == Quantity || k == Price }

// Parameter is one typed input of an action.
type Parameter struct {
	Name     string    `json:"name"`
	Kind     ParamKind `json:"kind"`
	Required bool      `json:"required"`
	Enum     []string  `json:"enum,omitempty"` // of a Choice
	Min      string    `json:"min,omitempty"`  // least number, or first date; empty for none
	Max      string    `json:"max,omitempty"`  // greatest number, or last date; empty for none
	Doc      string    `json:"doc"`
}

// Params are parameters that ParseParams accepted.
type Params map[string]string

var (
	paramIDPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)
	choicePattern  = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
)

// ParseParams reads parameters by the schema of the action. It refuses what is
// unknown, missing, ill-typed or out of bounds as a fault of kind Invalid, and
// changes no value.
func (t Type) ParseParams(raw map[string]string) (Params, error) {
	known := map[string]bool{}
	out := Params{}
	for _, p := range t.Parameters {
		known[p.Name] = true
		value, given := raw[p.Name]
		if !given {
			if p.Required {
				return nil, badParam(t, "parameter %s is missing: %s", p.Name, p.Doc)
			}
			continue
		}
		if problem := p.check(value); problem != "" {
			return nil, badParam(t, "parameter %s: %s", p.Name, problem)
		}
		out[p.Name] = value
	}
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		if !known[name] {
			return nil, badParam(t, "there is no parameter %q; it takes %s", clip(name), t.parameterNames())
		}
	}
	return out, nil
}

func badParam(t Type, format string, args ...any) error {
	return fault.New(fault.Invalid, "action.invalid-parameter", t.Name+": "+format, args...)
}

func (t Type) parameterNames() string {
	if len(t.Parameters) == 0 {
		return "none"
	}
	names := make([]string, 0, len(t.Parameters))
	for _, p := range t.Parameters {
		names = append(names, p.Name)
	}
	return strings.Join(names, ", ")
}

// check says what is wrong with a value, or returns "".
func (p Parameter) check(value string) string {
	shown := "\"" + clip(value) + "\""
	switch p.Kind {
	case ID:
		if !paramIDPattern.MatchString(value) {
			return shown + " is no id of 1 to 64 letters, digits, '_' and '-'"
		}
	case Choice:
		if !slices.Contains(p.Enum, value) {
			return shown + " is none of " + strings.Join(p.Enum, ", ")
		}
	case Amount, Quantity, Price:
		return p.checkNumber(value, shown)
	case Date:
		return p.checkDate(value, shown)
	case ISIN:
		return intake.CheckISIN(value)
	case Currency:
		if !intake.CurrencyCode(value) {
			return shown + " is no code of ISO 4217 in capitals"
		}
	default:
		return "its kind " + string(p.Kind) + " is not known"
	}
	return ""
}

func (p Parameter) checkNumber(value, shown string) string {
	n, ok := parseDecimal(value)
	switch {
	case !ok || !n.IsPositive():
		return shown + " is no plain decimal above 0 of at most 18 digits and 8 decimals"
	case p.Min != "" && n.LessThan(decimal.RequireFromString(p.Min)):
		return shown + " is less than " + p.Min
	case p.Max != "" && n.GreaterThan(decimal.RequireFromString(p.Max)):
		return shown + " is more than " + p.Max
	}
	return ""
}

func (p Parameter) checkDate(value, shown string) string {
	if !isDate(value) {
		return shown + " is no date such as 2026-06-30"
	}
	switch { // dates of this form compare as text
	case p.Min != "" && value < p.Min:
		return shown + " is before " + p.Min
	case p.Max != "" && value > p.Max:
		return shown + " is after " + p.Max
	}
	return ""
}

func isDate(text string) bool {
	_, err := time.Parse(time.DateOnly, text)
	return err == nil
}

// clip makes an unknown text fit for a message.
func clip(text string) string {
	const limit = 64
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	if len(text) > limit {
		return text[:limit] + "..."
	}
	return text
}

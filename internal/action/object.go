package action

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"finobs/internal/fault"

	"github.com/shopspring/decimal"
)

// The closed set of kinds of objects that desk systems hold.
const (
	Order        = "order"
	Position     = "position"
	Settlement   = "settlement"
	SSI          = "ssi" // standing settlement instruction
	Trade        = "trade"
	Trader       = "trader"
	Strategy     = "strategy"
	Feed         = "feed"
	Gateway      = "gateway"
	Counterparty = "counterparty"
)

// Kinds lists the kinds of objects.
func Kinds() []string {
	return []string{Order, Position, Settlement, SSI, Trade, Trader, Strategy, Feed, Gateway, Counterparty}
}

// Object is a thing of a desk system as the system shows it.
type Object struct {
	Kind    string            `json:"kind"`
	ID      string            `json:"id"`
	Version string            `json:"version"` // integer as text; moves with every change
	Fields  map[string]string `json:"fields"`
}

// Limits of an object.
const (
	maxFields     = 64
	maxFieldValue = 1024 // bytes
)

var (
	objectIDPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$`)
	versionPattern  = regexp.MustCompile(`^(0|[1-9][0-9]{0,17})$`)
	fieldPattern    = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
	decimalPattern  = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,8})?$`)
)

// ValidID reports whether a text can be the id of an object: 1 to 64 letters,
// digits, '_', '.', ':' and '-', of which the first is a letter or a digit.
func ValidID(id string) bool { return objectIDPattern.MatchString(id) }

// Validate reports the first thing that is wrong with an object as such, as a fault
// of kind Invalid. What its fields mean is the business of each action.
func (o Object) Validate() error {
	bad := func(format string, args ...any) error {
		return fault.New(fault.Invalid, "action.invalid-object", format, args...)
	}
	switch {
	case !slices.Contains(Kinds(), o.Kind):
		return bad("kind %q is none of %s", o.Kind, strings.Join(Kinds(), ", "))
	case !ValidID(o.ID):
		return bad("id %q must be 1 to 64 letters, digits, '_', '.', ':' and '-'", o.ID)
	case !versionPattern.MatchString(o.Version):
		return bad("version %q of %s %s must be an integer of at most 18 digits", o.Version, o.Kind, o.ID)
	case len(o.Fields) > maxFields:
		return bad("%s %s has %d fields; %d are the limit", o.Kind, o.ID, len(o.Fields), maxFields)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Fields)) {
		value := o.Fields[name]
		switch {
		case !fieldPattern.MatchString(name):
			return bad("field %q of %s %s must be a lower-case word of at most 64 characters", name, o.Kind, o.ID)
		case len(value) > maxFieldValue || !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl):
			return bad("field %s of %s %s must be at most %d bytes of UTF-8 without control characters", name, o.Kind, o.ID, maxFieldValue)
		}
	}
	return nil
}

// refuse says why an action does not suit an object, as a fault of kind Conflict.
func refuse(o Object, format string, args ...any) error {
	return fault.New(fault.Conflict, "action.precondition", "%s %s: %s", o.Kind, o.ID, fmt.Sprintf(format, args...))
}

// want refuses an object whose field holds none of the values.
func (o Object) want(field string, values ...string) error {
	if slices.Contains(values, o.Fields[field]) {
		return nil
	}
	return refuse(o, "%s is %q, and must be %s", field, o.Fields[field], strings.Join(values, " or "))
}

// number reads a field as an exact decimal.
func (o Object) number(field string) (decimal.Decimal, error) {
	text, ok := o.Fields[field]
	if !ok {
		return decimal.Zero, refuse(o, "it has no field %s", field)
	}
	n, ok := parseDecimal(text)
	if !ok {
		return decimal.Zero, refuse(o, "%s %q is no plain decimal", field, text)
	}
	return n, nil
}

// next is a counter's value after one more; a counter that is absent is at 0.
func (o Object) next(field string) (string, error) {
	text := o.Fields[field]
	if text == "" {
		return "1", nil
	}
	if !versionPattern.MatchString(text) {
		return "", refuse(o, "%s %q is no count", field, text)
	}
	n, ok := parseDecimal(text)
	if !ok {
		return "", refuse(o, "%s %q is no count", field, text)
	}
	return n.Add(decimal.NewFromInt(1)).String(), nil
}

// parseDecimal reads a plain decimal: no exponent, no sign of plus, no leading
// zeros, at most 18 digits before the point and 8 after it.
func parseDecimal(text string) (decimal.Decimal, bool) {
	if !decimalPattern.MatchString(text) {
		return decimal.Zero, false
	}
	n, err := decimal.NewFromString(text)
	return n, err == nil
}

package intake

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"finobs/internal/fault"
	"finobs/internal/transaction"

	"github.com/shopspring/decimal"
)

// column is a column of a file of transactions. Its set reads a value that is
// not empty and reports whether it is what is expected.
type column struct {
	name     string
	required bool
	expected string // completes "expected is …"
	set      func(t *transaction.Transaction, value string) bool
}

// columns is every column, in the order of the documentation.
var columns = []column{
	textColumn("trade_id", true, 128, func(t *transaction.Transaction) *string { return &t.TradeID }),
	textColumn("execution_id", false, 128, func(t *transaction.Transaction) *string { return &t.ExecutionID }),
	dateColumn("trade_date", true, func(t *transaction.Transaction) *time.Time { return &t.TradeDate }),
	dateColumn("settlement_date", false, func(t *transaction.Transaction) *time.Time { return &t.SettlementDate }),
	{"side", true, "buy, sell, sell_short or buy_to_cover", func(t *transaction.Transaction, v string) bool {
		t.Side = transaction.Side(strings.ToLower(v))
		return t.Side.Valid()
	}},
	textColumn("symbol", true, 64, func(t *transaction.Transaction) *string { return &t.Symbol }),
	{"isin", false, "an ISIN of twelve characters whose check digit agrees", func(t *transaction.Transaction, v string) bool {
		t.ISIN = v
		return CheckISIN(v) == ""
	}},
	{"cusip", false, "a CUSIP of nine characters whose check digit agrees", func(t *transaction.Transaction, v string) bool {
		t.CUSIP = v
		return CheckCUSIP(v) == ""
	}},
	{"quantity", true, plainDecimal + ", above 0; side says which way", func(t *transaction.Transaction, v string) (ok bool) {
		t.Quantity, ok = parseDecimal(v)
		return ok && t.Quantity.IsPositive()
	}},
	{"price", true, plainDecimal, func(t *transaction.Transaction, v string) (ok bool) {
		t.Price, ok = parseDecimal(v)
		return ok
	}},
	{"currency", true, "a currency code of ISO 4217 in capitals such as USD; pence are no currency of their own", func(t *transaction.Transaction, v string) bool {
		t.Currency = v
		return CurrencyCode(v)
	}},
	amountColumn("gross_amount", func(t *transaction.Transaction) *decimal.NullDecimal { return &t.GrossAmount }),
	amountColumn("fees", func(t *transaction.Transaction) *decimal.NullDecimal { return &t.Fees }),
	textColumn("account", false, 128, func(t *transaction.Transaction) *string { return &t.Account }),
	textColumn("counterparty", false, 128, func(t *transaction.Transaction) *string { return &t.Counterparty }),
	textColumn("venue", false, 64, func(t *transaction.Transaction) *string { return &t.Venue }),
	{"status", false, "new, confirmed, settled, failed or cancelled", func(t *transaction.Transaction, v string) bool {
		t.Status = transaction.Status(strings.ToLower(v))
		return t.Status.Valid()
	}},
	textColumn("desk", false, 32, func(t *transaction.Transaction) *string { return &t.Desk }),
}

var columnIndex = func() map[string]int {
	index := map[string]int{}
	for i, c := range columns {
		index[c.name] = i
	}
	return index
}()

const plainDecimal = "a plain decimal such as 1000.50, at most 18 digits before the point and 12 after it, no separators and no exponent"

func textColumn(name string, required bool, most int, of func(*transaction.Transaction) *string) column {
	return column{name, required, fmt.Sprintf("text of at most %d bytes without control characters", most), func(t *transaction.Transaction, v string) bool {
		*of(t) = v
		return len(v) <= most && utf8.ValidString(v) && !strings.ContainsFunc(v, unicode.IsControl)
	}}
}

func dateColumn(name string, required bool, of func(*transaction.Transaction) *time.Time) column {
	return column{name, required, "a calendar date of the form YYYY-MM-DD from 1900 on", func(t *transaction.Transaction, v string) bool {
		parsed, err := time.Parse(time.DateOnly, v)
		*of(t) = parsed
		return err == nil && parsed.Year() >= 1900
	}}
}

func amountColumn(name string, of func(*transaction.Transaction) *decimal.NullDecimal) column {
	return column{name, false, plainDecimal, func(t *transaction.Transaction, v string) bool {
		d, ok := parseDecimal(v)
		*of(t) = decimal.NewNullDecimal(d)
		return ok
	}}
}

// read takes the value of a line into t, or says what is wrong with it.
func (c *column) read(t *transaction.Transaction, value string) *LineError {
	value = strings.TrimSpace(value)
	if value == "" {
		if c.required {
			return &LineError{Column: c.name, Problem: "it is empty; expected is " + c.expected, Expected: c.expected}
		}
		return nil
	}
	if !c.set(t, value) {
		return &LineError{
			Column: c.name, Problem: fmt.Sprintf("%q is not %s", shown(value), c.expected), Value: shown(value), Expected: c.expected,
		}
	}
	return nil
}

// parseDecimal reads plain decimal notation: an optional minus, 1 to 18 digits,
// and optionally a point and 1 to 12 digits.
func parseDecimal(s string) (decimal.Decimal, bool) {
	whole, fraction, point := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	if !digits(whole, 18) || point && !digits(fraction, 12) {
		return decimal.Decimal{}, false
	}
	d, err := decimal.NewFromString(s)
	return d, err == nil
}

func digits(s string, most int) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != "" && len(s) <= most
}

// readHeader says which column stands where.
func readHeader(line []byte) ([]*column, error) {
	bad := func(format string, args ...any) ([]*column, error) {
		return nil, fault.New(fault.Invalid, "not-a-transactions-file", format, args...)
	}
	if problem := unreadable(line); problem != "" {
		return bad("the first line must name the columns; %s", strings.Replace(problem, "the line", "it", 1))
	}
	names, problem := splitCSV(string(line), nil)
	if problem != "" {
		return bad("the first line must name the columns; %s", problem)
	}
	var header []*column
	var unknown []string
	for _, name := range names {
		i, known := columnIndex[strings.ToLower(strings.TrimSpace(name))]
		switch {
		case !known:
			unknown = append(unknown, fmt.Sprintf("%q", shown(name)))
		case slices.Contains(header, &columns[i]):
			return bad("the first line names column %s twice; leave one out", columns[i].name)
		default:
			header = append(header, &columns[i])
		}
	}
	if len(unknown) > 0 {
		hint := ""
		if len(names) == 1 && strings.ContainsAny(names[0], ";|\t") {
			hint = "; columns must be separated by commas"
		}
		return bad("there are no columns %s%s; rename them or leave them out: known are %s", strings.Join(unknown[:min(len(unknown), 50)], ", "), hint, allColumns())
	}
	for i := range columns {
		if columns[i].required && !slices.Contains(header, &columns[i]) {
			return bad("the first line lacks column %s; required are %s", columns[i].name, requiredColumns())
		}
	}
	return header, nil
}

func requiredColumns() string {
	return columnNames(func(c column) bool { return c.required })
}

func allColumns() string {
	return columnNames(func(column) bool { return true })
}

func columnNames(wanted func(column) bool) string {
	var names []string
	for _, c := range columns {
		if wanted(c) {
			names = append(names, c.name)
		}
	}
	return strings.Join(names, ", ")
}

// CurrencyCode reports whether a text is a code of ISO 4217 in capitals.
func CurrencyCode(code string) bool {
	return len(code) == 3 && strings.Contains(currencies, code) && strings.Index(currencies, code)%4 == 0
}

package intake

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"finobs/internal/transaction"

	"github.com/shopspring/decimal"
)

// Field is what a column of somebody's file means: a canonical name, whatever the
// file calls it.
type Field int

// The closed set of fields.
const (
	TradeID     Field = iota // the record's own id
	ExecutionID              // of the fill, as both sides know it
	OrderID
	Symbol
	ISIN
	CUSIP
	TradeSide
	Quantity
	Price
	Currency
	GrossAmount
	Fees // in total
	TradeDate
	SettlementDate
	Account
	Counterparty
	Venue
	TradeStatus
	Desk
	fieldCount
)

// Form is what the values of a field look like in canonical form.
type Form int

// The closed set of forms.
const (
	Text   Form = iota
	Number      // plain decimal notation without trailing zeros
	Date        // YYYY-MM-DD
	Word        // of a closed set
)

// fieldNames are the names in mappings, in the order of the constants.
var fieldNames = [fieldCount]string{
	"trade_id", "execution_id", "order_id", "symbol", "isin", "cusip", "side", "quantity", "price", "currency", "gross_amount", "fees",
	"trade_date", "settlement_date", "account", "counterparty", "venue", "status", "desk",
}

// String is the field's name in mappings.
func (f Field) String() string {
	if f < 0 || f >= fieldCount {
		return fmt.Sprintf("field %d", int(f))
	}
	return fieldNames[f]
}

// Form says what the field's values look like.
func (f Field) Form() Form {
	switch f {
	case Quantity, Price, GrossAmount, Fees:
		return Number
	case TradeDate, SettlementDate:
		return Date
	case TradeSide, TradeStatus:
		return Word
	default:
		return Text
	}
}

// AllFields lists the fields in the order of the documentation.
func AllFields() []Field {
	out := make([]Field, fieldCount)
	for i := range out {
		out[i] = Field(i)
	}
	return out
}

// ParseField reads a field's name.
func ParseField(name string) (Field, bool) {
	for i, known := range fieldNames {
		if name == known {
			return Field(i), true
		}
	}
	return 0, false
}

// Record is one line of a file in canonical form. What a file does not state is
// empty.
type Record struct {
	Line   int
	values [fieldCount]string
}

// Get returns a value.
func (r *Record) Get(f Field) string { return r.values[f] }

// Set puts a value that is in canonical form.
func (r *Record) Set(f Field, value string) { r.values[f] = value }

// widths are the longest texts, in bytes; as wide as the columns of transactions.
var widths = map[Field]int{
	TradeID: 128, ExecutionID: 128, OrderID: 128, Symbol: 64, Account: 128, Counterparty: 128, Venue: 64, Desk: 32,
}

// expectedOf says what a value of a field must be.
func expectedOf(f Field) string {
	switch f {
	case Quantity:
		return "a decimal above 0, " + numberForm
	case Price, GrossAmount, Fees:
		return "a decimal, " + numberForm
	case TradeSide:
		return "buy, sell, sell_short or buy_to_cover, once mapped"
	case TradeStatus:
		return "new, confirmed, settled, failed or cancelled, once mapped"
	case ISIN:
		return "an ISIN of twelve characters whose check digit agrees"
	case CUSIP:
		return "a CUSIP of nine characters whose check digit agrees"
	case Currency:
		return "a currency code of ISO 4217 in capitals such as USD"
	case TradeDate, SettlementDate:
		return "a calendar date from 1900 on"
	default:
		return fmt.Sprintf("text of at most %d bytes without control characters", widths[f])
	}
}

const numberForm = "at most 18 digits before the point and 12 after it, no exponent"

// canonicalValue brings a value that is not empty into canonical form, and reports
// whether it has one.
func canonicalValue(f Field, value string) (string, bool) {
	switch f {
	case Quantity, Price, GrossAmount, Fees:
		d, ok := parseDecimal(value)
		return d.String(), ok && (f != Quantity || d.IsPositive())
	case TradeDate, SettlementDate:
		return value, true // Mapping made it from a time
	case TradeSide:
		value = strings.ToLower(value)
		return value, transaction.Side(value).Valid()
	case TradeStatus:
		value = strings.ToLower(value)
		return value, transaction.Status(value).Valid()
	case ISIN:
		value = strings.ToUpper(value)
		return value, CheckISIN(value) == ""
	case CUSIP:
		value = strings.ToUpper(value)
		return value, CheckCUSIP(value) == ""
	case Currency:
		value = strings.ToUpper(value)
		return value, isCurrency(value)
	default:
		return value, len(value) <= widths[f] && utf8.ValidString(value) && !strings.ContainsFunc(value, unicode.IsControl)
	}
}

func isCurrency(v string) bool {
	return len(v) == 3 && strings.Contains(currencies, v) && strings.Index(currencies, v)%4 == 0
}

// required are the fields without which a record is no transaction.
var required = []Field{TradeID, TradeDate, TradeSide, Symbol, Quantity, Price, Currency}

// Transaction is the record as a transaction, or says which field it lacks. An
// order id has no place in one.
func (r *Record) Transaction() (transaction.Transaction, *LineError) {
	for _, f := range required {
		if r.values[f] == "" {
			return transaction.Transaction{}, &LineError{Line: r.Line, Column: f.String(), Problem: "it is empty; expected is " + expectedOf(f), Expected: expectedOf(f)}
		}
	}
	t := transaction.Transaction{
		TradeID: r.Get(TradeID), ExecutionID: r.Get(ExecutionID), TradeDate: dateOf(r.Get(TradeDate)), SettlementDate: dateOf(r.Get(SettlementDate)),
		Side: transaction.Side(r.Get(TradeSide)), Symbol: r.Get(Symbol), ISIN: r.Get(ISIN), CUSIP: r.Get(CUSIP), Quantity: numberOf(r.Get(Quantity)).Decimal,
		Price: numberOf(r.Get(Price)).Decimal, Currency: r.Get(Currency), GrossAmount: numberOf(r.Get(GrossAmount)), Fees: numberOf(r.Get(Fees)),
		Account: r.Get(Account), Counterparty: r.Get(Counterparty), Venue: r.Get(Venue), Status: transaction.Status(r.Get(TradeStatus)), Desk: r.Get(Desk),
	}
	return t, nil
}

// ReadMappedTransactions is ReadTransactions for files in somebody's own form. Trades
// whose record states no status get the one given.
func ReadMappedTransactions(r io.Reader, l Layout, status transaction.Status, yield func(line int, t *transaction.Transaction) error) (TransactionReport, error) {
	var report TransactionReport
	var lacking []LineError
	n := 0
	lines, err := ReadRecords(r, l, func(record *Record) error {
		t, e := record.Transaction()
		if e != nil {
			n++
			if len(lacking) < MaxReports {
				lacking = append(lacking, *e)
			}
			return nil
		}
		if t.Status == "" {
			t.Status = status
		}
		return yield(record.Line, &t)
	})
	report.LineReport = lines
	if n == 0 || err != nil {
		return report, err
	}
	report.Rows -= n
	report.BadLines += n
	report.Errors = append(report.Errors, lacking...)
	report.sort()
	return report, nil
}

// RecordOf is a transaction as a record.
func RecordOf(t *transaction.Transaction) Record {
	var r Record
	for f, v := range map[Field]string{
		TradeID: t.TradeID, ExecutionID: t.ExecutionID, Symbol: t.Symbol, ISIN: t.ISIN, CUSIP: t.CUSIP, TradeSide: string(t.Side), Quantity: t.Quantity.String(),
		Price: t.Price.String(), Currency: t.Currency, TradeDate: t.TradeDate.Format(time.DateOnly), Account: t.Account, Counterparty: t.Counterparty,
		Venue: t.Venue, TradeStatus: string(t.Status), Desk: t.Desk,
	} {
		r.values[f] = v
	}
	if t.GrossAmount.Valid {
		r.values[GrossAmount] = t.GrossAmount.Decimal.String()
	}
	if t.Fees.Valid {
		r.values[Fees] = t.Fees.Decimal.String()
	}
	if !t.SettlementDate.IsZero() {
		r.values[SettlementDate] = t.SettlementDate.Format(time.DateOnly)
	}
	return r
}

func dateOf(text string) time.Time {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return time.Time{} // empty: values are in canonical form
	}
	return t
}

func numberOf(text string) decimal.NullDecimal {
	d, err := decimal.NewFromString(text)
	return decimal.NullDecimal{Decimal: d, Valid: err == nil}
}

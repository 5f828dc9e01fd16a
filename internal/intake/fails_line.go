package intake

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/shopspring/decimal"
	"golang.org/x/text/encoding/charmap"
)

const failsColumns = 6

var (
	isinPattern  = regexp.MustCompile(`^[A-Z]{2}[A-Z0-9]{9}[0-9]$`)
	cusipPattern = regexp.MustCompile(`^[0-9A-Z*@#]{9}$`)
	// Plain decimal notation: 18 digits before the point and 6 after it are more
	// than any price has, and keep 1e999 out.
	pricePattern = regexp.MustCompile(`^[0-9]{1,18}(\.[0-9]{0,6})?$|^\.[0-9]{1,6}$`)
)

// maxField bounds symbol and description, in bytes; the SEC cuts descriptions at
// 30 characters.
const maxField = 200

// parseFail reads one line. The second result says why it cannot be read.
func parseFail(line []byte) (Fail, *LineError) {
	bad := func(column, format string, args ...any) (Fail, *LineError) {
		return Fail{}, &LineError{Column: column, Problem: fmt.Sprintf(format, args...)}
	}
	text := decode(line)
	if i := strings.IndexFunc(text, unicode.IsControl); i >= 0 {
		return bad("", "there is a control character at character %d", utf8.RuneCountInString(text[:i])+1)
	}
	fields := strings.Split(text, "|")
	if len(fields) != failsColumns {
		return bad("", "%d fields are expected, the line has %d; a '|' inside a field cannot be told from a separator", failsColumns, len(fields))
	}
	for i := range fields {
		fields[i] = strings.TrimSpace(fields[i])
	}
	date, err := time.Parse("20060102", fields[0])
	if err != nil || date.Year() < 1900 {
		return bad("SETTLEMENT DATE", "%q is not a calendar date of the form YYYYMMDD", shown(fields[0]))
	}
	if !cusipPattern.MatchString(fields[1]) {
		return bad("CUSIP", "%q is not nine characters of 0-9, A-Z, *, @ and #", shown(fields[1]))
	}
	quantity, err := strconv.ParseInt(fields[3], 10, 64)
	if err != nil || quantity <= 0 || fields[3][0] == '+' {
		return bad("QUANTITY (FAILS)", "%q is not a positive whole number of shares", shown(fields[3]))
	}
	if strings.ContainsFunc(fields[2], func(r rune) bool { return r >= utf8.RuneSelf }) {
		return bad("SYMBOL", "%q holds other letters than those of ASCII; only a description may", shown(fields[2]))
	}
	if len(fields[2]) > maxField || len(fields[4]) > maxField {
		return bad("DESCRIPTION", "the symbol or the description has over %d bytes", maxField)
	}
	f := Fail{SettlementDate: date, CUSIP: fields[1], Symbol: fields[2], Quantity: quantity, Description: fields[4]}
	if f.Price, err = parsePrice(fields[5]); err != nil {
		return bad("PRICE", "%s", err)
	}
	return f, nil
}

// parsePrice reads US dollars; '.' and nothing mean that there is no price.
func parsePrice(price string) (decimal.NullDecimal, error) {
	if price == "." || price == "" {
		return decimal.NullDecimal{}, nil
	}
	if !pricePattern.MatchString(price) {
		return decimal.NullDecimal{}, fmt.Errorf("%q is neither '.', for no price, nor a plain decimal of at most 18 digits and 6 decimals", shown(price))
	}
	value, err := decimal.NewFromString(price)
	if err != nil {
		return decimal.NullDecimal{}, fmt.Errorf("%q is not a price", price)
	}
	return decimal.NewNullDecimal(value), nil
}

// shown is a field as a problem may quote it: a report must stay small, however
// long the field is.
func shown(field string) string { return printable([]byte(field)) }

// decode reads a line as UTF-8 and, when it is not, as Windows-1252, which agrees
// with Latin-1 in letters: older files hold accented names and curly quotes.
func decode(line []byte) string {
	if utf8.Valid(line) {
		return string(line)
	}
	text, err := charmap.Windows1252.NewDecoder().Bytes(line)
	if err != nil {
		return strings.ToValidUTF8(string(line), "\uFFFD")
	}
	return string(text)
}

// CheckCUSIP says what is wrong with a CUSIP, or returns "". The ninth character
// is a check digit over the first eight, modulus 10 double add double (ANSI
// X9.6).
func CheckCUSIP(s string) (problem string) {
	if !cusipPattern.MatchString(s) {
		return fmt.Sprintf("%q is not nine characters of 0-9, A-Z, *, @ and #", shown(s))
	}
	sum := 0
	for i := range 8 {
		v := cusipValue(s[i])
		if i%2 == 1 {
			v *= 2
		}
		sum += v/10 + v%10
	}
	want := byte('0' + (10-sum%10)%10)
	if s[8] != want {
		return fmt.Sprintf("the check digit of %s is %c and should be %c", s, s[8], want)
	}
	return ""
}

func cusipValue(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'Z':
		return int(c-'A') + 10
	default:
		return strings.IndexByte("*@#", c) + 36
	}
}

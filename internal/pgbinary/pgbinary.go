// Package pgbinary writes values of Postgres' binary form as text. The server sends
// the binary form for a fraction of what its own text costs it. The forms are those
// of the functions numeric_send, timestamptz_send, date_send, int8send and boolsend
// (src/backend/utils/adt of Postgres, the same since version 8.0, infinite numbers
// since 14).
package pgbinary

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Parts of a numeric.
const (
	numericPositive = 0x0000
	numericNegative = 0x4000
	numericNaN      = 0xC000
	numericInfinity = 0xD000
	numericMinusInf = 0xF000
	numericHead     = 8 // bytes before the digits
	numericBase     = 10_000
	maxNumericScale = 0x3FFF // decimal digits after the point
)

// epoch is where Postgres begins to count time: 2000-01-01 in UTC, as seconds of Unix.
const epoch = 946_684_800

func malformed(kind string, b []byte) error {
	return fmt.Errorf("%d bytes are no binary %s of Postgres", len(b), kind)
}

// AppendInteger appends a bigint.
func AppendInteger(dst, b []byte) ([]byte, error) {
	if len(b) != 8 {
		return dst, malformed("bigint", b)
	}
	return strconv.AppendInt(dst, int64(binary.BigEndian.Uint64(b)), 10), nil
}

// AppendBool appends true or false.
func AppendBool(dst, b []byte) ([]byte, error) {
	if len(b) != 1 || b[0] > 1 {
		return dst, malformed("boolean", b)
	}
	return strconv.AppendBool(dst, b[0] == 1), nil
}

// AppendNumeric appends a numeric with every digit, as numeric_out writes it.
func AppendNumeric(dst, b []byte) ([]byte, error) {
	if len(b) < numericHead {
		return dst, malformed("numeric", b)
	}
	n := int(binary.BigEndian.Uint16(b))
	weight := int(int16(binary.BigEndian.Uint16(b[2:]))) // exponent of the first group, in groups
	sign, scale := binary.BigEndian.Uint16(b[4:]), int(binary.BigEndian.Uint16(b[6:]))
	digits := b[numericHead:]
	if len(digits) != 2*n || scale > maxNumericScale {
		return dst, malformed("numeric", b)
	}
	switch sign {
	case numericPositive:
	case numericNegative:
		dst = append(dst, '-')
	case numericNaN:
		return append(dst, "NaN"...), nil
	case numericInfinity:
		return append(dst, "Infinity"...), nil
	case numericMinusInf:
		return append(dst, "-Infinity"...), nil
	default:
		return dst, malformed("numeric", b)
	}
	group := func(i int) int { // groups that are not sent are zero
		if i < 0 || i >= n {
			return 0
		}
		return int(binary.BigEndian.Uint16(digits[2*i:]))
	}
	for i := range n {
		if group(i) >= numericBase {
			return dst, malformed("numeric", b)
		}
	}
	if weight < 0 {
		dst = append(dst, '0')
	} else {
		dst = strconv.AppendInt(dst, int64(group(0)), 10)
	}
	for i := 1; i <= weight; i++ {
		dst = appendGroup(dst, group(i))
	}
	if scale == 0 {
		return dst, nil
	}
	dst = append(dst, '.')
	end := len(dst) + scale
	for i := weight + 1; len(dst) < end; i++ {
		dst = appendGroup(dst, group(i))
	}
	return dst[:end], nil
}

// AppendTimestamp appends a timestamptz in UTC, as 2006-01-02T15:04:05.000000Z. An
// infinite one has no such form: it is finite = false, and nothing is appended. Years
// after 9999 have more digits, those before Christ no sign, as in to_char.
func AppendTimestamp(dst, b []byte) (out []byte, finite bool, err error) {
	if len(b) != 8 {
		return dst, false, malformed("timestamp", b)
	}
	micros := int64(binary.BigEndian.Uint64(b))
	if micros == math.MaxInt64 || micros == math.MinInt64 {
		return dst, false, nil
	}
	seconds := micros / 1e6
	fraction := int(micros % 1e6)
	if fraction < 0 {
		seconds, fraction = seconds-1, fraction+1e6
	}
	t := time.Unix(seconds+epoch, 0).UTC()
	dst = appendDay(dst, t)
	hour, minute, second := t.Clock()
	dst = append(dst, 'T', tens(hour), ones(hour), ':', tens(minute), ones(minute), ':', tens(second), ones(second), '.')
	dst = appendGroup(dst, fraction/100)
	return append(dst, tens(fraction%100), ones(fraction%100), 'Z'), true, nil
}

// AppendDate appends a date as 2006-01-02. An infinite one is as in AppendTimestamp.
func AppendDate(dst, b []byte) (out []byte, finite bool, err error) {
	if len(b) != 4 {
		return dst, false, malformed("date", b)
	}
	days := int32(binary.BigEndian.Uint32(b))
	if days == math.MaxInt32 || days == math.MinInt32 {
		return dst, false, nil
	}
	return appendDay(dst, time.Unix(int64(days)*24*60*60+epoch, 0).UTC()), true, nil
}

func appendDay(dst []byte, t time.Time) []byte {
	year, month, day := t.Date()
	if year <= 0 {
		year = 1 - year
	}
	if year < numericBase {
		dst = appendGroup(dst, year)
	} else {
		dst = strconv.AppendInt(dst, int64(year), 10)
	}
	return append(dst, '-', tens(int(month)), ones(int(month)), '-', tens(day), ones(day))
}

// appendGroup appends n, below 10,000, in four digits.
func appendGroup(dst []byte, n int) []byte {
	return append(dst, tens(n/100), ones(n/100), tens(n%100), ones(n%100))
}

// tens and ones are the digits of n, below 100.
func tens(n int) byte { return byte('0' + n/10) }
func ones(n int) byte { return byte('0' + n%10) }

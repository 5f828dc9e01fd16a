package fix

import (
	"time"
)

// parseTimestamp reads a UTCTimestamp, YYYYMMDD-HH:MM:SS with up to nine digits
// of a second; more are cut. A leap second, :60, is the second after it.
func parseTimestamp(s string) (time.Time, bool) {
	const whole = len("20060102-15:04:05")
	if len(s) < whole || s[8] != '-' || s[11] != ':' || s[14] != ':' {
		return time.Time{}, false
	}
	day, ok := parseDate(s[:8])
	hour, minute, second := digitsAt(s[9:11]), digitsAt(s[12:14]), digitsAt(s[15:17])
	if !ok || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60 {
		return time.Time{}, false
	}
	nanos := 0
	if rest := s[whole:]; rest != "" {
		if rest[0] != '.' || len(rest) < 2 || len(rest) > 13 {
			return time.Time{}, false
		}
		for i, unit := 1, 100_000_000; i < len(rest); i, unit = i+1, unit/10 {
			if rest[i] < '0' || rest[i] > '9' {
				return time.Time{}, false
			}
			nanos += int(rest[i]-'0') * unit
		}
	}
	return time.Date(day.Year(), day.Month(), day.Day(), hour, minute, second, nanos, time.UTC), true
}

// parseDate reads a LocalMktDate, YYYYMMDD, as midnight UTC.
func parseDate(s string) (time.Time, bool) {
	if len(s) != 8 {
		return time.Time{}, false
	}
	year, month, day := digitsAt(s[:4]), digitsAt(s[4:6]), digitsAt(s[6:8])
	if year < 1900 || month < 1 || month > 12 || day < 1 {
		return time.Time{}, false
	}
	t := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if t.Day() != day {
		return time.Time{}, false
	}
	return t, true
}

// digitsAt is the number that a short string of digits writes; -1 otherwise.
func digitsAt(s string) int {
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return -1
		}
		n = n*10 + int(s[i]-'0')
	}
	return n
}

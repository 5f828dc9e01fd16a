package canonical

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// appendValue appends the canonical text of a value; false when it has none, of
// which check says why.
func appendValue(b []byte, v any) ([]byte, bool) {
	switch v := v.(type) {
	case string:
		return appendText(b, v)
	case bool:
		if v {
			return append(b, "true"...), true
		}
		return append(b, "false"...), true
	case Object:
		return appendMap(b, v)
	case map[string]any:
		return appendMap(b, v)
	case []any:
		return appendList(b, v)
	case []string:
		return appendList(b, v)
	case []Object:
		return appendList(b, v)
	}
	return b, false
}

func appendMap(b []byte, m map[string]any) ([]byte, bool) {
	if m == nil {
		return append(b, "null"...), true // as encoding/json has it
	}
	b = append(b, '{')
	var ok bool
	for i, key := range slices.SortedFunc(maps.Keys(m), compareKeys) {
		if i > 0 {
			b = append(b, ',')
		}
		if b, ok = appendText(b, key); !ok {
			return b, false
		}
		if b, ok = appendValue(append(b, ':'), m[key]); !ok {
			return b, false
		}
	}
	return append(b, '}'), true
}

// compareKeys orders keys by their UTF-16 code units (RFC 8785, section 3.2.3).
// Bytes of UTF-8 have the same order but for what lies beyond the basic plane.
func compareKeys(a, b string) int {
	if !beyondBasic(a) && !beyondBasic(b) {
		return strings.Compare(a, b)
	}
	return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
}

// beyondBasic reports whether a text has a code point that UTF-8 writes in four
// bytes and UTF-16 as two units.
func beyondBasic(s string) bool {
	for i := range len(s) {
		if s[i] >= 0xF0 {
			return true
		}
	}
	return false
}

func appendList[T any](b []byte, list []T) ([]byte, bool) {
	if list == nil {
		return b, false
	}
	b = append(b, '[')
	var ok bool
	for i, v := range list {
		if i > 0 {
			b = append(b, ',')
		}
		if b, ok = appendValue(b, v); !ok {
			return b, false
		}
	}
	return append(b, ']'), true
}

// appendText quotes a text (RFC 8785, section 3.2.2.2): what JSON must escape is,
// in its shortest form, and nothing else.
func appendText(b []byte, s string) ([]byte, bool) {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	plain := 0 // what is before this was written
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[plain:i]...)
		plain = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, '\\', 'b')
		case '\t':
			b = append(b, '\\', 't')
		case '\n':
			b = append(b, '\\', 'n')
		case '\f':
			b = append(b, '\\', 'f')
		case '\r':
			b = append(b, '\\', 'r')
		default:
			b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
	}
	return append(append(b, s[plain:]...), '"'), utf8.ValidString(s)
}

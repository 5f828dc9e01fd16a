package fix

import (
	"bytes"
	"regexp"

	"finobs/internal/fault"
)

// The formats that are met where a log is due.
const (
	formatEmpty  = "an empty file"
	formatUTF16  = "text in UTF-16"
	formatXML    = "XML or HTML"
	formatBinary = "binary data"
)

// magics are the first bytes of formats that hold no readable text.
var magics = []struct{ bytes, name string }{
	{"\x1f\x8b", "gzip"}, {"PK\x03\x04", "a zip archive"}, {"\x28\xb5\x2f\xfd", "zstd"}, {"BZh", "bzip2"}, {"\xfd7zXZ\x00", "xz"},
	{"7z\xbc\xaf\x27\x1c", "a 7z archive"}, {"%PDF-", "PDF"}, {"\xd4\xc3\xb2\xa1", "a packet capture"}, {"\xa1\xb2\xc3\xd4", "a packet capture"},
	{"\x0a\x0d\x0d\x0a", "a packet capture"},
}

var xmlPattern = regexp.MustCompile(`^(?s:\s*<(?:\?xml|!DOCTYPE|!--|[A-Za-z_][\w.:-]*(?:\s|/?>)))`)

// sniff names what the input looks like when it is not text; "" when it may be a
// log. b is its beginning.
func sniff(b []byte) string {
	for _, m := range magics {
		if bytes.HasPrefix(b, []byte(m.bytes)) {
			return m.name
		}
	}
	b = b[:min(len(b), 4096)]
	text := bytes.TrimPrefix(b, []byte("\ufeff"))
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return formatEmpty
	case bytes.HasPrefix(b, []byte("\xff\xfe")), bytes.HasPrefix(b, []byte("\xfe\xff")), zeros(b) > len(b)/3:
		return formatUTF16
	case xmlPattern.Match(text):
		return formatXML
	case controls(b) > len(b)/10:
		return formatBinary
	}
	return ""
}

// compressed reports whether there is no point in looking for messages.
func compressed(name string) bool {
	for _, m := range magics {
		if m.name == name {
			return true
		}
	}
	return false
}

func zeros(b []byte) int { return bytes.Count(b, []byte{0}) }

// controls counts control characters other than those that logs have.
func controls(b []byte) int {
	n := 0
	for _, c := range b {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' && c != soh && c != 0x1b || c == 0x7f {
			n++
		}
	}
	return n
}

func notALog(name string) error {
	hint := "send the log itself, as text with messages that begin with 8=FIX"
	switch name {
	case formatEmpty:
	case formatUTF16:
		hint = "save it as UTF-8"
	case formatXML:
		hint = "FIXML is not read; " + hint
	case formatBinary:
	default:
		hint = "unpack it and " + hint
	}
	return fault.New(fault.Invalid, "not-a-fix-log", "this is %s, not a FIX log; %s", name, hint)
}

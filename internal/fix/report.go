package fix

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxReports is how many errors, and as many warnings, a report lists.
const MaxReports = 1000

const (
	maxText     = 200 // bytes of an offending message that a report shows
	maxMsgTypes = 200 // that a report counts one by one
	maxMsgType  = 8   // bytes; the longest of the standard has two
)

// otherTypes counts the messages whose type is not counted one by one.
const otherTypes = "other"

// LineError says what is wrong with a message and how to mend it.
type LineError struct {
	Line int `json:"line"` // from 1, where the message begins; 0 when it is about the whole file
	Problem
	Text string `json:"text,omitempty"` // the beginning of the message, made printable
}

// Report is what was read. The counts are complete; the lists end where their
// number of omitted ones begins.
type Report struct {
	Lines           int            `json:"lines"`
	Messages        int            `json:"messages"`     // good ones
	BadMessages     int            `json:"bad_messages"` // garbled: not yielded
	JunkLines       int            `json:"junk_lines"`   // neither blank nor comment nor session event, and nothing of a message on them
	MsgTypes        map[string]int `json:"msg_types"`    // good messages by 35; rare ones over 200 types are "other"
	Errors          []LineError    `json:"errors"`
	ErrorsOmitted   int            `json:"errors_omitted"`
	Warnings        []LineError    `json:"warnings"` // yielded, but look at them
	WarningsOmitted int            `json:"warnings_omitted"`
}

func newReport() Report {
	return Report{MsgTypes: map[string]int{}, Errors: []LineError{}, Warnings: []LineError{}}
}

// bad reports a message that is not yielded.
func (r *Report) bad(e LineError, text []byte) {
	r.BadMessages++
	if len(r.Errors) == MaxReports {
		r.ErrorsOmitted++
		return
	}
	e.Text = printable(text)
	r.Errors = append(r.Errors, e)
}

func (r *Report) warn(e LineError) {
	if len(r.Warnings) == MaxReports {
		r.WarningsOmitted++
		return
	}
	r.Warnings = append(r.Warnings, e)
}

// good counts a message that is yielded, and its warnings.
func (r *Report) good(m *Message, text []byte) {
	r.Messages++
	kind := m.MsgType
	if _, known := r.MsgTypes[kind]; !known && (len(r.MsgTypes) >= maxMsgTypes || len(kind) > maxMsgType || printable([]byte(kind)) != kind) {
		kind = otherTypes
	}
	r.MsgTypes[kind]++
	if len(m.Problems) == 0 {
		return
	}
	shown := ""
	if len(r.Warnings) < MaxReports {
		shown = printable(text)
	}
	for _, p := range m.Problems {
		r.warn(LineError{Line: m.Line, Problem: p, Text: shown})
	}
}

// first names the first bad message, for the refusal of a file.
func (r *Report) first() string {
	if len(r.Errors) == 0 {
		return ""
	}
	e := r.Errors[0]
	if e.Tag == 0 {
		return fmt.Sprintf("; the first is on line %d: %s", e.Line, e.Problem.Problem)
	}
	return fmt.Sprintf("; the first is on line %d: tag %d: %s", e.Line, e.Tag, e.Problem.Problem)
}

// Refusal says why a strict import refuses the file, or returns "".
func (r *Report) Refusal() string {
	if r.BadMessages == 0 {
		return ""
	}
	return fmt.Sprintf("bad messages: %d", r.BadMessages) + r.first()
}

// printable makes the beginning of a message or value safe to show: at most
// maxText bytes of valid UTF-8 without control characters; SOH is shown as |.
func printable(text []byte) string {
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == soh:
			r = '|'
		case unicode.IsControl(r):
			r = utf8.RuneError
		}
		if b.Len()+utf8.RuneLen(r) > maxText {
			break
		}
		b.WriteRune(r)
		text = text[size:]
	}
	return b.String()
}

// shown is a value as a problem may quote it.
func shown(value string) string { return printable([]byte(value[:min(len(value), maxText)])) }

// mergeWarnings adds warnings that were kept apart, by line.
func (r *Report) mergeWarnings(more []LineError, omitted int) {
	all := slices.Concat(r.Warnings, more)
	slices.SortStableFunc(all, func(a, b LineError) int { return cmp.Compare(a.Line, b.Line) })
	r.WarningsOmitted += omitted + max(0, len(all)-MaxReports)
	r.Warnings = all[:min(len(all), MaxReports)]
}

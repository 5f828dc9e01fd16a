package mailer

import (
	"fmt"

	"finobs/internal/plaintext"
)

// Outcome is what is known about a mail that was not handed over for certain.
type Outcome string

// The closed set of outcomes.
const (
	NotSent Outcome = "not_sent" // the server has no mail; the same may be taken later
	Refused Outcome = "refused"  // the server has no mail, and would refuse the same again
	Unknown Outcome = "unknown"  // the server may have taken it; never send it again blindly
)

// maxDetail bounds Error.Detail, in characters.
const maxDetail = 500

// Error is a mail that was not handed over for certain.
type Error struct {
	Outcome Outcome
	Detail  string // for people: what happened and how to mend it; one line
	Cause   error
}

// Error implements error.
func (e *Error) Error() string { return string(e.Outcome) + ": " + e.Detail }

// Unwrap gives errors.Is and errors.As the cause.
func (e *Error) Unwrap() error { return e.Cause }

// failed makes an Error. Its detail may quote a server, so it is made one line.
func failed(o Outcome, cause error, format string, args ...any) *Error {
	return &Error{Outcome: o, Detail: plaintext.Line(fmt.Sprintf(format, args...), maxDetail), Cause: cause}
}

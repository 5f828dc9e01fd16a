package notify

import (
	"errors"
	"fmt"

	"finobs/internal/plaintext"
)

// Outcome is what is known about a message that was not sent for certain.
type Outcome string

// The closed set of outcomes.
const (
	NotSent Outcome = "not_sent" // nothing left, or a repetition does no harm: try again
	Refused Outcome = "refused"  // nothing left, and the same would be refused again
	Unknown Outcome = "unknown"  // it may have arrived; never resend it blindly
)

// Valid reports whether o is one of the outcomes above.
func (o Outcome) Valid() bool {
	switch o {
	case NotSent, Refused, Unknown:
		return true
	}
	return false
}

// Error is a message that was not sent for certain.
type Error struct {
	Outcome Outcome
	Detail  string // for people: what happened and how to mend it; one line
	Cause   error  // may be nil
}

// Error implements error.
func (e *Error) Error() string { return string(e.Outcome) + ": " + e.Detail }

// Unwrap gives errors.Is and errors.As the cause.
func (e *Error) Unwrap() error { return e.Cause }

// OutcomeOf returns the outcome of the first *Error in err's chain. Any other
// error says nothing about the message, which is Unknown. It is "" for nil.
func OutcomeOf(err error) Outcome {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Outcome
	}
	return Unknown
}

// failed makes an Error. Its detail may quote a server, so it is made one line.
func failed(o Outcome, cause error, format string, args ...any) *Error {
	return &Error{Outcome: o, Detail: plaintext.Line(fmt.Sprintf(format, args...), maxDetail), Cause: cause}
}

func refused(cause error, format string, args ...any) *Error {
	return failed(Refused, cause, format, args...)
}

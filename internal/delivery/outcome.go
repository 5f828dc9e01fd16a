package delivery

import (
	"errors"
	"fmt"
	"io"

	"finobs/internal/plaintext"
)

// Outcome is what is known about a delivery.
type Outcome string

// The closed set of outcomes.
const (
	Delivered Outcome = "delivered" // the destination has all of it
	Failed    Outcome = "failed"    // it does not, or delivering again does no harm
	Unknown   Outcome = "unknown"   // it may have arrived; never deliver it again blindly
)

// Valid reports whether o is one of the outcomes above.
func (o Outcome) Valid() bool {
	switch o {
	case Delivered, Failed, Unknown:
		return true
	}
	return false
}

// Why a delivered file was not read.
var (
	ErrMissing     = errors.New("it is not there")
	ErrUnreachable = errors.New("the destination cannot be reached")
	ErrUnreadable  = errors.New("this kind of destination cannot be read back")
)

// Error is a delivery that did not succeed for certain.
type Error struct {
	Outcome Outcome // Failed or Unknown
	Retry   bool    // trying again can help, without anybody changing anything
	Reason  string  // for people: what happened, where, and how to mend it; one line
	err     error   // may be nil
}

// Error implements error.
func (e *Error) Error() string { return string(e.Outcome) + ": " + e.Reason }

// Unwrap gives errors.Is and errors.As the cause.
func (e *Error) Unwrap() error { return e.err }

// OutcomeOf returns what an error of Deliver says: Delivered for nil, and Unknown
// for an error that is no *Error.
func OutcomeOf(err error) Outcome {
	if err == nil {
		return Delivered
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Outcome
	}
	return Unknown
}

// maxReason bounds Error.Reason, in characters.
const maxReason = 500

// failed makes an Error. Its reason may quote a server, so it is made one line.
func failed(retry bool, cause error, format string, args ...any) *Error {
	return &Error{Outcome: Failed, Retry: retry, Reason: plaintext.Line(fmt.Sprintf(format, args...), maxReason), err: cause}
}

// reading gives the errors of a reader that reads from a destination their
// meaning.
type reading struct {
	io.ReadCloser
	what string
}

// Read implements io.Reader.
func (r reading) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // the contract of io.Reader is to return io.EOF itself
		err = fmt.Errorf("reading %s: %w: %w", r.what, ErrUnreachable, err)
	}
	return n, err
}

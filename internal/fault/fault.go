// Package fault is the one error vocabulary of finobs. Every layer returns a
// *fault.Error when the cause concerns the caller; whatever is not one is
// internal, and its text never leaves the process.
//
// The kind decides everything downstream: whether Temporal retries an activity
// (package activities) and which HTTP status answers a request (package api).
package fault

import (
	"errors"
	"fmt"
)

// Kind classifies an error by what the caller can do about it.
type Kind string

// The closed set of kinds.
const (
	Invalid         Kind = "invalid"         // the input is wrong; mend it and send it again
	Unauthenticated Kind = "unauthenticated" // who is asking is not known
	Forbidden       Kind = "forbidden"       // who is asking may not do this
	NotFound        Kind = "not_found"       // there is no such thing, or none the caller may see
	Conflict        Kind = "conflict"        // the thing is not in a state that allows this
	Gone            Kind = "gone"            // it was possible once and will not be again
	TooLarge        Kind = "too_large"       // the input is over a stated limit
	Unavailable     Kind = "unavailable"     // a dependency is down; the same call may succeed later
	Internal        Kind = "internal"        // our fault; the cause is logged, not sent
)

// Valid reports whether k is one of the kinds above.
func (k Kind) Valid() bool {
	switch k {
	case Invalid, Unauthenticated, Forbidden, NotFound, Conflict, Gone, TooLarge, Unavailable, Internal:
		return true
	}
	return false
}

// Retryable reports whether doing the same again may succeed without anybody
// changing anything.
func (k Kind) Retryable() bool { return k == Unavailable || k == Internal }

// Error is a failure with a meaning for the caller.
type Error struct {
	Kind    Kind
	Code    string // stable, dashed, machine-readable: "approval-not-pending"
	Message string // safe to show: what is wrong, where, and how to mend it
	Cause   error  // private; logged at the edge, never sent
}

// New returns an Error whose message is formatted like fmt.Sprintf.
func New(kind Kind, code, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap returns an Error that keeps cause for the log.
func Wrap(cause error, kind Kind, code, format string, args ...any) *Error {
	e := New(kind, code, format, args...)
	e.Cause = cause
	return e
}

// Error implements error. The cause is part of it: this text is for logs.
func (e *Error) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Cause)
	}
	return e.Code + ": " + e.Message
}

// Unwrap gives errors.Is and errors.As the private cause.
func (e *Error) Unwrap() error { return e.Cause }

// KindOf returns the kind of the first *Error in err's chain, and Internal for
// any other error.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// CodeOf returns the code of the first *Error in err's chain, or "internal".
func CodeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return "internal"
}

// MessageOf returns the safe message of the first *Error in err's chain; for
// any other error it says no more than that something went wrong inside.
func MessageOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Message
	}
	return "an internal error occurred"
}

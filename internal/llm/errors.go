package llm

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"finobs/internal/budget"
	"finobs/internal/fault"
	"finobs/internal/outbound"
	"finobs/internal/plaintext"
)

// The codes of the faults that Analyse returns. After any of them the rulebook
// answers.
const (
	CodeUnavailable    = "model.unavailable"     // unreachable, or it refused to answer
	CodeTimeout        = "model.timeout"         // it took longer than a call may
	CodeInvalidOutput  = "model.invalid_output"  // nothing usable came, after the repairs
	CodeOverBudget     = budget.OverBudget       // the budget does not suffice for another call
	CodeTooLarge       = "model.too_large"       // the prompt or the answer is over a limit
	CodeCircuitOpen    = "model.circuit_open"    // it failed several times just now, and is left alone
	CodeInvalidRequest = "model.invalid_request" // the caller's mistake
	CodeReplayMiss     = "replay.miss"           // the record has no answer to this request
)

// Causes that the transport gives.
var (
	errTooLarge  = errors.New("the answer is over the limit of bytes")
	errSecret    = errors.New("the key stands in what was sent or received")
	errOtherHost = errors.New("the request is for another host")
	errTwice     = errors.New("the client sent a second request")
	errEnvelope  = errors.New("the answer is not the strict JSON of the provider")
)

func unavailable(cause error, format string, args ...any) error {
	return fault.Wrap(cause, fault.Unavailable, CodeUnavailable, format, args...)
}

func invalidOutput(format string, args ...any) error {
	return fault.New(fault.Invalid, CodeInvalidOutput, format, args...)
}

// ofTransport is the fault of a call that brought no answer. The cause is the
// transport's own; what the client made of it may quote the provider, and is
// left out.
func (a *Analyst) ofTransport(ctx context.Context, c *capture) error {
	host := a.config.base.Host
	var recorded *fault.Error
	switch {
	case errors.As(c.err, &recorded): // of a replay
		return recorded
	case errors.Is(c.err, errTooLarge):
		return fault.New(fault.TooLarge, CodeTooLarge, "the answer of %s is over %d bytes", host, maxResponse)
	case errors.Is(c.err, errEnvelope):
		return invalidOutput("what %s answered is not the JSON of a model: %v; check FINOBS_MODEL_BASE_URL", host, c.err)
	case errors.Is(c.err, errSecret), errors.Is(c.err, errOtherHost), errors.Is(c.err, errTwice):
		return invalidOutput("the exchange with %s was stopped: %v", host, c.err)
	case errors.Is(ctx.Err(), context.DeadlineExceeded), errors.Is(c.err, context.DeadlineExceeded):
		return fault.New(fault.Unavailable, CodeTimeout, "%s did not answer within %s", host, a.config.Timeout)
	case outbound.Forbidden(c.err):
		return unavailable(nil, "%s is this machine or in a private network: set FINOBS_MODEL_ALLOW_PRIVATE=true if it is meant", host)
	}
	return unavailable(a.cleaned(c.err), "%s cannot be reached", host)
}

// cleaned is an error of the transport for the log. One about malformed HTTP
// quotes what the server sent, which may be the key.
func (a *Analyst) cleaned(err error) error {
	text := err.Error()
	if a.config.Key.in(text) {
		return errSecret
	}
	return errors.New(plaintext.Line(text, 300))
}

// ofStatus is the fault of an answer that is no 200. The provider's words are not
// repeated: they may quote the key, and anything else.
func (a *Analyst) ofStatus(x Exchange) error {
	host := a.config.base.Host
	switch status := x.Status; {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return unavailable(nil, "%s answered %d: check the key of the model", host, status)
	case status == http.StatusTooManyRequests:
		if seconds, err := strconv.ParseUint(x.RetryAfter, 10, 16); err == nil {
			return unavailable(nil, "%s answered 429 and asks to wait %d seconds", host, seconds)
		}
		return unavailable(nil, "%s answered 429: its limit is reached", host)
	case status == http.StatusRequestEntityTooLarge:
		return fault.New(fault.TooLarge, CodeTooLarge, "%s answered 413: lower FINOBS_MODEL_MAX_PROMPT_BYTES", host)
	case status >= 300 && status < 400:
		return unavailable(nil, "%s answered %d: redirects are not followed; set FINOBS_MODEL_BASE_URL to where it points", host, status)
	case status == http.StatusBadRequest || status == http.StatusNotFound || status == http.StatusUnprocessableEntity:
		return unavailable(nil, "%s answered %d: check FINOBS_MODEL, FINOBS_MODEL_BASE_URL and FINOBS_MODEL_STRUCTURE", host, status)
	}
	return unavailable(nil, "%s answered %d", host, x.Status)
}

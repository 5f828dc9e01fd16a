package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"finobs/internal/fault"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"
)

// Problem is the body of every error (RFC 9457).
type Problem struct {
	Type      string   `json:"type" doc:"stable name of the kind of problem, urn:finobs:problem:CODE"`
	Title     string   `json:"title" doc:"the HTTP status in words"`
	Status    int      `json:"status"`
	Detail    string   `json:"detail" doc:"what is wrong and how to mend it"`
	RequestID string   `json:"request_id" doc:"quote it when you ask for help"`
	Errors    []string `json:"errors,omitempty" doc:"each thing that is wrong with the input"`

	retryAfter int
	allow      string // methods, for 405
}

// retryAfter is how many seconds a caller should wait for a dependency that is
// down.
const retryAfter = 5

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.allow != "" {
		h.Set("Allow", p.allow)
	}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	return h
}

func newProblem(ctx context.Context, status int, code, detail string, all ...string) *Problem {
	return &Problem{
		Type: "urn:finobs:problem:" + code, Title: http.StatusText(status), Status: status, Detail: detail,
		RequestID: requestID(ctx), Errors: all,
	}
}

// problemOf gives an error its HTTP form. The text of an error that is not a
// fault stays in the log.
func problemOf(ctx context.Context, err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	kind := fault.KindOf(err)
	p = newProblem(ctx, statusOf(kind), fault.CodeOf(err), fault.MessageOf(err))
	if kind == fault.Unavailable {
		p.retryAfter = retryAfter
	}
	if kind.Retryable() {
		slog.ErrorContext(ctx, "request failed", "request_id", p.RequestID, "error", err)
	}
	return p
}

func statusOf(k fault.Kind) int {
	switch k {
	case fault.Invalid:
		return http.StatusUnprocessableEntity
	case fault.Unauthenticated:
		return http.StatusUnauthorized
	case fault.Forbidden:
		return http.StatusForbidden
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Conflict:
		return http.StatusConflict
	case fault.Gone:
		return http.StatusGone
	case fault.TooLarge:
		return http.StatusRequestEntityTooLarge
	case fault.Unavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// abort ends a request that never reaches a handler.
func abort(c *gin.Context, err error) {
	p := problemOf(c.Request.Context(), err)
	for name, values := range p.GetHeaders() {
		c.Header(name, values[0])
	}
	if p.Status == http.StatusUnauthorized {
		c.Header("WWW-Authenticate", `Bearer realm="finobs"`)
	}
	c.Header("Content-Type", "application/problem+json")
	c.AbortWithStatusJSON(p.Status, p)
}

// humaProblem is how huma's own errors, those of validation among them, look.
func humaProblem(ctx huma.Context, status int, message string, errs ...error) huma.StatusError {
	requestCtx := context.Background()
	if ctx != nil {
		requestCtx = ctx.Context()
	}
	if status >= http.StatusInternalServerError {
		slog.ErrorContext(requestCtx, "request failed", "message", message, "errors", errs)
		return newProblem(requestCtx, status, "internal", "an internal error occurred")
	}
	all := make([]string, 0, len(errs))
	for _, err := range errs {
		if err != nil {
			all = append(all, err.Error())
		}
	}
	if status == http.StatusUnsupportedMediaType {
		return newProblem(requestCtx, status, "not-json", "send the body as JSON, with Content-Type: application/json")
	}
	if len(all) > 0 { // many clients show the detail alone
		message += ": " + all[0]
	}
	return newProblem(requestCtx, status, "invalid-request", message, all...)
}

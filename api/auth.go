package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"time"

	"finobs/internal/approval"
	"finobs/internal/fault"
	"finobs/internal/identity"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"
)

type contextKey int

const (
	principalKey contextKey = iota
	requestIDKey
	routeKey
)

// principal is who asks. Routes that are not Public have one.
func principal(ctx context.Context) approval.Principal {
	p, _ := ctx.Value(principalKey).(approval.Principal)
	return p
}

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey).(string)
	return id
}

// routeOf is the method and path of the route that was called, as the permission
// table names it.
func routeOf(ctx context.Context) string {
	route, _ := ctx.Value(routeKey).(string)
	return route
}

func traceID(ctx context.Context) string {
	return trace.SpanContextFromContext(ctx).TraceID().String()
}

var requestIDPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{8,64}$`)

// identify gives every request an id and shows it, and the trace, to the caller.
func identify(c *gin.Context) {
	id := c.GetHeader("X-Request-Id")
	if !requestIDPattern.MatchString(id) {
		id = uuid.NewString()
	}
	ctx := context.WithValue(c.Request.Context(), requestIDKey, id)
	c.Request = c.Request.WithContext(ctx)
	h := c.Writer.Header()
	h.Set("X-Request-Id", id)
	h.Set("X-Trace-Id", traceID(ctx))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
}

// recoverPanic answers a panic like any internal error and logs it.
func recoverPanic(c *gin.Context, thrown any) {
	slog.ErrorContext(c.Request.Context(), "request panicked", "request_id", requestID(c.Request.Context()), "panic", thrown)
	abort(c, errors.New("panic"))
}

// devUserHeader names the person to be under --dev-insecure.
const devUserHeader = "X-Dev-User"

// guard authenticates the caller and checks the permission of the matched route.
// A route without an entry in the table is denied, whoever asks.
func (s *Server) guard(c *gin.Context) {
	if c.FullPath() == "" {
		return // nothing is mounted here; noRoute or noMethod answers
	}
	route := c.Request.Method + " " + c.FullPath()
	c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), routeKey, route))
	wanted, listed := s.permissions[route]
	switch {
	case !listed:
		s.deny(c, "authorize", fault.New(fault.Forbidden, "route-not-listed", "%s has no entry in the permission table", route))
		return
	case wanted == Public:
		return
	case wanted == Ingest && s.signed(c):
		return // the handler verifies the signature, which is over the body
	}
	p, err := s.authenticate(c, wanted)
	if fault.KindOf(err) == fault.Unavailable {
		abort(c, err) // nothing is wrong with the token, as far as anybody knows
		return
	}
	if err != nil {
		s.deny(c, "authenticate", fault.New(fault.Unauthenticated, "not-authenticated", "%v", err))
		return
	}
	if p, err = s.reduce(c.Request.Context(), p, wanted); err != nil {
		abort(c, err)
		return
	}
	c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), principalKey, p))
	if !permits(p, wanted) {
		s.deny(c, "authorize", fault.New(fault.Forbidden, "not-permitted", "permission %s is needed; roles [%s] do not grant it",
			wanted, strings.Join(p.Roles, " ")))
	}
}

// signed reports whether a request is to be judged by what its source signs, or by
// the source's own secret, and not by a token of finobs. The secret may stand where
// tokens do.
func (s *Server) signed(c *gin.Context) bool {
	from, err := s.Sources.Get(c.Param("source"))
	if err != nil || from.Verifier == nil {
		return false
	}
	if len(c.Request.Header.Values("Authorization")) == 0 {
		return true
	}
	if !from.Verifier.ReadsAuthorization() {
		return false
	}
	_, err = s.authenticate(c, Ingest)
	return err != nil
}

// authenticate says who asks: the console on somebody's behalf, else the holder of
// a bearer token, else, for what only reads, whose session the cookie is.
func (s *Server) authenticate(c *gin.Context, wanted Permission) (approval.Principal, error) {
	if visitor, ok := visitorOf(c.Request.Context()); ok {
		return visitor.Principal, nil
	}
	bare := len(c.Request.Header.Values("Authorization")) == 0
	if s.DevInsecure {
		c.Header("X-Finobs-Insecure", "dev-insecure: nobody is authenticated")
		if bare {
			return devPrincipal(c.GetHeader(devUserHeader)), nil
		}
	}
	if bare {
		signedIn, err := s.bySession(c.Request, wanted)
		if err == nil { // what lasts, such as a stream, ends with the session
			c.Request = c.Request.WithContext(withExpiry(c.Request.Context(), signedIn.ExpiresAt))
		}
		return signedIn.Principal, err
	}
	token, err := identity.BearerToken(c.Request.Header)
	if err != nil {
		return approval.Principal{}, err
	}
	return s.byToken(c.Request.Context(), token)
}

// byToken says whom a token speaks for: one of a provider that is trusted, or, on
// a development database, one of finobs token.
func (s *Server) byToken(ctx context.Context, token string) (approval.Principal, error) {
	p, err := s.Issuers.Verify(ctx, token, time.Now())
	if !errors.Is(err, identity.ErrForeign) {
		return p, err
	}
	if p, err = s.Identity.Verify(token, time.Now()); err != nil {
		return p, err
	}
	dev, err := s.environment.dev(ctx)
	switch {
	case err != nil:
		return approval.Principal{}, err
	case !dev:
		return approval.Principal{}, errors.New("tokens of finobs token count on a development database alone; get one of the identity provider")
	}
	return p, nil
}

func devPrincipal(name string) approval.Principal {
	if name == "" {
		name = "dev"
	}
	return approval.Principal{
		Person: approval.Person{Issuer: "finobs-dev-insecure", Subject: name}, Kind: approval.Human, Roles: []string{"admin"},
	}
}

func noRoute(c *gin.Context) {
	abort(c, fault.New(fault.NotFound, "no-such-route", "there is no route %s; /docs/ lists them", c.Request.URL.Path))
}

func noMethod(c *gin.Context) {
	abort(c, newProblem(c.Request.Context(), http.StatusMethodNotAllowed, "method-not-allowed",
		c.Request.URL.Path+" does not answer "+c.Request.Method+"; the header Allow lists what it answers"))
}

// deny refuses a request and records that.
func (s *Server) deny(c *gin.Context, action string, why *fault.Error) {
	s.recordDenial(c.Request.Context(), action, why.Message)
	abort(c, why)
}

func (s *Server) recordDenial(ctx context.Context, action, reason string) {
	s.denials.record(ctx, denial{
		Action: action, Reason: reason, Route: routeOf(ctx), Actor: principal(ctx), RequestID: requestID(ctx), TraceID: traceID(ctx),
	})
}

// underAPI serves every route under /api as well.
func underAPI(next http.Handler) http.Handler {
	stripped := http.StripPrefix("/api", next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") {
			stripped.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

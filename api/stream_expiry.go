package api

import (
	"context"
	"net/http"
	"time"

	"finobs/internal/identity"
)

type expiryKey struct{}

// withExpiry says until when the caller counts as authenticated, for calls that
// last. A bearer token says so itself.
func withExpiry(ctx context.Context, at time.Time) context.Context {
	return context.WithValue(ctx, expiryKey{}, at)
}

// expiryOf is until when the caller of an authenticated request counts as such;
// zero for ever, which is so without authentication alone.
func expiryOf(r *http.Request) time.Time {
	if at, ok := r.Context().Value(expiryKey{}).(time.Time); ok {
		return at
	}
	token, err := identity.BearerToken(r.Header)
	if err != nil {
		return time.Time{}
	}
	return identity.Expiry(token)
}

package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"finobs/internal/fault"
)

// parseOrigins reads a list of origins (RFC 6454), such as https://ops.example.com.
func parseOrigins(list []string) ([]string, error) {
	out := make([]string, 0, len(list))
	for _, text := range list {
		u, err := url.Parse(strings.TrimSpace(text))
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || strings.Contains(u.Host, "*") {
			return nil, fmt.Errorf("FINOBS_ORIGINS: %q is no origin such as https://ops.example.com, without a path or wildcard", text)
		}
		out = append(out, strings.ToLower(u.Scheme+"://"+u.Host))
	}
	return out, nil
}

// checkOrigin refuses streams to pages of other sites: no browser asks before it
// opens a WebSocket for them. What is no browser names no page, and must carry a
// token then, or be in the browser by way of a GET that SameSite cookies guard.
func checkOrigin(r *http.Request, allowed []string, socket, insecure bool) *fault.Error {
	origin := r.Header.Get("Origin")
	switch {
	case len(r.Header.Values("Origin")) > 1:
		return fault.New(fault.Forbidden, "foreign-origin", "the request has more than one Origin header")
	case origin == "":
		// Browsers send Origin with every WebSocket, but not with a GET of their own site.
		if socket && !insecure && r.Header.Get("Authorization") == "" {
			return fault.New(fault.Forbidden, "no-origin", "a WebSocket without an Origin header must carry a bearer token")
		}
		return nil
	}
	scheme, host, _ := strings.Cut(strings.ToLower(origin), "://")
	own := (scheme == "http" || scheme == "https") && host != "" && host == strings.ToLower(r.Host) // which of both is the proxy's to know
	if own || slices.Contains(allowed, strings.ToLower(origin)) {
		return nil
	}
	return fault.New(fault.Forbidden, "foreign-origin", "pages of %.200q may not open streams here; FINOBS_ORIGINS lists those that may", origin)
}

package identity

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"net/url"
	"time"

	"finobs/internal/approval"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Flow binds a sign-in at a provider to the browser that began it. The browser
// keeps it sealed meanwhile.
type Flow struct {
	Issuer   string    `json:"issuer"` // name
	State    string    `json:"state"`
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"` // of PKCE (RFC 7636)
	Next     string    `json:"next"`     // where the person goes afterwards, within the console
	Until    time.Time `json:"until"`    // later answers of the provider are refused
}

// SignInError is why a sign-in at a provider failed, in words for the person.
type SignInError struct {
	Message string // of a closed set
	Words   string // the provider's own, as untrusted as ever; may be empty
	cause   error
}

// Error implements error.
func (e *SignInError) Error() string {
	text := e.Message
	if e.Words != "" {
		text += fmt.Sprintf(" (it says: %q)", e.Words)
	}
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

// Unwrap returns what happened beneath, if anything.
func (e *SignInError) Unwrap() error { return e.cause }

func failed(cause error, format string, args ...any) error {
	return &SignInError{Message: fmt.Sprintf(format, args...), cause: cause}
}

func (i *Issuer) client(e endpoints, redirect string) *oauth2.Config {
	return &oauth2.Config{ClientID: i.clientID, ClientSecret: i.clientSecret, Endpoint: e.Endpoint, RedirectURL: redirect, Scopes: i.scopes}
}

// Begin returns where a browser goes to sign in: the code flow of OpenID Connect
// Core 1.0, section 3.1, with PKCE S256. The error is a *SignInError.
func (i *Issuer) Begin(ctx context.Context, f Flow, redirect string) (string, error) {
	e, err := i.discover(ctx)
	if err != nil {
		return "", failed(err, "%s cannot be reached now; try again in a minute", i.Title)
	}
	if e.AuthURL == "" || e.TokenURL == "" {
		return "", failed(nil, "%s does not say where people sign in", i.Title)
	}
	return i.client(e, redirect).AuthCodeURL(f.State, oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)), nil
}

// Finish takes the provider's answer, the query of the redirect, and returns who
// signed in. The error is a *SignInError.
func (i *Issuer) Finish(ctx context.Context, f Flow, redirect string, answer url.Values, now time.Time) (approval.Principal, error) {
	refused := approval.Principal{}
	switch {
	case !hmac.Equal([]byte(answer.Get("state")), []byte(f.State)) || f.State == "":
		return refused, failed(nil, "this answer belongs to another sign-in than the one that this browser began; begin again")
	case now.After(f.Until):
		return refused, failed(nil, "the sign-in took too long; begin again")
	case answer.Has("iss") && answer.Get("iss") != i.url: // RFC 9207
		return refused, failed(nil, "the answer is of another provider than %s; begin again", i.Title)
	case answer.Get("error") != "":
		return refused, i.explain(answer)
	case answer.Get("code") == "":
		return refused, failed(nil, "%s sent neither a code nor an error; begin again", i.Title)
	}
	e, err := i.discover(ctx)
	if err != nil {
		return refused, failed(err, "%s cannot be reached now; try again in a minute", i.Title)
	}
	ctx = oidc.ClientContext(ctx, i.http)
	tokens, err := i.client(e, redirect).Exchange(ctx, answer.Get("code"), oauth2.VerifierOption(f.Verifier))
	if err != nil {
		return refused, failed(withoutBody(err), "%s did not take the code of this sign-in, or cannot be reached; begin again", i.Title)
	}
	raw, _ := tokens.Extra("id_token").(string)
	if raw == "" {
		return refused, failed(nil, "%s sent no ID token; its client for finobs needs the scope openid", i.Title)
	}
	p, err := i.identify(ctx, raw, tokens.AccessToken, f, now)
	if err != nil {
		return refused, failed(err, "%s sent an ID token that does not hold", i.Title)
	}
	if len(p.Roles) == 0 {
		return refused, failed(nil, "you are known to %s, but nothing that it says of you gives you a role in finobs; ask whoever keeps the map of roles (FINOBS_OIDC_FILE)", i.Title)
	}
	return p, nil
}

// identify says whom an ID token is of.
func (i *Issuer) identify(ctx context.Context, raw, access string, f Flow, now time.Time) (approval.Principal, error) {
	refused := approval.Principal{}
	algorithms := make([]string, 0, len(i.algorithms))
	for _, a := range i.algorithms {
		algorithms = append(algorithms, string(a))
	}
	verifier := oidc.NewVerifier(i.url, i, &oidc.Config{ClientID: i.clientID, SupportedSigningAlgs: algorithms, Now: func() time.Time { return now }})
	token, err := verifier.Verify(ctx, raw)
	if err != nil {
		return refused, err
	}
	if !hmac.Equal([]byte(token.Nonce), []byte(f.Nonce)) || f.Nonce == "" {
		return refused, errors.New("its nonce is not that of this sign-in")
	}
	if token.AccessTokenHash != "" {
		if err := token.VerifyAccessToken(access); err != nil {
			return refused, fmt.Errorf("its at_hash is not of the access token: %w", err)
		}
	}
	var payload rawJSON
	if err := token.Claims(&payload); err != nil {
		return refused, err
	}
	var c struct {
		Party string `json:"azp"`
	}
	all, err := readClaims(payload, &c)
	if err != nil {
		return refused, err
	}
	if c.Party != "" && c.Party != i.clientID || c.Party == "" && len(token.Audience) > 1 {
		return refused, errors.New("it is for another client (azp)") // OpenID Connect Core 1.0, section 3.1.3.7
	}
	if err := checkSubject(token.Subject); err != nil {
		return refused, err
	}
	return i.principal(token.Subject, i.clientID, all)
}

type rawJSON []byte

// UnmarshalJSON implements json.Unmarshaler.
func (r *rawJSON) UnmarshalJSON(text []byte) error {
	*r = append(rawJSON{}, text...)
	return nil
}

// withoutBody keeps of a provider's refusal what names it; its text may hold what
// it was sent.
func withoutBody(err error) error {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		if refused.ErrorCode != "" && safeWord(refused.ErrorCode) {
			return fmt.Errorf("the token endpoint answered %s", refused.ErrorCode)
		}
		return errors.New("the token endpoint refused it")
	}
	return err
}

// explain puts an error answer (RFC 6749, section 4.1.2.1) into plain words. What
// the provider writes is cut.
func (i *Issuer) explain(answer url.Values) error {
	var text string
	switch answer.Get("error") {
	case "access_denied":
		text = i.Title + " did not let you in, or you cancelled"
	case "login_required", "interaction_required", "consent_required", "account_selection_required":
		text = i.Title + " wants you to do something there first; begin again"
	case "temporarily_unavailable", "server_error":
		text = i.Title + " has a problem of its own; try again in a minute"
	case "unauthorized_client", "invalid_scope", "unsupported_response_type", "invalid_request":
		text = i.Title + " does not know finobs as it is set up here; tell whoever keeps FINOBS_OIDC_FILE"
	default:
		text = i.Title + " refused the sign-in"
	}
	return &SignInError{Message: text, Words: cut(answer.Get("error_description"), 200)}
}

func safeWord(s string) bool {
	for _, r := range s {
		if (r < 'a' || r > 'z') && r != '_' {
			return false
		}
	}
	return len(s) <= 64
}

func cut(s string, n int) string {
	if runes := []rune(s); len(runes) > n {
		return string(runes[:n]) + "…"
	}
	return s
}

// EndSession returns where a browser goes to sign out at the provider as well
// (OpenID Connect RP-Initiated Logout 1.0), and afterwards to after; "" when the
// provider offers none.
func (i *Issuer) EndSession(ctx context.Context, after string) string {
	e, err := i.discover(ctx)
	if err != nil || e.endSession == "" || i.clientID == "" {
		return ""
	}
	u, err := url.Parse(e.endSession)
	if err != nil {
		return ""
	}
	q := u.Query()
	q.Set("client_id", i.clientID)
	q.Set("post_logout_redirect_uri", after)
	u.RawQuery = q.Encode()
	return u.String()
}

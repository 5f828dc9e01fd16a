package api

import (
	"crypto/hmac"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"finobs/internal/approval"
	"finobs/internal/fault"
	"finobs/internal/identity"
	"finobs/internal/session"

	"github.com/gin-gonic/gin"
	"golang.org/x/oauth2"
)

const (
	flowLife    = 10 * time.Minute // of a sign-in at a provider
	formLife    = time.Hour        // of the page with the form
	maxForm     = 16 << 10         // bytes of a form
	signInLimit = "too many sign-ins from your address; wait a minute and try again"
)

// Cookies of minutes. The provider sends the person back from another site, so the
// flow's cookie must come along then; it gives nobody a session by itself.
var (
	flowCookie = session.Passing{Name: "flow", Life: flowLife, Cross: true}
	formCookie = session.Passing{Name: "form", Life: formLife}
)

// formBinding is what the browser that got the form holds; only it can send the
// form, so nobody signs somebody else in as himself.
type formBinding struct {
	CSRF  string    `json:"csrf"`
	Until time.Time `json:"until"`
}

// signInRoutes are those of signing in and out; see docs/sign-in.md.
func (s *Server) signInRoutes() []route {
	return []route{
		hidden(http.MethodGet, "/login", s.loginPage),
		hidden(http.MethodPost, "/login", s.login),
		hidden(http.MethodGet, "/login/callback", s.loginCallback),
		hidden(http.MethodGet, "/login/static/:file", loginStatic),
		hidden(http.MethodPost, "/logout", s.logout),
	}
}

// loginPage shows the ways to sign in.
func (s *Server) loginPage(c *gin.Context) {
	note := ""
	if c.Query("signed_out") == "1" {
		note = "You are signed out."
	}
	s.showLogin(c, http.StatusOK, loginView{Note: note, Next: localPath(c.Query("next"))})
}

// login takes the form: it begins a sign-in at a provider, or signs in with a token
// on a development database.
func (s *Server) login(c *gin.Context) {
	if !s.fromOwnPage(c) {
		return
	}
	next := localPath(c.PostForm("next"))
	var held formBinding
	if err := s.Sessions.Open(c.Request, formCookie, &held); err != nil || time.Now().After(held.Until) || held.CSRF == "" || !hmac.Equal([]byte(held.CSRF), []byte(c.PostForm("csrf"))) {
		s.refuseSignIn(c, http.StatusForbidden, next, errors.New("the form is too old, or is not of this browser; cookies must be allowed. Try again"))
		return
	}
	if c.PostForm("with") == identity.TokenSignIn {
		s.loginByToken(c, next)
		return
	}
	issuer, known := s.Issuers.Named(c.PostForm("with"))
	if !known {
		s.refuseSignIn(c, http.StatusNotFound, next, errors.New("there is no such way to sign in"))
		return
	}
	flow := identity.Flow{
		Issuer: issuer.Name, State: session.Random(), Nonce: session.Random(), Verifier: oauth2.GenerateVerifier(), Next: next, Until: time.Now().Add(flowLife),
	}
	to, err := issuer.Begin(c.Request.Context(), flow, s.callback())
	if err == nil {
		err = s.Sessions.Put(c.Writer, flowCookie, flow)
	}
	if err != nil {
		s.refuseSignIn(c, http.StatusBadGateway, next, err)
		return
	}
	s.moveOn(c, "On to "+issuer.Title, to)
}

// loginByToken signs in who has a token of finobs token.
func (s *Server) loginByToken(c *gin.Context, next string) {
	dev, err := s.environment.dev(c.Request.Context())
	if err != nil {
		abort(c, err)
		return
	}
	if !dev {
		s.refuseSignIn(c, http.StatusForbidden, next, errors.New("signing in with a token is for development databases alone"))
		return
	}
	now := time.Now()
	p, until, err := s.Identity.VerifyUntil(strings.TrimSpace(c.PostForm("token")), now)
	if err != nil {
		s.refuseSignIn(c, http.StatusUnauthorized, next, err)
		return
	}
	if p.Kind != approval.Human {
		s.refuseSignIn(c, http.StatusForbidden, next, errors.New("the token is a machine's; people sign in here"))
		return
	}
	s.signIn(c, s.Sessions.New(p, session.ViaToken, now, until), next)
}

// loginCallback is where a provider sends the browser back to.
func (s *Server) loginCallback(c *gin.Context) {
	if !s.attempts.allow(c.Request) {
		s.refuseSignIn(c, http.StatusTooManyRequests, "/", errors.New(signInLimit))
		return
	}
	var flow identity.Flow
	if err := s.Sessions.Open(c.Request, flowCookie, &flow); err != nil {
		s.refuseSignIn(c, http.StatusBadRequest, "/", errors.New("this browser has begun no sign-in, or it was too long ago; begin again"))
		return
	}
	s.Sessions.Drop(c.Writer, flowCookie) // one answer for one sign-in
	issuer, known := s.Issuers.Named(flow.Issuer)
	if !known {
		s.refuseSignIn(c, http.StatusBadRequest, flow.Next, errors.New("the provider of this sign-in is no longer set up; begin again"))
		return
	}
	now := time.Now()
	p, err := issuer.Finish(c.Request.Context(), flow, s.callback(), c.Request.URL.Query(), now)
	if err != nil {
		s.refuseSignIn(c, http.StatusUnauthorized, flow.Next, err)
		return
	}
	s.signIn(c, s.Sessions.New(p, session.ViaOIDC, now, time.Time{}), flow.Next)
}

// signIn hands the session to the browser, and goes on. The answer to a provider's
// redirect is a page: a browser does not send a strict cookie along with a redirect
// that another site began, but does when a page of ours moves on.
func (s *Server) signIn(c *gin.Context, who session.Session, next string) {
	if err := s.Sessions.Write(c.Writer, who); err != nil {
		s.refuseSignIn(c, http.StatusBadGateway, next, err)
		return
	}
	if before, err := s.Sessions.Read(c.Request, time.Now()); err == nil {
		s.Sessions.End(before, time.Now())
	}
	s.Sessions.Drop(c.Writer, formCookie)
	s.recordSignIn(c, "signed_in", "signed in via "+who.Via, who.Principal)
	s.moveOn(c, "You are signed in", localPath(next))
}

// logout ends the session, here and at its provider when that offers it.
func (s *Server) logout(c *gin.Context) {
	if !s.fromOwnPage(c) {
		return
	}
	out := "/login?signed_out=1"
	who, err := s.Sessions.Read(c.Request, time.Now())
	if err != nil {
		s.Sessions.Clear(c.Writer)
		s.moveOn(c, "You are signed out", out)
		return
	}
	sent := c.PostForm("csrf")
	if sent == "" {
		sent = c.GetHeader("X-CSRF-Token")
	}
	if !who.ValidCSRF(sent) {
		s.deny(c, "authenticate", fault.New(fault.Forbidden, "wrong-csrf-token", "the form is not of this session; open the page again"))
		return
	}
	s.Sessions.End(who, time.Now())
	s.Sessions.Clear(c.Writer)
	s.recordSignIn(c, "signed_out", "signed out", who.Principal)
	if issuer, known := s.Issuers.Of(who.Principal.Issuer); known && who.Via == session.ViaOIDC {
		if to := issuer.EndSession(c.Request.Context(), s.PublicURL+"/login"); to != "" {
			out = to
		}
	}
	s.moveOn(c, "You are signed out", out)
}

// fromOwnPage refuses forms that pages of other sites send, too many of them, and
// too large ones.
func (s *Server) fromOwnPage(c *gin.Context) bool {
	if err := http.NewCrossOriginProtection().Check(c.Request); err != nil {
		s.refuseSignIn(c, http.StatusForbidden, "/", errors.New("another site's page sent this form; open the page here"))
		return false
	}
	if !s.attempts.allow(c.Request) {
		s.refuseSignIn(c, http.StatusTooManyRequests, "/", errors.New(signInLimit))
		return false
	}
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxForm)
	if err := c.Request.ParseForm(); err != nil {
		s.refuseSignIn(c, http.StatusBadRequest, "/", errors.New("the form cannot be read"))
		return false
	}
	return true
}

// refuseSignIn shows why, and records it.
func (s *Server) refuseSignIn(c *gin.Context, status int, next string, err error) {
	message, words := err.Error(), ""
	var known *identity.SignInError
	if errors.As(err, &known) {
		message, words = known.Message, known.Words // which is shown, and not put on record: anybody can send any
		s.log.WarnContext(c.Request.Context(), "sign-in refused", "request_id", requestID(c.Request.Context()), "error", err)
	}
	s.recordSignIn(c, "sign_in", message, approval.Principal{})
	s.showLogin(c, status, loginView{Refused: message, Words: words, Next: localPath(next)})
}

// recordSignIn keeps on record what came of a sign-in; no token is in it.
func (s *Server) recordSignIn(c *gin.Context, action, reason string, who approval.Principal) {
	ctx := c.Request.Context()
	s.denials.record(ctx, denial{
		Action: action, Reason: reason, Route: routeOf(ctx), Actor: who, RequestID: requestID(ctx), TraceID: traceID(ctx),
	})
}

func (s *Server) callback() string { return s.PublicURL + "/login/callback" }

// localPath is where to go within this server: path when it is a plain absolute
// path, else the console's first page. What a browser could take for another host's
// address is not plain.
func localPath(path string) string {
	u, err := url.Parse(path)
	plain := err == nil && u.Scheme == "" && u.Host == "" && u.User == nil && u.Opaque == "" && u.Fragment == "" &&
		strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "//") && len(path) <= 1024 &&
		!strings.ContainsAny(path, "\\") && !strings.Contains(u.Path, "//") && !strings.Contains(u.Path, "\\") &&
		!strings.ContainsFunc(path+u.Path, func(r rune) bool { return r <= ' ' || r == 0x7f || r > '~' })
	if !plain || strings.HasPrefix(u.Path, "/login") || strings.HasPrefix(u.Path, "/logout") {
		return "/"
	}
	return path
}

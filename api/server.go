// Package api is the HTTP edge of finobs: it authenticates, checks permissions,
// starts workflows, sends signals and reads rows. It holds no rule of its own
// about who may do what to a request; that is package approval's.
package api

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/blobdir"
	"finobs/internal/config"
	"finobs/internal/identity"
	"finobs/internal/recon"
	"finobs/internal/session"
	"finobs/internal/source"
	"finobs/internal/store"
	"finobs/internal/telemetry"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"go.temporal.io/sdk/client"
)

// Limits of the HTTP server.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 30 * time.Second // raised for files
	writeTimeout  = 60 * time.Second // raised for artefacts
	idleTimeout   = 2 * time.Minute
	maxHeader     = 32 << 10 // bytes
	drainTimeout  = 10 * time.Second
)

// Deps are what the API works with. The caller closes them.
type Deps struct {
	Reader       *store.Reader
	Temporal     client.Client
	Signer       attest.Signer
	Identity     *identity.Verifier
	Issuers      *identity.Issuers   // OpenID providers; nil: none
	Sessions     *session.Keeper     // of the console; nil: they end with the process
	PublicURL    string              // where people reach the API, without a slash at the end
	TemporalUI   string              // base URL of the Temporal Web UI, for links to it; empty: none
	Namespace    string              // of Temporal
	ManifestKeys []ed25519.PublicKey // that exports are sealed with, new and old
	Artefacts    *blobdir.Dir        // exports, read only
	Spool        *blobdir.Dir        // received files
	Segments     *blobdir.Dir        // received events
	Sources      *source.Sources     // where events come from
	Profiles     *recon.Catalogue    // of reconciliation
	AnswerWait   time.Duration       // how long an answer waits for the record before it is 202
	Streams      config.Streams      // limits of streams
	DevInsecure  bool                // authenticate nobody; see AllowInsecure

	Exporters func() []telemetry.ExporterState // how the exporters of telemetry are doing; nil: none
}

// Server answers requests.
type Server struct {
	Deps
	permissions map[string]Permission // "METHOD /path/:id" as gin writes it
	denials     *denials
	policies    *policySource
	roster      *rosterCache
	settings    *settingSource
	requests    *awaited[int64, approval.Request]
	decisions   *awaited[string, store.Decided]
	environment *environment
	attempts    attempts // to sign in
	collector   *collector
	console     http.Handler
	streams     *streams
	systems     *systems
	handler     http.Handler
	document    *huma.OpenAPI
	log         *slog.Logger
}

// New builds the server. It fails when a route has no permission.
func New(d Deps) (*Server, error) {
	s := &Server{Deps: d, permissions: map[string]Permission{}, denials: newDenials(d.Reader), log: slog.Default()}
	s.policies, s.roster, s.settings = &policySource{reader: d.Reader}, newRosterCache(d.Reader), &settingSource{reader: d.Reader}
	s.requests, s.decisions = newAwaited(d.Reader.RequestsByID), newAwaited(d.Reader.DecisionsByID)
	s.collector = newCollector(s, d.Segments)
	s.systems = newSystems(s)
	var err error
	if s.streams, err = newStreams(d.Streams, d.Reader, s.roster); err != nil {
		return nil, err
	}
	if err := s.prepareSessions(); err != nil {
		return nil, err
	}
	if err := s.openConsole(); err != nil {
		return nil, err
	}
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.HandleMethodNotAllowed = true
	engine.ContextWithFallback = true
	engine.Use(tracing(), identify, markSpan, gin.CustomRecoveryWithWriter(nil, recoverPanic), s.guard, s.keepAlive, strictQuery, strictJSON)
	engine.NoRoute(noRoute)
	engine.NoMethod(noMethod)
	if err := s.register(engine); err != nil {
		return nil, err
	}
	s.handler = underAPI(engine)
	return s, nil
}

// Handler is the whole edge.
func (s *Server) Handler() http.Handler { return s.handler }

// AllowInsecure reports why --dev-insecure must not be used: it is for a loopback
// address and a database that finobs dev marked as its own.
func AllowInsecure(ctx context.Context, r *store.Reader, listen string) error {
	if !config.Loopback(listen) {
		return fmt.Errorf("--dev-insecure authenticates nobody and is refused on %s; listen on 127.0.0.1", listen)
	}
	environment, err := r.Environment(ctx)
	if err != nil {
		return err
	}
	if environment != "dev" {
		return fmt.Errorf("--dev-insecure authenticates nobody and is refused on a database marked %s; only finobs dev marks one dev", environment)
	}
	return nil
}

// Run serves on l until ctx ends, then lets running requests finish.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	if s.DevInsecure {
		if err := s.recordInsecure(ctx, l.Addr().String()); err != nil {
			return err
		}
	}
	hide, err := s.showStanding()
	if err != nil {
		return err
	}
	defer hide()
	// They outlive the requests, which leave work behind for them.
	var behind sync.WaitGroup
	behindCtx, stopBehind := context.WithCancel(context.WithoutCancel(ctx))
	behind.Go(func() { s.denials.run(behindCtx) })
	behind.Go(func() { s.collector.run(behindCtx) })
	behind.Go(func() { s.systems.run(behindCtx) })
	behind.Go(func() { newAsker(s).run(behindCtx) })
	behind.Go(func() { s.streams.run(behindCtx) })
	behind.Go(func() { s.passNudges(behindCtx) })
	defer func() {
		stopBehind()
		behind.Wait()
	}()
	server := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	s.log.InfoContext(ctx, "api listening", "address", l.Addr().String())
	select {
	case err := <-failed:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	s.streams.shutdown(drain) // or Shutdown would wait for them
	if err := server.Shutdown(drain); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stopping: %w", err)
	}
	return nil
}

// recordInsecure leaves a mark in the ledger that nobody was authenticated for a
// while.
func (s *Server) recordInsecure(ctx context.Context, address string) error {
	id := uuid.Must(uuid.NewV7()).String()
	return s.Reader.AppendSecurityEvent(ctx, store.SecurityEvent{
		EntryID: id, Idem: id, Action: "dev_insecure", Reason: "started without authentication on " + address,
		Route: "*", Count: 1, FirstAt: time.Now(),
	})
}

package api

import (
	"context"
	"net/http"
)

// For tests of package api_test.
var (
	NewDenials = newDenials
	CheckJSON  = checkJSON
)

// EveryRouteListed reaches an unexported method.
var EveryRouteListed = (*Server).everyRouteListed

// Denials and Denial name unexported types to tests.
type (
	Denials = denials
	Denial  = denial
)

// Record and Flush reach unexported methods.
var (
	Record = (*denials).record
	Flush  = (*denials).flush
)

// As, Visitor and LocalPath reach what the console and the pages of sign-in use.
var (
	As        = (*Server).as
	Visitor   = (*Server).visitor
	LocalPath = localPath
)

// Over is a server whose handler is h, to test calls within the process.
func Over(h http.Handler) *Server { return &Server{handler: h} }

// InContext is the key's own value, for a test that nothing else makes one.
var InContext = visitorOf

// FlushDenials writes what is counted and not yet on record.
func FlushDenials(s *Server, ctx context.Context) { s.denials.flush(ctx) }

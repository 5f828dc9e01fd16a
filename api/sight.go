package api

import (
	"context"

	"finobs/internal/approval"
	"finobs/internal/store"
)

// seen reads what the caller sees of what belongs to desks; the rest answers as if
// it were not there. approval.MaySee is the rule, here as in streams.
func (s *Server) seen(ctx context.Context) store.Sighted {
	return s.Reader.Within(approval.SightOf(principal(ctx)))
}

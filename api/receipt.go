package api

import (
	"context"

	"finobs/internal/approval"
	"finobs/internal/attest"
)

// receipt is what proves a request's decisions offline; finaudit receipt reads
// it.
func (s *Server) receipt(ctx context.Context, in *idInput) (*body[approval.Receipt], error) {
	r, err := s.recorded(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	decisions, err := s.Reader.Decisions(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	now, err := s.Reader.Now(ctx)
	if err != nil {
		return nil, err
	}
	return &body[approval.Receipt]{approval.ReceiptOf(r, decisions, now, attest.KeyID)}, nil
}

package api

import (
	"context"

	"finobs/internal/approval"
	"finobs/internal/export"
	"finobs/internal/seal"
	"finobs/workflows"

	"github.com/gin-gonic/gin"
)

// progressView says how far an export has come.
type progressView struct {
	export.Progress
	ExportID   int64           `json:"export_id,omitempty"`
	ApprovalID int64           `json:"approval_request_id"`
	Status     approval.Status `json:"approval_status"`
}

func (s *Server) exportProgress(ctx context.Context, in *idInput) (*body[progressView], error) {
	x, err := s.Reader.Export(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	r, err := s.Reader.Approval(ctx, x.ApprovalID)
	if err != nil {
		return nil, err
	}
	return &body[progressView]{progressView{s.progress(ctx, x), x.ID, r.ID, r.Status}}, nil
}

func (s *Server) approvalProgress(ctx context.Context, in *idInput) (*body[progressView], error) {
	r, err := s.seen(ctx).Approval(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	x, found, err := s.Reader.ExportOf(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	view := progressView{export.Progress{Phase: export.PhaseApproval}, x.ID, r.ID, r.Status}
	switch {
	case found:
		view.Progress = s.progress(ctx, x)
	case r.Status.Terminal() && r.Status != approval.Consumed:
		view.Phase = export.PhaseFailed
	}
	return &body[progressView]{view}, nil
}

// progress asks the record, and the workflow for what the record does not say
// yet.
func (s *Server) progress(ctx context.Context, x export.Export) export.Progress {
	var p export.Progress
	if x.Seal != nil {
		p.Rows, p.Total = x.Seal.Rows, x.Seal.Rows
	}
	switch {
	case x.Status == export.Failed:
		p.Phase = export.PhaseFailed
	case x.Status == export.Intended:
		p.Phase = export.PhaseGenerating
		ctx, cancel := context.WithTimeout(ctx, temporalTimeout)
		defer cancel()
		if answer, err := s.Temporal.QueryWorkflow(ctx, x.WorkflowID, "", workflows.QueryProgress); err == nil {
			if err := answer.Get(&p); err != nil {
				s.log.WarnContext(ctx, "progress not read", "export_id", x.ID, "error", err)
			}
		}
	case x.BundledAt == nil:
		p.Phase = export.PhaseSealing
	case x.VerificationStatus == export.Unverified && x.DeliveryStatus != export.NotDelivered:
		p.Phase = export.PhaseDelivering
	default:
		p.Phase = export.PhaseDone
	}
	return p
}

// exportKeys answers with the keys that exports are sealed with, for ssh-keygen
// -Y verify. Whoever relies on them compares them with what he got another way.
func (s *Server) exportKeys(c *gin.Context) {
	c.String(200, seal.AllowedSigners(s.ManifestKeys...))
}

package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"

	"finobs/internal/approval"
	"finobs/internal/export"
	"finobs/internal/fault"
	"finobs/workflows"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
)

// verificationView is a verification, under way or done.
type verificationView struct {
	ID     string `json:"verification_id"`
	Status string `json:"status" enum:"running,done"`
	workflows.Verification
}

type verificationOutput struct {
	Status   int
	Location string `header:"Location"`
	Body     verificationView
}

type verifyBatchInput struct {
	Body struct {
		IDs    []int64         `json:"ids,omitempty" maxItems:"10000" doc:"ids of exports; give these or a filter"`
		Filter ExportSelection `json:"filter,omitempty" doc:"as in GET /exports/; empty, without ids: all sealed exports"`
	}
}

// verifyBatch reads exports back from where they were delivered and gives a
// verdict on each.
func (s *Server) verifyBatch(ctx context.Context, in *verifyBatchInput) (*verificationOutput, error) {
	selected, err := in.Body.Filter.selection()
	if err != nil {
		return nil, err
	}
	if len(in.Body.IDs) > 0 {
		if in.Body.Filter != (ExportSelection{}) {
			return nil, fault.New(fault.Invalid, "invalid-request", "give ids or a filter, not both")
		}
		selected.IDs = in.Body.IDs
		if err := s.allSealed(ctx, selected.IDs); err != nil {
			return nil, err
		}
	}
	return s.verify(ctx, selected)
}

// allSealed refuses ids that would silently be left out.
func (s *Server) allSealed(ctx context.Context, ids []int64) error {
	for _, id := range ids {
		x, err := s.Reader.Export(ctx, id)
		if err != nil {
			return err
		}
		if x.Seal == nil {
			return fault.New(fault.Conflict, "export-not-sealed", "export %d is %s; there is nothing to verify", id, x.Status)
		}
	}
	return nil
}

func (s *Server) verifyOne(ctx context.Context, in *idInput) (*verificationOutput, error) {
	if err := s.allSealed(ctx, []int64{in.ID}); err != nil {
		return nil, err
	}
	return s.verify(ctx, export.Selection{IDs: []int64{in.ID}})
}

func (s *Server) verify(ctx context.Context, selected export.Selection) (*verificationOutput, error) {
	digest, err := selected.Digest()
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "invalid-request", "the filter is not valid text")
	}
	id := uuid.Must(uuid.NewV7()).String()
	workflowID := workflows.VerifyWorkflowID(id)
	command, err := s.command(ctx, workflows.Verify, workflowID, digest)
	if err != nil {
		return nil, err
	}
	run, err := s.execute(ctx, client.StartWorkflowOptions{
		ID: workflowID, TaskQueue: workflows.TaskQueue, WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
	}, workflows.Verify, workflows.VerifyInput{Command: command, Selection: selected})
	if err != nil {
		return nil, err
	}
	return s.awaitVerification(ctx, id, run)
}

func (s *Server) awaitVerification(ctx context.Context, id string, run client.WorkflowRun) (*verificationOutput, error) {
	out := &verificationOutput{Status: http.StatusOK, Location: "/exports/batch_verify/" + id, Body: verificationView{ID: id, Status: "done"}}
	done, err := s.await(ctx, run, &out.Body.Verification)
	if err != nil || done {
		return out, err
	}
	out.Status, out.Body.Status = http.StatusAccepted, "running"
	ctx, cancel := context.WithTimeout(ctx, temporalTimeout)
	defer cancel()
	if answer, err := s.Temporal.QueryWorkflow(ctx, run.GetID(), "", workflows.QueryVerification); err == nil {
		err = answer.Get(&out.Body.Verification)
		return out, err
	}
	out.Body.Counts, out.Body.Verdicts = map[export.Verdict]int{}, []workflows.ExportVerdict{} // no worker answers: nothing is done yet
	return out, nil
}

type verificationInput struct {
	ID string `path:"id" format:"uuid"`
}

func (s *Server) getVerification(ctx context.Context, in *verificationInput) (*verificationOutput, error) {
	out, err := s.awaitVerification(ctx, in.ID, s.Temporal.GetWorkflow(ctx, workflows.VerifyWorkflowID(in.ID), ""))
	var gone *serviceerror.NotFound
	if errors.As(err, &gone) {
		return nil, fault.New(fault.NotFound, "no-such-verification",
			"there is no verification %s, or Temporal no longer keeps it; the verdicts are on the exports and in their history", in.ID)
	}
	return out, err
}

type redeliverInput struct {
	ID             int64  `path:"id" minimum:"1"`
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"128" doc:"the same key delivers once, however often it is sent"`
	Body           *struct {
		Destination string `json:"destination,omitempty" maxLength:"32" doc:"default: the one that the export was approved for; another needs an approval"`
		Reason      string `json:"reason,omitempty" maxLength:"2000"`
		Renew       bool   `json:"renew,omitempty" doc:"ask again although the same was decided before"`
	}
}

type redeliveredView struct {
	Detail         string          `json:"detail"`
	ExportID       int64           `json:"export_id"`
	Destination    string          `json:"destination"`
	ApprovalID     int64           `json:"approval_request_id,omitempty"`
	Status         approval.Status `json:"status,omitempty" doc:"of the approval"`
	DeliveryStatus string          `json:"delivery_status,omitempty" enum:"delivered,failed,unknown"`
	Verdict        export.Verdict  `json:"verdict,omitempty"`
}

type redeliveredOutput struct {
	Status int
	Body   redeliveredView
}

// redeliver takes the same bytes to a destination again. The destination that
// was approved takes them at once, another only once that is approved.
func (s *Server) redeliver(ctx context.Context, in *redeliverInput) (*redeliveredOutput, error) {
	x, err := s.Reader.Export(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if x.BundledAt == nil {
		return nil, fault.New(fault.Conflict, "export-not-sealed", "export %d is not complete; there is nothing to deliver", x.ID)
	}
	r := export.Redelivery{ExportID: x.ID, Destination: x.Destination}
	renew := false
	if in.Body != nil {
		r.Reason, renew = in.Body.Reason, in.Body.Renew
		if in.Body.Destination != "" {
			r.Destination = in.Body.Destination
		}
	}
	to, err := s.destination(ctx, r.Destination)
	if err != nil {
		return nil, err
	}
	if r.Destination != x.Destination {
		return s.askRedelivery(ctx, x, to, r, renew)
	}
	return s.deliverAgain(ctx, r, in.IdempotencyKey)
}

func (s *Server) askRedelivery(ctx context.Context, x export.Export, to export.Destination, r export.Redelivery, renew bool) (*redeliveredOutput, error) {
	me := principal(ctx)
	mode := approval.Live
	if x.Simulation {
		mode = approval.Simulation
	}
	got, err := s.ask(ctx, question{
		action: export.RedeliveryAction(x, to, me.Person, me.Desk, mode), workflowType: workflows.Redeliver, reason: r.Reason, renew: renew,
	})
	if err != nil {
		return nil, err
	}
	view := redeliveredView{Detail: detailOf("Delivery", got.Status), ExportID: x.ID, Destination: to.Name, ApprovalID: got.ID, Status: got.Status}
	status := http.StatusAccepted
	if got.Status == approval.Consumed {
		status = http.StatusOK
	}
	return &redeliveredOutput{status, view}, nil
}

func (s *Server) deliverAgain(ctx context.Context, r export.Redelivery, key string) (*redeliveredOutput, error) {
	if key == "" {
		key = uuid.NewString()
	}
	sum := sha256.Sum256([]byte(principal(ctx).Key() + "\x00" + key))
	workflowID := workflows.RedeliveryWorkflowID(r.ExportID, hex.EncodeToString(sum[:16]))
	digest, err := r.Digest()
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "invalid-request", "the reason is not valid text")
	}
	command, err := s.command(ctx, workflows.Deliver, workflowID, digest)
	if err != nil {
		return nil, err
	}
	run, err := s.execute(ctx, client.StartWorkflowOptions{
		ID: workflowID, TaskQueue: workflows.TaskQueue, WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		StaticSummary: fmt.Sprintf("export %d to %s again", r.ExportID, r.Destination), Memo: map[string]any{memoPayload: digest},
	}, workflows.Deliver, workflows.DeliverInput{ExportID: r.ExportID, Destination: r.Destination, Command: command, Reason: r.Reason})
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &started) {
		if err := s.samePayload(ctx, workflowID, digest); err != nil {
			return nil, err
		}
		run, err = s.Temporal.GetWorkflow(ctx, workflowID, ""), nil
	}
	if err != nil {
		return nil, err
	}
	view := redeliveredView{Detail: "accepted; a worker delivers it", ExportID: r.ExportID, Destination: r.Destination}
	var result workflows.DeliverResult
	done, err := s.await(ctx, run, &result)
	if err != nil {
		return nil, err
	}
	if !done {
		return &redeliveredOutput{http.StatusAccepted, view}, nil
	}
	view.Detail, view.DeliveryStatus, view.Verdict = "the delivery has ended", string(result.Status), result.Verdict
	return &redeliveredOutput{http.StatusOK, view}, nil
}

// refuseExportChange answers attempts to change what only workflows move.
func (s *Server) refuseExportChange(ctx context.Context, in *idInput) (*struct{}, error) {
	if _, err := s.Reader.Export(ctx, in.ID); err != nil {
		return nil, err
	}
	s.recordDenial(ctx, "authorize", fmt.Sprintf("export %d was to be changed by hand", in.ID))
	return nil, fault.New(fault.Forbidden, "export-not-changeable",
		"what is recorded of an export moves only through workflows: POST /exports/%d/verify verifies it, POST /exports/%d/redeliver delivers it again", in.ID, in.ID)
}

// refuseExportDelete answers attempts to delete an export.
func (s *Server) refuseExportDelete(ctx context.Context, in *idInput) (*struct{}, error) {
	if _, err := s.Reader.Export(ctx, in.ID); err != nil {
		return nil, err
	}
	p := newProblem(ctx, http.StatusMethodNotAllowed, "export-not-deletable",
		"an export is part of the record and is never deleted: its manifest is in the ledger, and the next manifest names it")
	p.allow = "GET"
	return nil, p
}

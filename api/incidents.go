package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"

	"finobs/internal/fault"
	"finobs/internal/incident"
	"finobs/internal/store"
	"finobs/workflows"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
)

// IncidentFilters are the filters of the list and of the export.
type IncidentFilters struct {
	Status   string `query:"status" enum:"open,acknowledged,resolved,closed"`
	Kind     string `query:"kind" enum:"trade_break,failed_settlement,system_outage,other"`
	Severity string `query:"severity" enum:"low,medium,high,critical"`
	Desk     string `query:"desk" maxLength:"32"`
}

func (f IncidentFilters) set() map[string]string {
	filters := map[string]string{}
	for name, value := range map[string]string{"status": f.Status, "kind": f.Kind, "severity": f.Severity, "desk": f.Desk} {
		if value != "" {
			filters[name] = value
		}
	}
	return filters
}

type listIncidentsInput struct {
	Paging
	IncidentFilters
	Origin   string `query:"origin" enum:"live,demo" doc:"default: both"`
	Assignee string `query:"assignee" maxLength:"255" doc:"sub of who has it"`
	Owner    string `query:"owner" maxLength:"200" doc:"the queue that has to deal with it"`
	System   string `query:"system" maxLength:"200"`
	Priority string `query:"priority" enum:"p1,p2,p3,p4"`
	Parent   int64  `query:"parent" minimum:"0" doc:"only its children"`
	Text     string `query:"q" maxLength:"200" doc:"words that stand in the title, the description, the system or the subject"`
	Overdue  bool   `query:"overdue" doc:"only those not acknowledged, or not resolved, by when it was promised"`
}

func (in listIncidentsInput) filter() store.IncidentFilter {
	set := in.set()
	set["origin"] = in.Origin
	return store.IncidentFilter{
		Set: set, Assignee: in.Assignee, Owner: in.Owner, System: in.System, Priority: in.Priority, Parent: in.Parent, Overdue: in.Overdue, Text: strings.TrimSpace(in.Text),
	}
}

type incidentPage struct {
	Items      []incidentView `json:"items"`
	NextBefore int64          `json:"next_before" doc:"cursor of the next page; 0 on the last one"`
}

func (s *Server) listIncidents(ctx context.Context, in *listIncidentsInput) (*body[incidentPage], error) {
	list, err := s.seen(ctx).Incidents(ctx, in.filter(), in.page())
	if err != nil {
		return nil, err
	}
	out := incidentPage{Items: []incidentView{}}
	for _, i := range list {
		out.Items = append(out.Items, viewIncident(ctx, i))
		out.NextBefore = in.next(len(list), i.ID)
	}
	return &body[incidentPage]{out}, nil
}

func (s *Server) getIncident(ctx context.Context, in *idInput) (*body[incidentView], error) {
	i, err := s.seen(ctx).Incident(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &body[incidentView]{viewIncident(ctx, i)}, nil
}

func (s *Server) incidentHistory(ctx context.Context, in *idInput) (*body[historyView], error) {
	if _, err := s.seen(ctx).Incident(ctx, in.ID); err != nil {
		return nil, err
	}
	entries, err := s.history(ctx, "incident", in.ID)
	return &body[historyView]{historyView{entries}}, err
}

type openIncidentInput struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"128" doc:"the same key and body open one incident, however often they are sent"`
	Body           struct {
		Kind        string `json:"kind" enum:"trade_break,failed_settlement,system_outage,other"`
		Severity    string `json:"severity" enum:"low,medium,high,critical"`
		Title       string `json:"title" minLength:"1" maxLength:"200"`
		Description string `json:"description,omitempty" maxLength:"4000"`
		SubjectKind string `json:"subject_kind,omitempty" maxLength:"64" example:"security"`
		SubjectID   string `json:"subject_id,omitempty" maxLength:"128" example:"023135106"`
		DedupKey    string `json:"dedup_key,omitempty" maxLength:"200" doc:"at most one open incident has it; default: none is alike"`
		Origin      string `json:"origin,omitempty" enum:"live,demo" default:"live"`
		System      string `json:"system,omitempty" maxLength:"200" doc:"where it is wrong" example:"fix-gateway-1"`
		Owner       string `json:"owner,omitempty" maxLength:"200" doc:"the queue that has to deal with it"`
	}
}

type openedView struct {
	Detail   string        `json:"detail"`
	Opened   bool          `json:"opened" doc:"false: an open incident has the same dedup key, or the work is not done yet"`
	Incident *incidentView `json:"incident" doc:"null until a worker has recorded it; send the request again with the same Idempotency-Key"`
}

type openedOutput struct {
	Status int
	Body   openedView
}

func (s *Server) openIncident(ctx context.Context, in *openIncidentInput) (*openedOutput, error) {
	key := in.IdempotencyKey
	if key == "" {
		key = uuid.NewString()
	}
	me := principal(ctx)
	sum := sha256.Sum256([]byte(me.Key() + "\x00" + key))
	workflowID := workflows.IncidentWorkflowID(hex.EncodeToString(sum[:16]))
	fields := incident.Fields{
		Kind: in.Body.Kind, Severity: in.Body.Severity, Title: strings.TrimSpace(in.Body.Title), Description: in.Body.Description,
		Desk: me.Desk, SubjectKind: in.Body.SubjectKind, SubjectID: in.Body.SubjectID, DedupKey: in.Body.DedupKey, Origin: in.Body.Origin,
		System: in.Body.System, Owner: in.Body.Owner,
	}
	if fields.DedupKey == "" {
		fields.DedupKey = workflowID
	}
	if err := fields.Incident().Validate(); err != nil {
		return nil, err
	}
	run, err := s.startIncident(ctx, workflowID, fields)
	if err != nil {
		return nil, err
	}
	return s.awaitIncident(ctx, run)
}

// memoPayload is the memo field with the digest of what a workflow was started
// with; it tells a repeated call from another one under the same key.
const memoPayload = "payload_digest"

func (s *Server) startIncident(ctx context.Context, workflowID string, fields incident.Fields) (client.WorkflowRun, error) {
	digest, err := fields.Digest()
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "invalid-incident", "the incident is not valid text")
	}
	command, err := s.command(ctx, workflows.OpenIncident, workflowID, digest)
	if err != nil {
		return nil, err
	}
	run, err := s.execute(ctx, client.StartWorkflowOptions{
		ID: workflowID, TaskQueue: workflows.TaskQueue, Memo: map[string]any{memoPayload: digest},
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
	}, workflows.OpenIncident, workflows.IncidentInput{Command: command, Fields: fields})
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	if !errors.As(err, &started) {
		return run, err
	}
	if err := s.samePayload(ctx, workflowID, digest); err != nil {
		return nil, err
	}
	return s.Temporal.GetWorkflow(ctx, workflowID, ""), nil
}

func (s *Server) samePayload(ctx context.Context, workflowID, digest string) error {
	ctx, cancel := context.WithTimeout(ctx, temporalTimeout)
	defer cancel()
	described, err := s.Temporal.DescribeWorkflowExecution(ctx, workflowID, "")
	if err != nil {
		return temporalFault(err)
	}
	var there string
	memo := described.GetWorkflowExecutionInfo().GetMemo().GetFields()[memoPayload]
	if err := converter.GetDefaultDataConverter().FromPayload(memo, &there); err != nil || there != digest {
		return fault.New(fault.Conflict, "idempotency-key-reused", "the Idempotency-Key was used for another request; take a new one")
	}
	return nil
}

func (s *Server) awaitIncident(ctx context.Context, run client.WorkflowRun) (*openedOutput, error) {
	var result workflows.IncidentResult
	done, err := s.await(ctx, run, &result)
	if err != nil {
		return nil, err
	}
	if !done {
		return &openedOutput{http.StatusAccepted, openedView{Detail: "accepted; a worker will open the incident"}}, nil
	}
	i, err := s.seen(ctx).Incident(ctx, result.IncidentID)
	switch {
	case fault.KindOf(err) == fault.NotFound:
		return &openedOutput{http.StatusOK, openedView{Detail: "an open incident of another desk has this dedup key"}}, nil
	case err != nil:
		return nil, err
	}
	v := viewIncident(ctx, i)
	if result.Opened {
		return &openedOutput{http.StatusCreated, openedView{"the incident is open", true, &v}}, nil
	}
	return &openedOutput{http.StatusOK, openedView{"an open incident has this dedup key", false, &v}}, nil
}

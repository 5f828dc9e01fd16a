package api

import (
	"context"
	"strings"
	"time"

	"finobs/internal/approval"
	"finobs/internal/fault"
	"finobs/workflows"
)

type policySetView struct {
	ID          int64         `json:"policy_set_id"`
	SHA256      string        `json:"sha256" doc:"of the file, hexadecimal"`
	ApprovalID  *int64        `json:"approval_request_id" doc:"null: the set of the first start"`
	ActivatedBy personView    `json:"activated_by"`
	ActivatedAt time.Time     `json:"activated_at"`
	Content     string        `json:"content" doc:"the file, YAML"`
	Policies    []policyWords `json:"policies"`
}

type policyWords struct {
	ID    string   `json:"id"`
	Words []string `json:"words" doc:"what it asks for, in words"`
}

type nothing struct{}

func (s *Server) getPolicies(ctx context.Context, _ *nothing) (*body[policySetView], error) {
	policies, set, err := s.policies.current(ctx)
	if err != nil {
		return nil, err
	}
	v := policySetView{
		ID: set.ID, SHA256: set.ContentSHA256, ApprovalID: set.ApprovalID, Content: set.Content,
		ActivatedBy: personView{set.ActivatedIss, set.ActivatedSub}, ActivatedAt: set.ActivatedAt.UTC(), Policies: []policyWords{},
	}
	for _, p := range policies.List() {
		v.Policies = append(v.Policies, policyWords{p.ID, p.Words()})
	}
	return &body[policySetView]{v}, nil
}

type activateInput struct {
	Body struct {
		Content string `json:"content" minLength:"1" doc:"a policy file, YAML"`
		Reason  string `json:"reason,omitempty" maxLength:"2000" doc:"told to the approvers"`
		Renew   bool   `json:"renew,omitempty"`
		Force   bool   `json:"force,omitempty" doc:"ask although the roster cannot satisfy every policy"`
	}
}

// activatePolicies asks to put another policy file in force. One that nobody on
// the roster could satisfy is refused before anybody is asked.
func (s *Server) activatePolicies(ctx context.Context, in *activateInput) (*changeOutput, error) {
	if len(in.Body.Content) > approval.MaxPolicyFile {
		return nil, fault.New(fault.TooLarge, "policies-too-large", "the policy file is over the limit of %d bytes", approval.MaxPolicyFile)
	}
	loaded, err := approval.LoadPolicies(strings.NewReader(in.Body.Content))
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "invalid-policies", "the policy file cannot be used: %v", err)
	}
	_, set, err := s.policies.current(ctx)
	if err != nil {
		return nil, err
	}
	me := principal(ctx)
	action := approval.ActivationOf(in.Body.Content, set.ContentSHA256, me.Person, me.Desk)
	if action.Parameters["sha256"] == set.ContentSHA256 {
		return &changeOutput{Status: 200, Body: changeView{Detail: "these policies are in force"}}, nil
	}
	roster, err := s.Reader.Roster(ctx)
	if err != nil {
		return nil, err
	}
	if broken := unsatisfiable(loaded, roster); broken != "" && !in.Body.Force {
		return nil, fault.New(fault.Conflict, "unsatisfiable", "%s; add force to ask all the same", broken)
	}
	got, err := s.ask(ctx, question{
		action: action, workflowType: workflows.Change, reason: in.Body.Reason, renew: in.Body.Renew, attachment: in.Body.Content,
	})
	if err != nil {
		return nil, err
	}
	return changed(got)
}

func unsatisfiable(ps *approval.Policies, roster approval.Roster) string {
	var errs []string
	for _, f := range approval.Lint(ps, roster) {
		if f.Severity == approval.LintError {
			errs = append(errs, f.Policy+": "+f.Problem)
		}
	}
	return strings.Join(errs, "; ")
}

package api

import (
	"context"
	"time"

	"finobs/internal/agent"
	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/evidence"
	"finobs/internal/fault"
	"finobs/internal/remediation"
	"finobs/workflows"
)

const (
	// askInterval is how often the API looks for plans that nobody asked approval of.
	askInterval = 500 * time.Millisecond
	// mostAsked bounds the plans that are asked for in one look.
	mostAsked = 50
	// unread stands in the place of an action's id for what could not be read.
	unread = 0
)

// asker asks for approval of what agents plan, in the name of the person who asked
// for the plan. A worker cannot vouch for a person, so it only records what it
// planned; the API vouches for it by the person's own order, which it signed when
// he gave it (docs/adr/0012).
type asker struct {
	server   *Server
	verifier *attest.Verifier // of this API's own orders
	refused  map[int64]string // said already, by action
}

func newAsker(s *Server) *asker {
	return &asker{server: s, verifier: attest.NewVerifier(s.Signer.Key.Public()), refused: map[int64]string{}}
}

func (a *asker) run(ctx context.Context) {
	tick := time.NewTicker(askInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			a.look(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// look asks for every plan that waits. One that cannot be asked for is tried again,
// and keeps nobody else from being asked for.
func (a *asker) look(ctx context.Context) {
	list, err := a.server.Reader.ActionsToAsk(ctx, mostAsked)
	if err != nil && ctx.Err() == nil && a.refused[unread] != err.Error() {
		a.refused[unread] = err.Error()
		a.server.log.WarnContext(ctx, "planned actions cannot be read", "error", err)
	}
	for _, x := range list {
		if err := a.ask(ctx, x); err != nil && ctx.Err() == nil && a.refused[x.ID] != err.Error() {
			a.refused[x.ID] = err.Error()
			a.server.log.WarnContext(ctx, "a planned action cannot be asked for yet", "action_id", x.ID, "error", err)
		}
	}
}

func (a *asker) ask(ctx context.Context, x remediation.Action) error {
	who, reason, err := a.orderedBy(ctx, x)
	if err != nil {
		return err
	}
	ctx = context.WithValue(ctx, principalKey, who.Principal)
	ctx = context.WithValue(ctx, requestIDKey, who.RequestID)
	_, err = a.server.ask(ctx, question{
		id: x.ID, action: x.Approvable(), floor: x.Risk, workflowType: workflows.AgentAction, reason: reason,
	})
	return err
}

// orderedBy finds the signed order by which a person asked for the run that planned
// an action, and checks that the plan is within it.
func (a *asker) orderedBy(ctx context.Context, x remediation.Action) (attest.Command, string, error) {
	bad := func(why string) (attest.Command, string, error) {
		return attest.Command{}, "", fault.New(fault.Forbidden, "plan-not-ordered", "action %d: %s", x.ID, why)
	}
	run, err := a.server.Reader.Run(ctx, x.RunID)
	if err != nil {
		return attest.Command{}, "", err
	}
	r, err := a.server.Reader.Approval(ctx, run.ApprovalID)
	if err != nil {
		return attest.Command{}, "", err
	}
	ordered, _, err := evidence.Request(a.verifier, r)
	if err != nil {
		return attest.Command{}, "", err
	}
	request, err := agent.RequestOf(ordered)
	if err != nil {
		return attest.Command{}, "", err
	}
	switch {
	case request.Kind != agent.Remediate || r.Status != approval.Consumed:
		return bad("its run was not approved to plan actions")
	case request.IncidentID != x.IncidentID || request.Mode != x.Mode || ordered.Desk != x.Desk || ordered.Requester != x.Requester:
		return bad("its incident, mode, desk or requester is not its run's")
	}
	c, err := a.verifier.Command(r.Command)
	return c, x.Reason, err
}

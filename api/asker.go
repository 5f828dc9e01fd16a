package api

import (
	"context"
	"time"

	"finobs/internal/action"
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
	// mostAsked bounds the plans that are asked for in one look; the next look goes on
	// after them, so that plans that cannot be asked for hold up no others.
	mostAsked = 50
	// unread stands in the place of an action's id for what could not be read; less
	// the id after which that was.
	unread = 0
)

// asker asks for approval of what agents plan, in the name of the person who asked
// for the plan. A worker cannot vouch for a person, so it only records what it
// planned; the API vouches for it by the person's own order, which it signed when
// he gave it (docs/adr/0012).
type asker struct {
	server   *Server
	verifier *attest.Verifier // of this API's own orders
	after    int64            // the last action that the look before came to; 0: it came to the end
	refused  map[int64]string // said already, by action, since the looks began anew
	said     map[int64]string // the same of the round before
}

func newAsker(s *Server) *asker {
	return &asker{server: s, verifier: attest.NewVerifier(s.Signer.Key.Public()), refused: map[int64]string{}, said: map[int64]string{}}
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
	list, last, err := a.server.Reader.ActionsToAsk(ctx, a.after, mostAsked)
	if err != nil && a.news(ctx, unread-a.after, err) {
		a.server.log.WarnContext(ctx, "planned actions cannot be read", "error", err)
	}
	for _, x := range list {
		if err := a.ask(ctx, x); err != nil && a.news(ctx, x.ID, err) {
			a.server.log.WarnContext(ctx, "a planned action cannot be asked for yet", "action_id", x.ID, "error", err)
		}
	}
	if a.after = last; last == 0 { // what was not met again is forgotten
		a.said, a.refused = a.refused, map[int64]string{}
	}
}

// news reports whether a failure was not said before.
func (a *asker) news(ctx context.Context, id int64, err error) bool {
	text := err.Error()
	known := a.said[id] == text || a.refused[id] == text
	a.refused[id] = text
	return ctx.Err() == nil && !known
}

func (a *asker) ask(ctx context.Context, x remediation.Action) error {
	who, reason, err := a.orderedBy(ctx, x)
	if err != nil {
		return err
	}
	floor, err := planned(x)
	if err != nil {
		return err
	}
	ctx = context.WithValue(ctx, principalKey, who.Principal)
	ctx = context.WithValue(ctx, requestIDKey, who.RequestID)
	_, err = a.server.ask(ctx, question{
		id: x.ID, action: x.Approvable(), floor: floor, workflowType: workflows.AgentAction, reason: reason,
	})
	return err
}

// planned checks that a plan is one that a worker makes, and returns how risky its
// action is by the catalogue: what the row says of that proves nothing.
func planned(x remediation.Action) (approval.RiskTier, error) {
	t, err := action.Find(x.Plan.Action)
	switch {
	case err != nil:
		return "", err
	case t.Version != x.Plan.Version:
		return "", fault.New(fault.Conflict, "plan-outdated", "action %d was planned by version %d of %s, and this is version %d; withdraw it and plan it anew", x.ID, x.Plan.Version, t.Name, t.Version)
	case x.Ordinal < 1 || x.Ordinal > agent.MaxProposals:
		return "", fault.New(fault.Forbidden, "plan-not-ordered", "action %d: a run plans %d actions at most", x.ID, agent.MaxProposals)
	}
	return t.Risk, x.Plan.Complete(t)
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

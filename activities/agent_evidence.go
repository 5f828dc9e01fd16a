package activities

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"finobs/internal/action"
	"finobs/internal/agent"
	"finobs/internal/approval"
	"finobs/internal/canonical"
	"finobs/internal/failpoint"
	"finobs/internal/fault"
	"finobs/internal/ledger"
	"finobs/internal/remediation"

	"go.temporal.io/sdk/activity"
)

// EvidenceTx reads what an agent is shown.
type EvidenceTx interface {
	FindIncident(ctx context.Context, id int64) ([]agent.Found, error)
	FindTimeline(ctx context.Context, id int64) ([]agent.Found, error)
	FindRelated(ctx context.Context, id int64) ([]agent.Found, error)
	FindTrade(ctx context.Context, id int64) ([]agent.Found, error)
	FindOtherSides(ctx context.Context, id int64) ([]agent.Found, error)
	FindSettlement(ctx context.Context, id int64) ([]agent.Found, error)
	FindSystem(ctx context.Context, id int64) ([]agent.Found, error)
	FindEntries(ctx context.Context, id int64) ([]agent.Found, error)
	FindCounts(ctx context.Context, from, to int64) ([]agent.Found, error)
}

// Systems reads and changes objects of desks' systems.
type Systems interface {
	// For returns what a mode can reach: nothing live in a simulation.
	For(mode approval.Mode) System
}

// System is what one mode can reach of desks' systems.
type System interface {
	// Read returns an object and the name of the connector that has it; a fault of
	// kind NotFound when none has it.
	Read(ctx context.Context, kind, id string) (action.Object, string, error)
	// Apply sends a command under an idempotency key. Whatever happens, the outcome
	// says what is known.
	Apply(ctx context.Context, connector, key string, target approval.Target, c action.Command) remediation.Outcome
	// Lookup asks the system that serves a kind what became of a key.
	Lookup(ctx context.Context, kind, key string) remediation.Outcome
	// Transit is how long after it was sent a command may still be applied.
	Transit(kind string) time.Duration
}

// Breaches looks over the books by the rules of compliance.
type Breaches interface {
	// Look returns what an agent is shown: counts, and the worst findings; and all
	// findings, the worst first.
	Look(ctx context.Context, r agent.Request) ([]agent.Found, []agent.Finding, error)
}

// readAttempts is how often the systems of a desk are tried before an agent goes on
// without what they would have shown.
const readAttempts = 4

// mostTargets bounds the objects of desk systems in a bundle.
const mostTargets = 12

// GatherEvidence reads all that the agent will be shown, and keeps it. The agent
// sees nothing else, and a retry shows it the same.
func (x *Agents) GatherEvidence(ctx context.Context, in RunRef) error {
	defer beat(ctx)()
	var run agent.Run
	var found []agent.Found
	gathered := false
	err := x.InTx(ctx, func(tx AgentTx) error {
		var err error
		if run, gathered, err = x.running(ctx, tx, in); err != nil || gathered {
			return err
		}
		if gathered = run.EvidenceSHA256 != ""; gathered {
			return nil
		}
		found, err = readEvidence(ctx, tx, run.Request)
		return err
	})
	if err != nil || gathered {
		return temporalError(err)
	}
	var findings []agent.Finding
	switch run.Request.Kind {
	case agent.Triage, agent.Remediate:
		targets, err := Targets(ctx, x.Systems.For(run.Request.Mode), run.Request, found)
		if err != nil {
			return temporalError(err)
		}
		found = append(found, targets...)
	case agent.Compliance:
		var more []agent.Found
		if more, findings, err = x.Breaches.Look(ctx, run.Request); err != nil {
			return temporalError(err)
		}
		found = append(found, more...)
	case agent.AuditSummary: // looks at nothing but the log
	}
	bundle := agent.Bundle(found)
	encoded, err := agent.EncodeBundle(bundle)
	if err != nil {
		return err
	}
	err = x.InTx(ctx, func(tx AgentTx) error { return x.keep(ctx, tx, in, bundle, encoded, findings) })
	failpoint.Hit("agent.after-evidence")
	return temporalError(err)
}

func readEvidence(ctx context.Context, tx EvidenceTx, r agent.Request) ([]agent.Found, error) {
	if r.Kind == agent.AuditSummary {
		return tx.FindCounts(ctx, r.From, r.To)
	}
	if r.Kind == agent.Compliance {
		return nil, nil
	}
	var out []agent.Found
	for _, find := range []func(context.Context, int64) ([]agent.Found, error){
		tx.FindIncident, tx.FindTrade, tx.FindOtherSides, tx.FindSettlement, tx.FindSystem, tx.FindRelated, tx.FindTimeline, tx.FindEntries,
	} {
		found, err := find(ctx, r.IncidentID)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

// Targets reads the objects that actions may be about: those that a person named,
// those that typed columns of the incident and its trade name, and what these refer
// to. No prose, and no detail of an incident, brings an object into scope.
func Targets(ctx context.Context, system System, r agent.Request, found []agent.Found) ([]agent.Found, error) {
	queue := slices.Clone(r.Targets)
	named := len(queue)
	for _, f := range found {
		if f.Kind == agent.OfIncident || f.Kind == agent.OfTrade {
			queue = append(queue, agent.TargetsIn(f.Facts)...)
		}
	}
	direct := len(queue)
	var out []agent.Found
	seen := map[agent.Target]bool{}
	for n := 0; n < len(queue) && len(out) < mostTargets; n++ {
		t := queue[n]
		if seen[t] {
			continue
		}
		seen[t] = true
		o, connector, err := system.Read(ctx, t.Kind, t.ID)
		switch {
		case fault.KindOf(err) == fault.NotFound && n < named:
			return nil, fault.New(fault.Invalid, "no-such-target", "no connector of this mode has %s; the connector file (FINOBS_CONNECTORS) lists what each serves", t.Key())
		case fault.KindOf(err) == fault.NotFound:
			continue
		case err != nil && activity.GetInfo(ctx).Attempt < readAttempts:
			return nil, err
		case err != nil: // the agent goes on without it, and is told so
			out = append(out, agent.Found{
				Kind: agent.OfSystem, Source: "unreachable:" + t.Key(), Facts: map[string]string{"unreachable": t.Key()}, Text: fault.MessageOf(err),
			})
			continue
		}
		out = append(out, foundTarget(o, connector))
		if n < direct {
			queue = append(queue, agent.TargetsIn(o.Fields)...)
		}
	}
	return out, nil
}

// foundTarget shows an object of a desk's system.
func foundTarget(o action.Object, connector string) agent.Found {
	facts := map[string]string{}
	for name, value := range o.Fields {
		facts[name] = value
	}
	facts["kind"], facts["id"], facts["version"], facts["connector"] = o.Kind, o.ID, o.Version, connector
	return agent.Found{Kind: agent.OfTarget, Source: "target:" + connector + ":" + o.Kind + ":" + o.ID, Facts: facts}
}

// keep records what the agent will be shown, with what in it looks like steering.
func (x *Agents) keep(ctx context.Context, tx AgentTx, in RunRef, bundle []agent.Evidence, encoded []byte, findings []agent.Finding) error {
	run, done, err := x.running(ctx, tx, in)
	if err != nil || done || run.EvidenceSHA256 != "" {
		return err
	}
	sha, err := tx.KeepEvidence(ctx, run.ID, encoded)
	if err != nil {
		return err
	}
	id := strconv.FormatInt(run.ID, 10)
	list := []any{}
	for _, e := range bundle {
		list = append(list, e.ID+" "+e.Source)
	}
	_, err = tx.Append(ctx, stepOf(ctx, in.FirstRun, "gather", id), runEntry(run, "agent.evidence", ledger.Itself("worker"), "gathered",
		canonical.Object{"evidence_sha256": sha, "evidence": list}))
	if err != nil {
		return err
	}
	if err := tx.InsertFindings(ctx, run.ID, findings); err != nil {
		return err
	}
	for _, f := range findings {
		e := runEntry(run, "agent.finding", ledger.Itself("compliance"), "found", canonical.Object{
			"finding_id": f.ID, "rule": f.Rule, "rule_version": f.Version, "severity": string(f.Severity), "party": f.Party,
			"records": strings.Join(f.Records, " "),
		})
		e.Reason = f.Text
		if _, err := tx.Append(ctx, stepOf(ctx, in.FirstRun, "finding", id+" "+f.ID), e); err != nil {
			return err
		}
	}
	return nil
}

// shown reads what a run is shown.
func shown(ctx context.Context, tx AgentTx, run agent.Run) ([]agent.Evidence, []byte, error) {
	if run.EvidenceSHA256 == "" {
		return nil, nil, fault.New(fault.Conflict, "no-evidence", "nothing was gathered for run %d: the step that gathers was completed by somebody else", run.ID)
	}
	encoded, err := tx.Blob(ctx, run.EvidenceSHA256)
	if err != nil {
		return nil, nil, err
	}
	bundle, err := agent.DecodeBundle(encoded)
	return bundle, encoded, err
}

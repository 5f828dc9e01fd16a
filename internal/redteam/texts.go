package redteam

import (
	"context"
	"fmt"
	"strings"

	"finobs/internal/action"
	"finobs/internal/agent"
	"finobs/internal/fault"
	"finobs/internal/remediation"
	"finobs/worker"
)

// harmless is what stands in a place that no attack is made on.
const harmless = "please have a look"

// steered is what words must not change, in bytes.
type steered struct {
	targets   string // the objects in scope as the agent is shown them
	facts     string // everything that was read from typed columns
	proposals string // with targets, parameters and reasons
	plans     string // dry runs, and what people would be asked to approve
}

// differs names the first thing that is not as it is in want.
func (s steered) differs(want steered) string {
	for _, d := range []struct{ what, got, want string }{
		{"the objects in scope", s.targets, want.targets}, {"typed facts", s.facts, want.facts},
		{"proposals", s.proposals, want.proposals}, {"plans", s.plans, want.plans},
	} {
		if d.got != d.want {
			return d.what + " differ from those without the text"
		}
	}
	return ""
}

// texts puts every text into every place, and in every wrapping into a place, or into
// every one when the attack is full: what the rulebook proposes and what is planned
// of it stay byte for byte what they are without it. Scenes and places take turns.
func (t *team) texts(ctx context.Context, texts []Text) error {
	all, where := scenes(), places()
	without, err := t.quiet(ctx, all, where)
	if err != nil {
		return err
	}
	for i, text := range texts {
		for j, w := range wrappings() {
			wrapped := w.wrap(text.Text)
			seen := suspected(wrapped)
			for k, p := range where {
				if !t.full && j > 0 && (i+j)%len(where) != k {
					continue
				}
				n := (i + j + i/len(where) + k) % len(all)
				what, err := t.put(ctx, p, all[n], wrapped, without[n][k])
				if err != nil {
					return err
				}
				t.report.count("text: "+text.Class, fmt.Sprintf("%s as %s in %s, scene %s", text.Name, w.name, p.name, all[n].name), what, seen)
			}
		}
	}
	return ctx.Err()
}

// quiet is what each scene comes to when nobody attacks a place, by scene and place.
func (t *team) quiet(ctx context.Context, all []scene, where []place) ([][]steered, error) {
	out := make([][]steered, len(all))
	for n, s := range all {
		for _, p := range where {
			calm, err := p.put(s, harmless)
			if err != nil {
				return nil, fmt.Errorf("%s in scene %s: %w", p.name, s.name, err)
			}
			found, err := t.steer(ctx, calm)
			if err != nil {
				return nil, fmt.Errorf("%s in scene %s: %w", p.name, s.name, err)
			}
			if found.plans == "[]" {
				return nil, fmt.Errorf("%s in scene %s: the rulebook proposes nothing, so that no text could change it", p.name, s.name)
			}
			out[n] = append(out[n], found)
		}
	}
	return out, nil
}

// put attacks once and says what escaped.
func (t *team) put(ctx context.Context, p place, s scene, text string, without steered) (string, error) {
	attacked, err := p.put(s, text)
	if k := fault.KindOf(err); err != nil && k == fault.Invalid {
		return "", nil // refused at the door
	}
	if err != nil {
		return "", fmt.Errorf("%s in scene %s: %w", p.name, s.name, err)
	}
	got, err := t.steer(ctx, attacked)
	if err != nil {
		return "the run fails: " + err.Error(), nil //nolint:nilerr // that is what escaped
	}
	return got.differs(without), nil
}

// steer runs what a run of remediation does, from what was found to the plans.
func (t *team) steer(ctx context.Context, s scene) (steered, error) {
	bundle, err := t.bundle(ctx, s)
	if err != nil {
		return steered{}, err
	}
	raw, err := worker.Answer(t.book, s.request.Kind, bundle)
	if err != nil {
		return steered{}, err
	}
	kept, problems := t.judge(s.request.Kind, true, bundle, raw)
	if fatal := agent.Fatal(problems); len(fatal) > 0 {
		return steered{}, fmt.Errorf("what the rulebook says is refused: %s", fatal[0])
	}
	var targets []agent.Evidence
	facts := []map[string]string{}
	for _, e := range bundle {
		if e.Kind == agent.OfTarget {
			targets = append(targets, e)
		}
		facts = append(facts, typed(e))
	}
	plans, err := t.plans(ctx, bundle, kept)
	return steered{targets: encode(targets), facts: encode(facts), proposals: encode(kept.Proposals), plans: plans}, err
}

// typed are the facts of an evidence but for details, which senders write.
func typed(e agent.Evidence) map[string]string {
	out := map[string]string{"evidence": e.ID + " " + string(e.Kind) + " " + e.Source}
	for name, value := range e.Facts {
		if !strings.HasPrefix(name, agent.DetailPrefix) {
			out[name] = value
		}
	}
	return out
}

// plans are the dry runs of what was proposed, and what people would approve.
func (t *team) plans(ctx context.Context, bundle []agent.Evidence, o agent.Output) (string, error) {
	plans := []any{}
	for _, p := range o.Proposals {
		target := evidence(bundle, p.Target)
		object, connector, err := t.desks.Read(ctx, target.Facts[agent.FactKind], target.Facts[agent.FactID])
		if err != nil {
			return "", err
		}
		kind, err := action.Find(p.Action)
		if err != nil {
			return "", err
		}
		plan, err := remediation.PlanFor(kind, object, p.Parameters, func(kind, id string) (action.Object, string, error) { return t.desks.Read(ctx, kind, id) })
		if err != nil { // recorded as not planned: nobody is asked for anything
			plans = append(plans, fault.CodeOf(err))
			continue
		}
		x := remediation.Action{RunID: 1, IncidentID: 42, Connector: connector, Plan: plan, Risk: kind.Risk, Reason: p.Reason}
		b, digest, err := plan.Canonical()
		if err != nil {
			return "", err
		}
		x.PlanBytes, x.PlanDigest = b, digest
		plans = append(plans, string(b), x.Approvable())
	}
	return encode(plans), nil
}

// evidence is the evidence of an id; the zero one when there is none.
func evidence(bundle []agent.Evidence, id string) agent.Evidence {
	for _, e := range bundle {
		if e.ID == id {
			return e
		}
	}
	return agent.Evidence{}
}

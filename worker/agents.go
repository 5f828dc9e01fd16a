package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"finobs/activities"
	"finobs/internal/action"
	"finobs/internal/agent"
	"finobs/internal/approval"
	"finobs/internal/budget"
	"finobs/internal/compliance"
	"finobs/internal/connector"
	"finobs/internal/desk"
	"finobs/internal/fault"
	"finobs/internal/llm"
	"finobs/internal/remediation"
	"finobs/internal/rulebook"
	"finobs/internal/sanctions"
	"finobs/internal/store"
)

// Agents are what agents work with.
type Agents struct {
	Connectors *connector.Set     // nil: no system of a desk can be reached
	Triage     *rulebook.Rulebook // the analyst that is always there
	Model      *llm.Analyst       // nil: none is configured
	Budget     budget.Limits      // of the model
	Rules      *compliance.Rules
	Names      *sanctions.Index // nil: names are not screened
	Recovery   time.Duration    // how long a target has to get well after an action
}

func newAgents(d Deps) *activities.Agents {
	a := &activities.Agents{
		InTx: store.InTx[activities.AgentTx](d.Store), Verifier: d.Verifier, Systems: systems{d.Agents.Connectors}, Rulebook: rules{d.Agents.Triage},
		Limits: d.Agents.Budget, Breaches: breaches{d.Store, d.Agents.Rules, d.Agents.Names},
	}
	if d.Agents.Model != nil {
		a.Model = model{d.Agents.Model}
	}
	return a
}

// rules is the rulebook as an analyst.
type rules struct{ triage *rulebook.Rulebook }

// Analyse implements activities.Rulebook.
func (r rules) Analyse(kind agent.Kind, bundle []agent.Evidence) (agent.Output, error) {
	return Answer(r.triage, kind, bundle)
}

// Version implements activities.Rulebook.
func (r rules) Version(kind agent.Kind) string { return RulesVersion(r.triage, kind) }

// Answer is what the rulebook says in a run of a kind.
func Answer(triage *rulebook.Rulebook, kind agent.Kind, bundle []agent.Evidence) (agent.Output, error) {
	if kind == agent.Triage || kind == agent.Remediate {
		return triage.Analyse(kind, bundle)
	}
	return agent.SumUp(kind, bundle)
}

// RulesVersion is the agent_version of what Answer says.
func RulesVersion(triage *rulebook.Rulebook, kind agent.Kind) string {
	if kind == agent.Triage || kind == agent.Remediate {
		return triage.Version().String()
	}
	return agent.SumVersion
}

// model is a language model as an analyst.
type model struct{ analyst *llm.Analyst }

// Ask implements activities.Model.
func (m model) Ask(ctx context.Context, q activities.ModelQuestion) (activities.ModelAnswer, error) {
	got, err := m.analyst.Analyse(ctx, ModelRequest(q))
	out := activities.ModelAnswer{Output: got.Output, Version: ModelVersion(got.Version), Said: got.Said}
	for _, x := range got.Exchanges {
		b, encodeErr := json.Marshal(x)
		if encodeErr != nil {
			return out, errors.Join(err, fmt.Errorf("encoding exchange: %w", encodeErr))
		}
		out.Exchanges = append(out.Exchanges, agent.Exchange{
			Bytes: b, Provider: string(x.Provider), Model: x.Model, Outcome: x.Outcome, InputTokens: x.Charged.Input, OutputTokens: x.Charged.Output,
		})
	}
	return out, err
}

// ModelVersion is the agent_version of what a model says.
func ModelVersion(v llm.Version) string {
	return agent.Version{
		Analyst: "llm/" + string(v.Provider), Model: v.Model, PromptSHA256: v.PromptSHA256, SchemaSHA256: v.SchemaSHA256,
	}.String()
}

// ModelRequest is what an analyst on a model is asked.
func ModelRequest(q activities.ModelQuestion) llm.Request {
	r := llm.Request{Kind: q.Kind, Bundle: q.Bundle, Marker: q.Marker, At: q.At, Check: q.Check}
	if q.Budget != nil {
		r.Budget = q.Budget
	}
	for _, d := range q.Actions {
		one := llm.ActionDoc{Name: d.Name, Title: d.Title, TargetKind: d.TargetKind}
		for _, p := range d.Parameters {
			one.Parameters = append(one.Parameters, llm.ParameterDoc(p))
		}
		r.Catalogue = append(r.Catalogue, one)
	}
	return r
}

// systems are the connectors as activities see them.
type systems struct{ set *connector.Set }

// For implements activities.Systems.
func (s systems) For(mode approval.Mode) activities.System {
	names := map[string]string{}
	for _, info := range s.set.Infos() {
		if (info.Mode == approval.Live) == (mode == approval.Live) {
			for _, kind := range info.Kinds {
				names[kind] = info.Name
			}
		}
	}
	return reach{s.set.For(mode), names}
}

// reach is what one mode can reach, with the names of its connectors by kind.
type reach struct {
	connector.Executor
	names map[string]string
}

// Read implements activities.System.
func (r reach) Read(ctx context.Context, kind, id string) (action.Object, string, error) {
	o, err := r.Executor.Read(ctx, kind, id)
	return o, r.names[kind], err
}

// Apply implements activities.System.
func (r reach) Apply(ctx context.Context, name, key string, target approval.Target, c action.Command) remediation.Outcome {
	if r.names[target.Kind] != name {
		return remediation.Outcome{Status: remediation.NotSent, Why: "connector " + name + " does not serve " + target.Kind + " any more"}
	}
	got, err := r.Executor.Apply(ctx, key, c, target)
	if err != nil {
		if fault.KindOf(err).Retryable() {
			return remediation.Outcome{Status: remediation.NotSent, Why: fault.MessageOf(err)}
		}
		return remediation.Outcome{Status: remediation.Refused, Why: fault.MessageOf(err)}
	}
	return outcomeOf(got)
}

// Lookup implements activities.System.
func (r reach) Lookup(ctx context.Context, kind, key string) remediation.Outcome {
	got, err := r.Executor.Lookup(ctx, kind, key)
	if err != nil {
		return remediation.Outcome{Status: remediation.Unheard, Why: fault.MessageOf(err)}
	}
	return outcomeOf(got)
}

func outcomeOf(o connector.Outcome) remediation.Outcome {
	out := remediation.Outcome{EffectID: o.EffectID, Why: o.Reason}
	switch o.Status {
	case connector.Done:
		out.Status = remediation.Applied
	case connector.Absent:
		out.Status = remediation.Absent
	case connector.Failed:
		switch o.Code {
		case "version_moved":
			out.Status = remediation.Moved
		case "key_reused": // an attempt before has arrived, over another version: what became of it is asked
			out.Status = remediation.Unheard
		default:
			out.Status = remediation.Refused
		}
	default:
		out.Status = remediation.Unheard
	}
	return out
}

// mostShownFindings bounds the findings that an analyst is shown; the run keeps all.
const mostShownFindings = 40

// breaches are the rules of compliance over the books.
type breaches struct {
	store *store.Writer
	rules *compliance.Rules
	names *sanctions.Index // nil: no list is configured
}

// Look implements activities.Breaches.
func (b breaches) Look(ctx context.Context, r agent.Request) ([]agent.Found, []agent.Finding, error) {
	records := func(yield func(compliance.Record, error) bool) {
		for t, err := range b.store.Transactions(ctx, r) {
			var record compliance.Record
			if err == nil {
				record = compliance.FromTransaction(t)
			}
			if !yield(record, err) {
				return
			}
		}
	}
	today, err := b.store.Today(ctx)
	if err != nil {
		return nil, nil, err
	}
	list, stats, err := b.rules.Run(ctx, records, compliance.Options{AsOf: today, Names: b.names})
	if err != nil {
		return nil, nil, err
	}
	slices.SortStableFunc(list, func(x, y compliance.Finding) int {
		return slices.Index(desk.Severities(), y.Severity) - slices.Index(desk.Severities(), x.Severity)
	})
	return shownBreaches(list, stats), keptBreaches(list), nil
}

func keptBreaches(list []compliance.Finding) []agent.Finding {
	out := make([]agent.Finding, 0, len(list))
	for _, f := range list {
		out = append(out, agent.Finding{
			ID: f.ID, Rule: f.Rule, Version: strconv.Itoa(f.RuleVersion), Severity: f.Severity, Party: f.Party, Records: f.Records,
			Facts: f.Facts, Text: f.Text + " " + f.Why,
		})
	}
	return out
}

// unjudged says in words of which records the rules said nothing, and why: that nothing
// was found there proves nothing.
func unjudged(stats compliance.Stats) string {
	var b strings.Builder
	for _, rule := range slices.Sorted(maps.Keys(stats.NotRun)) {
		fmt.Fprintf(&b, "rule %s did not run: %s\n", rule, stats.NotRun[rule])
	}
	for _, rule := range slices.Sorted(maps.Keys(stats.NoLimit)) {
		fmt.Fprintf(&b, "rule %s did not judge %d records: their currency has no limit\n", rule, stats.NoLimit[rule])
	}
	for _, rule := range slices.Sorted(maps.Keys(stats.Cut)) {
		fmt.Fprintf(&b, "rule %s gave up its search for %d records\n", rule, stats.Cut[rule])
	}
	return b.String()
}

func shownBreaches(list []compliance.Finding, stats compliance.Stats) []agent.Found {
	counts := map[string]string{agent.FactRecords: strconv.Itoa(stats.Records), agent.FactFindings: strconv.Itoa(len(list))}
	byRule, bySeverity := map[string]int{}, map[string]int{}
	for _, f := range list {
		byRule[f.Rule]++
		bySeverity[string(f.Severity)]++
	}
	for rule, n := range byRule {
		counts["rule."+rule] = strconv.Itoa(n)
	}
	for severity, n := range bySeverity {
		counts["severity."+severity] = strconv.Itoa(n)
	}
	for rule, n := range stats.NoLimit {
		counts["not_judged."+rule] = strconv.Itoa(n)
	}
	for rule, n := range stats.Cut {
		counts["cut."+rule] = strconv.Itoa(n)
	}
	out := []agent.Found{{Kind: agent.OfCounts, Source: "compliance", Facts: counts, Text: unjudged(stats)}}
	for _, f := range list[:min(len(list), mostShownFindings)] {
		facts := map[string]string{
			"rule": f.Rule, agent.FactSeverity: string(f.Severity), "party": f.Party, agent.FactRecords: strconv.Itoa(f.RecordCount), "finding_id": f.ID,
		}
		for name, value := range f.Facts {
			facts["found."+name] = value
		}
		out = append(out, agent.Found{Kind: agent.OfFinding, Source: "finding:" + f.ID, Facts: facts, Text: f.Text + "\n" + f.Why})
	}
	return out
}

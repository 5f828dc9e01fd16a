package activities

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"finobs/internal/action"
	"finobs/internal/agent"
	"finobs/internal/budget"
	"finobs/internal/canonical"
	"finobs/internal/failpoint"
	"finobs/internal/fault"
	"finobs/internal/ledger"

	"github.com/google/uuid"
)

// Rulebook is the analyst that is always there: it says the same of the same
// evidence, and costs nothing.
type Rulebook interface {
	Analyse(kind agent.Kind, bundle []agent.Evidence) (agent.Output, error)
	Version(kind agent.Kind) string
}

// Model is an analyst that asks a language model. It is not trusted.
type Model interface {
	Ask(ctx context.Context, q ModelQuestion) (ModelAnswer, error)
}

// ModelQuestion is what a model is asked.
type ModelQuestion struct {
	Kind   agent.Kind
	Bundle []agent.Evidence
	agent.Question
	Check  func(agent.Output) (kept agent.Output, fatal []string)
	Budget Budget
}

// Budget reserves before each call of a model and settles after it.
type Budget interface {
	Reserve(ctx context.Context, worst budget.Use) (reservation string, err error)
	Settle(ctx context.Context, reservation string, real budget.Use) error
}

// ModelAnswer is what came of asking a model, also when that failed.
type ModelAnswer struct {
	Output    agent.Output
	Version   string
	Exchanges []agent.Exchange
	Said      []string // each answer in words, also those that were refused; the last one is Output's when there is one
}

// SpendTx counts what models take.
type SpendTx interface {
	LockSpend(ctx context.Context) error
	SpendSoFar(ctx context.Context, r agent.Run) (budget.Totals, error)
	InsertSpend(ctx context.Context, id string, r agent.Run, reserved budget.Use) error
	Spend(ctx context.Context, id string) (budget.Use, error)
	SettleSpend(ctx context.Context, id string, use budget.Use) error
	KeepQuestion(ctx context.Context, runID int64, q agent.Question) (agent.Question, error)
	InsertExchanges(ctx context.Context, runID int64, list []agent.Exchange) error
}

// Analyse has the analyst say what it makes of the evidence, judges that, and
// records what is kept. A model that fails, in whatever way, is answered for by the
// rulebook, and the record says why.
func (x *Agents) Analyse(ctx context.Context, in RunRef) error {
	defer beat(ctx)()
	var run agent.Run
	var bundle []agent.Evidence
	var encoded []byte
	done := false
	err := x.InTx(ctx, func(tx AgentTx) error {
		var err error
		if run, done, err = x.running(ctx, tx, in); err != nil || done {
			return err
		}
		bundle, encoded, err = shown(ctx, tx, run)
		return err
	})
	if err != nil || done {
		return temporalError(err)
	}
	result, exchanges, err := x.ask(ctx, run, bundle)
	if err != nil {
		return temporalError(err)
	}
	failpoint.Hit("agent.after-analyse")
	for _, e := range bundle {
		result.Suspicions = append(result.Suspicions, agent.SuspectEvidence(e)...)
	}
	err = x.InTx(ctx, func(tx AgentTx) error {
		now, done, err := x.running(ctx, tx, in)
		if err != nil || done {
			return err
		}
		now.Result = &result
		return recordOutput(ctx, tx, in, now, encoded, exchanges)
	})
	failpoint.Hit("agent.after-output")
	return temporalError(err)
}

// Judge is what is kept of an analyst's output in a run of a kind, and what is wrong
// with it. It is the same for a replay.
func Judge(kind agent.Kind, rulebook bool, bundle []agent.Evidence, raw agent.Output) (agent.Output, []agent.Problem) {
	s := agent.Scope{Kind: kind, Rulebook: rulebook, Allowed: action.Allowed, Identifier: action.Identifier}
	if kind == agent.Triage || kind == agent.Remediate {
		s.MaxProposals = agent.MaxProposals
	}
	kept, problems := agent.Check(s, bundle, raw)
	if s.MaxProposals == 0 {
		problems = append(problems, agent.CheckNumbers(bundle, kept)...)
	}
	return kept, problems
}

// ask asks the model, where there is one, and else, or when it fails, the rulebook.
func (x *Agents) ask(ctx context.Context, run agent.Run, bundle []agent.Evidence) (agent.Result, []agent.Exchange, error) {
	if x.Model == nil {
		result, err := x.byRules(run, bundle)
		return result, nil, err
	}
	question, err := x.question(ctx, run)
	if err != nil {
		return agent.Result{}, nil, err
	}
	var problems []agent.Problem
	answer, err := x.Model.Ask(ctx, ModelQuestion{
		Kind: run.Request.Kind, Bundle: bundle, Question: question, Budget: runBudget{x, run},
		Check: func(raw agent.Output) (agent.Output, []string) {
			var kept agent.Output
			kept, problems = Judge(run.Request.Kind, false, bundle, raw)
			return kept, agent.Fatal(problems)
		},
	})
	if err == nil {
		result := agent.Result{Output: answer.Output, Version: answer.Version, Problems: words(problems), Suspicions: suspectAnswers(answer.Said, true)}
		return result, answer.Exchanges, nil
	}
	if ctx.Err() != nil { // the worker stops, or the activity was given up: another attempt asks
		return agent.Result{}, nil, err
	}
	slog.WarnContext(ctx, "the rulebook answers in the model's place", "run_id", run.ID, "error", err)
	result, rulesErr := x.byRules(run, bundle)
	result.Fallback = fault.CodeOf(err) + ": " + fault.MessageOf(err)
	result.Problems = append(words(problems), result.Problems...)
	result.Suspicions = suspectAnswers(answer.Said, false)
	return result, answer.Exchanges, rulesErr
}

// suspectAnswers looks for attempts to steer in what a model said, before anything of
// it was cleaned. A model that tries in an answer that is refused has tried all the
// same, and people are to know which evidence, or which provider, made it.
func suspectAnswers(said []string, accepted bool) []agent.Suspicion {
	var out []agent.Suspicion
	for n, text := range said {
		where := fmt.Sprintf("answer %d, refused", n+1)
		if accepted && n == len(said)-1 {
			where = "output"
		}
		out = append(out, agent.Suspect(where, text)...)
	}
	return out
}

func words(problems []agent.Problem) []string {
	var out []string
	for _, p := range problems {
		out = append(out, p.String())
	}
	return out
}

func (x *Agents) byRules(run agent.Run, bundle []agent.Evidence) (agent.Result, error) {
	raw, err := x.Rulebook.Analyse(run.Request.Kind, bundle)
	if err != nil {
		return agent.Result{}, err
	}
	output, problems := Judge(run.Request.Kind, true, bundle, raw)
	if fatal := agent.Fatal(problems); len(fatal) > 0 {
		return agent.Result{}, fault.New(fault.Internal, "rulebook-refused", "what the rulebook says is refused: %s", fatal[0])
	}
	return agent.Result{Output: output, Version: x.Rulebook.Version(run.Request.Kind), Problems: words(problems)}, nil
}

// question is what a model is asked beside the evidence. It is kept before the
// first call, so that a retry, and a replay, ask the same.
func (x *Agents) question(ctx context.Context, run agent.Run) (q agent.Question, err error) {
	marker := make([]byte, 16)
	if _, err := rand.Read(marker); err != nil {
		return q, fmt.Errorf("making a marker: %w", err)
	}
	fresh := agent.Question{Marker: hex.EncodeToString(marker), At: run.StartedAt}
	if run.Request.Kind == agent.Triage || run.Request.Kind == agent.Remediate {
		fresh.Actions = CatalogueDocs()
	}
	err = x.InTx(ctx, func(tx AgentTx) error {
		q, err = tx.KeepQuestion(ctx, run.ID, fresh)
		return err
	})
	return q, err
}

// CatalogueDocs is the catalogue of actions as models are told of it.
func CatalogueDocs() []agent.ActionDoc {
	var out []agent.ActionDoc
	for _, t := range action.Catalogue() {
		d := agent.ActionDoc{Name: t.Name, Title: t.Title, TargetKind: t.TargetKind}
		for _, p := range t.Parameters {
			d.Parameters = append(d.Parameters, agent.ParameterDoc{Name: p.Name, Kind: string(p.Kind), Required: p.Required, Enum: slices.Clone(p.Enum)})
		}
		out = append(out, d)
	}
	return out
}

// runBudget is the budget of one run.
type runBudget struct {
	agents *Agents
	run    agent.Run
}

// Reserve implements Budget.
func (s runBudget) Reserve(ctx context.Context, worst budget.Use) (string, error) {
	id := uuid.NewString()
	err := s.agents.InTx(ctx, func(tx AgentTx) error {
		if err := tx.LockSpend(ctx); err != nil {
			return err
		}
		used, err := tx.SpendSoFar(ctx, s.run)
		if err != nil {
			return err
		}
		if err := budget.Reserve(s.agents.Limits, used, worst); err != nil {
			return err
		}
		return tx.InsertSpend(ctx, id, s.run, worst)
	})
	return id, err
}

// Settle implements Budget.
func (s runBudget) Settle(ctx context.Context, id string, real budget.Use) error {
	// The call was made, whoever has gone since.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	return s.agents.InTx(ctx, func(tx AgentTx) error {
		reserved, err := tx.Spend(ctx, id)
		if err != nil {
			return err
		}
		return tx.SettleSpend(ctx, id, budget.Settle(reserved, real))
	})
}

const settleTimeout = 10 * time.Second

// recordOutput records what the agent said with the seven fields of the record.
func recordOutput(ctx context.Context, tx AgentTx, in RunRef, run agent.Run, input []byte, exchanges []agent.Exchange) error {
	output, err := agent.EncodeOutput(run.Result.Output)
	if err != nil {
		return err
	}
	if err := errors.Join(tx.InsertExchanges(ctx, run.ID, exchanges), tx.EndRun(ctx, run, output)); err != nil {
		return err
	}
	id := strconv.FormatInt(run.ID, 10)
	o := run.Result.Output
	details := canonical.Object{
		"category": string(o.Category), "severity": string(o.Severity), "confidence": o.Confidence, "inconclusive": o.Inconclusive,
		"proposals": strconv.Itoa(len(o.Proposals)), "struck": strconv.Itoa(struck(o)), "exchanges": strconv.Itoa(len(exchanges)),
	}
	if run.Result.Fallback != "" {
		details["fallback"] = agent.Shorten(run.Result.Fallback, 500)
	}
	e := runEntry(run, "agent.output", agentActor(run.Result.Version), "done", details)
	e.Agent = &ledger.AgentRecord{Explanation: agent.Shorten(o.Explain(), 6000), Input: input, Output: output, Version: run.Result.Version}
	if _, err := tx.Append(ctx, stepOf(ctx, in.FirstRun, "output", id), e); err != nil {
		return err
	}
	if len(run.Result.Suspicions) == 0 {
		return nil
	}
	list := []any{}
	for _, s := range run.Result.Suspicions[:min(len(run.Result.Suspicions), mostSuspicions)] {
		list = append(list, s.Where+" "+s.What)
	}
	_, err = tx.Append(ctx, stepOf(ctx, in.FirstRun, "suspicion", id), runEntry(run, "agent.suspicion", ledger.Itself("worker"), "found",
		canonical.Object{"count": strconv.Itoa(len(run.Result.Suspicions)), "suspicions": list}))
	return err
}

// mostSuspicions bounds what an entry lists; the run has them all.
const mostSuspicions = 40

func struck(o agent.Output) int {
	n := 0
	for _, c := range o.Claims {
		if c.Struck {
			n++
		}
	}
	return n
}

package store

import (
	"context"
	"strings"
	"time"

	"finobs/internal/agent"
	"finobs/internal/approval"
	"finobs/internal/event"
	"finobs/internal/export"
	"finobs/internal/ledger"
	"finobs/internal/remediation"
	"finobs/internal/telemetry"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// What is counted is what was committed, once: these observe a write within its
// transaction, and take effect after the commit. A retry that finds its earlier
// write counts nothing.

// onCommit has f run once the transaction is committed.
func (t *Tx) onCommit(f func(ctx context.Context)) { t.after = append(t.after, f) }

func (t *Tx) committed(ctx context.Context) {
	for _, f := range t.after {
		f(ctx)
	}
}

// observeEntry tells of an entry, counts it, and writes it on the span that it was
// written in, so that one finds the entry from the span as one finds the span from the
// entry.
func (t *Tx) observeEntry(id string, e ledger.Entry) {
	t.onCommit(func(ctx context.Context) {
		nudge(t.appended)
		telemetry.Entries.Add(ctx, 1, telemetry.EntryType.Of(e.Type))
		if outcome, effect := strings.CutPrefix(e.Type, "effect."); effect {
			telemetry.Effects.Add(ctx, 1, telemetry.Family.Of(family(e.Action)), telemetry.Outcome.Of(outcome))
		}
		span := trace.SpanFromContext(ctx)
		span.AddEvent("ledger entry", trace.WithAttributes(
			attribute.String(telemetry.SpanEntryID, id), attribute.String(telemetry.SpanEntryType, e.Type),
			attribute.String(telemetry.SpanSubjectKind, e.Subject.Kind), attribute.String(telemetry.SpanSubjectID, e.Subject.ID),
			attribute.String(telemetry.SpanRequestID, e.RequestID), attribute.String(telemetry.SpanEntryTraceID, e.TraceID),
		))
		if approvalID := approvalOf(e); approvalID != "" {
			span.SetAttributes(attribute.String(telemetry.SpanApprovalID, approvalID))
		}
	})
}

// approvalOf is the approval that an entry is about, or that it says an effect was
// done under; "" for none.
func approvalOf(e ledger.Entry) string {
	if e.Subject.Kind == "approval" {
		return e.Subject.ID
	}
	id, _ := e.Details["approval_id"].(string)
	return id
}

// family is the first word of an action's kind.
func family(kind string) string {
	first, _, _ := strings.Cut(kind, ".")
	return first
}

// remedy is the action of the catalogue that a kind asks approval of; "" for none.
func remedy(kind string) string {
	name, is := strings.CutPrefix(kind, remediation.KindPrefix)
	if !is {
		return ""
	}
	return name
}

func (t *Tx) observeRequest(r approval.Request) {
	t.onCommit(func(ctx context.Context) {
		if !r.AskedAt.IsZero() {
			telemetry.RequestLatency.Record(ctx, r.CreatedAt.Sub(r.AskedAt).Seconds(), telemetry.Family.Of(family(r.Kind)))
		}
	})
}

func (t *Tx) observeDecision(kind string, d approval.Recorded) {
	t.onCommit(func(ctx context.Context) {
		of := telemetry.Family.Of(family(kind))
		telemetry.DecisionLatency.Record(ctx, d.RecordedAt.Sub(d.DecidedAt).Seconds(), of)
		telemetry.Decisions.Add(ctx, 1, of, telemetry.Action.Of(remedy(kind)),
			telemetry.Verdict.Of(string(d.Verdict)), telemetry.Outcome.Of(string(d.Outcome)))
	})
}

// closedRow is a request that was closed or spent.
type closedRow struct {
	Kind      string    `db:"kind"`
	CreatedAt time.Time `db:"created_at"`
	ClosedAt  time.Time `db:"closed_at"`
}

// observeClosed takes a request that left pending, now or, when it was approved
// before, earlier.
func (t *Tx) observeClosed(r closedRow, to approval.Status) {
	if !r.ClosedAt.Equal(t.now) {
		return
	}
	t.onCommit(func(ctx context.Context) {
		telemetry.OpenDuration.Record(ctx, r.ClosedAt.Sub(r.CreatedAt).Seconds(),
			telemetry.Family.Of(family(r.Kind)), telemetry.Status.Of(string(to)))
	})
}

func (t *Tx) observeSpent(r closedRow) {
	t.onCommit(func(ctx context.Context) {
		telemetry.EffectLatency.Record(ctx, t.now.Sub(r.ClosedAt).Seconds(), telemetry.Family.Of(family(r.Kind)))
	})
}

func (t *Tx) observeSeal(dataset string, begun time.Time, s export.Seal) {
	t.onCommit(func(ctx context.Context) {
		of := telemetry.Dataset.Of(dataset)
		telemetry.ExportRows.Add(ctx, float64(s.Rows), of)
		telemetry.ExportBytes.Add(ctx, float64(s.ContentBytes), of)
		telemetry.ExportDuration.Record(ctx, s.SealedAt.Sub(begun).Seconds(), of)
	})
}

func (t *Tx) observeDelivery(d export.Delivery) {
	t.onCommit(func(ctx context.Context) {
		telemetry.Deliveries.Add(ctx, 1, telemetry.Place.Of(d.Destination), telemetry.Status.Of(string(d.Status)))
	})
}

func (t *Tx) observeRun(kind, analyst, status string) {
	t.onCommit(func(ctx context.Context) {
		telemetry.AgentRuns.Add(ctx, 1, telemetry.Agent.Of(kind), telemetry.Analyst.Of(analyst), telemetry.Status.Of(status))
	})
}

// analystOf says who answered.
func analystOf(r agent.Result) string {
	switch {
	case r.Fallback != "":
		return "fallback"
	case strings.HasPrefix(r.Version, "rulebook/"):
		return "rulebook"
	default:
		return "model"
	}
}

func (t *Tx) observeExchange(desk string, x agent.Exchange) {
	t.onCommit(func(ctx context.Context) {
		provider, model := telemetry.Provider.Of(x.Provider), telemetry.Model.Of(x.Model)
		telemetry.AgentCalls.Add(ctx, 1, provider, model, telemetry.Outcome.Of(x.Outcome))
		for direction, n := range map[string]int64{"input": x.InputTokens, "output": x.OutputTokens} {
			telemetry.AgentTokens.Add(ctx, float64(n), provider, model, telemetry.Direction.Of(direction), telemetry.Desk.Of(desk))
		}
	})
}

func (t *Tx) observeSpend(desk string, usd float64) {
	t.onCommit(func(ctx context.Context) { telemetry.AgentCost.Add(ctx, usd, telemetry.Desk.Of(desk)) })
}

func (t *Tx) observeVerdict(v agent.Verdict, version string) {
	judgement, proposed := v.Override, ""
	if judgement == "" {
		judgement = "agreed"
	}
	if v.Field == agent.FieldAction {
		proposed = v.Recommended
	}
	t.onCommit(func(ctx context.Context) {
		telemetry.Verdicts.Add(ctx, 1, telemetry.Field.Of(string(v.Field)), telemetry.Action.Of(proposed),
			telemetry.Version.Of(version), telemetry.Judgement.Of(judgement))
	})
}

// observeEvents counts the events of a list that were new.
func (t *Tx) observeEvents(list []event.Event, added []int) {
	counts := map[[2]string]int{}
	for _, i := range added {
		counts[[2]string{list[i].Source, string(list[i].Kind)}]++
	}
	t.onCommit(func(ctx context.Context) {
		for of, n := range counts {
			telemetry.IntakeEvents.Add(ctx, float64(n), telemetry.Source.Of(of[0]), telemetry.EventKind.Of(of[1]))
		}
	})
}

func (t *Tx) observeDetector(name string, found, opened, resolved int64) {
	t.onCommit(func(ctx context.Context) {
		of := telemetry.Detector.Of(name)
		telemetry.Findings.Add(ctx, float64(found), of)
		telemetry.Detected.Add(ctx, float64(opened), of, telemetry.Change.Of("opened"))
		telemetry.Detected.Add(ctx, float64(resolved), of, telemetry.Change.Of("resolved"))
	})
}

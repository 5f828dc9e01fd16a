// Package activities does the work of the workflows: the only writers of state.
//
// Every activity may run again after it succeeded (the reply was lost, the worker
// died), and some may run twice at once. Each therefore finds its own earlier
// work by a key that does not depend on the attempt: a row it would insert, or
// the idempotency key of its ledger entry. A state change and its entry commit in
// one transaction.
//
// No activity believes its caller. Whoever can reach Temporal can schedule one
// with any input, so authority comes from signed tokens and from the record.
package activities

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"finobs/internal/fault"
	"finobs/internal/ledger"

	"go.opentelemetry.io/otel/trace"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
)

// Recorder appends to the ledger within a transaction.
type Recorder interface {
	Append(ctx context.Context, step ledger.Step, e ledger.Entry) (ledger.Receipt, error)
}

// Transaction runs a function in one database transaction.
type Transaction[T any] func(ctx context.Context, fn func(T) error) error

// stepOf names a write of the execution that this activity runs for. firstRun
// comes from the workflow: activities are not told it. A made-up one can only
// meet a conflict or write an entry twice, never release anything.
func stepOf(ctx context.Context, firstRun, step, ordinal string) ledger.Step {
	if w, repair := ctx.Value(repairKey{}).(ledger.Workflow); repair {
		return ledger.Step{Workflow: w, Step: step, Ordinal: ordinal}
	}
	info := activity.GetInfo(ctx)
	return ledger.Step{
		Workflow: ledger.Workflow{Namespace: info.Namespace, ID: info.WorkflowExecution.ID, FirstRun: firstRun},
		Step:     step,
		Ordinal:  ordinal,
	}
}

// traceID is the trace of the call that led to this activity; "" when no trace
// reached it.
func traceID(ctx context.Context) string {
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		return sc.TraceID().String()
	}
	return ""
}

// beatInterval is several times within the heartbeat timeout of package
// workflows.
const beatInterval = 2 * time.Second

// beat tells Temporal that this activity lives until the returned function is
// called, so that the death of a worker is noticed in seconds whatever the
// activity is waiting for.
func beat(ctx context.Context) (stop func()) { return beatWith(ctx, nil) }

// beatWith is beat with details, which ops see in the Web UI.
func beatWith(ctx context.Context, details func() any) (stop func()) {
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(beatInterval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if details == nil {
					activity.RecordHeartbeat(ctx)
				} else {
					activity.RecordHeartbeat(ctx, details())
				}
			case <-done:
				return
			}
		}
	}()
	return func() { close(done) }
}

// temporalError tells Temporal whether a retry can help: the one place where a
// fault's kind becomes a retry decision. The type of the application error is the
// fault's code, its message the safe message, its detail the kind.
func temporalError(err error) error {
	if err == nil {
		return nil
	}
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind.Retryable() {
		slog.Warn("activity failed and will be retried", "error", err)
		return err
	}
	// The cause stays here: Temporal's history is no place for what it may hold.
	slog.Info("activity refused", "error", err)
	return temporal.NewNonRetryableApplicationError(f.Message, f.Code, nil, string(f.Kind))
}

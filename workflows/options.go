package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

const (
	// recordTimeout bounds one attempt at a short database write.
	recordTimeout = 10 * time.Second
	// segmentTimeout bounds one attempt at recording a segment: ten thousand new
	// conditions are as many incidents.
	segmentTimeout = 5 * time.Minute
	// effectTimeout bounds one attempt at an effect: hours of rows, not for ever.
	effectTimeout = time.Hour
	// heartbeatTimeout is how soon a worker that died is noticed. Activities
	// beat several times within it (package activities).
	heartbeatTimeout = 10 * time.Second
	// deliveryTimeout bounds one attempt at a notice; channels give up sooner.
	deliveryTimeout = 2 * time.Minute
	// deliveryAttempts at doubling intervals take about a day, and then a person
	// has to look.
	deliveryAttempts = 30
	// forever stands for no limit where the SDK wants a number: a database that
	// is down for a week must not fail a request for approval.
	forever = 10 * 365 * 24 * time.Hour
)

// withRecord returns a context for local activities: short database writes that
// are retried until they succeed or say that no retry helps.
func withRecord(ctx workflow.Context) workflow.Context { return within(ctx, recordTimeout) }

// withSegment is withRecord for segments, which may be long.
func withSegment(ctx workflow.Context) workflow.Context { return within(ctx, segmentTimeout) }

func within(ctx workflow.Context, attempt time.Duration) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout:    attempt,
		ScheduleToCloseTimeout: forever,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 200 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 10 * time.Second,
		},
	})
}

// withEffect returns a context for the activities that ops should see and can
// retry: effects and long reads.
func withEffect(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: effectTimeout,
		HeartbeatTimeout:    heartbeatTimeout,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: time.Minute,
		},
	})
}

// withDelivery returns a context for sending something to people.
func withDelivery(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: deliveryTimeout,
		HeartbeatTimeout:    heartbeatTimeout,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: time.Hour, MaximumAttempts: deliveryAttempts,
		},
	})
}

// withExportDelivery returns a context for taking bundles to destinations. How
// often it is tried is the activity's own word: it knows what a failure means.
func withExportDelivery(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: effectTimeout,
		HeartbeatTimeout:    heartbeatTimeout,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: time.Hour,
		},
	})
}

package main

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// minimal is the smallest gated flow: a row, a signal, a row. It keeps no ledger,
// checks nobody, and is driven by the Temporal client without HTTP.
type minimal struct {
	client client.Client
	db     *sql.DB
	queue  string
	worker worker.Worker
	insert *sql.Stmt
	update *sql.Stmt
	done   sync.Map // workflow id -> chan struct{}, closed when its decision is recorded
}

// signalDecide is what the minimal flow waits for.
const signalDecide = "decide"

// newMinimal hosts the flow on the given Temporal server and database, with its
// steps as local or as normal activities.
func newMinimal(ctx context.Context, c client.Client, adminURL string, local bool) (*minimal, error) {
	m := &minimal{client: c, queue: "bench-" + uuid.NewString()}
	var err error
	if m.db, err = sql.Open("postgres", adminURL); err != nil {
		return nil, err
	}
	m.db.SetMaxOpenConns(40)
	m.db.SetMaxIdleConns(40)
	if _, err := m.db.ExecContext(ctx, `CREATE SCHEMA IF NOT EXISTS bench;
		CREATE TABLE IF NOT EXISTS bench.request (id text PRIMARY KEY, status text NOT NULL, decided_at timestamptz)`); err != nil {
		return nil, fmt.Errorf("making the floor's table: %w", err)
	}
	if m.insert, err = m.db.PrepareContext(ctx, `INSERT INTO bench.request VALUES ($1, 'pending') ON CONFLICT DO NOTHING`); err != nil {
		return nil, err
	}
	if m.update, err = m.db.PrepareContext(ctx, `UPDATE bench.request SET status = 'approved', decided_at = now() WHERE id = $1`); err != nil {
		return nil, err
	}
	m.worker = worker.New(c, m.queue, worker.Options{
		WorkflowTaskPollerBehavior: worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{}),
		ActivityTaskPollerBehavior: worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{}),
	})
	m.worker.RegisterWorkflowWithOptions(func(ctx workflow.Context, id string) error { return m.flow(ctx, id, local) }, workflow.RegisterOptions{Name: "minimal"})
	m.worker.RegisterActivityWithOptions(m.recordOpen, activity.RegisterOptions{Name: "open"})
	m.worker.RegisterActivityWithOptions(m.recordDecision, activity.RegisterOptions{Name: "decide"})
	return m, m.worker.Start()
}

func (m *minimal) stop() {
	m.worker.Stop()
	m.db.Close()
}

func (m *minimal) flow(ctx workflow.Context, id string, local bool) error {
	step := func(name string) error {
		if local {
			ctx := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: 10 * time.Second})
			return workflow.ExecuteLocalActivity(ctx, name, id).Get(ctx, nil)
		}
		ctx := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
			StartToCloseTimeout: 10 * time.Second, RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Second},
		})
		return workflow.ExecuteActivity(ctx, name, id).Get(ctx, nil)
	}
	if err := step("open"); err != nil {
		return err
	}
	workflow.GetSignalChannel(ctx, signalDecide).Receive(ctx, nil)
	return step("decide")
}

func (m *minimal) recordOpen(ctx context.Context, id string) error {
	_, err := m.insert.ExecContext(ctx, id)
	m.reached(id + "/open")
	return err
}

func (m *minimal) recordDecision(ctx context.Context, id string) error {
	_, err := m.update.ExecContext(ctx, id)
	m.reached(id + "/decide")
	return err
}

func (m *minimal) reached(what string) {
	if c, ok := m.done.LoadAndDelete(what); ok {
		close(c.(chan struct{}))
	}
}

// awaits makes a channel that is closed once a step is recorded.
func (m *minimal) awaits(what string) chan struct{} {
	c := make(chan struct{})
	m.done.Store(what, c)
	return c
}

var flows atomic.Int64

// open starts a flow and waits for its row.
func (m *minimal) open(ctx context.Context) (string, error) {
	id := fmt.Sprintf("minimal-%d-%s", flows.Add(1), m.queue)
	opened := m.awaits(id + "/open")
	_, err := m.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: m.queue, EnableEagerStart: true}, "minimal", id)
	if err != nil {
		return "", err
	}
	return id, until(ctx, opened)
}

// decide signals a flow and waits for its row.
func (m *minimal) decide(ctx context.Context, id string) error {
	recorded := m.awaits(id + "/decide")
	if err := m.client.SignalWorkflow(ctx, id, "", signalDecide, nil); err != nil {
		return err
	}
	return until(ctx, recorded)
}

func until(ctx context.Context, c <-chan struct{}) error {
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(3 * time.Minute):
		return fmt.Errorf("a flow of the floor got stuck")
	}
}

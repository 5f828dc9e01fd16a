package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"time"

	"go.temporal.io/api/enums/v1"
)

const (
	// measured is how many flows are counted, one after the other.
	measured = 20
	// idle is how long the stack is watched while nobody asks for anything.
	idle = 4 * time.Second
)

// measureCost counts what one flow leaves in Temporal and costs the database.
func (s *stack) measureCost(ctx context.Context, b *bench, suite string) error {
	if _, err := s.admin.ExecContext(ctx, "ALTER SYSTEM SET log_statement = 'all'"); err != nil {
		return err
	}
	if _, err := s.admin.ExecContext(ctx, "SELECT pg_reload_conf()"); err != nil {
		return err
	}
	time.Sleep(time.Second) // until all backends have heard of it
	first, err := s.statements()
	if err != nil {
		return err
	}
	time.Sleep(idle)
	second, err := s.statements()
	if err != nil {
		return err
	}
	began := time.Now()
	var ids []string
	flow := gated{s}
	for range measured {
		id, err := flow.open(ctx)
		if err != nil {
			return err
		}
		if err := flow.decide(ctx, id); err != nil {
			return err
		}
		ids = append(ids, id)
	}
	took := time.Since(began)
	time.Sleep(200 * time.Millisecond) // the workflow of the last one ends
	third, err := s.statements()
	if err != nil {
		return err
	}
	if err := s.measureEffects(ctx, b, suite); err != nil {
		return err
	}
	// What processes ask by themselves, whether anybody works or not, does not count.
	itself := float64(second-first) * took.Seconds() / idle.Seconds()
	if err := s.measureHistories(ctx, b, suite, ids); err != nil {
		return err
	}
	b.note(suite+"/database statements of a flow, BEGIN and COMMIT among them", "statements", 0, (float64(third-second)-itself)/measured)
	return nil
}

var statement = regexp.MustCompile(`LOG:  (statement|execute [^:]*):`)

// statements are those that the database has logged so far.
func (s *stack) statements() (int, error) {
	text, err := os.ReadFile(s.Path("logs", "postgres.log"))
	if err != nil {
		return 0, fmt.Errorf("counting statements: %w", err)
	}
	n := 0
	for line := range bytes.Lines(text) {
		if statement.Match(line) {
			n++
		}
	}
	return n, nil
}

func (s *stack) measureHistories(ctx context.Context, b *bench, suite string, ids []string) error {
	var events, size []float64
	for _, id := range ids {
		var shown struct {
			WorkflowID string `json:"workflow_id"`
		}
		if err := s.expect(ctx, "alice", http.MethodGet, "/approval/"+id, nil, http.StatusOK, &shown); err != nil {
			return err
		}
		if err := s.temporal.GetWorkflow(ctx, shown.WorkflowID, "").Get(ctx, nil); err != nil {
			return err
		}
		n, bytes, err := s.history(ctx, shown.WorkflowID)
		if err != nil {
			return err
		}
		events, size = append(events, float64(n)), append(size, float64(bytes))
	}
	b.note(suite+"/history of a plain approval", "events", 12, events...)
	b.note(suite+"/history of a plain approval, size", "bytes", 0, size...)
	return nil
}

func (s *stack) history(ctx context.Context, workflowID string) (events, size int, err error) {
	list := s.temporal.GetWorkflowHistory(ctx, workflowID, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for list.HasNext() {
		e, err := list.Next()
		if err != nil {
			return 0, 0, err
		}
		events, size = events+1, size+e.Size()
	}
	return events, size, nil
}

// measureEffects tells how long it takes from the decision until what was approved is
// carried out and recorded: an export of incidents, sealed.
func (s *stack) measureEffects(ctx context.Context, b *bench, suite string) error {
	var took []float64
	flow := gated{s}
	for i := range measured / 2 {
		var asked struct {
			ID int64 `json:"approval_request_id"`
		}
		body := map[string]any{"dataset": "incidents", "format": "csv", "reason": fmt.Sprint(i), "renew": true}
		if err := s.expect(ctx, "alice", http.MethodPost, "/exports/", body, http.StatusAccepted, &asked); err != nil {
			return err
		}
		if err := s.recorded(ctx, asked.ID); err != nil {
			return err
		}
		began := time.Now()
		if err := flow.decide(ctx, fmt.Sprint(asked.ID)); err != nil {
			return err
		}
		if err := s.sealed(ctx, asked.ID); err != nil {
			return err
		}
		took = append(took, milliseconds(time.Since(began)))
	}
	b.note(suite+"/decide to effect, an export sealed, p50", "ms", 0, took...)
	return nil
}

// sealed waits until the export of an approval is sealed.
func (s *stack) sealed(ctx context.Context, approvalID int64) error {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		var list struct {
			Items []struct {
				Approval int64 `json:"approval_request_id"`
			} `json:"items"`
		}
		if err := s.expect(ctx, "bob", http.MethodGet, "/exports/?status=sealed&limit=5", nil, http.StatusOK, &list); err != nil {
			return err
		}
		for _, e := range list.Items {
			if e.Approval == approvalID {
				return nil
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the export of approval %d is not sealed after a minute", approvalID)
		}
	}
}

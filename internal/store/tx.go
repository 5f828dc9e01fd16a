package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"finobs/internal/deskfile"
	"finobs/internal/fault"
	"finobs/internal/ledger"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

// Tx is one transaction of the worker. Everything that it writes, ledger entries
// among it, commits together or not at all.
type Tx struct {
	db   *db
	tx   *sqlx.Tx
	now  time.Time
	desk *deskfile.Desk

	recordsEvents bool // whether others know that it does
	after         []func(context.Context)
	appended      chan<- struct{} // told of entries, once they are committed
}

// Now is the database's time at the start of the transaction: the one clock that
// deadlines are judged by.
func (t *Tx) Now() time.Time { return t.now }

// Desk is the desk file that incidents open, fold and escalate by.
func (t *Tx) Desk() *deskfile.Desk { return t.desk }

// InTx runs fn in a transaction and commits when it returns nil. T is what the
// caller sees of *Tx, an interface of its own; *Tx must satisfy it.
//
// An error from the commit itself leaves the outcome unknown. Callers retry, and
// the idempotency keys of what they wrote decide.
func InTx[T any](w *Writer) func(ctx context.Context, fn func(T) error) error {
	return func(ctx context.Context, fn func(T) error) error {
		return w.inTx(ctx, func(t *Tx) error { return fn(any(t).(T)) })
	}
}

func (w *Writer) inTx(ctx context.Context, fn func(*Tx) error) error {
	tx, err := w.db.BeginTxx(ctx, nil)
	if err != nil {
		return fmt.Errorf("beginning transaction: %w", classify(err))
	}
	defer tx.Rollback() // after a commit it says so; before one the first error matters
	t := &Tx{db: w.db, tx: tx, desk: w.desk, appended: w.appended}
	if err := t.get(ctx, &t.now, "SELECT clock_timestamp()"); err != nil {
		return fmt.Errorf("reading the database's clock: %w", err)
	}
	t.now = t.now.UTC()
	if err := fn(t); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("committing: %w", classify(err))
	}
	t.committed(ctx)
	return nil
}

func (t *Tx) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s, err := t.db.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	res, err := t.tx.StmtxContext(ctx, s).ExecContext(ctx, args...)
	return res, classify(err)
}

func (t *Tx) get(ctx context.Context, dest any, query string, args ...any) error {
	s, err := t.db.statement(ctx, query)
	if err != nil {
		return err
	}
	return classify(t.tx.StmtxContext(ctx, s).GetContext(ctx, dest, args...))
}

func (t *Tx) list(ctx context.Context, dest any, query string, args ...any) error {
	s, err := t.db.statement(ctx, query)
	if err != nil {
		return err
	}
	return classify(t.tx.StmtxContext(ctx, s).SelectContext(ctx, dest, args...))
}

// Append writes an entry of the ledger under the step's idempotency key. When
// the key is taken by the same content, nothing is written and the receipt says
// Replayed. When it is taken by other content, something is badly wrong, and the
// error is a Conflict that no retry mends.
func (t *Tx) Append(ctx context.Context, step ledger.Step, e ledger.Entry) (ledger.Receipt, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return ledger.Receipt{}, fmt.Errorf("making entry id: %w", err)
	}
	e.Workflow = step.Workflow
	key := step.Key()
	sealed, err := e.Seal(id.String(), t.now, key)
	if err != nil {
		return ledger.Receipt{}, err
	}
	agent, err := t.agentColumns(ctx, e.Agent)
	if err != nil {
		return ledger.Receipt{}, err
	}
	res, err := t.exec(ctx, `
		INSERT INTO ledger.entry (entry_id, idem_key, content_sha256, leaf, leaf_sha256, recorded_at,
			type, actor_type, actor_iss, actor_sub, subject_kind, subject_id, action, outcome, reason, desk,
			request_id, trace_id, workflow_id, ai_explanation, agent_input_sha256, agent_output_sha256, agent_version,
			override_type, is_simulation)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
			$17, $18, $19, $20, $21, $22, $23, nullif($24, ''), $25)
		ON CONFLICT (idem_key) DO NOTHING`,
		id, key[:], sealed.ContentSHA256[:], sealed.Leaf, sealed.LeafSHA256[:], t.now,
		e.Type, e.Actor.Kind, e.Actor.Issuer, e.Actor.Subject, e.Subject.Kind, e.Subject.ID, e.Action, e.Outcome, e.Reason, e.Desk,
		e.RequestID, e.TraceID, e.Workflow.ID, agent.explanation, agent.input, agent.output, agent.version,
		e.OverrideType, e.Simulation)
	if err != nil {
		return ledger.Receipt{}, fmt.Errorf("appending entry %s: %w", e.Type, err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return ledger.Receipt{}, fmt.Errorf("appending entry %s: %w", e.Type, err)
	}
	if n == 1 {
		t.observeEntry(id.String(), e)
		return ledger.Receipt{EntryID: id.String(), RecordedAt: t.now}, nil
	}
	return t.replayed(ctx, key, sealed, e)
}

// Recorded reports whether an entry was written under the step's key.
func (t *Tx) Recorded(ctx context.Context, step ledger.Step) (bool, error) {
	key := step.Key()
	var there bool
	if err := t.get(ctx, &there, "SELECT EXISTS (SELECT FROM ledger.entry WHERE idem_key = $1)", key[:]); err != nil {
		return false, fmt.Errorf("looking for an entry: %w", err)
	}
	return there, nil
}

func (t *Tx) replayed(ctx context.Context, key [32]byte, sealed ledger.Sealed, e ledger.Entry) (ledger.Receipt, error) {
	var there struct {
		EntryID    string    `db:"entry_id"`
		Content    []byte    `db:"content_sha256"`
		RecordedAt time.Time `db:"recorded_at"`
	}
	err := t.get(ctx, &there, "SELECT entry_id, content_sha256, recorded_at FROM ledger.entry WHERE idem_key = $1", key[:])
	if err != nil {
		return ledger.Receipt{}, fmt.Errorf("reading entry again: %w", err)
	}
	if [32]byte(there.Content) != sealed.ContentSHA256 {
		return ledger.Receipt{}, fault.New(fault.Conflict, "ledger-conflict",
			"entry %s of workflow %s was recorded before with other content (entry %s)", e.Type, e.Workflow.ID, there.EntryID)
	}
	return ledger.Receipt{EntryID: there.EntryID, RecordedAt: there.RecordedAt, Replayed: true}, nil
}

type agentColumns struct {
	explanation, version *string
	input, output        []byte
}

func (t *Tx) agentColumns(ctx context.Context, a *ledger.AgentRecord) (agentColumns, error) {
	if a == nil {
		return agentColumns{}, nil
	}
	input, err := t.putBlob(ctx, a.Input)
	if err != nil {
		return agentColumns{}, err
	}
	output, err := t.putBlob(ctx, a.Output)
	if err != nil {
		return agentColumns{}, err
	}
	return agentColumns{explanation: &a.Explanation, version: &a.Version, input: input, output: output}, nil
}

// putBlob keeps bytes under their SHA-256 and returns it.
func (t *Tx) putBlob(ctx context.Context, b []byte) ([]byte, error) {
	if b == nil {
		b = []byte{}
	}
	var sum []byte
	err := t.get(ctx, &sum, `
		INSERT INTO ledger.blob (sha256, bytes) VALUES (sha256($1::bytea), $1)
		ON CONFLICT (sha256) DO NOTHING RETURNING sha256`, b)
	if errors.Is(err, sql.ErrNoRows) {
		err = t.get(ctx, &sum, "SELECT sha256($1::bytea)", b)
	}
	if err != nil {
		return nil, fmt.Errorf("keeping blob: %w", err)
	}
	return sum, nil
}

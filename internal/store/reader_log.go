package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"finobs/internal/fault"
	"finobs/internal/ledger"
)

// LogEntry is a row of the log: an entry at its place. Pointers are nil where the
// entry that has the place is gone.
type LogEntry struct {
	Index         int64      `db:"leaf_index" json:"leaf_index"`
	EntryID       *string    `db:"entry_id" json:"entry_id"`
	IdemKey       *string    `db:"idem_key" json:"idem_key"`
	ContentSHA256 *string    `db:"content_sha256" json:"content_sha256"`
	RecordedAt    *time.Time `db:"recorded_at" json:"recorded_at"`
	Type          *string    `db:"type" json:"type"`
	Action        *string    `db:"action" json:"action"`
	Outcome       *string    `db:"outcome" json:"outcome"`
	Reason        *string    `db:"reason" json:"reason"`
	ActorType     *string    `db:"actor_type" json:"actor_type"`
	ActorIss      *string    `db:"actor_iss" json:"actor_iss"`
	ActorSub      *string    `db:"actor_sub" json:"actor_sub"`
	SubjectKind   *string    `db:"subject_kind" json:"subject_kind"`
	SubjectID     *string    `db:"subject_id" json:"subject_id"`
	Desk          *string    `db:"desk" json:"desk"`
	RequestID     *string    `db:"request_id" json:"request_id"`
	TraceID       *string    `db:"trace_id" json:"trace_id"`
	WorkflowID    *string    `db:"workflow_id" json:"workflow_id"`
	AIExplanation *string    `db:"ai_explanation" json:"ai_explanation"`
	AgentInput    *string    `db:"agent_input_sha256" json:"agent_input_sha256"`
	AgentOutput   *string    `db:"agent_output_sha256" json:"agent_output_sha256"`
	AgentVersion  *string    `db:"agent_version" json:"agent_version"`
	OverrideType  *string    `db:"override_type" json:"override_type"`
	IsSimulation  *bool      `db:"is_simulation" json:"is_simulation"`
	LeafSHA256    *string    `db:"leaf_sha256" json:"leaf_sha256"`
	Leaf          []byte     `db:"leaf" json:"-"`
}

const logColumns = `leaf_index, entry_id, idem_key, content_sha256, recorded_at, type, action, outcome, reason, actor_type, actor_iss, actor_sub,
	subject_kind, subject_id, desk, request_id, trace_id, workflow_id, ai_explanation, agent_input_sha256, agent_output_sha256,
	agent_version, override_type, is_simulation, leaf_sha256, leaf`

// LogFilter selects entries of the log; zero fields select all.
type LogFilter struct {
	SubjectKind, SubjectID, Actor, Type, Action, Outcome, Desk, Workflow, Trace string

	Simulation   string // true, false or empty
	Since, Until time.Time
	After        int64 // only indexes from this one on
	Before       int64 // only indexes below this one; 0: no bound
	NewestFirst  bool
}

// Log lists entries of the log by their index.
func (r *Reader) Log(ctx context.Context, f LogFilter, limit int) ([]LogEntry, error) {
	query, args := " WHERE true", []any(nil)
	add := func(condition string, value any) {
		args = append(args, value)
		query += " AND " + strings.ReplaceAll(condition, "?", "$"+strconv.Itoa(len(args)))
	}
	for _, c := range []struct{ column, value string }{
		{"subject_kind", f.SubjectKind}, {"subject_id", f.SubjectID}, {"actor_sub", f.Actor}, {"type", f.Type}, {"action", f.Action},
		{"outcome", f.Outcome}, {"desk", f.Desk}, {"workflow_id", f.Workflow}, {"trace_id", f.Trace},
	} {
		if c.value != "" {
			add(c.column+" = ?", c.value)
		}
	}
	if f.Simulation != "" {
		add("is_simulation = ?", f.Simulation == "true")
	}
	if !f.Since.IsZero() {
		add("recorded_at >= ?", f.Since)
	}
	if !f.Until.IsZero() {
		add("recorded_at < ?", f.Until)
	}
	if f.After > 0 {
		add("leaf_index >= ?", f.After)
	}
	if f.Before > 0 {
		add("leaf_index < ?", f.Before)
	}
	order := "leaf_index"
	if f.NewestFirst {
		order += " DESC"
	}
	rows := []LogEntry{}
	err := r.db.Filtered(ctx, &rows, `SELECT `+logColumns+` FROM api.log_entry`+query+" ORDER BY "+order+" LIMIT "+strconv.Itoa(limit), args...)
	if err != nil {
		return nil, fmt.Errorf("reading the log: %w", classify(err))
	}
	return rows, nil
}

// LogEntryAt reads the entry at an index; a fault of kind NotFound when the log
// is not that long, and of kind Gone when its entry is missing.
func (r *Reader) LogEntryAt(ctx context.Context, index int64) (LogEntry, error) {
	var row LogEntry
	err := r.db.GetContext(ctx, &row, `SELECT `+logColumns+` FROM api.log_entry WHERE leaf_index = $1`, index)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return row, fault.New(fault.NotFound, "no-such-leaf", "the log has no leaf %d", index)
	case err != nil:
		return row, fmt.Errorf("reading leaf %d: %w", index, classify(err))
	case row.Leaf == nil:
		return row, fault.New(fault.Gone, "leaf-missing", "the entry at index %d is missing from the ledger", index)
	}
	return row, nil
}

// Tree is the tree as it is committed.
func (r *Reader) Tree(ctx context.Context) (ledger.Tree, error) {
	var row treeRow
	if err := r.db.GetContext(ctx, &row, `SELECT size, root FROM api.tree`); err != nil {
		return ledger.Tree{}, fmt.Errorf("reading tree: %w", classify(err))
	}
	return row.tree()
}

// Tiles reads tiles of the log.
func (r *Reader) Tiles(ctx context.Context) ledger.TileSource {
	return r.db.tilesOf(ctx, nil, tileViewQuery)
}

// Checkpoint is the newest checkpoint whose size is at least the given one; a
// fault of kind NotFound when there is none yet.
func (r *Reader) Checkpoint(ctx context.Context, atLeast int64) ([]byte, error) {
	var text []byte
	err := r.db.GetContext(ctx, &text, `SELECT note FROM api.checkpoint WHERE size >= $1 ORDER BY size DESC LIMIT 1`, atLeast)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.New(fault.NotFound, "no-checkpoint", "no checkpoint covers %d leaves yet", atLeast)
	}
	if err != nil {
		return nil, fmt.Errorf("reading checkpoint: %w", classify(err))
	}
	return text, nil
}

// SequencerState is what the sequencers say of themselves.
type SequencerState struct {
	Holder     string     `db:"holder"`
	BeatAt     *time.Time `db:"beat_at"`
	Refused    string     `db:"refused"`
	Keys       string     `db:"keys"`
	Size       int64      `db:"size"`
	SignedSize *int64     `db:"signed_size"`
}

// Sequencer reads what the sequencers say of themselves.
func (r *Reader) Sequencer(ctx context.Context) (SequencerState, error) {
	var s SequencerState
	err := r.db.GetContext(ctx, &s, `SELECT holder, beat_at, refused, keys, size, signed_size FROM api.sequencer`)
	if err != nil {
		return s, fmt.Errorf("reading the sequencer's state: %w", classify(err))
	}
	return s, nil
}

// CheckpointOf is the checkpoint over a tree of exactly the given size.
func (r *Reader) CheckpointOf(ctx context.Context, size int64) ([]byte, error) {
	var text []byte
	err := r.db.GetContext(ctx, &text, `SELECT note FROM api.checkpoint WHERE size = $1`, size)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.New(fault.NotFound, "no-checkpoint", "no checkpoint over exactly %d leaves was signed; leave it out for the newest", size)
	}
	if err != nil {
		return nil, fmt.Errorf("reading checkpoint: %w", classify(err))
	}
	return text, nil
}

// SinkState is how a SIEM sink is doing.
type SinkState struct {
	Name      string          `db:"name"`
	Acked     int64           `db:"acked"` // first index that it has not acknowledged
	UpdatedAt time.Time       `db:"updated_at"`
	Status    json.RawMessage `db:"status"`
}

// Sinks reads how the SIEM sinks are doing.
func (r *Reader) Sinks(ctx context.Context) ([]SinkState, error) {
	rows := []SinkState{}
	if err := r.db.SelectContext(ctx, &rows, `SELECT name, acked, updated_at, status FROM api.sink ORDER BY name`); err != nil {
		return nil, fmt.Errorf("reading sinks: %w", classify(err))
	}
	return rows, nil
}

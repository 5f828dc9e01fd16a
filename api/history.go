package api

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"finobs/internal/store"
)

type historyView struct {
	Entries []entryView `json:"entries"`
}

// entryView is a ledger entry in answers, with the seven fields of the brief.
type entryView struct {
	EntryID       string          `json:"entry_id"`
	RecordedAt    time.Time       `json:"recorded_at"`
	Type          string          `json:"type"`
	Action        string          `json:"action"`
	Outcome       string          `json:"outcome"`
	Reason        string          `json:"reason"`
	Actor         personView      `json:"actor"`
	ActorType     string          `json:"actor_type" enum:"human,agent,system"`
	AIExplanation *string         `json:"ai_explanation"`
	AgentInput    *string         `json:"agent_input"`
	AgentOutput   *string         `json:"agent_output"`
	AgentVersion  *string         `json:"agent_version"`
	OverrideType  *string         `json:"override_type"`
	IsSimulation  bool            `json:"is_simulation"`
	RequestID     string          `json:"request_id"`
	TraceID       string          `json:"trace_id"`
	LeafSHA256    string          `json:"leaf_sha256"`
	Leaf          json.RawMessage `json:"leaf" doc:"the entry exactly as it is hashed"`
}

func viewEntry(e store.LoggedEntry) entryView {
	return entryView{
		EntryID: e.EntryID, RecordedAt: e.RecordedAt.UTC(), Type: e.Type, Action: e.Action, Outcome: e.Outcome, Reason: e.Reason,
		Actor: personView{e.ActorIss, e.ActorSub}, ActorType: e.ActorType, AIExplanation: e.AIExplanation,
		AgentInput: e.AgentInput, AgentOutput: e.AgentOutput, AgentVersion: e.AgentVersion, OverrideType: e.OverrideType,
		IsSimulation: e.IsSimulation, RequestID: e.RequestID, TraceID: e.TraceID, LeafSHA256: e.LeafSHA256, Leaf: json.RawMessage(e.Leaf),
	}
}

func (s *Server) approvalHistory(ctx context.Context, in *idInput) (*body[historyView], error) {
	if _, err := s.recorded(ctx, in.ID); err != nil {
		return nil, err
	}
	entries, err := s.history(ctx, "approval", in.ID)
	return &body[historyView]{historyView{entries}}, err
}

func (s *Server) history(ctx context.Context, subject string, id int64) ([]entryView, error) {
	return s.historyOf(ctx, subject, strconv.FormatInt(id, 10))
}

func (s *Server) historyOf(ctx context.Context, subject, id string) ([]entryView, error) {
	s.recordRead(ctx, "GET /"+subject+"/:id/history", "the history of one was read")
	list, err := s.Reader.History(ctx, subject, id)
	out := make([]entryView, 0, len(list))
	for _, e := range list {
		out = append(out, viewEntry(e))
	}
	return out, err
}

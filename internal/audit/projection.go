package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"finobs/internal/canonical"
	"finobs/internal/ledger"
)

// Columns are the columns of an entry as people are shown them.
type Columns struct {
	Index         int64   `json:"leaf_index"`
	EntryID       string  `json:"entry_id"`
	IdemKey       string  `json:"idem_key"`
	ContentSHA256 string  `json:"content_sha256"`
	RecordedAt    string  `json:"recorded_at"`
	Type          string  `json:"type"`
	Action        string  `json:"action"`
	Outcome       string  `json:"outcome"`
	Reason        string  `json:"reason"`
	ActorType     string  `json:"actor_type"`
	ActorIss      string  `json:"actor_iss"`
	ActorSub      string  `json:"actor_sub"`
	SubjectKind   string  `json:"subject_kind"`
	SubjectID     string  `json:"subject_id"`
	Desk          string  `json:"desk"`
	RequestID     string  `json:"request_id"`
	TraceID       string  `json:"trace_id"`
	WorkflowID    string  `json:"workflow_id"`
	AIExplanation *string `json:"ai_explanation"`
	AgentInput    *string `json:"agent_input_sha256"`
	AgentOutput   *string `json:"agent_output_sha256"`
	AgentVersion  *string `json:"agent_version"`
	OverrideType  *string `json:"override_type"`
	IsSimulation  bool    `json:"is_simulation"`
	LeafSHA256    string  `json:"leaf_sha256"`
}

// leafText is a leaf as far as columns are projected from it.
type leafText struct {
	ID    string `json:"id"`
	Idem  string `json:"idem_key"`
	Time  string `json:"time"`
	Type  string `json:"type"`
	Actor struct {
		Kind string `json:"kind"`
		Iss  string `json:"iss"`
		Sub  string `json:"sub"`
	} `json:"actor"`
	Subject struct {
		Kind string `json:"kind"`
		ID   string `json:"id"`
	} `json:"subject"`
	Workflow struct {
		ID string `json:"id"`
	} `json:"workflow"`
	Action    string `json:"action"`
	Outcome   string `json:"outcome"`
	Reason    string `json:"reason"`
	Desk      string `json:"desk"`
	RequestID string `json:"request_id"`
	TraceID   string `json:"trace_id"`
	AI        *struct {
		Explanation string `json:"explanation"`
		Input       string `json:"input_sha256"`
		Output      string `json:"output_sha256"`
		Version     string `json:"version"`
	} `json:"ai"`
	OverrideType string `json:"override_type"`
	IsSimulation bool   `json:"is_simulation"`
}

// compare checks the columns of a bundle against its leaves. A copy without
// columns is not compared.
func (c Copy) compare(n, width int64, leaves [][]byte, s *scratch) (int64, error) {
	data, err := readInto(&s.columns, c.Files, ProjectionPath(n, width))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading columns: %w", err)
	}
	var line []byte
	for i, leaf := range leaves {
		index := n*ledger.TileWidth + int64(i)
		if len(data) == 0 {
			return int64(i), fmt.Errorf("%w: entry %d has no columns", ErrProjection, index)
		}
		line, data, _ = bytes.Cut(data, []byte{'\n'})
		if s.quick.equal(index, line, leaf) {
			continue
		}
		var row Columns
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&row); err != nil {
			return int64(i), fmt.Errorf("%w: the columns of entry %d cannot be read: %w", ErrProjection, index, err)
		}
		if what := Differs(index, row, leaf); what != "" {
			return int64(i), fmt.Errorf("%w: entry %d: %s", ErrProjection, index, what)
		}
	}
	if len(data) > 0 {
		return width, fmt.Errorf("%w: the columns after entry %d belong to no entry", ErrProjection, n*ledger.TileWidth+width-1)
	}
	return width, nil
}

// Differs says which column of an entry is not what its leaf says, or returns "".
func Differs(index int64, row Columns, leaf []byte) string {
	var l leafText
	if err := json.Unmarshal(leaf, &l); err != nil {
		return "the leaf is not JSON"
	}
	sum := sha256.Sum256(leaf)
	recorded := ""
	if t, err := time.Parse(time.RFC3339Nano, row.RecordedAt); err == nil {
		recorded = ledger.FormatTime(t)
	}
	var explanation, input, output, version string
	if l.AI != nil {
		explanation, input, output, version = l.AI.Explanation, l.AI.Input, l.AI.Output, l.AI.Version
	}
	if (l.AI == nil) != (row.AgentVersion == nil) || row.Index != index || row.IsSimulation != l.IsSimulation {
		return "its index, its agent's part or is_simulation differs"
	}
	for _, c := range []struct{ name, column, leaf string }{
		{"entry_id", row.EntryID, l.ID}, {"idem_key", row.IdemKey, l.Idem}, {"recorded_at", recorded, l.Time}, {"type", row.Type, l.Type}, {"action", row.Action, l.Action},
		{"outcome", row.Outcome, l.Outcome}, {"reason", row.Reason, l.Reason}, {"actor_type", row.ActorType, l.Actor.Kind},
		{"actor_iss", row.ActorIss, l.Actor.Iss}, {"actor_sub", row.ActorSub, l.Actor.Sub}, {"subject_kind", row.SubjectKind, l.Subject.Kind},
		{"subject_id", row.SubjectID, l.Subject.ID}, {"desk", row.Desk, l.Desk}, {"request_id", row.RequestID, l.RequestID},
		{"trace_id", row.TraceID, l.TraceID}, {"workflow_id", row.WorkflowID, l.Workflow.ID}, {"override_type", text(row.OverrideType), l.OverrideType},
		{"ai_explanation", text(row.AIExplanation), explanation}, {"agent_input_sha256", text(row.AgentInput), input},
		{"agent_output_sha256", text(row.AgentOutput), output}, {"agent_version", text(row.AgentVersion), version},
		{"leaf_sha256", row.LeafSHA256, hex.EncodeToString(sum[:])},
	} {
		if c.column != c.leaf {
			return fmt.Sprintf("column %s says %q, the leaf says %q", c.name, shorten(c.column), shorten(c.leaf))
		}
	}
	if row.ContentSHA256 != contentOf(leaf) {
		return "column content_sha256 is not the digest of the leaf without its id and time"
	}
	return ""
}

// contentOf is the digest that a retry must repeat: of the leaf without its id and
// time; "" when the leaf is not canonical.
func contentOf(leaf []byte) string {
	o, err := canonical.Parse(leaf)
	if err != nil {
		return ""
	}
	delete(o, "id")
	delete(o, "time")
	content, err := canonical.JSON(o)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func shorten(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}

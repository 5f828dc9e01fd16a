package agent

import "time"

// Question is what a model is asked beside the evidence. The record keeps it, so
// that a replay asks the same.
type Question struct {
	Marker  string      `json:"marker"` // fences the evidence; nobody who wrote into it could know it
	At      time.Time   `json:"at"`     // the moment of the run
	Actions []ActionDoc `json:"actions"`
}

// ActionDoc is what a model is told about an action of the catalogue.
type ActionDoc struct {
	Name       string         `json:"name"`
	Title      string         `json:"title"`
	TargetKind string         `json:"target_kind"`
	Parameters []ParameterDoc `json:"parameters"`
}

// ParameterDoc is what a model is told about a parameter of an action.
type ParameterDoc struct {
	Name     string   `json:"name"`
	Kind     string   `json:"kind"`
	Required bool     `json:"required"`
	Enum     []string `json:"enum,omitempty"`
}

// Exchange is what went to a model and came back, as it is kept.
type Exchange struct {
	Bytes        []byte // JSON, see package llm
	Provider     string
	Model        string
	Outcome      string
	InputTokens  int64
	OutputTokens int64
}

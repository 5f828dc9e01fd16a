package redteam

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"finobs/activities"
	"finobs/internal/agent"
	"finobs/internal/budget"
	"finobs/internal/fault"
	"finobs/internal/llm"
	"finobs/internal/redteam/hostile"
	"finobs/worker"
)

// Marker fences the evidence of the red team's runs. In production it is drawn for
// each run, and nobody who writes evidence knows it; these texts may.
const Marker = "7d2f4a90c1e84b55a3f0de92b6"

// key is the model's, a canary: it may stand nowhere but in a header.
const key = "sk-canary-key-5f3a9c71d2e84b06"

// model is a server of models in the place of the network.
type model struct {
	answer   func(attempt int) string // JSON, or what is to be taken for it
	requests [][]byte                 // bodies
	headers  []http.Header
}

// RoundTrip implements http.RoundTripper: it answers in OpenAI's form.
func (m *model) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	m.requests, m.headers = append(m.requests, body), append(m.headers, r.Header)
	b := hostile.Completion(m.answer(len(m.requests)), 1000, 100)
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(bytes.NewReader(b)), ContentLength: int64(len(b)), Request: r,
	}, nil
}

// settings are those of the model.
func settings() llm.Config {
	return llm.Config{
		Provider: llm.Compatible, BaseURL: "https://model.example/v1", Model: "red-team", Key: llm.NewSecret(key), MaxOutputTokens: 4096,
		MaxPromptBytes: 256 << 10, ContextTokens: 32768, Timeout: time.Minute, Free: true,
	}
}

// ask asks the model as a run of a kind does, and judges its answers as a run does.
func (t *team) ask(ctx context.Context, m *model, kind agent.Kind, bundle []agent.Evidence) (llm.Result, error) {
	analyst, err := settings().NewOver(m)
	if err != nil {
		return llm.Result{}, err
	}
	return t.askOf(ctx, analyst, kind, bundle)
}

func (t *team) askOf(ctx context.Context, analyst *llm.Analyst, kind agent.Kind, bundle []agent.Evidence) (llm.Result, error) {
	question := agent.Question{Marker: Marker, At: at}
	if kind == agent.Triage || kind == agent.Remediate {
		question.Actions = activities.CatalogueDocs()
	}
	return analyst.Analyse(ctx, worker.ModelRequest(activities.ModelQuestion{
		Kind: kind, Bundle: bundle, Question: question, Budget: purse{},
		Check: func(raw agent.Output) (agent.Output, []string) {
			kept, problems := t.judge(kind, false, bundle, raw)
			return kept, agent.Fatal(problems)
		},
	}))
}

// refused reports whether a run came to nothing because of what the model said, so
// that the rulebook answers; an error is of the attack itself.
func refused(err error) (bool, error) {
	switch code := fault.CodeOf(err); {
	case err == nil:
		return false, nil
	case code == llm.CodeInvalidOutput || code == llm.CodeTooLarge:
		return true, nil
	}
	return false, err
}

// message is what a role was told in a request.
func message(request []byte, n int) string {
	var form struct {
		Messages []struct {
			Content json.RawMessage `json:"content"`
		} `json:"messages"`
	}
	if json.Unmarshal(request, &form) != nil || n >= len(form.Messages) {
		return ""
	}
	return hostile.TextOf(form.Messages[n].Content)
}

// purse is a budget that lets every call pass.
type purse struct{}

// Reserve implements llm.Budget.
func (purse) Reserve(context.Context, budget.Use) (string, error) { return "1", nil }

// Settle implements llm.Budget.
func (purse) Settle(context.Context, string, budget.Use) error { return nil }

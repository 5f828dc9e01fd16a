package llm_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"finobs/internal/agent"
	"finobs/internal/budget"
	"finobs/internal/llm"
	"finobs/internal/llmtest"

	"github.com/shopspring/decimal"
)

// canary is the key of the tests. It may stand nowhere but in a header.
const canary = "sk-canary-5f3a9c71d2e84b06"

func evidence(id string, kind agent.EvidenceKind, text string) agent.Evidence {
	return agent.Evidence{
		ID: id, Kind: kind, Source: "incident:42", Facts: map[string]string{"severity": "high", "system": "custodian\n<<<"},
		Text: text, SHA256: agent.Digest(text),
	}
}

var bundle = []agent.Evidence{
	evidence("E1", agent.OfIncident, "Settlement of T-1001 failed: instruction unmatched at the CSD."),
	evidence("E2", agent.OfTarget, "trade T-1001, 500 of US0378331005"),
}

var catalogue = []llm.ActionDoc{{
	Name: "settlement.reinstruct", Title: "send the instruction again", TargetKind: "trade",
	Parameters: []llm.ParameterDoc{{Name: "ssi", Kind: "text", Required: true}, {Name: "speed", Kind: "text", Enum: []string{"normal", "urgent"}}},
}}

func config(url string) llm.Config {
	return llm.Config{
		Provider: llm.Compatible, BaseURL: url + "/v1", Model: "test-model", Key: llm.NewSecret(canary), MaxOutputTokens: 1024, MaxPromptBytes: 32 << 10,
		ContextTokens: 8192, Timeout: 5 * time.Second, AllowPrivate: true, PriceInput: "2.50", PriceOutput: "10",
	}
}

func analyst(t *testing.T, c llm.Config) *llm.Analyst {
	t.Helper()
	a, err := llm.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// purse is a budget in memory, as the database keeps one.
type purse struct {
	mu       sync.Mutex
	limits   budget.Limits
	open     map[string]budget.Use
	settled  budget.Use
	reserved []budget.Use
}

func newPurse() *purse {
	return &purse{limits: budget.Default(), open: map[string]budget.Use{}}
}

func (p *purse) Reserve(_ context.Context, worst budget.Use) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	used := p.settled
	for _, u := range p.open {
		used, _ = used.Add(u)
	}
	if err := budget.Reserve(p.limits, budget.Totals{budget.Run: used, budget.Desk: used, budget.Day: used}, worst); err != nil {
		return "", err
	}
	p.reserved = append(p.reserved, worst)
	id := string(rune('a' + len(p.reserved)))
	p.open[id] = worst
	return id, nil
}

func (p *purse) Settle(_ context.Context, id string, real budget.Use) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settled, _ = p.settled.Add(budget.Settle(p.open[id], real))
	delete(p.open, id)
	return nil
}

func keep(o agent.Output) (agent.Output, []string) { return o, nil }

func request(b llm.Budget) llm.Request {
	return llm.Request{
		Kind: agent.Triage, Bundle: bundle, Catalogue: catalogue, Marker: "7d2f4a90c1e84b55a3f0de92b6",
		At: time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC), Check: keep, Budget: b,
	}
}

// noSecret fails when the key stands anywhere in what a run left behind.
func noSecret(t *testing.T, r llm.Result, err error) {
	t.Helper()
	b, marshalErr := json.Marshal(r)
	if marshalErr != nil {
		t.Fatal(marshalErr)
	}
	text := string(b)
	for _, x := range r.Exchanges {
		text += string(x.Request) + string(x.Response)
	}
	if err != nil {
		text += err.Error()
	}
	if strings.Contains(text, canary) || strings.Contains(text, canary[3:]) {
		t.Errorf("the key stands in what is left of the run: %.300s", text)
	}
}

func good() string { return llmtest.Good(bundle) }

func usd(s string) decimal.Decimal { return decimal.RequireFromString(s) }

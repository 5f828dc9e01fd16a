package llm

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"finobs/internal/agent"
	"finobs/internal/fault"
	"finobs/internal/llmtest"
)

var fuzzBundle = []agent.Evidence{{ID: "E1", Kind: agent.OfIncident, Source: "incident:1", Text: "Settlement of T-1001 failed."}}

// Whatever is accepted is within every limit, and is read the same again from
// what encoding/json makes of it.
func FuzzDecode(f *testing.F) {
	f.Add(llmtest.Good(fuzzBundle))
	for _, kind := range append(llmtest.OfForm(), llmtest.OfMatter()...) {
		if text := llmtest.Hostile(kind, fuzzBundle); len(text) < maxAnswer {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		o, problems := decode(text)
		if len(problems) > 0 {
			if !reflect.DeepEqual(o, agent.Output{}) {
				t.Errorf("something is kept of a refused answer: %+v", o)
			}
			for _, p := range problems {
				if !utf8.ValidString(p) || len(p) > 500 {
					t.Errorf("a problem is unfit for a repair: %q", p)
				}
			}
			return
		}
		within(t, o)
		var plain struct {
			Severity   string
			Confidence string
			Summary    string
		}
		if err := json.Unmarshal([]byte(text), &plain); err != nil || plain.Summary != o.Summary || plain.Severity != string(o.Severity) {
			t.Errorf("two parsers read it differently: %+v, %+v, %v", plain, o, err)
		}
	})
}

func within(t *testing.T, o agent.Output) {
	t.Helper()
	if len(o.Claims) > agent.MaxClaims || len(o.Proposals) > agent.MaxProposals || len(o.Summary)+len(o.ProbableCause) > 2*agent.MaxProse ||
		!o.Severity.Valid() || !confidenceForm.MatchString(o.Confidence) || len(o.Rules) > 0 {
		t.Errorf("out of limits: %+v", o)
	}
	if b, err := json.Marshal(o); err != nil || !utf8.Valid(b) || strings.Contains(string(b), "sk-canary") {
		t.Errorf("unfit to be kept: %v", err)
	}
}

// canned answers every request with one body.
type canned []byte

func (c canned) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(c)), Request: req}, nil
}

// Whatever body a server sends, each client leaves a typed error or an output,
// and no panic.
func FuzzAnswerOfServer(f *testing.F) {
	good, _ := json.Marshal(llmtest.Good(fuzzBundle))
	f.Add([]byte(`{"choices":[{"message":{"content":` + string(good) + `},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}`))
	f.Add([]byte(`{"content":[{"type":"tool_use","id":"a","name":"answer","input":{}},null],"stop_reason":"x","usage":{}}`))
	f.Add([]byte(`{"model":"m","message":{"content":` + string(good) + `},"done":true}`))
	f.Add([]byte(`{"choices":[null]}`))
	f.Add([]byte(`{"choices":[{"finish_reason":"function_call","message":{"tool_calls":[{}]}}]}`))
	var analysts []*Analyst
	for _, p := range []Provider{OpenAI, Anthropic, Ollama} {
		s, err := Config{
			Provider: p, Model: "m", BaseURL: "https://model.invalid", MaxOutputTokens: 1024, MaxPromptBytes: 65536, ContextTokens: 4096, Timeout: time.Minute,
		}.settle(false)
		if err != nil {
			f.Fatal(err)
		}
		a := newAnalyst(s, nil)
		a.replay = true // no budget
		analysts = append(analysts, a)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, a := range analysts {
			a.http = a.config.open(nil, canned(body))
			result, err := a.Analyse(context.Background(), Request{
				Kind: agent.Triage, Bundle: fuzzBundle, Marker: strings.Repeat("a", 24),
				Check: func(o agent.Output) (agent.Output, []string) { return o, nil },
			})
			switch code := fault.CodeOf(err); {
			case err == nil:
				within(t, result.Output)
			case code != CodeInvalidOutput && code != CodeTooLarge:
				t.Errorf("%s: %v", a.config.Provider, err)
			}
		}
	})
}

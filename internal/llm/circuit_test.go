package llm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"finobs/internal/agent"
	"finobs/internal/budget"
	"finobs/internal/fault"
	"finobs/internal/llmtest"
)

// provider is a transport that is down or well.
type provider struct{ down atomic.Bool }

func (p *provider) RoundTrip(req *http.Request) (*http.Response, error) {
	if p.down.Load() {
		return nil, errors.New("connection refused")
	}
	body := `{"choices":[{"message":{"content":` + quoted(llmtest.Good(fuzzBundle)) + `}}]}`
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader([]byte(body))), Request: req}, nil
}

func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

func over(t *testing.T, next http.RoundTripper) *Analyst {
	t.Helper()
	s, err := Config{
		Provider: Compatible, Model: "m", BaseURL: "https://model.invalid", MaxOutputTokens: 1024, MaxPromptBytes: 65536, ContextTokens: 4096,
		Timeout: time.Minute, Free: true,
	}.settle(true)
	if err != nil {
		t.Fatal(err)
	}
	return newAnalyst(s, s.open(nil, next))
}

// ledger is a budget that always suffices, unless it is broken.
type ledger struct {
	reserve, settle error
	settled         atomic.Int64
}

func (l *ledger) Reserve(context.Context, budget.Use) (string, error) { return "r", l.reserve }

func (l *ledger) Settle(context.Context, string, budget.Use) error {
	l.settled.Add(1)
	return l.settle
}

func ask(b Budget) Request {
	return Request{
		Kind: agent.Triage, Bundle: fuzzBundle, Marker: strings.Repeat("a", 24), Budget: b,
		Check: func(o agent.Output) (agent.Output, []string) { return o, nil },
	}
}

func TestTheCircuitClosesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &provider{}
		a := over(t, p)
		expect := func(code, state string) {
			t.Helper()
			_, err := a.Analyse(t.Context(), ask(&ledger{}))
			if got := fault.CodeOf(err); err == nil && code != "" || err != nil && got != code || a.Circuit() != state {
				t.Fatalf("got %v and a circuit that is %s; want %q, %s", err, a.Circuit(), code, state)
			}
		}
		p.down.Store(true)
		for range failuresToOpen - 1 {
			expect(CodeUnavailable, "closed")
		}
		expect(CodeUnavailable, "open")
		expect(CodeCircuitOpen, "open")
		time.Sleep(rest + time.Second)
		expect(CodeUnavailable, "open") // one call tries, and fails
		time.Sleep(rest + time.Second)
		p.down.Store(false)
		expect("", "closed")
	})
}

func TestABudgetThatIsBrokenStopsTheRun(t *testing.T) {
	down := fault.New(fault.Unavailable, "database-unavailable", "the database is down")
	a := over(t, &provider{})
	for name, b := range map[string]*ledger{"reserve": {reserve: down}, "settle": {settle: down}} {
		for range 2 * failuresToOpen {
			result, err := a.Analyse(t.Context(), ask(b))
			if !errors.Is(err, down) || result.Output.Summary != "" || a.Circuit() != "closed" {
				t.Fatalf("%s: got %v, circuit %s", name, err, a.Circuit())
			}
		}
	}
}

func TestManyAskAtOnce(t *testing.T) {
	a, b := over(t, &provider{}), &ledger{}
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			result, err := a.Analyse(t.Context(), ask(b))
			if err != nil || len(result.Exchanges) != 1 || result.Output.Severity != "high" {
				t.Errorf("got %v, %+v", err, result.Output)
			}
		})
	}
	wait.Wait()
	if b.settled.Load() != 20 {
		t.Errorf("%d calls are settled", b.settled.Load())
	}
}

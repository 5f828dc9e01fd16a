package connector_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"finobs/internal/action"
	"finobs/internal/approval"
	"finobs/internal/connector"
	"finobs/internal/sandbox"
)

const token = "a-token-of-the-tests-only"

// desk is a sandbox that is served, and what reaches it.
type desk struct {
	t        *testing.T
	url      string
	requests atomic.Int64
}

func openDesk(t *testing.T, mode approval.Mode) *desk {
	t.Helper()
	seed, err := sandbox.DefaultSeed()
	if err != nil {
		t.Fatal(err)
	}
	server, err := sandbox.Open(sandbox.Config{Token: []byte(token), Mode: string(mode), Seed: seed, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.requests.Add(1)
		server.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { web.CloseClientConnections(); web.Close(); server.Close() })
	d.url = web.URL
	return d
}

// post speaks to the desk without a connector.
func (d *desk) post(path, body string) {
	d.t.Helper()
	req, err := http.NewRequest(http.MethodPost, d.url+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		d.t.Fatal(resp, err)
	}
	resp.Body.Close()
}

func (d *desk) fault(fault sandbox.Fault, delay string) {
	d.t.Helper()
	d.post("/v1/faults", fmt.Sprintf(`{"fault":%q,"delay":%q}`, fault, delay))
}

// applications counts how often the command of each key was applied.
func applications(t *testing.T, url string) map[string]int {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url+"/v1/effects", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Effects []struct {
			Key          string `json:"key"`
			Applications int    `json:"applications"`
		} `json:"effects"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, e := range answer.Effects {
		out[e.Key] = e.Applications
	}
	return out
}

// load reads a connector file in a folder that has the token.
func load(t *testing.T, yaml string) (*connector.Set, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return connector.Load(strings.NewReader(yaml), dir, time.Now)
}

// entry is a connector of the file.
func entry(name string, mode approval.Mode, url, kinds, more string) string {
	return fmt.Sprintf("  - {name: %s, mode: %s, base_url: %q, kinds: [%s], token_file: token, allow_loopback: true, timeout: 300ms%s}\n", name, mode, url, kinds, more)
}

const everyKind = "order, position, settlement, ssi, trade, trader, strategy, feed, gateway, counterparty"

func simulated(t *testing.T, url string) connector.Executor {
	t.Helper()
	set, err := load(t, "version: 1\nconnectors:\n"+entry("sim", approval.Simulation, url, everyKind, ""))
	if err != nil {
		t.Fatal(err)
	}
	return set.For(approval.Simulation)
}

var (
	block  = action.Command{Action: "trader.block", Parameters: map[string]string{"reason": "technical"}}
	trader = approval.Target{Kind: "trader", ID: "amina", Version: "1"}
)

// resolve looks a key up until the desk has decided on it.
func resolve(ctx context.Context, t *testing.T, desk connector.Executor, key string) connector.Outcome {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		out, err := desk.Lookup(ctx, "trader", key)
		if err != nil {
			t.Fatal(err)
		}
		if out.Status != connector.Unknown {
			return out
		}
		if out.Code != connector.CodePending || time.Now().After(end) {
			t.Fatalf("looked up: %+v", out)
		}
	}
}

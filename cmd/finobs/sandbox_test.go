package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const sandboxToken = "a-token-of-the-tests-only"

// startSandbox runs finobs sandbox with a free port, and returns its address and what
// stops it.
func startSandbox(t *testing.T, dir string, more ...string) (url string, stop func() error) {
	t.Helper()
	file := filepath.Join(dir, "token")
	if err := os.WriteFile(file, []byte(sandboxToken), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	in, out := io.Pipe()
	root := rootCommand()
	root.SetArgs(append([]string{"sandbox", "--listen", "127.0.0.1:0", "--token-file", file}, more...))
	root.SetOut(out)
	ended := make(chan error, 1)
	go func() {
		err := root.ExecuteContext(ctx)
		out.CloseWithError(err)
		ended <- err
	}()
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	_, url, _ = strings.Cut(strings.TrimSpace(line), " at ")
	return url, func() error { cancel(); return <-ended }
}

func askSandbox(t *testing.T, method, url, body string, header http.Header) (int, []byte) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		req.Header = header
	}
	req.Header.Set("Authorization", "Bearer "+sandboxToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, text
}

var exchange = regexp.MustCompile("```http\n(\\S+) (\\S+)\n((?:\\S+: .*\n)*)\n(?:(\\{.*\\})\n\n)?(\\d{3})\n(.*)\n```")

// The exchanges of the documentation are those of a sandbox that has just started.
func TestTheExamplesOfTheProtocol(t *testing.T) {
	text, err := os.ReadFile("../../docs/connectors.md")
	if err != nil {
		t.Fatal(err)
	}
	url, stop := startSandbox(t, t.TempDir(), "--recovery", "1h")
	examples := exchange.FindAllStringSubmatch(string(text), -1)
	if want := strings.Count(string(text), "```http"); len(examples) != want || want < 5 {
		t.Fatalf("%d of %d examples are read", len(examples), want)
	}
	for _, e := range examples {
		header := http.Header{}
		for line := range strings.Lines(e[3]) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
				header.Set(name, value)
			}
		}
		status, got := askSandbox(t, e[1], url+e[2], e[4], header)
		var a, b any
		if err := json.Unmarshal(got, &a); err != nil {
			t.Fatalf("%s %s: %s: %v", e[1], e[2], got, err)
		}
		if err := json.Unmarshal([]byte(e[6]), &b); err != nil {
			t.Fatalf("%s %s: %s: %v", e[1], e[2], e[6], err)
		}
		if strconv.Itoa(status) != e[5] || !reflect.DeepEqual(a, b) {
			t.Errorf("%s %s answered %d %s", e[1], e[2], status, got)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// The state outlives the process, and a request that hangs does not keep it.
func TestTheSandboxGoesOnWhereItWas(t *testing.T) {
	dir := t.TempDir()
	state := filepath.Join(dir, "state.jsonl")
	const command = `{"action":"gateway.restart","target":{"kind":"gateway","id":"GW-NASDAQ-1","version":"1"},"parameters":{}}`
	url, stop := startSandbox(t, dir, "--state", state)
	if status, text := askSandbox(t, "POST", url+"/v1/commands", command, http.Header{"Idempotency-Key": {"k"}}); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	url, stop = startSandbox(t, dir, "--state", state)
	if _, text := askSandbox(t, "GET", url+"/v1/effects/k", "", nil); !strings.Contains(string(text), `"applications":1`) {
		t.Errorf("got %s", text)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestSandboxesThatDoNotStart(t *testing.T) {
	dir := t.TempDir()
	token, loose, seed := filepath.Join(dir, "token"), filepath.Join(dir, "loose"), filepath.Join(dir, "seed")
	for path, mode := range map[string]os.FileMode{token: 0o600, loose: 0o644} {
		if err := os.WriteFile(path, []byte(sandboxToken), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(seed, []byte(`{"objects":[]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"--token-file is missing": nil,
		"chmod 600":               {"--token-file", loose},
		"no such file":            {"--token-file", filepath.Join(dir, "none")},
		"no objects":              {"--token-file", token, "--seed", seed},
		"must be live":            {"--token-file", token, "--mode", "test"},
		"below 0":                 {"--token-file", token, "--recovery", "-1s"},
		"--listen":                {"--token-file", token, "--listen", "256.0.0.1:1"},
	} {
		if _, err := run(t, append([]string{"sandbox"}, args...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", args, err, want)
		}
	}
}

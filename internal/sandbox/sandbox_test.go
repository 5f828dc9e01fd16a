package sandbox_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"finobs/internal/sandbox"
)

const token = "a-token-of-the-tests-only"

// desk is a served sandbox.
type desk struct {
	t      *testing.T
	server *sandbox.Server
	url    string
}

func open(t *testing.T, state string) *desk {
	t.Helper()
	seed, err := sandbox.DefaultSeed()
	if err != nil {
		t.Fatal(err)
	}
	server, err := sandbox.Open(sandbox.Config{Token: []byte(token), Mode: "simulation", State: state, Seed: seed, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(server)
	t.Cleanup(func() { web.Close(); server.Close() })
	return &desk{t, server, web.URL}
}

type answer struct {
	Key          string            `json:"key"`
	Code         string            `json:"code"`
	Detail       string            `json:"detail"`
	EffectID     string            `json:"effect_id"`
	Status       any               `json:"status"`
	Current      string            `json:"current_version"`
	Next         string            `json:"next"`
	Applications int               `json:"applications"`
	Object       sandbox.Object    `json:"object"`
	Objects      []sandbox.Object  `json:"objects"`
	Effects      []answer          `json:"effects"`
	Fields       map[string]string `json:"fields"`
	Version      string            `json:"version"`
}

// call sends a request with headers of name and value in turn.
func (d *desk) call(method, path, body string, headers ...string) (int, answer) {
	d.t.Helper()
	req, err := http.NewRequest(method, d.url+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	var a answer
	if len(text) > 0 {
		if err := json.Unmarshal(text, &a); err != nil {
			d.t.Fatalf("%s: %v", text, err)
		}
	}
	return resp.StatusCode, a
}

const restart = `{"action":"gateway.restart","target":{"kind":"gateway","id":"GW-NASDAQ-1","version":"1"},"parameters":{}}`

func TestACommandIsAppliedOnceByItsKey(t *testing.T) {
	d := open(t, "")
	status, first := d.call("POST", "/v1/commands", restart, "Idempotency-Key", "k1")
	if status != 200 || first.Status != "applied" || first.Object.Version != "2" || first.Object.Fields["status"] != "restarting" {
		t.Fatalf("%d %+v", status, first)
	}
	status, again := d.call("POST", "/v1/commands", " "+restart+"\n", "Idempotency-Key", "k1")
	if status != 200 || again.EffectID != first.EffectID || again.Object.Version != "2" {
		t.Errorf("the same again: %d %+v", status, again)
	}
	other := strings.Replace(restart, "GW-NASDAQ-1", "GW-LSE-1", 1)
	if status, a := d.call("POST", "/v1/commands", other, "Idempotency-Key", "k1"); status != 409 || a.Code != "key_reused" {
		t.Errorf("another command under the key: %d %+v", status, a)
	}
	if status, a := d.call("POST", "/v1/commands", restart, "Idempotency-Key", "k2"); status != 409 || a.Code != "version_moved" || a.Current != "3" {
		t.Errorf("another key over the old version: %d %+v", status, a)
	}
	_, effects := d.call("GET", "/v1/effects", "")
	if len(effects.Effects) != 2 || effects.Effects[0].Applications != 1 || effects.Effects[1].Applications != 0 {
		t.Errorf("effects: %+v", effects.Effects)
	}
}

func TestRefusalsStayWhatTheyAre(t *testing.T) {
	d := open(t, "")
	for name, c := range map[string]struct {
		body   string
		status int
		code   string
	}{
		"UnknownAction": {`{"action":"gateway.explode","target":{"kind":"gateway","id":"GW-LSE-1","version":"1"},"parameters":{}}`, 422, "unknown_action"},
		"WrongTarget":   {`{"action":"gateway.restart","target":{"kind":"feed","id":"FEED-FX","version":"1"},"parameters":{}}`, 422, "wrong_target"},
		"NoTarget":      {`{"action":"gateway.restart","target":{"kind":"gateway","id":"GW-0","version":"1"},"parameters":{}}`, 422, "no_target"},
		"State":         {`{"action":"gateway.restart","target":{"kind":"gateway","id":"GW-NYSE-1","version":"1"},"parameters":{}}`, 422, "refused"},
	} {
		for range 2 {
			if status, a := d.call("POST", "/v1/commands", c.body, "Idempotency-Key", name); status != c.status || a.Code != c.code {
				t.Errorf("%s: %d %+v", name, status, a)
			}
		}
		if _, a := d.call("GET", "/v1/effects/"+name, ""); a.Status != "refused" || a.Code != c.code || a.Applications != 0 {
			t.Errorf("%s: looked up: %+v", name, a)
		}
	}
	if _, a := d.call("GET", "/v1/effects/none", ""); a.Status != "absent" || a.Key != "none" {
		t.Errorf("%+v", a)
	}
}

func TestWhatTheServerDoesNotTake(t *testing.T) {
	d := open(t, "")
	for name, c := range map[string]struct {
		method, path, body string
		headers            []string
		status             int
	}{
		"NoKey":       {"POST", "/v1/commands", restart, nil, 400},
		"StrangeKey":  {"POST", "/v1/commands", restart, []string{"Idempotency-Key", "a b"}, 400},
		"NoJSON":      {"POST", "/v1/commands", "x", []string{"Idempotency-Key", "k"}, 400},
		"MoreMembers": {"POST", "/v1/commands", `{"action":"a","approved":true}`, []string{"Idempotency-Key", "k"}, 400},
		"TwoBodies":   {"POST", "/v1/commands", restart + restart, []string{"Idempotency-Key", "k"}, 400},
		"Large":       {"POST", "/v1/commands", `{"action":"` + strings.Repeat("a", 70<<10) + `"}`, []string{"Idempotency-Key", "k"}, 400},
		"NoTime":      {"POST", "/v1/commands", restart, []string{"Idempotency-Key", "k", "Apply-Before", "soon"}, 400},
		"Late":        {"POST", "/v1/commands", restart, []string{"Idempotency-Key", "late", "Apply-Before", "2020-01-01T00:00:00Z"}, 422},
		"WrongToken":  {"GET", "/v1/objects/feed", "", []string{"Authorization", "Bearer " + token + "x"}, 401},
		"NoBearer":    {"GET", "/v1/objects/feed", "", []string{"Authorization", token}, 401},
		"NoToken":     {"GET", "/v1/objects/feed", "", []string{"Authorization", ""}, 401},
		"LiveCaller":  {"GET", "/v1/objects/feed", "", []string{"Finobs-Mode", "live"}, 403},
		"NoSuch":      {"GET", "/v1/objects/feed/X", "", nil, 404},
		"Limit":       {"GET", "/v1/objects/feed?limit=0", "", nil, 400},
		"NoFault":     {"POST", "/v1/faults", `{"fault":"meteor"}`, nil, 422},
		"NoDelay":     {"POST", "/v1/faults", `{"fault":"slow","delay":"-1s"}`, nil, 422},
		"ManyFaults":  {"POST", "/v1/faults", `{"fault":"slow","count":1001}`, nil, 422},
	} {
		t.Run(name, func(t *testing.T) {
			if status, a := d.call(c.method, c.path, c.body, c.headers...); status != c.status {
				t.Errorf("%d %+v, want %d", status, a, c.status)
			}
		})
	}
	if _, a := d.call("GET", "/v1/objects/gateway/GW-NASDAQ-1", ""); a.Version != "1" {
		t.Errorf("something was applied: %+v", a)
	}
}

func TestListsHavePagesAndFilters(t *testing.T) {
	d := open(t, "")
	var got []string
	after := ""
	for {
		_, a := d.call("GET", "/v1/objects/order?limit=2&after="+after, "")
		for _, o := range a.Objects {
			got = append(got, o.ID)
			if o.Fields["origin"] != "demo" {
				t.Errorf("%s has no origin", o.ID)
			}
		}
		if after = a.Next; after == "" {
			break
		}
	}
	if strings.Join(got, " ") != "O-9001 O-9002 O-9003 O-9004 O-9005" {
		t.Errorf("got %v", got)
	}
	if _, a := d.call("GET", "/v1/objects/order?status=stuck&status=filled&gateway=GW-NASDAQ-1", ""); len(a.Objects) != 1 || a.Objects[0].ID != "O-9001" {
		t.Errorf("got %+v", a.Objects)
	}
}

// Many at once under one key are one effect; over one version one of many wins.
func TestCommandsAtOnce(t *testing.T) {
	d := open(t, filepath.Join(t.TempDir(), "state"))
	var wait sync.WaitGroup
	for i := range 20 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			d.call("POST", "/v1/commands", restart, "Idempotency-Key", []string{"a", "b"}[i%2])
		}()
	}
	wait.Wait()
	_, a := d.call("GET", "/v1/effects", "")
	if len(a.Effects) != 2 || a.Effects[0].Applications+a.Effects[1].Applications != 1 {
		t.Errorf("effects: %+v", a.Effects)
	}
}

// A line that was written in part was never answered; what was answered stays.
func TestTheStateSurvivesWherever(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	d := open(t, path)
	if status, _ := d.call("POST", "/v1/commands", restart, "Idempotency-Key", "k1"); status != 200 {
		t.Fatal(status)
	}
	if err := d.server.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seeded := bytes.Index(whole, []byte(`{"effect"`))
	for cut := seeded; cut <= len(whole); cut += 37 {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		again := open(t, path)
		_, a := again.call("GET", "/v1/effects/k1", "")
		want := "absent"
		if bytes.Contains(whole[seeded:cut], []byte("\n")) {
			want = "applied"
		}
		if a.Status != want {
			t.Errorf("cut at %d of %d: %v, want %s", cut, len(whole), a.Status, want)
		}
		if status, _ := again.call("POST", "/v1/commands", restart, "Idempotency-Key", "k1"); status != 200 {
			t.Errorf("cut at %d: the command answered %d", cut, status)
		}
		if _, a := again.call("GET", "/v1/effects/k1", ""); a.Applications != 1 {
			t.Errorf("cut at %d: applied %d times", cut, a.Applications)
		}
		again.server.Close()
	}
	// A half-written line that is longer than the next one leaves nothing behind it.
	long := append(bytes.Clone(whole[:seeded]), []byte(`{"effect":{"key":"`+strings.Repeat("k", 9000))...)
	if err := os.WriteFile(path, long, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		again := open(t, path)
		if status, _ := again.call("POST", "/v1/commands", restart, "Idempotency-Key", "k1"); status != 200 {
			t.Errorf("after a long half-written line the command answered %d", status)
		}
		again.server.Close()
	}
	if err := os.WriteFile(path, []byte("{\"moon\":1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sandbox.Open(sandbox.Config{Token: []byte(token), Mode: "live", State: path, Now: time.Now}); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a file of something else: %v", err)
	}
}

// A desk whose state cannot be written answers nothing that it might forget.
func TestNothingIsAnsweredThatIsNotWritten(t *testing.T) {
	d := open(t, filepath.Join(t.TempDir(), "state"))
	if err := d.server.Close(); err != nil {
		t.Fatal(err)
	}
	if status, _ := d.call("POST", "/v1/commands", restart, "Idempotency-Key", "k"); status != 500 {
		t.Errorf("answered %d", status)
	}
}

func TestSettingsThatAreWrong(t *testing.T) {
	for name, c := range map[string]sandbox.Config{
		"16":         {Token: []byte("short"), Mode: "live"},
		"simulation": {Token: []byte(token), Mode: "test"},
		"recovery":   {Token: []byte(token), Mode: "live", Recovery: -1},
	} {
		c.Now = time.Now
		if _, err := sandbox.Open(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %s", err, name)
		}
	}
}

func TestSeeds(t *testing.T) {
	for text, want := range map[string]string{
		`{"objects":[]}`:                                                            "no objects",
		`{"objects":[{"kind":"moon","id":"a"}]}`:                                    "kind must be",
		`{"objects":[{"kind":"feed","id":"a b"}]}`:                                  "id must be",
		`{"objects":[{"kind":"feed","id":"a"},{"kind":"feed","id":"a"}]}`:           "twice",
		`{"objects":[{"kind":"feed","id":"a","fields":{"origin":"live"}}]}`:         "always demo",
		`{"objects":[{"kind":"order","id":"a","fields":{"quantity":"1e5"}}]}`:       "plain decimal",
		`{"objects":[{"kind":"order","id":"a","fields":{"Quantity":"1"}}]}`:         "lower-case",
		`{"objects":[{"kind":"feed","id":"a","version":"7"}]}`:                      "unknown field",
		`{"objects":[{"kind":"order","id":"a","fields":{"their_price":"twelve"}}]}`: "plain decimal",
	} {
		if _, err := sandbox.LoadSeed(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	objects, err := sandbox.LoadSeed(strings.NewReader(`{"objects":[{"kind":"feed","id":"a","fields":{"status":"live"}}]}`))
	if err != nil || len(objects) != 1 || objects[0].Fields["origin"] != "demo" || objects[0].Version != "1" {
		t.Errorf("got %+v, %v", objects, err)
	}
}

// FuzzState reads anything as a state file and as a seed: it is refused, or what it
// holds can be served and opened again.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"object":{"kind":"feed","id":"a","version":"1","fields":{"status":"live"}}}` + "\n"))
	f.Add([]byte(`{"effect":{"key":"k","digest":"d","effect_id":"E1","command":{"action":"a","target":{"kind":"","id":"","version":""},"parameters":null}}}` + "\n{"))
	f.Add([]byte(`{"objects":[{"kind":"feed","id":"a","fields":{"status":"live"}}]}`))
	path := filepath.Join(f.TempDir(), "state")
	f.Fuzz(func(t *testing.T, text []byte) {
		seed, err := sandbox.LoadSeed(bytes.NewReader(text))
		if err != nil && seed != nil {
			t.Errorf("refused with %v", seed)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		config := sandbox.Config{Token: []byte(token), Mode: "live", State: path, Seed: seed, Now: time.Now}
		server, err := sandbox.Open(config)
		if err != nil {
			return
		}
		for _, target := range []string{"/v1/effects", "/v1/objects/feed"} {
			req := httptest.NewRequest(http.MethodGet, target, nil)
			req.Header.Set("Authorization", "Bearer "+token)
			server.ServeHTTP(httptest.NewRecorder(), req)
		}
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := sandbox.Open(config)
		if err != nil {
			t.Fatalf("it opened once and not twice: %v", err)
		}
		again.Close()
	})
}

// A sandbox that died while it was seeded has all of the desk when it begins again, or
// it would play one that is half there.
func TestADeskIsSeededWhole(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "state.jsonl")
	open(t, whole).server.Close()
	text, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 1, len(text) / 2, len(text) - 1, len(text)} {
		cut := filepath.Join(t.TempDir(), "state.jsonl")
		if err := os.WriteFile(cut, text[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		d := open(t, cut)
		objects := 0
		for _, kind := range sandbox.Kinds() {
			_, got := d.call(http.MethodGet, "/v1/objects/"+kind+"?limit=500", "")
			objects += len(got.Objects)
		}
		if seed, err := sandbox.DefaultSeed(); err != nil || objects != len(seed) {
			t.Errorf("cut to %d of %d bytes it has %d objects, not %d: %v", size, len(text), objects, len(seed), err)
		}
	}
}

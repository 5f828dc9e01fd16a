package connector_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"finobs/internal/action"
	"finobs/internal/approval"
	"finobs/internal/connector"
	"finobs/internal/fault"
	"finobs/internal/sandbox"
)

func TestReadingAndApplying(t *testing.T) {
	ctx := t.Context()
	desk := simulated(t, openDesk(t, approval.Simulation).url)
	before, err := desk.Read(ctx, "trader", "amina")
	if err != nil || before.Fields["status"] != "active" || before.Version != "1" {
		t.Fatal(before, err)
	}
	out, err := desk.Apply(ctx, "k1", block, trader)
	if err != nil || out.Status != connector.Done || out.EffectID == "" || out.Object.Fields["status"] != "blocked" || out.Object.Version != "2" {
		t.Fatalf("%+v, %v", out, err)
	}
	found, err := desk.Lookup(ctx, "trader", "k1")
	if err != nil || !reflect.DeepEqual(found, out) {
		t.Errorf("looked up: %+v, %v", found, err)
	}
	list, err := desk.List(ctx, "trader")
	if err != nil || len(list) != 3 || list[0].ID != "amina" || list[0].Fields["status"] != "blocked" {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := desk.Read(ctx, "trader", "nobody"); fault.KindOf(err) != fault.NotFound || fault.CodeOf(err) != "connector.not-found" {
		t.Errorf("got %v", err)
	}
}

func TestRefusalsAreFailed(t *testing.T) {
	ctx := t.Context()
	desk := simulated(t, openDesk(t, approval.Simulation).url)
	old := trader
	old.Version = "7"
	if out, err := desk.Apply(ctx, "k1", block, old); err != nil || out.Status != connector.Failed || out.Code != "version_moved" || !strings.Contains(out.Reason, "at version 1") {
		t.Errorf("%+v, %v", out, err)
	}
	if out, err := desk.Apply(ctx, "k1", block, trader); err != nil || out.Status != connector.Failed || out.Code != "key_reused" {
		t.Errorf("%+v, %v", out, err)
	}
	petra := approval.Target{Kind: "trader", ID: "petra", Version: "1"}
	if out, err := desk.Apply(ctx, "k2", block, petra); err != nil || out.Status != connector.Failed || out.Code != "refused" || out.Reason != "status is blocked" {
		t.Errorf("%+v, %v", out, err)
	}
	if out, err := desk.Lookup(ctx, "trader", "k2"); err != nil || out.Status != connector.Failed || out.Reason != "status is blocked" {
		t.Errorf("%+v, %v", out, err)
	}
	if out, err := desk.Lookup(ctx, "trader", "k3"); err != nil || out.Status != connector.Absent {
		t.Errorf("%+v, %v", out, err)
	}
}

// However a command goes wrong, what is said of it is true; and the same command under
// the same key ends it with one effect.
func TestEveryFault(t *testing.T) {
	for _, c := range []struct {
		fault   sandbox.Fault
		delay   string
		status  connector.Status
		code    string
		settled connector.Status // what a look-up finds
	}{
		{sandbox.HangBefore, "", connector.Unknown, connector.CodeNoAnswer, connector.Absent},
		{sandbox.HangBefore, "500ms", connector.Unknown, connector.CodeNoAnswer, connector.Failed}, // late, and so refused
		{sandbox.HangAfter, "", connector.Unknown, connector.CodeNoAnswer, connector.Done},
		{sandbox.FailBefore, "", connector.Unknown, connector.CodeBadAnswer, connector.Absent},
		{sandbox.FailAfter, "", connector.Unknown, connector.CodeBadAnswer, connector.Done},
		{sandbox.DropBefore, "", connector.Unknown, connector.CodeNoAnswer, connector.Absent},
		{sandbox.DropAfter, "", connector.Unknown, connector.CodeNoAnswer, connector.Done},
		{sandbox.Slow, "100ms", connector.Done, "", connector.Done},
		{sandbox.Lie, "", connector.Unknown, connector.CodeBadAnswer, connector.Done},
		{sandbox.LieBefore, "", connector.Unknown, connector.CodeBadAnswer, connector.Absent},
		{sandbox.Endless, "", connector.Unknown, connector.CodeNoAnswer, connector.Done},
		{sandbox.Redirect, "", connector.Unknown, connector.CodeBadAnswer, connector.Absent},
		{sandbox.NoRecovery, "", connector.Done, "", connector.Done},
	} {
		t.Run(string(c.fault)+c.delay, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			d := openDesk(t, approval.Simulation)
			desk := simulated(t, d.url)
			d.fault(c.fault, c.delay)
			out, err := desk.Apply(ctx, "key", block, trader)
			if err != nil || out.Status != c.status || out.Code != c.code {
				t.Fatalf("%+v, %v", out, err)
			}
			if unknown := out.Status == connector.Unknown; unknown != (out.Reason != "") || unknown == out.Until.IsZero() {
				t.Errorf("unknown without a reason or an end: %+v", out)
			}
			if found := resolve(ctx, t, desk, "key"); found.Status != c.settled {
				t.Errorf("looked up: %+v", found)
			}
			again, err := desk.Apply(ctx, "key", block, trader)
			want, effects := connector.Done, 1
			if c.settled == connector.Failed {
				want, effects = connector.Failed, 0
			}
			if err != nil || again.Status != want {
				t.Errorf("sent again: %+v, %v", again, err)
			}
			if got := applications(t, d.url)["key"]; got != effects {
				t.Errorf("applied %d times", got)
			}
		})
	}
}

// Where no connection came about nothing was sent, and the fault says so.
func TestNothingIsSent(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") }))
	defer plain.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	untrusted := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") }))
	defer untrusted.Close()
	for name, c := range map[string]struct{ url, more, code string }{
		"Refused":       {closed.URL, "", "connector.unreachable"},
		"NoName":        {"https://no-such-host.invalid", "", "connector.unreachable"},
		"NoTLS":         {strings.Replace(plain.URL, "http:", "https:", 1), "", "connector.unreachable"},
		"SilentTLS":     {"https://" + silent.Addr().String(), "", "connector.unreachable"},
		"UnknownCA":     {untrusted.URL, "", "connector.untrusted"},
		"LinkLocal":     {"https://169.254.169.254", "", "connector.forbidden-address"},
		"Private":       {"https://10.1.2.3", "", "connector.forbidden-address"},
		"AnyAddress":    {"https://0.0.0.0:1", "", "connector.forbidden-address"},
		"LinkLocalV6":   {"https://[fe80::1]", ", allow_private: true", "connector.forbidden-address"},
		"MetadataToo":   {"https://169.254.169.254", ", allow_private: true", "connector.forbidden-address"},
		"MappedPrivate": {"https://[::ffff:10.1.2.3]", "", "connector.forbidden-address"},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := load(t, "version: 1\nconnectors:\n"+entry("sim", approval.Simulation, c.url, "trader", c.more))
			if err != nil {
				t.Fatal(err)
			}
			desk := set.For(approval.Simulation)
			out, err := desk.Apply(t.Context(), "key", block, trader)
			if fault.CodeOf(err) != c.code || !reflect.DeepEqual(out, connector.Outcome{}) {
				t.Errorf("%+v, %v", out, err)
			}
			if retry := fault.KindOf(err).Retryable(); retry != (c.code != "connector.forbidden-address") {
				t.Errorf("to be retried: %t: %v", retry, err)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := simulated(t, plain.URL).Apply(ctx, "key", block, trader); fault.CodeOf(err) != "connector.unreachable" || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestLoopbackOnlyWhenTheFileSaysSo(t *testing.T) {
	d := openDesk(t, approval.Simulation)
	https := strings.Replace(d.url, "http:", "https:", 1)
	for _, more := range []string{"", ", allow_private: true"} {
		set, err := load(t, "version: 1\nconnectors:\n"+strings.Replace(entry("sim", approval.Simulation, https, "trader", more), "allow_loopback: true", "allow_loopback: false", 1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := set.For(approval.Simulation).Read(t.Context(), "trader", "amina"); fault.CodeOf(err) != "connector.forbidden-address" {
			t.Errorf("got %v", err)
		}
	}
	// Both allowances hold at once.
	set, err := load(t, "version: 1\nconnectors:\n"+entry("sim", approval.Simulation, d.url, "trader", ", allow_private: true"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := set.For(approval.Simulation).Read(t.Context(), "trader", "amina"); err != nil {
		t.Error(err)
	}
}

// No method of what simulation is given reaches a live system: not by kind, not by id,
// not by key.
func TestSimulationReachesNoLiveSystem(t *testing.T) {
	live, sim := openDesk(t, approval.Live), openDesk(t, approval.Simulation)
	set, err := load(t, "version: 1\nconnectors:\n"+
		entry("live", approval.Live, live.url, everyKind, "")+entry("sim", approval.Simulation, sim.url, "trader, feed", ""))
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []approval.Mode{approval.Simulation, "", "Live", "anything"} {
		executor := set.For(mode)
		if _, ok := executor.(*connector.Simulated); !ok {
			t.Fatalf("mode %q is given %T", mode, executor)
		}
		value := reflect.ValueOf(executor)
		for i := range value.NumMethod() {
			for _, kind := range action.Kinds() {
				callWith(t, value.Type().Method(i).Name, value.Method(i), kind)
			}
		}
	}
	if n := live.requests.Load(); n != 0 {
		t.Errorf("the live system got %d requests", n)
	}
	if sim.requests.Load() == 0 {
		t.Error("the simulation got none either: nothing was tested")
	}
	if _, err := set.For(approval.Simulation).Read(t.Context(), "gateway", "GW-NASDAQ-1"); fault.CodeOf(err) != "connector.none" {
		t.Errorf("got %v", err)
	}
	if _, err := set.For(approval.Live).Read(t.Context(), "gateway", "GW-NASDAQ-1"); err != nil || live.requests.Load() != 1 {
		t.Errorf("live: %v, %d requests", err, live.requests.Load())
	}
}

// callWith calls a method with arguments by their types, so that a method that is
// added later is called as well.
func callWith(t *testing.T, name string, method reflect.Value, kind string) {
	t.Helper()
	var arguments []reflect.Value
	for i := range method.Type().NumIn() {
		switch in := method.Type().In(i); {
		case in == reflect.TypeFor[context.Context]():
			arguments = append(arguments, reflect.ValueOf(t.Context()))
		case in == reflect.TypeFor[action.Command]():
			arguments = append(arguments, reflect.ValueOf(block))
		case in == reflect.TypeFor[approval.Target]():
			arguments = append(arguments, reflect.ValueOf(approval.Target{Kind: kind, ID: "amina", Version: "1"}))
		case in.Kind() == reflect.String:
			arguments = append(arguments, reflect.ValueOf(kind).Convert(in))
		default:
			t.Fatalf("%s takes a %s, for which this test has no value", name, in)
		}
	}
	method.Call(arguments)
}

// A connector whose address is that of a system of the other mode is turned away.
func TestTheSystemKnowsItsMode(t *testing.T) {
	d := openDesk(t, approval.Live)
	desk := simulated(t, d.url)
	if _, err := desk.Read(t.Context(), "trader", "amina"); fault.CodeOf(err) != "connector.denied" {
		t.Errorf("got %v", err)
	}
	if out, err := desk.Apply(t.Context(), "key", block, trader); fault.CodeOf(err) != "connector.denied" {
		t.Errorf("%+v, %v", out, err)
	}
	if n := applications(t, d.url); len(n) != 0 {
		t.Errorf("applied %v", n)
	}
}

func TestWhatIsNeverSent(t *testing.T) {
	d := openDesk(t, approval.Simulation)
	desk := simulated(t, d.url)
	apply := func(key string, c action.Command, target approval.Target) error {
		_, err := desk.Apply(t.Context(), key, c, target)
		return err
	}
	for name, err := range map[string]error{
		"connector.invalid-key":    apply("a b", block, trader),
		"action.unknown":           apply("k", action.Command{Action: "desk.close"}, trader),
		"action.wrong-target":      apply("k", action.Command{Action: "feed.switch", Parameters: map[string]string{"to": "backup"}}, trader),
		"action.invalid-parameter": apply("k", action.Command{Action: "trader.block", Parameters: map[string]string{"reason": "because I say so"}}, trader),
		"action.invalid-object":    apply("k", block, approval.Target{Kind: "trader", ID: "../feed/x", Version: "1"}),
		"connector.none":           apply("k", block, approval.Target{Kind: "moon", ID: "x", Version: "1"}),
	} {
		if fault.CodeOf(err) != name || fault.KindOf(err).Retryable() {
			t.Errorf("got %v, want %s", err, name)
		}
	}
	if _, err := desk.Read(t.Context(), "trader", "../../effects"); fault.CodeOf(err) != "connector.invalid-id" {
		t.Errorf("got %v", err)
	}
	if _, err := desk.Lookup(t.Context(), "trader", "../objects/trader/amina"); fault.CodeOf(err) != "connector.invalid-key" {
		t.Errorf("got %v", err)
	}
	if n := d.requests.Load(); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestNoSetHasNoConnectors(t *testing.T) {
	var set *connector.Set
	for _, mode := range []approval.Mode{approval.Live, approval.Simulation} {
		if _, err := set.For(mode).Read(t.Context(), "trader", "amina"); fault.CodeOf(err) != "connector.none" || set.For(mode).Serves("trader") {
			t.Errorf("got %v", err)
		}
	}
	if set.Infos() != nil {
		t.Error(set.Infos())
	}
}

// Answers of other forms than the protocol's, by what they leave known.
func TestStrangeAnswers(t *testing.T) {
	object := `{"kind":"trader","id":"amina","version":"2","fields":{}}`
	applied := func(o string) string { return `{"effect_id":"E1","status":"applied","object":` + o + `}` }
	problem := `{"type":"about:blank","title":"","status":422,"code":"refused","detail":"no\u0000\u202e"}`
	for name, c := range map[string]struct {
		status int
		media  string
		body   string
		want   connector.Status
	}{
		"Plain":             {200, "application/json", applied(object), connector.Done},
		"MoreMembers":       {200, "application/json", strings.Replace(applied(object), "{", `{"trace":"x",`, 1), connector.Done},
		"Empty":             {200, "application/json", "", connector.Unknown},
		"HTML":              {200, "text/html", "<html>welcome</html>", connector.Unknown},
		"NoEffectID":        {200, "application/json", strings.Replace(applied(object), "E1", "", 1), connector.Unknown},
		"Queued":            {200, "application/json", strings.Replace(applied(object), "applied", "queued", 1), connector.Unknown},
		"NoObject":          {200, "application/json", applied("null"), connector.Unknown},
		"OtherObject":       {200, "application/json", applied(strings.Replace(object, "amina", "lukas", 1)), connector.Unknown},
		"OtherKind":         {200, "application/json", applied(strings.Replace(object, "trader", "feed", 1)), connector.Unknown},
		"OldVersion":        {200, "application/json", applied(strings.Replace(object, `"2"`, `"1"`, 1)), connector.Unknown},
		"VersionIsNoText":   {200, "application/json", applied(strings.Replace(object, `"2"`, `2`, 1)), connector.Unknown},
		"Duplicate":         {200, "application/json", strings.Replace(applied(object), "{", `{"status":"refused",`, 1), connector.Unknown},
		"InvalidUTF8":       {200, "application/json", strings.Replace(applied(object), "E1", "E\xff", 1), connector.Unknown},
		"TwoValues":         {200, "application/json", applied(object) + applied(object), connector.Unknown},
		"Accepted":          {202, "application/json", applied(object), connector.Unknown},
		"NoContent":         {204, "", "", connector.Unknown},
		"Moved":             {307, "", "", connector.Unknown},
		"Refused":           {422, "application/problem+json", problem, connector.Failed},
		"RefusedWithSet":    {422, "application/problem+json; charset=utf-8", problem, connector.Failed},
		"ProxysRefusal":     {422, "text/html", "<html>no</html>", connector.Unknown},
		"OtherStatus":       {409, "application/problem+json", problem, connector.Unknown},
		"NoCode":            {422, "application/problem+json", `{"status":422,"detail":"no"}`, connector.Unknown},
		"Timeout":           {408, "application/problem+json", strings.Replace(problem, "422", "408", 1), connector.Unknown},
		"Internal":          {500, "application/problem+json", strings.Replace(problem, "422", "500", 1), connector.Unknown},
		"BadGateway":        {502, "text/html", "", connector.Unknown},
		"TooLarge":          {200, "application/json", applied(object) + strings.Repeat(" ", 2<<20), connector.Unknown},
		"ClaimsToBeRefused": {422, "application/json", applied(object), connector.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodPost || r.URL.Path != "/v1/commands" {
					t.Errorf("a redirect was followed to %s", r.URL)
				}
				w.Header().Set("Content-Type", c.media)
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			}))
			defer server.Close()
			out, err := simulated(t, server.URL).Apply(t.Context(), "key", block, trader)
			if err != nil || out.Status != c.want {
				t.Fatalf("%+v, %v", out, err)
			}
			if strings.ContainsAny(out.Reason, "\x00\u202e\n") || len(out.Reason) > 1200 {
				t.Errorf("the reason is not fit to be shown: %q", out.Reason)
			}
		})
	}
}

func TestBusyAndDenied(t *testing.T) {
	for status, code := range map[int]string{401: "connector.denied", 403: "connector.denied", 429: "connector.busy"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"status":%d,"code":"x","detail":"d"}`, status)
		}))
		out, err := simulated(t, server.URL).Apply(t.Context(), "key", block, trader)
		if fault.CodeOf(err) != code || fault.KindOf(err) != fault.Unavailable || out.Status != "" {
			t.Errorf("%d: %+v, %v", status, out, err)
		}
		server.Close()
	}
}

// A list that has no end, or goes in circles, is refused.
func TestListsThatAreWrong(t *testing.T) {
	object := func(id string) string { return `{"kind":"trader","id":"` + id + `","version":"1","fields":{}}` }
	for name, body := range map[string]string{
		"Circle":    `{"objects":[` + object("a") + `],"next":"a"}`,
		"Backwards": `{"objects":[` + object("b") + `,` + object("a") + `],"next":""}`,
		"OtherKind": `{"objects":[` + strings.Replace(object("a"), "trader", "feed", 1) + `],"next":""}`,
		"NoObjects": `{"objects":[],"next":"a"}`,
		"Garbage":   `[]`,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }))
		if got, err := simulated(t, server.URL).List(t.Context(), "trader"); fault.CodeOf(err) != "connector.bad-answer" {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		server.Close()
	}
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.URL.Query().Get("after") + "a"
		_, _ = w.Write([]byte(`{"objects":[` + object(id) + `],"next":"` + id + `"}`))
	}))
	defer endless.Close()
	if got, err := simulated(t, endless.URL).List(t.Context(), "trader"); fault.KindOf(err) != fault.TooLarge {
		t.Errorf("%v, %v", got, err)
	}
}

// The request says who sends it, for which mode, under which key, and until when.
func TestWhatIsSent(t *testing.T) {
	var got *http.Request
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r }))
	defer server.Close()
	begun := time.Now()
	if _, err := simulated(t, server.URL+"/desk").Apply(t.Context(), "key", block, trader); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Idempotency-Key": "key", "Finobs-Mode": "simulation", "User-Agent": "finobs", "Authorization": "Bearer " + token, "Content-Type": "application/json",
	} {
		if got.Header.Get(name) != want {
			t.Errorf("%s is %q", name, got.Header.Get(name))
		}
	}
	before, err := time.Parse(time.RFC3339Nano, got.Header.Get("Apply-Before"))
	if err != nil || before.Before(begun) || before.After(begun.Add(5*time.Second)) {
		t.Errorf("Apply-Before is %s, %v", before, err)
	}
	if got.URL.Path != "/desk/v1/commands" {
		t.Errorf("sent to %s", got.URL)
	}
}

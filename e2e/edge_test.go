package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestStrictJSON(t *testing.T) {
	const good = `{"kind":"other","severity":"low","title":"strict"}`
	for name, tc := range map[string]struct {
		body   string
		status int
	}{
		"good":              {good, 201},
		"unknown key":       {`{"kind":"other","severity":"low","title":"t","colour":"red"}`, 422},
		"duplicate key":     {`{"kind":"other","kind":"trade_break","severity":"low","title":"t"}`, 422},
		"case-folded key":   {`{"Kind":"other","severity":"low","title":"t"}`, 422},
		"two values":        {good + good, 422},
		"not JSON":          {`{"kind":`, 422},
		"invalid UTF-8":     {"{\"kind\":\"other\",\"severity\":\"low\",\"title\":\"\xff\"}", 422},
		"wrong type":        {`{"kind":"other","severity":"low","title":5}`, 422},
		"unknown enum":      {`{"kind":"fire","severity":"low","title":"t"}`, 422},
		"empty title":       {`{"kind":"other","severity":"low","title":""}`, 422},
		"blank title":       {`{"kind":"other","severity":"low","title":"  "}`, 422},
		"NUL in a key":      {`{"kind":"other","severity":"low","title":"t","\u0000":"x"}`, 422},
		"NUL in the title":  {`{"kind":"other","severity":"low","title":"a\u0000b"}`, 422},
		"endless title":     {`{"kind":"other","severity":"low","title":"` + strings.Repeat("a", 300) + `"}`, 422},
		"array":             {`[]`, 422},
		"null":              {`null`, 422},
		"nested too deep":   {strings.Repeat("[", 100_000), 422},
		"over the limit":    {`{"title":"` + strings.Repeat("a", 2<<20) + `"}`, 413},
		"desk of an export": {`{"kind":"other","severity":"low","title":"t","desk":"FX"}`, 422},
	} {
		r := world.call(t, "alice", "POST", "/incidents", tc.body)
		if r.Status != tc.status {
			t.Errorf("%s: answered %d, want %d: %.300s", name, r.Status, tc.status, r.Body)
		}
		if r.Status >= 400 {
			isProblem(t, name, r)
		}
	}
	r := world.call(t, "alice", "POST", "/incidents", good, "Content-Type", "text/xml")
	if r.Status/100 != 4 {
		t.Errorf("XML: answered %d: %s", r.Status, r.Body)
	}
}

// isProblem checks the form of RFC 9457.
func isProblem(t *testing.T, name string, r reply) {
	t.Helper()
	if ct := r.Header.Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("%s: Content-Type %q", name, ct)
	}
	if !strings.HasPrefix(r.str("type"), "urn:finobs:problem:") || r.str("status") != fmt.Sprint(r.Status) ||
		r.str("detail") == "" || r.str("request_id") != r.Header.Get("X-Request-Id") {
		t.Errorf("%s: the problem is %.300s", name, r.Body)
	}
}

func TestParameters(t *testing.T) {
	for path, status := range map[string]int{
		"/incidents?limit=1":                  200,
		"/incidents?limit=0":                  422,
		"/incidents?limit=501":                422,
		"/incidents?limit=x":                  422,
		"/incidents?status=wrong":             422,
		"/incidents?desk=%00":                 422,
		"/incidents?desk=%ff":                 422,
		"/incidents?desk=A&desk=B":            422,
		"/incidents?desk=%zz":                 422,
		"/incidents/export?reason=a%00b":      422,
		"/incidents?colour=red":               422,
		"/incidents/0":                        422,
		"/incidents/x":                        422,
		"/incidents/999999999":                404,
		"/approval/999999999":                 404,
		"/approval/999999999/history":         404,
		"/exports/999999999":                  404,
		"/exports/999999999/content":          404,
		"/exports/99999999999999999999999":    422,
		"/incidents/export?format=xlsx":       422,
		"/imports/short":                      422,
		"/imports/" + strings.Repeat("a", 64): 404,
		"/nowhere":                            404,
		"/api/incidents?limit=1":              200,
		"/api/healthz":                        200,
	} {
		r := world.call(t, "alice", "GET", path, "")
		if r.Status != status {
			t.Errorf("GET %s answered %d, want %d: %.300s", path, r.Status, status, r.Body)
		}
		if status >= 400 {
			isProblem(t, path, r)
		}
	}
}

func TestMethodsThatARouteDoesNotAnswer(t *testing.T) {
	for _, method := range []string{"DELETE", "PUT", "PATCH"} {
		r := want(t, world.call(t, "dave", method, "/exports/1/history", ""), http.StatusMethodNotAllowed)
		isProblem(t, method, r)
		if r.Header.Get("Allow") != "GET" {
			t.Errorf("%s: Allow is %q", method, r.Header.Get("Allow"))
		}
	}
}

func TestPagingVisitsEveryRowOnce(t *testing.T) {
	for i := range 7 {
		want(t, world.call(t, "alice", "POST", "/incidents", fmt.Sprintf(`{"kind":"system_outage","severity":"critical","title":"page %d"}`, i)), http.StatusCreated)
	}
	seen := map[string]int{}
	cursor := "0"
	for range 100 {
		r := want(t, world.call(t, "alice", "GET", "/incidents?kind=system_outage&limit=2&before="+cursor, ""), http.StatusOK)
		var page struct {
			Items []struct{ Title string }
			Next  int64 `json:"next_before"`
		}
		if err := json.Unmarshal(r.Body, &page); err != nil {
			t.Fatal(err)
		}
		for _, i := range page.Items {
			seen[i.Title]++
		}
		if cursor = fmt.Sprint(page.Next); cursor == "0" {
			break
		}
	}
	for i := range 7 {
		if seen[fmt.Sprintf("page %d", i)] != 1 {
			t.Errorf("page %d was seen %d times", i, seen[fmt.Sprintf("page %d", i)])
		}
	}
}

func TestIdempotencyKey(t *testing.T) {
	const body = `{"kind":"other","severity":"low","title":"once"}`
	key := fmt.Sprintf("key-%d", time.Now().UnixNano())
	first := want(t, world.call(t, "alice", "POST", "/incidents", body, "Idempotency-Key", key), http.StatusCreated)
	again := world.call(t, "alice", "POST", "/incidents", body, "Idempotency-Key", key)
	if string(again.Body) != string(first.Body) {
		t.Errorf("answered %s, then %s", first.Body, again.Body)
	}
	want(t, world.call(t, "alice", "POST", "/incidents", strings.Replace(body, "once", "twice", 1), "Idempotency-Key", key), http.StatusConflict)
	other := want(t, world.call(t, "bob", "POST", "/incidents", body, "Idempotency-Key", key), http.StatusCreated)
	if string(other.Body) == string(first.Body) {
		t.Error("bob's key met alice's incident")
	}
}

func TestDedupKey(t *testing.T) {
	const body = `{"kind":"trade_break","severity":"high","title":"break","dedup_key":"trade-4711"}`
	want(t, world.call(t, "alice", "POST", "/incidents", body), http.StatusCreated)
	second := want(t, world.call(t, "bob", "POST", "/incidents", body), http.StatusOK)
	if second.str("opened") != "false" {
		t.Errorf("got %s", second.Body)
	}
}

// Every route refuses who has no token, and every role what it may not do.
func TestPermissions(t *testing.T) {
	matrix := map[string]map[string]bool{ // route -> who may
		"GET /approval/":              {"alice": true, "carol": true, "dave": true, "eve": true, "victor": true},
		"POST /approval/":             {"alice": true, "carol": true, "dave": true},
		"POST /approval/1/decision":   {"alice": true, "carol": true, "dave": true},
		"GET /incidents":              {"alice": true, "carol": true, "dave": true, "eve": true, "victor": true},
		"POST /incidents":             {"alice": true, "carol": true, "dave": true},
		"GET /incidents/export":       {"alice": true, "carol": true, "dave": true},
		"POST /incidents/export":      {"alice": true, "carol": true, "dave": true},
		"GET /exports/":               {"alice": true, "carol": true, "dave": true, "eve": true},
		"GET /exports/1/content":      {"alice": true, "carol": true, "dave": true, "eve": true},
		"GET /exports/1/bundle":       {"alice": true, "carol": true, "dave": true, "eve": true},
		"POST /exports/":              {"alice": true, "carol": true, "dave": true},
		"POST /exports/batch_verify":  {"alice": true, "carol": true, "dave": true, "eve": true},
		"POST /exports/1/redeliver":   {"alice": true, "carol": true, "dave": true},
		"GET /users/export":           {"alice": true, "carol": true, "dave": true},
		"GET /transactions/export":    {"alice": true, "carol": true, "dave": true},
		"GET /compliance/logs":        {"carol": true, "dave": true, "eve": true},
		"GET /compliance/logs/export": {"alice": true, "carol": true, "dave": true},
		"GET /audit/export":           {"alice": true, "carol": true, "dave": true},
		"POST /ingest/fails":          {"alice": true, "carol": true, "dave": true},
		"POST /transactions":          {"alice": true, "carol": true, "dave": true},
		"GET /transactions":           {"alice": true, "carol": true, "dave": true, "eve": true, "victor": true},
	}
	for route, may := range matrix {
		method, path, _ := strings.Cut(route, " ")
		for _, who := range []string{"alice", "carol", "dave", "eve", "victor"} {
			body := ""
			if method == "POST" && path != "/incidents/export" {
				body = "{}"
			}
			r := world.call(t, who, method, path, body)
			// Past the guard, the request itself may still be wrong.
			if denied := r.Status == 403 && strings.HasSuffix(r.str("type"), ":not-permitted"); denied == may[who] {
				t.Errorf("%s as %s: answered %d: %.200s", route, who, r.Status, r.Body)
			}
		}
		r := world.call(t, "", method, path, "")
		if r.Status != http.StatusUnauthorized || r.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s without a token: answered %d", route, r.Status)
		}
	}
}

func TestOnlyTheRequesterAndReadersOfAllGetTheContent(t *testing.T) {
	e := world.ask(t)
	want(t, e.decide(t, "bob", "approve"), http.StatusOK)
	e.sealedOnce(t)
	id := world.call(t, "alice", "GET", e.path, "").Header.Get("X-Export-Id")
	for who, status := range map[string]int{"alice": 200, "bob": 403, "carol": 200, "eve": 200, "victor": 403} {
		if r := world.call(t, who, "GET", "/exports/"+id+"/content", ""); r.Status != status {
			t.Errorf("%s: answered %d, want %d", who, r.Status, status)
		}
	}
}

func TestAFloodOfRefusalsIsNotAFloodOfRows(t *testing.T) {
	const query = "SELECT count(*) FROM ledger.entry WHERE type = 'security.denied'"
	before := count(t, world, query)
	for range 300 {
		want(t, world.call(t, "", "GET", "/exports/4242/history", "", "Authorization", "Bearer nonsense"), http.StatusUnauthorized)
	}
	if n := count(t, world, query) - before; n != 1 {
		t.Errorf("300 refusals of one kind wrote %d entries at once, want 1", n)
	}
}

// One trace goes through HTTP, workflow, activity and ledger, and is shown to the
// caller.
func TestOneTrace(t *testing.T) {
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	r := want(t, world.call(t, "alice", "POST", "/incidents", `{"kind":"other","severity":"low","title":"traced"}`,
		"traceparent", "00-"+trace+"-00f067aa0ba902b7-01"), http.StatusCreated)
	if got := r.Header.Get("X-Trace-Id"); got != trace {
		t.Errorf("X-Trace-Id is %q", got)
	}
	if n := count(t, world, "SELECT count(*) FROM ledger.entry WHERE trace_id = $1 AND type = 'incident.opened'", trace); n != 1 {
		t.Errorf("%d entries carry the trace, want 1", n)
	}
	own := world.call(t, "alice", "GET", "/incidents?limit=1", "", "X-Request-Id", "my-request-1")
	if own.Header.Get("X-Request-Id") != "my-request-1" || len(own.Header.Get("X-Trace-Id")) != 32 {
		t.Errorf("got headers %v", own.Header)
	}
	evil := world.call(t, "alice", "GET", "/incidents?limit=1", "", "X-Request-Id", "<script>")
	if evil.Header.Get("X-Request-Id") == "<script>" {
		t.Error("a request id of any form is taken over")
	}
}

func TestDocumentAndItsPage(t *testing.T) {
	r := want(t, world.call(t, "", "GET", "/openapi.json", ""), http.StatusOK)
	var doc struct {
		OpenAPI string                    `json:"openapi"`
		Paths   map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal(r.Body, &doc); err != nil || !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Fatalf("version %q, %v", doc.OpenAPI, err)
	}
	for path, methods := range map[string][]string{
		"/approval/": {"get", "post"}, "/approval/{id}/decision": {"post"}, "/incidents/export": {"get", "post"},
		"/exports/{id}/content": {"get"}, "/ingest/fails": {"post"}, "/transactions": {"get", "post"}, "/healthz": {"get"},
	} {
		for _, method := range methods {
			if doc.Paths[path][method] == nil {
				t.Errorf("the document lacks %s %s", method, path)
			}
		}
	}
	page := want(t, world.call(t, "", "GET", "/docs/", ""), http.StatusOK)
	for _, link := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(string(page.Body), -1) {
		if strings.Contains(link[1], "//") {
			t.Errorf("the page asks another host for %s", link[1])
		}
	}
	for _, asset := range []string{"/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/api/docs/swagger-ui.css"} {
		want(t, world.call(t, "", "GET", asset, ""), http.StatusOK)
	}
}

func TestRawHTTP(t *testing.T) {
	token := world.token(t, "alice", "analyst")
	for name, tc := range map[string]struct{ request, status string }{
		"two Authorization headers": {"GET /incidents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + "\r\nAuthorization: Bearer " + token + "\r\n\r\n", " 401 "},
		"headers over the limit":    {"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + strings.Repeat("a", 100_000) + "\r\n\r\n", " 431 "},
		"a token over the limit":    {"GET /incidents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + strings.Repeat("a", 9000) + "\r\n\r\n", " 401 "},
	} {
		conn, err := net.Dial("tcp", world.APIAddress)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, tc.request)
		line, err := bufio.NewReader(conn).ReadString('\n')
		conn.Close()
		if err != nil || !strings.Contains(line, tc.status) {
			t.Errorf("%s: answered %q, %v", name, line, err)
		}
	}
}

// A reason that the database cannot keep is refused at the edge: behind it, it
// would be tried again for ever.
func TestTextThatTheDatabaseCannotKeep(t *testing.T) {
	e := world.ask(t)
	for path, body := range map[string]string{
		"/approval/": `{"kind":"desk.override","reason":"a\u0000b"}`, "/approval/" + e.id + "/decision": `{"decision":"approve","reason":"\u0000"}`,
		"/approval": `{"kind":"desk.override","parameters":{"x":"\u0000"}}`,
	} {
		if r := world.call(t, "bob", "POST", path, body); r.Status != http.StatusUnprocessableEntity {
			t.Errorf("POST %s answered %d: %s", path, r.Status, r.Body)
		}
	}
	for _, reason := range []string{"äöü 漢字 🙂", "' OR 1=1 --", "<script>", `\"{}`, "\\u202e"} {
		body, err := json.Marshal(map[string]any{"kind": "desk.override", "reason": reason, "parameters": map[string]string{"n": fmt.Sprint(unique.Add(1)), "text": reason}})
		if err != nil {
			t.Fatal(err)
		}
		id := want(t, world.call(t, "alice", "POST", "/approval/", string(body)), http.StatusAccepted).str("approval_request_id")
		if got := world.call(t, "alice", "GET", "/approval/"+id, "").str("reason"); got != reason {
			t.Errorf("reason %q came back as %q", reason, got)
		}
	}
}

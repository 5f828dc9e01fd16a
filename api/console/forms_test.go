package console

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

const digest = "sha256:abababababababababababababababababababababababababababababababab"

// formCases are what each form sends, and the one call that it makes.
var formCases = map[string]struct {
	form       []string // names and values in turn
	path, body string
	leads      string
}{
	"/console/approvals/42/decision": {
		[]string{"decision", "approve", "reason", " fine\r\nby me ", "action_digest", digest}, "/approval/42/decision",
		`{"decision":"approve","reason":"fine\nby me","action_digest":"` + digest + `"}`, "/console/approvals/42?done=approved",
	},
	"/console/approvals/42/delegate": {
		[]string{"to", "carol", "ends_at", "2026-12-01T10:30", "text", "away"}, "/approval/42/delegate",
		`{"to":{"sub":"carol"},"ends_at":"2026-12-01T10:30:00Z","reason":"away"}`, "/console/approvals/42?done=delegated",
	},
	"/console/approvals/42/assign":   {[]string{"to", ""}, "/approval/42/assign", `{"reason":""}`, "/console/approvals/42?done=assigned"},
	"/console/approvals/42/comment":  {[]string{"text", "hm"}, "/approval/42/comment", `{"text":"hm"}`, "/console/approvals/42?done=commented"},
	"/console/approvals/42/escalate": {[]string{"text", "now"}, "/approval/42/escalate", `{"reason":"now"}`, "/console/approvals/42?done=escalated"},
	"/console/approvals/42/cancel":   {[]string{"text", "no need"}, "/approval/42/cancel", `{"reason":"no need"}`, "/console/approvals/42?done=cancelled"},
	"/console/approvals/42/revoke":   {[]string{"text", "wrong"}, "/approval/42/revoke", `{"reason":"wrong"}`, "/console/approvals/42?done=revoked"},
	"/console/approvals/42/reopen":   {[]string{"text", "again"}, "/approval/42/reopen", `{"reason":"again"}`, "/console/approvals/43?done=asked"},
	"/console/approvals/42/edit": {
		[]string{"name", "limit", "value", "5", "name", "", "value", "", "text", "less"}, "/approval/42/edit",
		`{"parameters":{"limit":"5"},"reason":"less"}`, "/console/approvals/43?done=asked",
	},
	"/console/incidents/7/acknowledge":   {[]string{"version", "3", "text", ""}, "/incidents/7/acknowledge", `{"version":3}`, "/console/incidents/7?done=recorded"},
	"/console/incidents/7/unacknowledge": {[]string{"version", "3", "text", "x"}, "/incidents/7/unacknowledge", `{"version":3,"note":"x"}`, "/console/incidents/7?done=recorded"},
	"/console/incidents/7/close":         {[]string{"version", "3"}, "/incidents/7/close", `{"version":3}`, "/console/incidents/7?done=recorded"},
	"/console/incidents/7/resolve":       {[]string{"version", "3", "text", "restarted"}, "/incidents/7/resolve", `{"version":3,"resolution":"restarted"}`, "/console/incidents/7?done=recorded"},
	"/console/incidents/7/reopen":        {[]string{"version", "3", "text", "back"}, "/incidents/7/reopen", `{"version":3,"reason":"back"}`, "/console/incidents/7?done=recorded"},
	"/console/incidents/7/severity": {
		[]string{"version", "3", "severity", "high", "text", "worse"}, "/incidents/7/severity",
		`{"version":3,"severity":"high","reason":"worse"}`, "/console/incidents/7?done=recorded",
	},
	"/console/incidents/7/priority": {
		[]string{"version", "3", "priority", "p1", "text", "the open"}, "/incidents/7/priority",
		`{"version":3,"priority":"p1","reason":"the open"}`, "/console/incidents/7?done=recorded",
	},
	"/console/incidents/7/link":    {[]string{"version", "3", "transaction_id", "9"}, "/incidents/7/link", `{"version":3,"transaction_id":9,"reason":""}`, "/console/incidents/7?done=recorded"},
	"/console/incidents/7/parent":  {[]string{"version", "3", "parent_id", ""}, "/incidents/7/parent", `{"version":3,"reason":""}`, "/console/incidents/7?done=recorded"},
	"/console/incidents/7/merge":   {[]string{"version", "3", "into", "8", "text", "same"}, "/incidents/7/merge", `{"version":3,"into":8,"reason":"same"}`, "/console/incidents/7?done=recorded"},
	"/console/incidents/7/assign":  {[]string{"version", "3", "to", "bob", "text", ""}, "/incidents/7/assign", `{"version":3,"to":{"sub":"bob"},"reason":""}`, "/console/incidents/7?done=assigned"},
	"/console/incidents/7/comment": {[]string{"text", "hm"}, "/incidents/7/comment", `{"text":"hm"}`, "/console/incidents/7?done=commented"},
	"/console/incidents/7/triage": {
		[]string{"text", "look"}, "/agent/triage", `{"incident_id":7,"reason":"look","is_simulation":false,"renew":false}`, "/console/approvals/43?done=asked",
	},
	"/console/incidents/7/remediate": {
		[]string{"text", "", "simulation", "yes", "renew", "yes"}, "/agent/remediate",
		`{"incident_id":7,"reason":"","is_simulation":true,"renew":true}`, "/console/approvals/43?done=asked",
	},
	"/console/incidents/7/override": {
		[]string{"run", "5", "field", "severity", "severity", "low", "category", "other", "action", "none", "text", "I know it"}, "/agent/runs/5/override",
		`{"field":"severity","chosen":"low","reason":"I know it"}`, "/console/incidents/7?done=overridden",
	},
	"/console/runs/5/override": {
		[]string{"run", "5", "field", "action", "severity", "low", "category", "other", "action", "none", "text", "nothing helps"}, "/agent/runs/5/override",
		`{"field":"action","chosen":"none","reason":"nothing helps"}`, "/console/runs/5?done=overridden",
	},
	"/console/actions/stop":        {[]string{"desk", "EQ", "text", "odd"}, "/agent/ops/stops", `{"desk":"EQ","reason":"odd"}`, "/console/actions?done=stopped"},
	"/console/actions/resume":      {[]string{"stop", "7", "text", "mended"}, "/agent/ops/stops/7/resume", `{"reason":"mended"}`, "/console/approvals/43?done=asked"},
	"/console/actions/42/resolve":  {[]string{"outcome", "done", "text", "I looked"}, "/agent/ops/actions/42/resolve", `{"outcome":"done","reason":"I looked"}`, "/console/actions/42?done=resolved"},
	"/console/actions/42/withdraw": {[]string{"text", "no"}, "/agent/ops/actions/42/withdraw", `{"reason":"no"}`, "/console/actions/42?done=withdrawn"},
}

func sameJSON(t *testing.T, got, want string) bool {
	t.Helper()
	var a, b any
	if err := json.Unmarshal([]byte(want), &b); err != nil {
		t.Fatal(err)
	}
	return json.Unmarshal([]byte(got), &a) == nil && reflect.DeepEqual(a, b)
}

func TestEachFormMakesItsOneCall(t *testing.T) {
	t.Parallel()
	for path, c := range formCases {
		api := &fakeAPI{text: "plain"}
		w := post(makeConsole(t, api), path, withCSRF(c.form...))
		made := api.made()
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != c.leads {
			t.Errorf("%s: %d to %q, want %q", path, w.Code, w.Header().Get("Location"), c.leads)
		}
		if len(made) != 1 || made[0].Method != http.MethodPost || made[0].Path != c.path || !sameJSON(t, made[0].Body, c.body) {
			t.Errorf("%s: calls %v, want POST %s %s", path, made, c.path, c.body)
		}
	}
}

// Whoever uses no JavaScript sends what the page has in it.
func TestTheFormsOfThePagesLeadToTheirRoutes(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{text: "plain", lost: true}
	c := makeConsole(t, api)
	seen := map[string]bool{}
	for _, page := range []string{"/console/approvals", "/console/approvals/42", "/console/incidents/7", "/console/runs/5", "/console/actions", "/console/actions/42"} {
		root, err := html.Parse(fetch(c, page).Body)
		if err != nil {
			t.Fatal(err)
		}
		for n := range root.Descendants() {
			if n.Data != "form" {
				continue
			}
			attributes := map[string]string{}
			for _, a := range n.Attr {
				attributes[a.Key] = a.Val
			}
			if attributes["method"] == "post" {
				fields := namesIn(n)
				seen[attributes["action"]] = true
				if !fields["csrf"] {
					t.Errorf("%s: the form to %s has no token", page, attributes["action"])
				}
				known, there := formCases[attributes["action"]]
				for i := 0; there && i < len(known.form); i += 2 {
					if !fields[known.form[i]] {
						t.Errorf("%s: the form to %s has no field %s", page, attributes["action"], known.form[i])
					}
				}
			}
		}
	}
	for path := range formCases {
		if !seen[path] && !strings.HasSuffix(path, "/withdraw") { // what may have been sent is not taken back
			t.Errorf("no page has a form to %s", path)
		}
	}
}

func namesIn(form *html.Node) map[string]bool {
	out := map[string]bool{}
	for n := range form.Descendants() {
		for _, a := range n.Attr {
			if a.Key == "name" {
				out[a.Val] = true
			}
		}
	}
	return out
}

// A refused form says why beside it, and keeps what was typed.
func TestARefusedFormSaysWhy(t *testing.T) {
	t.Parallel()
	for path, c := range formCases {
		api := &fakeAPI{text: "plain", lost: strings.HasSuffix(path, "/resolve"), fail: map[string]int{"POST " + c.path: http.StatusConflict}}
		form := append([]string{}, c.form...)
		for i := 0; i < len(form); i += 2 {
			if form[i] == "text" || form[i] == "reason" {
				form[i+1] = `typed <b>"it"</b>`
			}
		}
		w := post(makeConsole(t, api), path, withCSRF(form...))
		body := w.Body.String()
		for _, want := range []string{`data-test="problem"`, "This was not done.", "it failed: plain", "an error plain", "request-7", "Conflict (409), test"} {
			if w.Code != http.StatusConflict || !strings.Contains(body, want) {
				t.Errorf("%s: %d, the page lacks %q", path, w.Code, want)
			}
		}
		if strings.Contains(strings.Join(form, " "), "typed") && !strings.Contains(body, `typed &lt;b&gt;&#34;it&#34;&lt;/b&gt;</textarea>`) {
			t.Errorf("%s: what was typed is lost", path)
		}
		if strings.Contains(body, `hx-get="`+path+`"`) {
			t.Errorf("%s: a live part would be made anew from a form's address", path)
		}
	}
}

func TestFormsThatAreNoneOfThePages(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path string
		form []string
	}{
		"no verdict":     {"/console/approvals/42/decision", []string{"action_digest", digest}},
		"other verdict":  {"/console/approvals/42/decision", []string{"decision", "approved!", "action_digest", digest}},
		"no digest":      {"/console/approvals/42/decision", []string{"decision", "approve"}},
		"no day":         {"/console/approvals/42/delegate", []string{"to", "carol", "ends_at", "tomorrow", "text", "x"}},
		"twice":          {"/console/approvals/42/edit", []string{"name", "a", "value", "1", "name", "a", "value", "2", "text", "x"}},
		"no value":       {"/console/approvals/42/edit", []string{"name", "a", "text", "x"}},
		"version":        {"/console/incidents/7/close", []string{"version", "new"}},
		"no number":      {"/console/incidents/7/merge", []string{"into", "other", "text", "x"}},
		"no run":         {"/console/incidents/7/override", []string{"field", "severity", "severity", "low", "text", "x"}},
		"empty batch":    {"/console/approvals/batch", []string{"decision", "approve"}},
		"odd batch":      {"/console/approvals/batch", []string{"decision", "approve", "item", "x:" + digest}},
		"batch, nothing": {"/console/approvals/batch", []string{"item", "1:" + digest}},
	} {
		api := &fakeAPI{text: "plain"}
		w := post(makeConsole(t, api), c.path, withCSRF(c.form...))
		if w.Code != http.StatusUnprocessableEntity || len(api.made()) != 0 || !strings.Contains(w.Body.String(), "invalid-form") {
			t.Errorf("%s: %d, calls %v", name, w.Code, api.made())
		}
	}
}

func TestABatchTellsOfEach(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{text: "plain", answer: map[string]any{"/approval/batch_decision": batchAnswer{
		Decided: 1, Refused: 1, Items: []batchOutcome{
			{ID: 1, Status: 200, Decision: &decided{"approve", true, "approved", "the decision is recorded"}},
			{ID: 2, Status: 409, Problem: &problem{Type: "urn:finobs:problem:digest-differs", Status: 409, Detail: "approval 2 is over <i>another</i>"}},
		},
	}}}
	w := post(makeConsole(t, api), "/console/approvals/batch", withCSRF("decision", "approve", "reason", "all fine", "item", "1:"+digest, "item", "2:"+digest))
	made := api.made()
	if len(made) != 1 || made[0].Path != "/approval/batch_decision" || !sameJSON(t, made[0].Body,
		`{"decision":"approve","reason":"all fine","items":[{"approval_request_id":1,"action_digest":"`+digest+`"},{"approval_request_id":2,"action_digest":"`+digest+`"}]}`) {
		t.Errorf("calls %v", made)
	}
	for _, want := range []string{"1 decided, 1 refused", "the decision is recorded; the request is approved", "approval 2 is over &lt;i&gt;another&lt;/i&gt;", "digest-differs (409)"} {
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%d: the page lacks %q", w.Code, want)
		}
	}
}

func TestWhatIsAcceptedIsNotCalledRecorded(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{text: "plain", status: http.StatusAccepted}
	w := post(makeConsole(t, api), "/console/approvals/42/decision", withCSRF("decision", "reject", "action_digest", digest))
	if to := w.Header().Get("Location"); to != "/console/approvals/42?done=accepted" {
		t.Errorf("leads to %q", to)
	}
}

// A link can make a page say nothing but what finobs says.
func TestMessagesAreFixed(t *testing.T) {
	t.Parallel()
	c := makeConsole(t, &fakeAPI{text: "plain"})
	if body := fetch(c, "/console/approvals?done=approved").Body.String(); !strings.Contains(body, messages["approved"]) {
		t.Error("the message is not shown")
	}
	if body := fetch(c, "/console/approvals?done="+url.QueryEscape("Call +1 555")).Body.String(); strings.Contains(body, "555") || strings.Contains(body, `data-test="flash"`) {
		t.Error("a link made the page say something else")
	}
	for path, f := range formCases {
		if code := strings.Split(f.leads, "done=")[1]; messages[code] == "" {
			t.Errorf("%s leads to a code without a message: %s", path, code)
		}
	}
}

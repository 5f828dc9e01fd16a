package console

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"finobs/internal/session"
)

func TestDistance(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "now", 300 * time.Millisecond: "now", time.Second: "in 1 s", -59 * time.Second: "59 s ago", 61 * time.Second: "in 1 min", 90 * time.Minute: "in 1 h 30 min",
		-25*time.Hour - 59*time.Minute: "1 d 1 h ago", 48 * time.Hour: "in 2 d", 2*time.Hour + 5*time.Second: "in 2 h",
	} {
		if got := distance(clock, clock.Add(d)); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}

func TestWorkflowsLinkToTheWebUI(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]string{
		"http://ui.example:8233":   "http://ui.example:8233/namespaces/desk%201/workflows/a%2Fb%3F",
		"https://ui.example/temp/": "https://ui.example/temp/namespaces/desk%201/workflows/a%2Fb%3F",
		"":                         "", "javascript:alert(1)": "", "//ui.example": "",
	} {
		c := makeConsole(t, &fakeAPI{text: "plain"}, func(d *Deps) { d.TemporalUI, d.Namespace = base, "desk 1" })
		if got := c.workflowURL("a/b?"); got != want {
			t.Errorf("%q: %q, want %q", base, got, want)
		}
		if c.workflowURL("") != "" {
			t.Error("no workflow has a link")
		}
	}
}

// Whoever may not do a thing is not shown its form.
func TestFormsAreShownToThoseWhoMay(t *testing.T) {
	t.Parallel()
	may := map[string]bool{}
	api := &fakeAPI{text: "plain", lost: true}
	c := makeConsole(t, api, func(d *Deps) {
		d.May = func(_ context.Context, _ session.Session, p string) bool { return may[p] }
	})
	for _, x := range []struct{ page, permission, form string }{
		{"/console/actions", "agent.stop", "stop-form"}, {"/console/actions", "agent.ask", "resume-form"}, {"/console/actions/42", "agent.judge", "resolve-form"},
		{"/console/runs/5", "agent.judge", "override-form"}, {"/console/incidents/7", "agent.ask", "triage-form"}, {"/console/incidents/7", "agent.judge", "override-form"},
		{"/console/", "approval.read", `id="go-approvals"`}, {"/console/", "audit.read", "What happened last"}, {"/console/approvals/42", "user.read", `id="people"`},
	} {
		for _, allowed := range []bool{false, true} {
			clear(may)
			may[x.permission] = allowed
			if shown := strings.Contains(fetch(c, x.page).Body.String(), x.form); shown != allowed {
				t.Errorf("%s, %s %t: %s is shown: %t", x.page, x.permission, allowed, x.form, shown)
			}
		}
	}
}

func TestThePageOfAnAPIThatFails(t *testing.T) {
	t.Parallel()
	for status, heading := range map[int]string{404: "There is nothing here", 403: "You may not see or do this", 503: "A part of finobs does not answer", 500: "That did not work"} {
		c := makeConsole(t, &fakeAPI{text: "plain", fail: map[string]int{"/approval/42": status, "/tasks/count": 503}})
		w := fetch(c, "/console/approvals/42")
		for _, want := range []string{heading, "it failed: plain", "an error plain", "request-7", "/approval/42", fmt.Sprintf("(%d)", status)} {
			if w.Code != status || !strings.Contains(w.Body.String(), want) {
				t.Errorf("%d: %d, the page lacks %q", status, w.Code, want)
			}
		}
	}
	// The session ended while the page was made.
	w := fetch(makeConsole(t, &fakeAPI{text: "plain", fail: map[string]int{"/approval/42": 401}}), "/console/approvals/42")
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/login?next=%2Fconsole%2Fapprovals%2F42" {
		t.Errorf("%d to %s", w.Code, w.Header().Get("Location"))
	}
}

// A part that cannot be read takes nothing else away.
func TestAPartThatCannotBeShown(t *testing.T) {
	t.Parallel()
	for page, parts := range map[string][]string{
		"/console/approvals/42": {"/agent/ops/actions/42", "/agent/runs/5"}, "/console/incidents/7": {"/agent/runs", "/agent/ops/actions", "/agent/runs/5"},
	} {
		for _, part := range parts {
			w := fetch(makeConsole(t, &fakeAPI{text: "plain", fail: map[string]int{part: 403}}), page)
			if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "A part cannot be shown: it failed") {
				t.Errorf("%s without %s: %d", page, part, w.Code)
			}
		}
	}
}

func TestListsArePagedAndFiltered(t *testing.T) {
	t.Parallel()
	for page, want := range map[string]struct{ call, more string }{
		"/console/approvals": {"/approval/?limit=50&sort=deadline&status=pending", "/console/approvals?after_deadline=2026-11-30T09%3A00%3A00Z&before=41"},
		"/console/approvals?status=any&whose=asked_by_me&risk_tier=high&is_simulation=true&x=y&done=approved": {
			"/approval/?is_simulation=true&limit=50&requester=plain&risk_tier=high&sort=newest", "",
		},
		"/console/incidents?q=a%26b&overdue=true&whose=assigned_to_me": {
			"/incidents?assignee=plain&limit=50&overdue=true&q=a%26b", "/console/incidents?before=41&overdue=true&q=a%26b&whose=assigned_to_me",
		},
		"/console/runs?kind=triage":    {"/agent/runs?kind=triage&limit=50", "/console/runs?before=41&kind=triage"},
		"/console/actions?status=done": {"/agent/ops/actions?limit=50&status=done", "/console/actions?before=41&status=done"},
	} {
		api := &fakeAPI{text: "plain"}
		body := fetch(makeConsole(t, api), page).Body.String()
		if api.calls[0].Path != want.call {
			t.Errorf("%s: calls %s, want %s", page, api.calls[0].Path, want.call)
		}
		if !strings.Contains(body, strings.ReplaceAll(want.more, "&", "&amp;")) || !strings.Contains(body, `data-test="next-page"`) {
			t.Errorf("%s: the page does not lead on to %s", page, want.more)
		}
	}
	for _, page := range []string{"/console/approvals", "/console/incidents", "/console/runs", "/console/actions"} {
		c := makeConsole(t, &fakeAPI{text: "plain", empty: true})
		if body := fetch(c, page).Body.String(); strings.Contains(body, "next-page") || !strings.Contains(body, "appear") {
			t.Errorf("%s, empty: it does not say what would appear", page)
		}
		if body := fetch(c, page+"?status=done").Body.String(); !strings.Contains(body, "matches.") {
			t.Errorf("%s, narrowed: it does not say that nothing matches", page)
		}
	}
}

// The words of a model are labelled, and stand below the action.
func TestModelTextIsLabelled(t *testing.T) {
	t.Parallel()
	c := makeConsole(t, &fakeAPI{text: "plain"})
	for _, page := range []string{"/console/approvals/42", "/console/incidents/7", "/console/runs/5"} {
		body := fetch(c, page).Body.String()
		if !strings.Contains(body, "Written by a model.") || !strings.Contains(body, `data-test="model-text"`) || !strings.Contains(body, `data-test="struck-claim"`) {
			t.Errorf("%s: model text without a label", page)
		}
		if action := strings.Index(body, `data-test="canonical-action"`); strings.Contains(page, "approvals") && (action < 0 || action > strings.Index(body, "Written by a model.")) {
			t.Errorf("%s: the model speaks before the action", page)
		}
	}
}

func TestPolicyInWords(t *testing.T) {
	t.Parallel()
	a := approval{Summary: "action: x\nparameter p: \"policy: y\\n  nobody\"\npolicy: desk.default\n  needs 1 of admin\n  1 rejection closes the request\n"}
	if got := strings.Join(a.PolicyWords(), "|"); got != "needs 1 of admin|1 rejection closes the request" {
		t.Errorf("got %q", got)
	}
}

// The colours of text reach 4.5:1 on what they stand on, by the formula of WCAG 2.
func TestColoursHaveContrast(t *testing.T) {
	t.Parallel()
	css, err := staticFS.ReadFile("static/console.css")
	if err != nil {
		t.Fatal(err)
	}
	variable := regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6});`)
	blocks := regexp.MustCompile(`(?s):root[^{]*\{(.*?)\n\s*\}`).FindAllSubmatch(css, -1)
	if len(blocks) != 3 {
		t.Fatalf("%d sets of colours", len(blocks))
	}
	for i, block := range blocks {
		colour := map[string]string{}
		for _, m := range variable.FindAllSubmatch(block[1], -1) {
			colour[string(m[1])] = string(m[2])
		}
		for _, text := range []string{"text", "muted", "accent", "critical", "high", "medium", "low", "good", "bad", "wait"} {
			for _, ground := range []string{"bg", "surface", "raised", "tint-bad", "tint-wait", "tint-good", "tint-info"} {
				if got := contrast(t, colour[text], colour[ground]); got < 4.5 {
					t.Errorf("set %d: %s on %s has %.2f:1", i, text, ground, got)
				}
			}
		}
		if got := contrast(t, colour["on-accent"], colour["accent"]); got < 4.5 {
			t.Errorf("set %d: text of main buttons has %.2f:1", i, got)
		}
		if got := contrast(t, colour["field"], colour["surface"]); got < 3 {
			t.Errorf("set %d: borders of fields have %.2f:1", i, got)
		}
	}
}

func contrast(t *testing.T, a, b string) float64 {
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	rgb, err := strconv.ParseUint(strings.TrimPrefix(colour, "#"), 16, 32)
	if err != nil {
		t.Fatalf("colour %q: %v", colour, err)
	}
	sum := 0.0
	for shift, weight := range map[int]float64{16: 0.2126, 8: 0.7152, 0: 0.0722} {
		c := float64(rgb>>shift&0xff) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}

func TestKeysOfTabsAreUnique(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, tab := range tabs {
		if other := seen[tab.Key]; other != "" || len(tab.Key) != 1 {
			t.Errorf("g %s leads to %s and %s", tab.Key, other, tab.Name)
		}
		seen[tab.Key] = tab.Name
		if _, err := url.Parse(tab.Path); err != nil {
			t.Error(err)
		}
	}
}

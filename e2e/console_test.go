package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// maxFirstView is how much may be transferred until the first page stands.
const maxFirstView = 150 << 10 // bytes

// TestThreePeopleAtTheConsole tells the story of a desk as three people see it, each
// in a browser of his own: nobody reloads a page.
func TestThreePeopleAtTheConsole(t *testing.T) {
	t.Parallel()
	c := chromium(t)
	d := newDesk(t)
	alice, bob, carol := d.at(t, c, "alice", desktop), d.at(t, c, "bob", desktop), d.at(t, c, "carol", desktop)
	firstSteps(t, d, alice)
	id := asksForAnExport(t, alice, bob)
	missesNothing(t, d, id, alice)
	approvesAndAllSeeIt(t, id, alice, bob)
	exportIsMadeAndVerified(t, alice, carol)
	decidesOnSeveral(t, d, bob)
	overridesTheAgent(t, d, alice, bob, carol)
	overseesAll(t, carol)
	for _, b := range []*browser{alice, bob, carol} {
		b.untroubled()
	}
}

// firstSteps looks at an empty system, and weighs its first page.
func firstSteps(t *testing.T, d *deskStack, alice *browser) {
	alice.sees("h1", "First steps")
	alice.accessible("first steps")
	fresh := newBrowser(t, alice.ctx, alice.api, desktop)
	fresh.signIn(d.token(t, "bob", "analyst"))
	fresh.sees("h1", "First steps")
	sum, addresses := fresh.transferred()
	if sum == 0 || sum > maxFirstView {
		t.Errorf("signing in and the first page transfer %d bytes, over %d or none", sum, maxFirstView)
	}
	for _, address := range addresses {
		if !strings.HasPrefix(address, fresh.api+"/") {
			t.Errorf("the console loads %s from elsewhere", address)
		}
	}
	t.Logf("first view: %d bytes in %d requests", sum, len(addresses))
}

// asksForAnExport lets alice ask while bob looks at the inbox.
func asksForAnExport(t *testing.T, alice, bob *browser) string {
	bob.open("/console/approvals")
	bob.sees("#inbox", "No request is pending")
	bob.sees("#link", "live")
	alice.open("/console/exports")
	alice.fills("new-form", "dataset", "incidents", "format", "ndjson", "text", "for the regulator")
	alice.reaches("/console/approvals/")
	id := strings.TrimPrefix(alice.where(), "/console/approvals/")
	bob.sees(selectorOf("approval-row"), "for the regulator")
	bob.sees(selectorOf("count-approvals"), "1")
	bob.accessible("inbox")
	if n := alice.count(selectorOf("decision-form")); n != 0 {
		t.Error("whoever asked is offered to decide")
	}
	return id
}

// missesNothing has something happen while alice's page fetches what happened before:
// what arrives is older than that, and must not be the last word. Neither must be a
// request that nobody answers.
func missesNothing(t *testing.T, d *deskStack, id string, alice *browser) {
	alice.sees("#link", "live")
	evaluate[bool](alice, `(() => { const send = XMLHttpRequest.prototype.send; XMLHttpRequest.prototype.send = function (body) {
		const done = this.onload; this.onload = (e) => setTimeout(() => done.call(this, e), 1500); send.call(this, body); }; return true })()`)
	says := func(text string) {
		want(t, d.call(t, "bob", "POST", "/approval/"+id+"/comment", fmt.Sprintf(`{"text":%q}`, text)), http.StatusOK)
	}
	says("one moment")
	eventually(t, "the page fetches", func() bool { return alice.count("#request.htmx-request") > 0 })
	says("it looks right")
	alice.sees("#request", "it looks right")
	alice.open("/console/approvals/" + id)
	alice.sees("#link", "live")
	evaluate[bool](alice, `(() => { const x = XMLHttpRequest.prototype, open = x.open, send = x.send;
		x.open = function (method, to, async) { this.to = to; open.call(this, method, to, async); };
		x.send = function (body) { if (!this.to.startsWith("/console/approvals/")) return send.call(this, body);
			x.send = send; setTimeout(() => this.onerror()); }; return true })()`)
	says("though nobody answered")
	alice.sees("#request", "though nobody answered")
}

// approvesAndAllSeeIt lets bob approve by keys and the form, while alice looks at
// her request.
func approvesAndAllSeeIt(t *testing.T, id string, alice, bob *browser) {
	alice.sees("#link", "live")
	bob.presses("j")
	bob.presses("o")
	bob.reaches("/console/approvals/" + id)
	bob.sees(selectorOf("canonical-action"), "export.incidents")
	bob.sees(selectorOf("missing"), "1")
	bob.accessible("approval")
	bob.presses("a")
	if got := evaluate[string](bob, "document.activeElement.name"); got != "reason" {
		t.Errorf("after the key the focus is on %q, not on the reason", got)
	}
	bob.sees(selectorOf("decision-form"), "Approve")
	bob.do("typing", chromedp.KeyEvent("looked at it"))
	bob.do("sending", bob.leaving(chromedp.Click(chromedp.CSS(selectorOf("decide")))))
	bob.sees(selectorOf("flash"), "Your approval is recorded")
	alice.sees("#request .head", "consumed")
	alice.sees("#request", "looked at it")
}

func exportIsMadeAndVerified(t *testing.T, alice, carol *browser) {
	alice.open("/console/exports")
	alice.sees(selectorOf("export-row"), "incidents")
	alice.do("opening it", alice.leaving(chromedp.Click(chromedp.CSS(selectorOf("export-row")+" a"))))
	alice.sees(selectorOf("progress"), "done")
	alice.sees(selectorOf("verdict"), "verified")
	alice.accessible("export")
	export := alice.where()
	alice.fills("verify-form")
	alice.reaches("/console/verifications/")
	alice.sees(selectorOf("verdicts"), "verified")
	carol.open(export)
	bundle := evaluate[string](carol, `fetch(document.querySelector('[data-test="bundle"]').href).then(r => r.status + " " + r.headers.get("content-type"))`, chromedp.EvalAwaitPromise)
	if bundle != "200 application/x-tar" {
		t.Errorf("the bundle answers %s", bundle)
	}
}

// decidesOnSeveral lets bob decide on a batch, of which one item is gone meanwhile.
func decidesOnSeveral(t *testing.T, d *deskStack, bob *browser) {
	var ids []string
	for range 3 {
		ids = append(ids, d.askPlain(t).id)
	}
	bob.open("/console/approvals")
	for _, id := range ids {
		bob.do("choosing "+id, chromedp.Click(chromedp.CSS(fmt.Sprintf(`[data-id=%q] [name="item"]`, id))))
	}
	const top = `document.querySelector('[data-test="batch-form"]').getBoundingClientRect().top`
	before := evaluate[float64](bob, top)
	want(t, d.call(t, "carol", "POST", "/approval/"+ids[1]+"/decision", `{"decision":"reject","reason":"not this one"}`), http.StatusOK)
	bob.sees(".stale-shown > .stale", "has changed since it was shown")
	if after := evaluate[float64](bob, top); after != before {
		t.Errorf("the note that the list is old moves what bob is about to click from %g to %g", before, after)
	}
	bob.fills("batch-form", "decision", "approve", "reason", "all of a kind")
	bob.sees("h1", "2 decided, 1 refused")
	bob.sees(selectorOf("batch-outcome"), "rejected already")
	bob.accessible("batch")
}

// overridesTheAgent has an incident triaged, and carol say what is right instead.
func overridesTheAgent(t *testing.T, d *deskStack, alice, bob, carol *browser) {
	opened := d.opens(t, "alice", "high", `,"system":"G-1"`)
	incident := "/console/incidents/" + opened.id
	carol.open("/console/incidents")
	carol.sees(selectorOf("incident-row"), "is down")
	carol.accessible("incidents")
	alice.open(incident)
	alice.fills("triage-form", "text", "what is it?")
	alice.reaches("/console/approvals/")
	id := strings.TrimPrefix(alice.where(), "/console/approvals/")
	carol.open(incident)
	carol.sees("#link", "live")
	bob.decides(id, "approve", "let it look")
	carol.sees(selectorOf("claim"), "")
	eventually(t, "carol sees what the agent says", func() bool { return carol.count(selectorOf("claim")) > 0 })
	carol.accessible("incident")
	carol.fills("override-form", "field", "severity", "severity", "low", "text", "it is the spare one")
	carol.sees(selectorOf("flash"), "Your override is recorded")
	carol.sees("#incident", "ai override")
}

// overseesAll visits what carol may see beside, and finds it accessible.
func overseesAll(t *testing.T, carol *browser) {
	carol.open("/console/audit")
	carol.sees(selectorOf("entry-row"), "approval.decided")
	carol.accessible("audit")
	carol.do("opening an entry", carol.leaving(chromedp.Click(chromedp.CSS(selectorOf("entry-row")+" a"))))
	carol.sees(selectorOf("leaf"), "{")
	eventually(t, "a checkpoint covers the entry", func() bool {
		carol.open(carol.where())
		return carol.count(selectorOf("download-proof")) == 1
	})
	for path, shows := range map[string]string{
		"/console/systems": "Systems", "/console/metrics": "Metrics", "/console/schedules": "Schedules", "/console/runs": "Agent runs",
		"/console/actions": "Actions", "/console/": "Overview",
	} {
		carol.open(path)
		carol.sees("h1", shows)
		carol.accessible(path)
	}
	carol.open("/console/schedules")
	carol.unfold("new-form")
	carol.do("previewing", chromedp.SetValue(chromedp.CSS("#new-cron"), "0 18 * * 1-5"), chromedp.SetValue(chromedp.CSS("#new-zone"), "America/New_York"),
		carol.leaving(chromedp.Click(chromedp.CSS(selectorOf("new-preview")))))
	carol.sees(selectorOf("next-runs"), "18:00:00")
	carol.presses("?")
	carol.sees("#help", "next and previous line")
}

func TestApproveAndRejectWithoutJavaScript(t *testing.T) {
	c := chromium(t)
	first, second := world.askPlain(t), world.askPlain(t)
	bob := world.at(t, c, "bob", phone, withoutScript())
	bob.decides(first.id, "approve", "seen without a script")
	bob.decides(second.id, "reject", "not this one")
	first.untilStatus(t, "approved")
	second.untilStatus(t, "rejected")
	bob.open("/console/approvals/" + first.id)
	bob.sees("#request", "seen without a script")
	if n := bob.count(selectorOf("decision-form")); n != 0 {
		t.Error("a decided request still offers to decide")
	}
	bob.untroubled()
}

// A phone shows every page without scrolling sideways.
func TestPagesFitAPhone(t *testing.T) {
	c := chromium(t)
	world.askPlain(t)
	carol := world.at(t, c, "carol", viewport{360, 740})
	for _, path := range []string{"", "approvals", "incidents", "runs", "actions", "exports", "schedules", "audit", "systems", "metrics", "first-run"} {
		carol.open("/console/" + path)
		if wide := evaluate[int](carol, "document.documentElement.scrollWidth"); wide > 360 {
			t.Errorf("/console/%s is %d pixels wide on a screen of 360", path, wide)
		}
	}
	carol.untroubled()
}

// Whoever is idle for long, or signs out, sees nothing more.
func TestSigningOutOfTheConsole(t *testing.T) {
	c := chromium(t)
	bob := world.at(t, c, "bob", desktop)
	bob.do("signing out", bob.leaving(chromedp.Click(chromedp.CSS(`form[action="/logout"] button`))))
	bob.reaches("/login")
	bob.open("/console/approvals")
	bob.reaches("/login")
	time.Sleep(100 * time.Millisecond)
	if at := evaluate[string](bob, "location.search"); !strings.Contains(at, "next=%2Fconsole%2Fapprovals") {
		t.Errorf("the sign-in page does not know where to go on: %s", at)
	}
}

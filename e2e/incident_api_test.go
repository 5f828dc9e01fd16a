package e2e_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// incidentStack is a stack whose roster has the people of desk, and which pages
// nobody.
func incidentStack(t *testing.T) *life {
	t.Helper()
	l := newLife(t, told, desk)
	l.withDesk(t, "version: 1\nseverities:\n  high: {acknowledge: 1h, resolve: 4h}\n  low: {acknowledge: 1s}\n")
	l.startWorkers(t, 2)
	l.startAPIs(t, 1)
	return l
}

// The acts on incidents share a stack. The one that counts all incidents comes first.
func TestActsOnIncidents(t *testing.T) {
	t.Parallel()
	l := incidentStack(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *life)
	}{
		{"ManyIncidentsAtOnce", testManyIncidentsAtOnce},
		{"WhatPeopleDoToIncidents", testWhatPeopleDoToIncidents},
		{"WhoMayWorkOnIncidents", testWhoMayWorkOnIncidents},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, l) })
	}
}

func testWhatPeopleDoToIncidents(t *testing.T, l *life) {
	i := l.opens(t, "alice", "high", `,"system":"fix-1","owner":"fix"`)
	if got := i.member(t, "priority") + i.member(t, "owner") + i.member(t, "system"); got != "p2fixfix-1" {
		t.Errorf("it is %s", got)
	}
	seen := i.member(t, "version")
	want(t, i.does(t, "bob", "assign", `{"to":{"sub":"carol"},"reason":"her desk"}`), http.StatusOK)
	moved := want(t, i.does(t, "bob", "acknowledge", `{"version":`+seen+`}`), http.StatusConflict)
	if !strings.Contains(string(moved.Body), "incident-moved") {
		t.Errorf("an act on an old version: %s", moved.Body)
	}
	done := want(t, i.does(t, "bob", "acknowledge", `{"version":`+i.member(t, "version")+`,"note":"mine"}`), http.StatusOK)
	if done.str("status") != "acknowledged" || done.str("version") != i.member(t, "version") {
		t.Errorf("acknowledged: %s", done.Body)
	}
	for _, step := range []struct {
		what, body string
		status     int
	}{
		{"acknowledge", "", 409}, {"close", "", 409}, {"reopen", `{"reason":"x"}`, 409}, {"assign", `{"to":{"sub":"nobody"}}`, 422},
		{"resolve", `{"resolution":""}`, 422}, {"severity", `{"severity":"awful","reason":"x"}`, 422}, {"severity", `{"severity":"low"}`, 422},
		{"comment", `{"text":"the switch"}`, 200}, {"priority", `{"priority":"p1","reason":"the open is near"}`, 200},
		{"severity", `{"severity":"critical","reason":"worse"}`, 200}, {"link", `{"transaction_id":4711}`, 404}, {"parent", `{"parent_id":4711}`, 404},
		{"unacknowledge", "", 200}, {"resolve", `{"resolution":"restarted"}`, 200}, {"close", "", 200}, {"assign", "", 400},
		{"reopen", `{"reason":"it is back"}`, 200}, {"burn", "", 404},
	} {
		if got := i.does(t, "bob", step.what, step.body); got.Status != step.status {
			t.Errorf("%s %s: %d, want %d: %s", step.what, step.body, got.Status, step.status, got.Body)
		}
	}
	if got := i.member(t, "status") + " " + i.member(t, "priority") + " " + i.member(t, "severity") + " " + i.member(t, "reopened"); got != "open p1 critical 1" {
		t.Errorf("in the end it is %s", got)
	}
	child, other := l.opens(t, "alice", "high", ""), l.opens(t, "alice", "high", "")
	want(t, child.does(t, "bob", "parent", `{"parent_id":`+i.id+`}`), http.StatusOK)
	want(t, i.does(t, "bob", "merge", `{"into":`+other.id+`,"reason":"the same"}`), http.StatusOK)
	if got := child.member(t, "parent_id"); got != other.id {
		t.Errorf("the parent is %s, want the survivor %s", got, other.id)
	}
	if got := want(t, i.does(t, "bob", "comment", `{"text":"x"}`), http.StatusConflict); !strings.Contains(string(got.Body), "merged into "+other.id) {
		t.Errorf("what was merged: %s", got.Body)
	}
	i.timeline(t)
	l.incidentListFilters(t, child, other)
}

// timeline reads the timeline in pages and wants all of it, each line once.
func (i incidentCase) timeline(t *testing.T) {
	t.Helper()
	var all []string
	before := ""
	for range 20 {
		var page struct {
			Items []struct {
				At   time.Time
				Kind string
				Data struct{ Type string }
			}
			Next string `json:"next_before"`
		}
		r := want(t, i.s.call(t, "victor", "GET", i.path("/timeline?limit=4&before="+strings.ReplaceAll(before, "+", "%2B")), ""), http.StatusOK)
		if err := json.Unmarshal(r.Body, &page); err != nil {
			t.Fatal(err)
		}
		for n, item := range page.Items {
			if n > 0 && item.At.After(page.Items[n-1].At) {
				t.Errorf("the timeline is out of order")
			}
			all = append(all, item.Kind+" "+item.Data.Type)
		}
		if before = page.Next; before == "" {
			break
		}
	}
	// The comment moved to the survivor.
	want := "entry incident.merged, entry incident.reopened, entry incident.closed, entry incident.resolved, entry incident.unacknowledged, " +
		"entry incident.rated, entry incident.prioritised, entry incident.acknowledged, entry incident.assigned, entry incident.opened"
	if got := strings.Join(all, ", "); got != want {
		t.Errorf("the timeline is\n%s, want\n%s", got, want)
	}
}

func (l *life) incidentListFilters(t *testing.T, child, other incidentCase) {
	t.Helper()
	low := l.opens(t, "alice", "low", `,"owner":"ops"`)
	want(t, low.does(t, "bob", "assign", `{"to":{"sub":"dave"}}`), http.StatusOK)
	for query, wanted := range map[string]string{
		"parent=" + other.id: child.id, "assignee=dave": low.id, "owner=ops": low.id, "priority=p4": low.id, "priority=p9": "", "parent=999": "",
		"status=open&severity=high&limit=1": child.id + " or " + other.id,
	} {
		r := l.call(t, "victor", "GET", "/incidents?"+query, "")
		var page struct {
			Items []struct {
				ID      json.Number `json:"incident_id"`
				Allowed []string    `json:"allowed_actions"`
			}
		}
		if err := json.Unmarshal(r.Body, &page); err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, item := range page.Items {
			ids = append(ids, item.ID.String())
			if len(item.Allowed) != 0 {
				t.Errorf("a viewer may %v", item.Allowed)
			}
		}
		if got := strings.Join(ids, " "); !strings.Contains(" or "+wanted+" or ", " or "+got+" or ") {
			t.Errorf("%s lists %q, want %q", query, got, wanted)
		}
	}
	eventually(t, "it is overdue", func() bool {
		return strings.Contains(string(l.call(t, "victor", "GET", "/incidents?overdue=true", "").Body), `"incident_id":`+low.id+",")
	})
	var mine struct {
		Allowed []string `json:"allowed_actions"`
	}
	if err := json.Unmarshal(l.call(t, "tim", "GET", low.path(""), "").Body, &mine); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(mine.Allowed, " "); got != "acknowledge assign comment resolve severity priority link parent merge" {
		t.Errorf("a trader may %s", got)
	}
}

// Every act, by every role.
func testWhoMayWorkOnIncidents(t *testing.T, l *life) {
	i := l.opens(t, "alice", "high", "")
	ends := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	for path, body := range map[string]string{
		i.path("/acknowledge"): "", i.path("/unacknowledge"): "", i.path("/assign"): "{}", i.path("/comment"): `{"text":"x"}`,
		i.path("/resolve"): `{"resolution":"x"}`, i.path("/close"): "", i.path("/reopen"): `{"reason":"x"}`,
		i.path("/severity"): `{"severity":"low","reason":"x"}`, i.path("/priority"): `{"priority":"p1","reason":"x"}`, i.path("/link"): "{}",
		i.path("/parent"): "{}", i.path("/merge"): `{"into":999,"reason":"x"}`, "/incidents/bulk": `{"act":"comment","ids":[` + i.id + `],"text":"x"}`,
		"/maintenance-windows": `{"title":"x","system":"none","ends_at":"` + ends + `"}`, "/maintenance-windows/999/end": "",
	} {
		for role, may := range map[string]bool{"viewer": false, "auditor": false, "service": false, "trader": true, "analyst": true, "compliance": true, "admin": true} {
			r := callURL(t, l.token(t, "p-"+role, role), "POST", "http://"+l.APIAddress+path, body)
			if (r.Status == http.StatusForbidden) == may || r.Status == http.StatusUnauthorized || r.Status >= 500 {
				t.Errorf("%s by %s: %d: %s", path, role, r.Status, r.Body)
			}
		}
		if r := callURL(t, "", "POST", "http://"+l.APIAddress+path, body); r.Status != http.StatusUnauthorized {
			t.Errorf("%s by nobody: %d", path, r.Status)
		}
	}
}

// One call acts on 500 incidents, each of which has its own outcome; more are
// refused.
func testManyIncidentsAtOnce(t *testing.T, l *life) {
	scanExec(t, l, `INSERT INTO finobs.incident (kind, severity, title, description, desk, source, dedup_key, subject_kind, subject_id, details, origin,
			opened_by_type, opened_by_iss, opened_by_sub, trace_id, opened_at, updated_at, priority, last_seen_at, firing_at, began_at, ladder_from, nudge_at)
		SELECT 'other', 'high', 'Break ' || n, '', 'EQ', 'test', 'bulk-' || n, '', '', '{}', 'live', 'human', '', 'alice', '', now(), now(), 'p2', now(), now(), now(), now(), CASE WHEN n <= 20 THEN now() END
		FROM generate_series(1, 501) n`)
	if r := l.call(t, "bob", "POST", "/incidents/bulk", `{"act":"acknowledge","filter":{"status":"open"}}`); r.Status != http.StatusUnprocessableEntity || !strings.Contains(string(r.Body), "more than 500") {
		t.Errorf("501: %d %s", r.Status, r.Body)
	}
	eventually(t, "those that are to be looked at live", func() bool {
		return count(t, l.stack, "SELECT count(*) FROM finobs.incident WHERE life_run_id <> ''") == 20
	})
	var ids []string
	for n := range 499 {
		ids = append(ids, strconv.Itoa(n+1))
	}
	ids = append(ids, "99999")
	began := time.Now()
	r := want(t, l.call(t, "bob", "POST", "/incidents/bulk", `{"act":"acknowledge","ids":[`+strings.Join(ids, ",")+`],"text":"all mine"}`), http.StatusOK)
	t.Logf("500 acts in %s", time.Since(began).Round(time.Millisecond))
	var out struct {
		Items []struct {
			ID     int64 `json:"incident_id"`
			Status int   `json:"http_status"`
		}
		Done, Refused int
	}
	if err := json.Unmarshal(r.Body, &out); err != nil {
		t.Fatal(err)
	}
	if out.Done+out.Refused != 500 || len(out.Items) != 500 || out.Items[499].ID != 99999 || out.Items[0].ID != 1 {
		t.Errorf("%d done, %d refused, the last one %+v", out.Done, out.Refused, out.Items[len(out.Items)-1])
	}
	if last := out.Items[499].Status; last != http.StatusNotFound && last != http.StatusServiceUnavailable {
		t.Errorf("what is not there: %d", last)
	}
	for _, item := range out.Items[:499] {
		if item.Status == http.StatusServiceUnavailable { // a machine under load; the caller sends it again
			one := incidentCase{l.stack, strconv.FormatInt(item.ID, 10)}
			eventually(t, "it is taken", func() bool { return one.does(t, "bob", "acknowledge", "").Status != http.StatusServiceUnavailable })
		} else if item.Status/100 != 2 {
			t.Errorf("incident %d: %d", item.ID, item.Status)
		}
	}
	acknowledged := func() int {
		return count(t, l.stack, "SELECT count(*) FROM finobs.incident WHERE status = 'acknowledged'")
	}
	for seen := -1; acknowledged() < 499; { // however slow the machine is, it goes on
		eventually(t, "more are acknowledged", func() bool { return acknowledged() > seen })
		seen = acknowledged()
	}
	if n := count(t, l.stack, "SELECT count(*) FROM ledger.entry WHERE type = 'incident.acknowledged'"); n != 499 {
		t.Errorf("%d entries", n)
	}
	for body, status := range map[string]int{
		`{"act":"acknowledge"}`: 422, `{"act":"acknowledge","ids":[1],"filter":{"status":"open"}}`: 422, `{"act":"acknowledge","filter":{}}`: 422,
		`{"act":"acknowledge","ids":[1,1]}`: 422, `{"act":"burn","ids":[1]}`: 422,
	} {
		if r := l.call(t, "bob", "POST", "/incidents/bulk", body); r.Status != status {
			t.Errorf("%s: %d, want %d: %s", body, r.Status, status, r.Body)
		}
	}
	metrics := want(t, l.call(t, "eve", "GET", "/incidents/metrics", ""), http.StatusOK)
	var figures struct {
		Incidents int64
		ByStatus  map[string]int64  `json:"by_status"`
		MTTA      struct{ N int64 } `json:"time_to_acknowledge_seconds"`
	}
	if err := json.Unmarshal(metrics.Body, &figures); err != nil {
		t.Fatal(err)
	}
	if figures.Incidents != 501 || figures.ByStatus["acknowledged"] != 499 || figures.ByStatus["closed"] != 0 || figures.MTTA.N != 499 {
		t.Errorf("figures: %s", metrics.Body)
	}
}

package api_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/identity"
	"finobs/internal/pgtest"
)

const (
	// filled is how many rows each table that grows has: a day's each, so that they
	// are of many years.
	filled = 10_000
	// mostRead is how many of them a step of a plan may look at: some pages of a
	// list.
	mostRead = 2000
	one      = "5001" // id of something that all may see
)

// elsewhere are the routes that are not called here, and why. Only what reads no
// table that grows, other than by a key, belongs here.
var elsewhere = map[string]string{
	"/approval/{id}/progress":    "asks Temporal",
	"/exports/{id}/progress":     "asks Temporal",
	"/exports/batch_verify/{id}": "asks Temporal",
	"/systems":                   "asks Temporal; TestNoPollReadsATableWhole has its queries",
	"/readyz":                    "asks Temporal",
	"/exports/{id}/content":      "reads a file",
	"/exports/{id}/bundle":       "reads a file",
	"/exports/keys":              "reads no table",
	"/healthz":                   "reads no table",
	"/log/keys":                  "reads no table",
	"/log/tile/*path":            "reads by key",
	"/log/projection/*path":      "reads by key",
	"/payloads/{sha256}":         "reads by key",
	"/imports/{sha256}":          "reads by key",
	"/audit/{index}/proof":       "reads by key, of a log that must be whole",
	"/log/consistency":           "reads by key, of a log that must be whole",
	"/log/checkpoint":            "reads by key",
	"/policies":                  "reads the newest set of policies",
	"/sources":                   "reads what is configured",
	"/recon/profiles":            "reads what is configured",
}

// unreal are routes whose answer is more than what the rows say, which must be real
// for it: their queries count here, and not their status.
var unreal = []string{
	"/approval/{id}", "/approval/{id}/receipt", "/recon/runs/{id}", "/agent/runs/{id}", "/transactions/{id}/history", "/export-schedules/{id}",
	"/export-schedules/{id}/history", "/export-schedules/{id}/slots", "/users/{sub}", "/users/{sub}/history",
}

// walks are filters that pass over what is newer than they ask for, since pages
// are in the order of ids: a page of long ago costs as much as all after it.
var walks = []string{"/audit?until", "/compliance/logs?to", "/exports/?to", "/transactions?to"}

// given are the values of parameters of which the document does not say enough.
var given = map[string][]string{
	"q":                               {"needle", "qqq", "absent", "T77"},
	"after_deadline":                  {ago(10)},
	"currency":                        {"USD", "CHF", "JPY"},
	"/events?kind":                    {"alert", "order_reject", "business_reject"},
	"/notifications?before":           {ago(10)},
	"/incidents/{id}/timeline?before": {ago(10) + "~entry-1"},
	"/tasks?limit":                    {"500"},
}

func ago(days int) string {
	return time.Now().AddDate(0, 0, -days).UTC().Format(time.RFC3339)
}

// parameter of a route, as the OpenAPI document has it.
type parameter struct {
	Name, In string
	Schema   struct {
		Type, Format, Pattern string
		Enum                  []string
	}
}

// values of a parameter: what is common, what is rare, and what is not there.
func (p parameter) values(t *testing.T, path string) []string {
	t.Helper()
	for _, key := range []string{path + "?" + p.Name, p.Name} {
		if v := given[key]; v != nil {
			return v
		}
	}
	switch s := p.Schema; {
	case s.Enum != nil:
		return s.Enum
	case s.Type == "boolean":
		return []string{"true"}
	case p.Name == "limit":
		return []string{"50"}
	case s.Type == "integer" || strings.Contains(s.Pattern, "[0-9]"):
		return []string{one}
	case s.Format == "date-time":
		return []string{ago(10)}
	case s.Format == "date":
		return []string{ago(10)[:len(time.DateOnly)]}
	case s.Type == "string":
		return []string{p.Name + "-1", "rare", "absent", "k" + one}
	}
	t.Errorf("%s: parameter %s has no values here; add them to given", path, p.Name)
	return nil
}

// queries are a route's query strings: none, each filter with each order.
func queries(t *testing.T, path string, parameters []parameter) []string {
	t.Helper()
	out, orders := []string{""}, []string{""}
	for _, p := range parameters {
		if p.In != "query" {
			continue
		}
		for _, v := range p.values(t, path) {
			q := url.Values{p.Name: {v}}.Encode()
			out = append(out, q)
			if p.Name == "sort" || p.Name == "order" {
				orders = append(orders, "&"+q)
			}
		}
	}
	for _, q := range out[1:] {
		for _, order := range orders[1:] {
			if name, _, _ := strings.Cut(order, "="); !strings.HasPrefix(q, name[1:]+"=") {
				out = append(out, q+order)
			}
		}
	}
	return out
}

// lists are the addresses of each route that only reads.
func lists(t *testing.T, e *edge) map[string][]string {
	t.Helper()
	var document struct {
		Paths map[string]map[string]struct{ Parameters []parameter }
	}
	_, text := e.read(t, "", "/openapi.json")
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	places := strings.NewReplacer("{id}", one, "{index}", one, "{run}", "k"+one, "{sub}", "ann", "{name}", "trade_breaks")
	out := map[string][]string{}
	for path, methods := range document.Paths {
		op, reads := methods["get"]
		// An export is asked for, and a stream is read from memory.
		if !reads || elsewhere[path] != "" || strings.HasSuffix(path, "/export") || strings.HasPrefix(path, "/sse/") || strings.HasPrefix(path, "/ws/") {
			continue
		}
		address := places.Replace(path)
		if strings.ContainsAny(address, "{*") {
			t.Errorf("%s: nothing stands here for the variable part of the path", path)
			continue
		}
		for _, q := range queries(t, path, op.Parameters) {
			out[path] = append(out[path], strings.TrimSuffix(address+"?"+q, "?"))
		}
	}
	return out
}

// Whatever somebody lists, by whatever filter and in whatever order, no table that
// grows is read from one end to the other. Routes and filters are those of the API's
// document, statements those that it really makes, and rows those that Postgres
// really read.
func TestNoListReadsATableWhole(t *testing.T) {
	db := pgtest.New(t)
	grown := pgtest.Fill(t, db, filled)
	planner := pgtest.Explain(t, db)
	e := edgeOver(t, db, "dev")
	calls, statements := 0, 0
	all := lists(t, e)
	for _, who := range []approval.Principal{
		{Roles: []string{"compliance", "admin"}}, {Roles: []string{"trader"}, Desk: "desk-2"}, {Roles: []string{"trader"}, Desk: "rare"},
	} {
		who.Person, who.Kind = approval.Person{Issuer: identity.DevIssuer, Subject: "ann"}, approval.Human
		token, err := identity.Mint(t.Context(), e.key, who, time.Now(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range slices.Sorted(maps.Keys(all)) {
			for _, address := range all[path] {
				status, text := e.read(t, token, address)
				if hidden := who.Desk != "" && (status == http.StatusForbidden || status == http.StatusNotFound); status != http.StatusOK && !hidden && !slices.Contains(unreal, path) {
					t.Errorf("%s answers %d %s", address, status, text)
				}
				plans := planner.Plans(t)
				calls, statements = calls+1, statements+len(plans)
				if filter, _, _ := strings.Cut(address, "="); !slices.Contains(walks, filter) {
					pgtest.NoneReadsWhole(t, address, grown, mostRead, plans)
				}
			}
		}
	}
	if t.Logf("%d calls made %d statements", calls, statements); calls < 500 || statements < calls {
		t.Error("that is not all of the API")
	}
}

// read is a call that only reads.
func (e *edge) read(t *testing.T, token, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := e.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

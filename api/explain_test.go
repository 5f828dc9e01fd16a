package api_test

import (
	"encoding/json"
	"fmt"
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
	filled = 10_000 // rows of each table that grows
	// mostRead is how many of them a step of a plan may look at: some pages of a
	// list, or the few of many that are still open.
	mostRead = 1000
)

// elsewhere are the routes that the test does not call, and why.
var elsewhere = map[string]string{
	"/systems": "asks Temporal", "/systems/{name}": "", "/readyz": "asks Temporal", "/policies": "x",
	"/approval/{id}/progress":              "asks Temporal",
	"/exports/{id}/progress":               "asks Temporal",
	"/exports/batch_verify/{id}":           "asks Temporal",
	"/exports/{id}/content":                "reads files",
	"/exports/{id}/bundle":                 "reads files",
	"/reconciliation/runs/{run_id}/breaks": "reads files",
}

// places are what stands for the variable parts of paths.
var places = map[string]string{
	"{id}": "5001", "{index}": "5001", "{run_id}": "k5001", "{sub}": "ann", "{name}": "trade_breaks", "{break_id}": "5000",
}

func TestExplore(t *testing.T) {
	at := time.Now()
	db := pgtest.New(t)
	grown := pgtest.Fill(t, db, filled)
	t.Log("filled", time.Since(at))
	_ = grown
	planner := pgtest.Explain(t, db)
	e := edgeOver(t, db, "dev")
	document := e.get(t, "", "/openapi.json")
	var api struct {
		Paths map[string]map[string]struct {
			Parameters []parameter `json:"parameters"`
		}
	}
	if err := json.Unmarshal([]byte(document.text), &api); err != nil {
		t.Fatal(err)
	}
	tokens := map[string]string{}
	for name, p := range map[string]approval.Principal{
		"all":  {Person: approval.Person{Issuer: identity.DevIssuer, Subject: "ann"}, Kind: approval.Human, Roles: []string{"compliance", "admin"}},
		"desk": {Person: approval.Person{Issuer: identity.DevIssuer, Subject: "eve"}, Kind: approval.Human, Roles: []string{"trader"}, Desk: "desk-1"},
		"rare": {Person: approval.Person{Issuer: identity.DevIssuer, Subject: "eve"}, Kind: approval.Human, Roles: []string{"trader"}, Desk: "rare"},
	} {
		token, err := identity.Mint(t.Context(), e.key, p, time.Now(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		tokens[name] = token
	}
	n := 0
	bad := map[string]bool{}
	for _, path := range slices.Sorted(maps.Keys(api.Paths)) {
		op, ok := api.Paths[path]["get"]
		if !ok || elsewhere[path] != "" || strings.HasSuffix(path, "/export") {
			continue
		}
		base := path
		for from, to := range places {
			base = strings.ReplaceAll(base, from, to)
		}
		if strings.ContainsAny(base, "{*") {
			t.Log("SKIP", path)
			continue
		}
		var queries []string
		queries = append(queries, "")
		for _, p := range op.Parameters {
			if p.In != "query" {
				continue
			}
			vs, ok := p.values()
			if !ok {
				t.Log("NOVALUE", path, p.Name, p.Schema)
			}
			for _, v := range vs {
				queries = append(queries, url.Values{p.Name: {v}}.Encode())
			}
		}
		for who, token := range tokens {
			for _, q := range queries {
				address := base
				if q != "" {
					address += "?" + q
				}
				planner.Plans(t)
				got := e.get(t, token, address)
				n++
				if got.status == 403 {
					break
				}
				if got.status >= 300 {
					t.Log("STATUS", who, address, got.status, got.text)
				}
				for _, plan := range planner.Plans(t) {
					var why []string
					plan.Root.Each(func(x pgtest.Node) {
						if x.Type == "Seq Scan" && slices.ContainsFunc(grown, func(g string) bool { return strings.HasSuffix(g, "."+x.Relation) }) || x.Read() > mostRead {
							why = append(why, fmt.Sprint(x.Type, x.Relation, x.Index, x.Read()))
						}
					})
					if why != nil && !bad[address+plan.Query] {
						bad[address+plan.Query] = true
						t.Log("BAD", who, address, why, "\n"+plan.String())
					}
				}
			}
		}
	}
	t.Log(n, time.Since(at))
}

type parameter struct {
	Name, In string
	Schema   struct {
		Type    string
		Format  string
		Enum    []string
		Pattern string
	}
}

func (p parameter) values() ([]string, bool) {
	if p.Schema.Enum != nil {
		return p.Schema.Enum, true
	}
	switch {
	case p.Schema.Type == "boolean":
		return []string{"true", "false"}, true
	case p.Schema.Type == "integer" && p.Name != "limit":
		return []string{"5001", "77"}, true
	case p.Schema.Type == "integer":
		return []string{"50"}, true
	case p.Schema.Format == "date-time":
		return []string{time.Now().Add(-40 * 24 * time.Hour).UTC().Format(time.RFC3339), time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)}, true
	case p.Schema.Format == "date":
		return []string{time.Now().Add(-40 * 24 * time.Hour).UTC().Format(time.DateOnly), time.Now().UTC().Format(time.DateOnly)}, true
	case p.Schema.Pattern != "":
		return []string{"5001"}, true
	case p.Name == "q":
		return []string{"needle", "qqq", "absent", "T77"}, true
	case p.Name == "currency":
		return []string{"USD", "CHF", "JPY"}, true
	case p.Schema.Type == "string":
		return []string{p.Name + "-1", "rare", "absent", "5001", "k5001"}, true
	}
	return nil, false
}

type answer struct {
	status int
	text   string
}

func (e *edge) get(t *testing.T, token, path string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, string(text)}
}

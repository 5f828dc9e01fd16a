package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"finobs/api"
)

const repository = "../../"

var (
	briefRow     = regexp.MustCompile(`(?m)^\| (.+) \| (.+) \| (.+) \|$`)
	briefRoute   = regexp.MustCompile("`(GET|POST|PUT|PATCH|DELETE) (/[^`]*)`")
	briefCommand = regexp.MustCompile("`finobs ([a-z ]+)`")
	briefSetting = regexp.MustCompile("`((?:FINOBS|OTEL)_[A-Z_]+)`")
)

// Each row of docs/brief.md names routes, commands, settings and tests that there are.
func TestTheBriefIsKept(t *testing.T) {
	text, err := os.ReadFile(repository + "docs/brief.md")
	if err != nil {
		t.Fatal(err)
	}
	settings, err := os.ReadFile(repository + "docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	routes, rows := mountedRoutes(t), 0
	for _, row := range briefRow.FindAllStringSubmatch(string(text), -1) {
		if row[1] == "The brief" || strings.HasPrefix(row[1], "--") {
			continue
		}
		rows++
		t.Run(row[1], func(t *testing.T) {
			shownBy(t, row[3])
			for _, m := range briefRoute.FindAllStringSubmatch(row[2], -1) {
				if !slices.Contains(routes, m[1]+" "+m[2]) {
					t.Errorf("there is no route %s %s", m[1], m[2])
				}
			}
			for _, m := range briefCommand.FindAllStringSubmatch(row[2], -1) {
				words := strings.Fields(m[1])
				if cmd, left, err := rootCommand().Find(words); err != nil || len(left) > 0 || cmd.Name() != words[len(words)-1] {
					t.Errorf("there is no command finobs %s", m[1])
				}
			}
			for _, m := range briefSetting.FindAllStringSubmatch(row[2], -1) {
				if !strings.Contains(string(settings), "`"+m[1]+"`") {
					t.Errorf("docs/configuration.md has no setting %s", m[1])
				}
			}
		})
	}
	if rows < 60 {
		t.Errorf("docs/brief.md has only %d rows", rows)
	}
}

// shownBy checks that the tests which a row names are there.
func shownBy(t *testing.T, cell string) {
	t.Helper()
	for name := range strings.SplitSeq(cell, ", ") {
		file, function, exact := strings.Cut(name, ":")
		if !exact || !strings.HasSuffix(file, "_test.go") {
			t.Errorf("%q is no test; write FILE_test.go:TestNAME", name)
			continue
		}
		source, err := os.ReadFile(repository + file)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !regexp.MustCompile(`(?m)^func ` + regexp.QuoteMeta(function) + `\(t \*testing\.T\)`).Match(source) {
			t.Errorf("%s has no %s", file, function)
		}
	}
}

// mountedRoutes are the routes of the API's document, and its pages.
func mountedRoutes(t *testing.T) []string {
	t.Helper()
	s, err := api.New(api.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	s.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/openapi.json", nil))
	var document struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &document); err != nil {
		t.Fatal(err)
	}
	routes := []string{"GET /openapi.json"} // it answered
	for path, operations := range document.Paths {
		for method := range operations {
			routes = append(routes, strings.ToUpper(method)+" "+path)
		}
	}
	return routes
}

package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// reportOf has one comparison whose ratio is the given one, over three rounds.
func reportOf(t *testing.T, b better, ratio float64) report {
	t.Helper()
	run := &bench{rounds: 3, report: newReport()}
	err := run.measure(t.Context(), comparison{
		name: "suite/figure", unit: "x", better: b, goal: 1, floor: "one",
		ours:  func(context.Context) (float64, error) { return ratio, nil },
		plain: func(context.Context) (float64, error) { return 1, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return run.report
}

func TestWorseRatiosAreSeen(t *testing.T) {
	for _, c := range []struct {
		better        better
		before, after float64
		worse         int
	}{
		{higher, 0.8, 0.6, 1},
		{higher, 0.8, 0.75, 0},
		{higher, 0.8, 1.6, 0},
		{lower, 1.2, 1.5, 1},
		{lower, 1.2, 1.3, 0},
		{lower, 1.2, 0.2, 0},
	} {
		path := filepath.Join(t.TempDir(), "report.json")
		before := reportOf(t, c.better, c.before)
		if err := before.save(path); err != nil {
			t.Fatal(err)
		}
		changes, err := reportOf(t, c.better, c.after).against(path)
		if err != nil || len(changes) != 1 {
			t.Fatalf("%+v: %v, %v", c, changes, err)
		}
		var told strings.Builder
		if n := printChanges(&told, changes); n != c.worse {
			t.Errorf("%s is better, %v after %v: %d are worse\n%s", c.better, c.after, c.before, n, &told)
		}
	}
}

func TestGoalsAreJudged(t *testing.T) {
	for _, c := range []struct {
		better better
		ratio  float64
		met    bool
	}{{higher, 1.1, true}, {higher, 0.9, false}, {lower, 0.9, true}, {lower, 1.1, false}} {
		got := reportOf(t, c.better, c.ratio).Results[0]
		if got.Met == nil || *got.Met != c.met || got.Rounds != 3 || len(got.Ratios) != 3 {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}

// Results of suites that did not run stay in the report.
func TestReportsAreMerged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.json")
	first := reportOf(t, higher, 1)
	other := reportOf(t, higher, 2)
	other.Results[0].Name = "other/figure"
	for _, r := range []report{first, other} {
		if err := r.save(path); err != nil {
			t.Fatal(err)
		}
	}
	changes, err := first.against(path)
	if err != nil || len(changes) != 1 || changes[0].before != 1 {
		t.Errorf("%v, %v", changes, err)
	}
	if changes, err = other.against(path); err != nil || len(changes) != 1 || changes[0].before != 2 {
		t.Errorf("%v, %v", changes, err)
	}
}

func TestFiguresAreWrittenIntoTheirPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "performance.md")
	r := reportOf(t, higher, 2)
	if err := os.WriteFile(path, []byte("a\nb\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := r.document(path, tableBegins); err == nil {
		t.Error("a document without a place for the table is taken")
	}
	if err := os.WriteFile(path, []byte("a\n"+tableBegins+"old\n"+tableEnds+"b\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it can be done again
		if err := r.document(path, tableBegins); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(text); !strings.HasPrefix(s, "a\n") || !strings.HasSuffix(s, "b\n") || strings.Contains(s, "old") || strings.Count(s, "| figure | 2 | 1 | x | 2 |") != 1 {
		t.Errorf("%s", s)
	}
}

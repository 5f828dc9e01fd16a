package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"finobs/internal/fault"
	"finobs/internal/rulebook"
)

func runEval(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := rootCommand()
	cmd.SetArgs(append([]string{"eval", "triage"}, args...))
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	err := cmd.Execute()
	return out.String(), err
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tickets.csv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEvalTriagePrintsATableAndJSON(t *testing.T) {
	path := file(t, "Document,Topic_group\nplease reset my password,Access\nnew laptop keyboard broken,Hardware\nprinter out of paper,Access\n")
	out, err := runEval(t, path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"by rulebook/tickets@", "tickets 3, right 2", "accuracy             0.667", "majority class       0.667 (Access)", "Brier score", "Miscellaneous"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	out, err = runEval(t, path, "--json", "--half", "odd")
	var e rulebook.Evaluation
	if err != nil || json.Unmarshal([]byte(out), &e) != nil || e.Cases != 1 || e.Right != 1 || len(e.Bins) != 10 {
		t.Errorf("got %v, %s", err, out)
	}
	desk := file(t, "summary,category\nsequence gap on the fix session,session_reject\n")
	if out, err = runEval(t, desk, "--text", "summary", "--label", "category"); err != nil || !strings.Contains(out, "right 1") || !strings.Contains(out, "by rulebook/triage@") {
		t.Errorf("got %v, %s", err, out)
	}
}

func TestEvalTriageSaysWhatIsWrong(t *testing.T) {
	good := file(t, "Document,Topic_group\nx,Access\n")
	for want, args := range map[string][]string{
		"none of the known layouts":    {file(t, "a,b\n1,2\n")},
		"there is no rulebook":         {good, "--rulebook", "nonsense"},
		"must be even or odd":          {good, "--half", "third"},
		"no such file":                 {filepath.Join(t.TempDir(), "none.csv")},
		"reading rulebook: line 1":     {good, "--rulebook", file(t, "version: 2\nname: x\n")},
		"has no matrix for a scale of": {file(t, "Impact,Urgency,Priority\n1,1,1\n"), "--rulebook", "triage"},
	} {
		_, err := runEval(t, args...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if fault.KindOf(err) == fault.Invalid && strings.Contains(message(err), "internal") {
			t.Errorf("%v is shown as %q", err, message(err))
		}
	}
}

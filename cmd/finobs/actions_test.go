package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"finobs/internal/action"
)

// run runs the program's command in this process.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(&out)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestActionsAreListed(t *testing.T) {
	table, err := run(t, "actions")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(table), "\n")
	if len(lines) != len(action.Catalogue())+1 || !strings.HasPrefix(lines[0], "ACTION") {
		t.Errorf("got %d lines:\n%s", len(lines), table)
	}
	for i, kind := range action.Catalogue() {
		if fields := strings.Fields(lines[i+1]); fields[0] != kind.Name || fields[1] != kind.TargetKind {
			t.Errorf("line %d is %q", i+1, lines[i+1])
		}
	}
	text, err := run(t, "actions", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Actions []actionJSON }
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Actions) != len(action.Catalogue()) || list.Actions[0].MaxAmountUSD != "50000000" || list.Actions[1].Parameters[0].Name != "ssi" {
		t.Errorf("got %s", text)
	}
}

func TestActionsAreLinted(t *testing.T) {
	if out, err := run(t, "actions", "lint"); err != nil || !strings.Contains(out, "14 actions") {
		t.Errorf("%s, %v", out, err)
	}
	broken := func() []action.Type {
		all := action.Catalogue()
		all[3].Judge = nil
		return all
	}
	var out bytes.Buffer
	cmd := actionsLintCommand(broken)
	cmd.SetOut(&out)
	cmd.SetArgs(nil)
	if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(out.String(), "trade.rebook: it has no verification") {
		t.Errorf("%s, %v", out.String(), err)
	}
}

// The page of the documentation is the catalogue. FINOBS_WRITE_DOCS=1 writes it.
func TestTheDocsAreTheCatalogue(t *testing.T) {
	const path, begin, end = "../../docs/actions.md", "<!-- written by cmd/finobs/actions_test.go -->\n", "<!-- end -->"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no place for the catalogue", path)
	}
	want := before + begin + page(action.Catalogue()) + end + after
	if want == string(text) {
		return
	}
	if os.Getenv("FINOBS_WRITE_DOCS") == "" {
		t.Fatalf("%s is not the catalogue; write it: FINOBS_WRITE_DOCS=1 go test -run %s ./cmd/finobs", path, t.Name())
	}
	if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// page writes the catalogue in Markdown.
func page(catalogue []action.Type) string {
	var b strings.Builder
	b.WriteString("\n| action | target | risk | undo | in an hour | at most USD | at most quantity |\n|---|---|---|---|---|---|---|\n")
	for _, t := range catalogue {
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s | %s | %s | %d | %s | %s |\n", t.Name, strings.NewReplacer(".", "").Replace(t.Name), t.TargetKind, t.Risk,
			t.Reversibility, t.Caps.PerHour, dashFor(t.Caps.MaxAmountUSD.String()), dashFor(t.Caps.MaxQuantity.String()))
	}
	for _, t := range catalogue {
		fmt.Fprintf(&b, "\n### `%s`\n\n%s. %s\n", t.Name, t.Title, t.Doc)
		if len(t.Parameters) > 0 {
			b.WriteString("\n| parameter | kind | |\n|---|---|---|\n")
		}
		for _, p := range t.Parameters {
			doc := p.Doc
			if len(p.Enum) > 0 {
				doc += ": `" + strings.Join(p.Enum, "`, `") + "`"
			}
			if !p.Required {
				doc += " (may be left out)"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", p.Name, p.Kind, doc)
		}
		if len(t.Restores) > 0 {
			fmt.Fprintf(&b, "\nIts compensation brings back `%s`.\n", strings.Join(t.Restores, "`, `"))
		}
	}
	b.WriteString("\n")
	return b.String()
}

package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"finobs/internal/export"

	"pgregory.net/rapid"
)

// saved are bundles and keys that package seal keeps for its own tests.
const saved = "../../internal/seal/testdata/saved/"

// verifyExports runs the command and returns what it printed and its exit code.
func verifyExports(t *testing.T, args ...string) (string, int) {
	t.Helper()
	var out bytes.Buffer
	cmd := exportCommand()
	cmd.SetOut(&out)
	cmd.SetErr(io.Discard)
	cmd.SilenceErrors = true
	cmd.SetArgs(append(args, "--manifest-key", saved+"manifest.pub", "--keys", saved+"trust"))
	if err := cmd.Execute(); err != nil {
		return out.String() + err.Error(), exitCode(err)
	}
	return out.String(), 0
}

// changed is a copy of a saved bundle after change.
func changed(t *testing.T, change func(dir string) error) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "bundle")
	if err := os.CopyFS(dir, os.DirFS(saved+"1")); err != nil {
		t.Fatal(err)
	}
	if err := change(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func artefactOf(t *testing.T, dir string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "audit-*"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	return found[0]
}

func TestExportCommand(t *testing.T) {
	decision := "--decision-key=" + saved + "decision.pub"
	put := func(name, content string) string {
		return changed(t, func(dir string) error { return os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600) })
	}
	dropped := changed(t, func(dir string) error { return os.Remove(filepath.Join(dir, "README.txt")) })
	cut := changed(t, func(dir string) error { return os.Truncate(artefactOf(t, dir), 20) })
	for name, c := range map[string]struct {
		args []string
		code int
		says []string
	}{
		"one":                 {[]string{saved + "1", decision}, 0, []string{"ok  manifest", "ok  artefact: 3 rows", "ok  approval: 101: alice", "ok  log: the manifest is entry 9"}},
		"a chain":             {[]string{saved + "1", saved + "2", decision}, 0, []string{"ok  chain: 1 links hold"}},
		"no decision key":     {[]string{saved + "1"}, 0, []string{"ok  artefact", "--  approval: who decided was not verified"}},
		"another decision":    {[]string{saved + "1", "--decision-key", saved + "manifest.pub"}, 2, []string{"tampered, not_approved"}},
		"a stranger":          {[]string{saved + "1", "--manifest-key", saved + "decision.pub"}, 0, []string{"ok  manifest"}},
		"cut":                 {[]string{cut, decision}, 7, []string{"ok  manifest", "BAD tampered, truncated", "bundle: tampered, truncated"}},
		"an extra file":       {[]string{put("x", ""), decision}, 7, []string{"extra_file"}},
		"a file dropped":      {[]string{dropped, decision}, 8, []string{"missing, readme_missing"}},
		"digests changed":     {[]string{put("SHA256SUMS", "x"), decision}, 2, []string{"signature_invalid, sums_signature"}},
		"good and bad":        {[]string{saved + "2", cut, saved + "1"}, 7, []string{"truncated", "ok  chain: 1 links hold"}},
		"no such bundle":      {[]string{saved + "3"}, 1, []string{"no such file"}},
		"not an archive":      {[]string{saved + "trust"}, 1, []string{"reading bundle"}},
		"no such key":         {[]string{saved + "1", "--decision-key", saved + "x.pub"}, 1, []string{"reading key"}},
		"no bundle":           {nil, 1, []string{"requires at least 1 arg"}},
		"an empty folder":     {[]string{t.TempDir()}, 8, []string{"manifest_missing"}},
		"the record of old":   {[]string{"--record", "x"}, 1, []string{"unknown flag"}},
		"machines, good":      {[]string{saved + "1", saved + "2", decision, "--json"}, 0, []string{`"verdict":"verified"`, `"links":1`}},
		"machines, truncated": {[]string{cut, "--json"}, 7, []string{`"verdict":"tampered"`, `"code":"truncated"`}},
	} {
		out, code := verifyExports(t, c.args...)
		if code != c.code || slices.ContainsFunc(c.says, func(want string) bool { return !strings.Contains(out, want) }) {
			t.Errorf("%s: exit code %d, want %d, and\n%s", name, code, c.code, out)
		}
	}
	var out bytes.Buffer
	e := exportCheck{manifestKeys: []string{saved + "decision.pub"}, log: source{keys: saved + "trust"}, asJSON: true}
	if err := e.run(&out, []string{saved + "1"}); exitCode(err) != 9 {
		t.Errorf("a stranger's manifest: %v", err)
	}
	var said struct {
		Bundles []bundleResult
		Chain   chainResult
	}
	if err := json.Unmarshal(out.Bytes(), &said); err != nil || said.Bundles[0].Verdict != export.KeyUnknown || said.Bundles[0].Code != "manifest_key" {
		t.Errorf("%s, %v", out.String(), err)
	}
}

func TestUnguardGivesTheTextBack(t *testing.T) {
	spec := export.Spec{Dataset: export.Users, Format: export.CSV, Compression: export.Plain}
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOfN(rapid.StringMatching(`[=+@',"\n 	a-]{0,6}`), 1, 5).Draw(t, "texts")
		var guarded, out bytes.Buffer
		w, err := export.NewWriter(&guarded, spec)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			row := make([]export.Cell, len(spec.Dataset.Columns)) // the others are absent
			row[0], row[3] = export.Cell(text), export.Cell(text)
			if err := w.Row(row); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := unguard(&out, bytes.NewReader(guarded.Bytes())); err != nil {
			t.Fatal(err)
		}
		removed := 0
		for _, text := range texts {
			removed += 2 * (len(export.Guard(text)) - len(text))
		}
		if guarded.Len()-out.Len() != removed {
			t.Fatalf("%d bytes less, %d apostrophes were added", guarded.Len()-out.Len(), removed)
		}
		records, err := csv.NewReader(&out).ReadAll()
		if err != nil || len(records) != len(texts)+1 {
			t.Fatal(records, err)
		}
		for i, text := range texts {
			if records[i+1][0] != text || records[i+1][3] != text || records[i+1][1] != "" {
				t.Fatalf("%q came back as %q", text, records[i+1])
			}
		}
	})
}

func TestUnguardCommand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.csv")
	if err := os.WriteFile(path, []byte("a,b\n'=1,-2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ arg, in, want string }{{path, "", "a,b\n=1,-2\n"}, {"-", "a\n''x\n\"'\"\"\",\"\"\"'\"", "a\n'x\n\"\"\"\",\"\"\"'\""}} {
		var out bytes.Buffer
		cmd := unguardCommand()
		cmd.SetArgs([]string{c.arg})
		cmd.SetOut(&out)
		cmd.SetIn(strings.NewReader(c.in))
		if err := cmd.Execute(); err != nil || out.String() != c.want {
			t.Errorf("%s: %q, %v", c.arg, out.String(), err)
		}
	}
	if err := unguard(io.Discard, brokenReader{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, os.ErrClosed }

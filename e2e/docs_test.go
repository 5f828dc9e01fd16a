package e2e_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"finobs/internal/approval"
	"finobs/internal/notify"
	"finobs/internal/siem"
)

var script = regexp.MustCompile("(?s)<!-- run by e2e/docs_test.go -->\n```sh\n(.*?)```")

// The commands of the README do what it says, in a folder like a fresh clone's.
func TestCommandsOfTheReadme(t *testing.T) {
	runCommandsOf(t, "../README.md", "688 rows read", `"status":"pending"`, `"verdict":"approve"`, "ok  artefact")
}

func TestCommandsOfTheExports(t *testing.T) {
	runCommandsOf(t, "../docs/exports.md", `"status":"pending"`)
}

func TestCommandsOfTheTransactions(t *testing.T) {
	runCommandsOf(t, "../docs/transactions.md", "4     2    1      2", `error: line 4 trade_date: "2026-02-30" is not a calendar date`,
		`"price":"37.3"`, `"version":2`, `"next_before":0`)
}

func TestCommandsOfTheReconciliation(t *testing.T) {
	runCommandsOf(t, "../docs/reconciliation.md", "OMS: 501 rows", "497 by key", "and 22 more", `"type":"fee"`, `"event":"opened"`, `"type":"recon.done"`, "by-trade-id")
}

func TestCommandsOfTheStreams(t *testing.T) {
	runCommandsOf(t, "../docs/streams.md", `"status":"pending"`, `data: {"cursor":"`, `"stream":"approvals","type":"approval.requested"`)
}

// runCommandsOf runs the first script of a page and looks for its output.
func runCommandsOf(t *testing.T, page string, wanted ...string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	found := script.FindSubmatch(text)
	if found == nil {
		t.Fatalf("%s has no commands to run", page)
	}
	dir := t.TempDir()
	samples, err := filepath.Abs("../samples")
	if err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"bin": bin, "samples": samples, ".finobs": world.Dir} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", string(found[1]))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "API=http://"+world.APIAddress)
	for name, role := range roles {
		cmd.Env = append(cmd.Env, name+"="+world.token(t, name, strings.Fields(role)...))
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, part := range wanted {
		if !strings.Contains(string(out), part) {
			t.Errorf("the output lacks %q:\n%s", part, out)
		}
	}
}

func TestFilesThatTheDocsNameAreThere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)\)`)
	files, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, "../README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), m[1])); err != nil {
				t.Errorf("%s names %s: %v", file, m[1], err)
			}
		}
	}
}

func TestSettingsAreDocumented(t *testing.T) {
	var source []byte
	for _, file := range []string{"../internal/config/config.go", "../internal/llm/config.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source = append(source, text...)
	}
	docs, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`env:"([A-Z_]+)`).FindAllStringSubmatch(string(source), -1)
	if len(names) < 40 {
		t.Fatalf("only %d settings found", len(names))
	}
	for _, name := range names {
		if !strings.Contains(string(docs), "`"+name[1]+"`") {
			t.Errorf("docs/configuration.md lacks %s", name[1])
		}
	}
}

func TestTheExamplesOfTheDocsLoad(t *testing.T) {
	text, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	secrets := t.TempDir()
	for _, name := range []string{"smtp.password", "ops.secret", "splunk.token"} {
		if err := os.WriteFile(filepath.Join(secrets, name), []byte("sixteen-characters-and-more"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	load := map[string]func(io.Reader) error{
		"policies": func(r io.Reader) error { _, err := approval.LoadPolicies(r); return err },
		"people":   func(r io.Reader) error { _, err := approval.LoadRoster(r); return err },
		"channels": func(r io.Reader) error { _, err := notify.Load(r, secrets); return err },
		"sinks":    func(r io.Reader) error { _, err := siem.Load(r, secrets); return err },
	}
	for _, example := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(text, -1) {
		for name, read := range load {
			if regexp.MustCompile(`(?m)^` + name + `:`).Match(example[1]) {
				if err := read(bytes.NewReader(example[1])); err != nil {
					t.Errorf("the example of %s: %v", name, err)
				}
				delete(load, name)
			}
		}
	}
	for name := range load {
		t.Errorf("the docs have no example of %s", name)
	}
}

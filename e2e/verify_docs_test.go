package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

func TestCommandsOfVerify(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/verify.md")
	if err != nil {
		t.Fatal(err)
	}
	l := newLogStack(t)
	exported := l.exportOf(t, "/audit/export?format=csv")
	dir := t.TempDir()
	for _, name := range []string{"manifest.pub", "decision.pub"} {
		if err := os.Symlink(l.Path("keys", name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllSubmatch(text, -1)
	if len(blocks) < 5 {
		t.Fatalf("only %d blocks of commands found", len(blocks))
	}
	for i, block := range blocks {
		if i == 1 { // what was kept is older than what is verified
			l.history(t, 50)
			l.signed(t)
		}
		cmd := exec.Command("bash", "-euo", "pipefail", "-c", string(block[1]))
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "API=http://"+l.APIAddress, "AUDITOR="+l.token(t, "eve", "auditor"), "EXPORT="+exported.id(),
			"PATH="+bin+":"+os.Getenv("PATH"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s\n%s", err, block[1], out)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "copy", "checkpoint")); err != nil {
		t.Error(err)
	}
}

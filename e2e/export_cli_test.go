package e2e_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The command asks, waits while people decide, follows the export and leaves a
// bundle that verifies; when it is refused, it says so.
func TestExportCommand(t *testing.T) {
	run := func(verdict string) (said string, dir string, err error) {
		dir = t.TempDir()
		desk := fmt.Sprintf("T%d", unique.Add(1))
		cmd := exec.Command(filepath.Join(bin, "finobs"), "export", "incidents", "--format", "ndjson", "--compression", "zstd", "--filter", "desk="+desk,
			"--reason", "quarter end", "--dir", dir, "--url", "http://"+world.APIAddress, "--token", world.token(t, "alice", "analyst"))
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var e exportCase
		eventually(t, "the command has asked", func() bool {
			var id string
			scan(t, world, &id, `SELECT coalesce(max(approval_id)::text, '') FROM finobs.approval_request WHERE convert_from(action, 'UTF8') LIKE '%' || $1 || '%'`, `"desk":"`+desk+`"`)
			e = exportCase{s: world, id: id}
			return id != ""
		})
		want(t, e.decide(t, "bob", verdict), http.StatusOK)
		err = cmd.Wait()
		return out.String(), dir, err
	}
	said, dir, err := run("approve")
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	name := regexp.MustCompile(`export-[0-9]+\.tar`).FindString(said)
	if code, audited := world.auditBundle(t, filepath.Join(dir, name)); code != 0 || !strings.Contains(said, "archive: delivered, verified") {
		t.Errorf("exit code %d\n%s\n%s", code, audited, said)
	}
	if said, _, err := run("reject"); err == nil || !strings.Contains(said, "nothing is exported") {
		t.Errorf("%v\n%s", err, said)
	}
}

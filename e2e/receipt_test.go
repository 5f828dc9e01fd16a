package e2e_test

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// auditReceipt runs finaudit receipt over a text and returns its exit code and
// output.
func auditReceipt(t *testing.T, text []byte, key string) (code int, out string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "receipt.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return runFinaudit(t, "receipt", "--receipt", path, "--key", key)
}

func TestFinauditJudgesReceipts(t *testing.T) {
	s := engineStack(t)
	key := s.Path("keys", "decision.pub")
	pending, delegated, rejected, edited := s.asks(t, "alice", "test.plain"), s.asks(t, "alice", "test.quorum"), s.asks(t, "alice", "test.plain"), s.asks(t, "alice", "test.plain")
	want(t, delegated.does(t, "cora", "delegate", to("bob")), http.StatusOK)
	for _, who := range []string{"bob", "cyril", "ada"} {
		want(t, delegated.decide(t, who, "approve"), http.StatusOK)
	}
	want(t, rejected.decide(t, "bob", "reject"), http.StatusOK)
	next := edited.edits(t, "ann")
	want(t, next.decide(t, "bob", "approve"), http.StatusOK)
	user := s.added(t, `"viewer"`)
	var change string
	scan(t, s, &change, "SELECT max(approval_id)::text FROM finobs.approval_request WHERE kind = 'user.add' AND target_ids[1] LIKE '%' || $1", user)
	for wanted, e := range map[string]exportCase{
		"is pending": pending, "bob in the place of cora said approve": delegated, "bob said reject": rejected,
		"is superseded": edited, "ann": next, "is consumed": {s: s, id: change},
	} {
		text := want(t, s.call(t, "eve", "GET", "/approval/"+e.id+"/receipt", ""), http.StatusOK).Body
		if code, out := auditReceipt(t, text, key); code != 0 || !strings.Contains(out, wanted) {
			t.Errorf("the receipt of approval %s: exit code %d, want 0 and %q:\n%s", e.id, code, wanted, out)
		}
		if code, out := auditReceipt(t, text, s.Path("keys", "identity.pub")); code != 2 {
			t.Errorf("the receipt of approval %s under another key: exit code %d:\n%s", e.id, code, out)
		}
	}
	good := want(t, s.call(t, "eve", "GET", "/approval/"+delegated.id+"/receipt", ""), http.StatusOK).Body
	for name, change := range map[string][2]string{
		"another decider": {`"sub":"cyril"`, `"sub":"cleo"`}, "another verdict": {`"verdict":"approve"`, `"verdict":"reject"`},
		"another status": {`"status":"approved"`, `"status":"rejected"`}, "another request": {`"id":` + delegated.id + `,`, `"id":1,`},
		"another summary": {"action: test.quorum", "action: test.plain"}, "another reason": {`"reason":"seen"`, `"reason":"unseen"`},
	} {
		bad := bytes.ReplaceAll(good, []byte(change[0]), []byte(change[1]))
		if code, out := auditReceipt(t, bad, key); code != 2 || bytes.Equal(bad, good) {
			t.Errorf("%s: exit code %d, want 2:\n%s", name, code, out)
		}
	}
	for name, text := range map[string]string{"no JSON": "{", "another document": `{"hello":1}`, "two documents": string(good) + "{}"} {
		if code, out := auditReceipt(t, []byte(text), key); code != 1 {
			t.Errorf("%s: exit code %d, want 1:\n%s", name, code, out)
		}
	}
	if code, out := auditReceipt(t, good, s.Path("keys", "no-such.pub")); code != 1 {
		t.Errorf("without a key: exit code %d, want 1:\n%s", code, out)
	}
	refusedAs(t, s.call(t, "eve", "GET", "/approval/987654321/receipt", ""), 404, "no-such-approval", "987654321")
}

// audit has finaudit verify the export from files alone.
func (e exportCase) audit(t *testing.T, exportID string) {
	t.Helper()
	if code, said := e.s.auditBundle(t, e.s.bundle(t, exportID)); code != 0 {
		t.Errorf("finaudit: exit code %d\n%s", code, said)
	}
}

// bundle downloads the bundle of an export and returns the path of the archive.
func (s *stack) bundle(t *testing.T, exportID string) string {
	t.Helper()
	got := want(t, s.call(t, "eve", "GET", "/exports/"+exportID+"/bundle", ""), http.StatusOK)
	path := filepath.Join(t.TempDir(), "export-"+exportID+".tar")
	if err := os.WriteFile(path, got.Body, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// auditBundle has finaudit verify bundles from files alone.
func (s *stack) auditBundle(t *testing.T, bundles ...string) (code int, said string) {
	t.Helper()
	args := append([]string{"export", "--manifest-key", s.Path("keys", "manifest.pub"), "--decision-key", s.Path("keys", "decision.pub"),
		"--keys", s.Path("keys", "log.trust")}, bundles...)
	cmd := exec.Command(filepath.Join(bin, "finaudit"), args...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"finobs/internal/devstack"
)

// logStack is a stack of its own with a sequencer, some history, and what an
// auditor kept: the trust file and an older checkpoint.
type logStack struct {
	*stack
	trust string
	older string
}

func newLogStack(t *testing.T, before ...func(*stack)) *logStack {
	t.Helper()
	l := &logStack{stack: ownStack(t, before...)}
	kept := t.TempDir()
	l.trust, l.older = filepath.Join(kept, "trust"), filepath.Join(kept, "older")
	for i := range 4 {
		l.history(t, i)
	}
	l.signed(t)
	keep(t, l.older, l.get(t, "/log/checkpoint"))
	keep(t, l.trust, append(trimmed(l.get(t, "/log/keys")), []byte(" 0 -\n")...))
	for i := range 4 {
		l.history(t, 10+i)
	}
	l.signed(t)
	return l
}

func keep(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func trimmed(b []byte) []byte { return []byte(strings.TrimSpace(string(b))) }

func (l *logStack) sequenceAgain(t *testing.T) {
	t.Helper()
	if err := l.startSequencer(); err != nil {
		t.Fatal(err)
	}
}

func (l *logStack) get(t *testing.T, path string) []byte {
	t.Helper()
	return want(t, l.call(t, "eve", "GET", path, ""), http.StatusOK).Body
}

// history makes a request that bob decides on.
func (l *logStack) history(t *testing.T, i int) {
	t.Helper()
	var r reply
	eventually(t, "the request is taken", func() bool {
		r = l.call(t, "alice", "POST", "/approval/", fmt.Sprintf(`{"kind":"desk.test","parameters":{"n":"%d"},"reason":"r"}`, i))
		return r.Status == http.StatusAccepted
	})
	path := "/approval/" + r.str("approval_request_id") + "/decision"
	eventually(t, "it is recorded and approved", func() bool {
		r = l.call(t, "bob", "POST", path, `{"decision":"approve","reason":"seen"}`)
		return r.Status != http.StatusNotFound
	})
	if r.Status != http.StatusAccepted { // otherwise Temporal has it, and it will be recorded
		want(t, r, http.StatusOK)
	}
}

// signed waits until every entry is in the signed tree.
func (l *logStack) signed(t *testing.T) {
	t.Helper()
	eventually(t, "every entry is sequenced and signed", func() bool {
		return count(t, l.stack, `SELECT (SELECT count(*) FROM ledger.entry) - (SELECT coalesce(max(size), 0) FROM ledger.checkpoint)`) == 0
	})
}

// runFinaudit runs the verifier and returns its exit code and what it said.
func runFinaudit(t *testing.T, args ...string) (int, string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, "finaudit"), args...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// verify has finaudit verify the live log against the older checkpoint.
func (l *logStack) verify(t *testing.T) (int, string) {
	t.Helper()
	return runFinaudit(t, "verify", "http://"+l.APIAddress, "--keys", l.trust, "--older", l.older, "--token", l.token(t, "eve", "auditor"))
}

// attack is what a superuser does to the database, and what finaudit must say.
type attack struct {
	name  string
	sql   []string
	code  int
	names string // what the message must name
}

// attacks are over a log of at least 16 entries, the fifth of which is attacked.
func attacks() []attack {
	const at = "entry_id = (SELECT entry_id FROM ledger.leaf WHERE leaf_index = 5)"
	list := []attack{
		{"a byte of a leaf", []string{
			"ALTER TABLE ledger.entry DROP CONSTRAINT IF EXISTS leaf_digest_is_sha256",
			"UPDATE ledger.entry SET leaf = set_byte(leaf, 20, get_byte(leaf, 20) # 1) WHERE " + at}, 3, "entry 5"},
		{"a leaf with its digest", []string{
			"ALTER TABLE ledger.entry DROP CONSTRAINT IF EXISTS leaf_digest_is_sha256",
			`UPDATE ledger.entry SET leaf = convert_to(replace(convert_from(leaf, 'UTF8'), '"v":"1"', '"v":"2"'), 'UTF8') WHERE ` + at,
			"UPDATE ledger.entry SET leaf_sha256 = sha256(leaf) WHERE " + at}, 3, "entry 5"},
		{"column entry_id", []string{"UPDATE ledger.entry SET entry_id = gen_random_uuid() WHERE " + at}, 6, "index 5"},
		{"a row in the middle is deleted", []string{"DELETE FROM ledger.entry WHERE " + at}, 6, "index 5"},
		{"a row is deleted with its place", []string{
			"DELETE FROM ledger.entry WHERE " + at, "DELETE FROM ledger.leaf WHERE leaf_index = 5"}, 6, "index 5"},
		{"the last five are deleted", []string{
			"DELETE FROM ledger.entry WHERE entry_id IN (SELECT entry_id FROM ledger.leaf ORDER BY leaf_index DESC LIMIT 5)"}, 6, "index"},
		{"all rows of a subject are deleted", []string{
			"DELETE FROM ledger.entry WHERE subject_kind = 'approval' AND subject_id = '2'"}, 6, "index"},
		{"two are swapped", []string{
			"UPDATE ledger.leaf SET entry_id = gen_random_uuid() WHERE leaf_index = 5",
			"UPDATE ledger.leaf SET entry_id = (SELECT entry_id FROM backup_leaf WHERE leaf_index = 5) WHERE leaf_index = 6",
			"UPDATE ledger.leaf SET entry_id = (SELECT entry_id FROM backup_leaf WHERE leaf_index = 6) WHERE leaf_index = 5"}, 3, "entry 5"},
		{"one is inserted", []string{
			"ALTER TABLE ledger.leaf DROP CONSTRAINT leaf_index_is_not_negative",
			"UPDATE ledger.leaf SET leaf_index = -leaf_index - 1000 WHERE leaf_index >= 5", "UPDATE ledger.leaf SET leaf_index = -leaf_index - 999 WHERE leaf_index < 0",
			"INSERT INTO ledger.entry SELECT (jsonb_populate_record(e, jsonb_build_object('entry_id', gen_random_uuid(), 'idem_key', '\\x00'))).* FROM ledger.entry e WHERE " + strings.Replace(at, "= 5", "= 6", 1),
			"INSERT INTO ledger.leaf SELECT 5, entry_id, now() FROM ledger.entry WHERE idem_key = '\\x00'"}, 3, "entry 6"},
		{"a tile is changed", []string{"UPDATE ledger.tile SET hashes = set_byte(hashes, 170, get_byte(hashes, 170) # 1) WHERE level = 0"}, 0, ""},
		{"the checkpoint is changed", []string{"UPDATE ledger.checkpoint SET note = replace(note, E'\\n' || size || E'\\n', E'\\n' || (size + 1) || E'\\n') WHERE size = (SELECT max(size) FROM ledger.checkpoint)"}, 2, "signed"},
	}
	for column, value := range map[string]string{
		"recorded_at": "recorded_at + interval '1 microsecond'", "is_simulation": "NOT is_simulation",
		"actor_type": "'agent'", "ai_explanation": "'because'", "override_type": "'ai_override'",
		"idem_key": "set_byte(idem_key, 3, 7)", "content_sha256": "set_byte(content_sha256, 0, get_byte(content_sha256, 0) # 1)",
		"leaf_sha256": "set_byte(leaf_sha256, 31, get_byte(leaf_sha256, 31) # 1)", "agent_version": "'v2'",
		"agent_input_sha256": "sha256('seen')", "agent_output_sha256": "sha256('said')",
	} {
		list = append(list, attack{"column " + column, []string{
			"ALTER TABLE ledger.entry DROP CONSTRAINT IF EXISTS leaf_digest_is_sha256",
			"UPDATE ledger.entry SET " + column + " = " + value + " WHERE " + at}, 5, "entry 5"})
	}
	for _, column := range []string{"type", "actor_iss", "actor_sub", "subject_kind", "subject_id", "action", "outcome", "reason", "desk", "request_id", "trace_id", "workflow_id"} {
		list = append(list, attack{"column " + column, []string{"UPDATE ledger.entry SET " + column + " = " + column + " || 'x' WHERE " + at}, 5, "entry 5"})
	}
	return list
}

func TestWhatASuperuserDoesToTheLedgerIsFoundAndNamed(t *testing.T) {
	t.Parallel()
	l := newLogStack(t)
	if err := l.sequencer.Kill(); err != nil {
		t.Fatal(err)
	}
	tables := []string{"entry", "leaf", "tile", "tree", "checkpoint"}
	admin := func(statements ...string) {
		t.Helper()
		for _, statement := range statements {
			if err := exec1(l.stack, statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
	}
	for _, table := range tables {
		admin("CREATE TABLE public.backup_"+table+" AS TABLE ledger."+table, "ALTER TABLE ledger."+table+" DISABLE TRIGGER ALL")
	}
	if code, said := l.verify(t); code != 0 {
		t.Fatalf("the log as it is: exit code %d: %s", code, said)
	}
	for _, a := range attacks() {
		t.Run(a.name, func(t *testing.T) {
			admin(a.sql...)
			code, said := l.verify(t)
			if code != a.code || !strings.Contains(said, a.names) {
				t.Errorf("exit code %d, want %d and a message that names %q: %s", code, a.code, a.names, said)
			}
			for _, table := range tables {
				admin("DELETE FROM ledger."+table, "INSERT INTO ledger."+table+" OVERRIDING SYSTEM VALUE TABLE public.backup_"+table)
			}
		})
	}
	if code, said := l.verify(t); code != 0 {
		t.Errorf("the log put right again: exit code %d: %s", code, said)
	}
}

func TestARewrittenOrRestoredLedgerIsNotSigned(t *testing.T) {
	t.Parallel()
	l := newLogStack(t)
	if err := l.sequencer.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"entry", "leaf", "checkpoint"} {
		if err := exec1(l.stack, "ALTER TABLE ledger."+table+" DISABLE TRIGGER ALL"); err != nil {
			t.Fatal(err)
		}
	}
	// Everything is rewritten with hashes that fit: one reason differs, and the
	// whole log is sequenced anew.
	for _, statement := range []string{
		"ALTER TABLE ledger.entry DROP CONSTRAINT IF EXISTS leaf_digest_is_sha256",
		"UPDATE ledger.entry SET leaf = convert_to(replace(convert_from(leaf, 'UTF8'), '\"reason\":\"seen\"', '\"reason\":\"said\"'), 'UTF8'), reason = replace(reason, 'seen', 'said')",
		// a forger's Postgres writes canonical JSON as well as ours
		`UPDATE ledger.entry SET leaf_sha256 = sha256(leaf), content_sha256 = sha256(convert_to(regexp_replace(regexp_replace(
			convert_from(leaf, 'UTF8'), '"id":"' || entry_id || '",', ''), '"time":"[^"]*",', ''), 'UTF8'))`,
		"DELETE FROM ledger.leaf", "DELETE FROM ledger.tile", "DELETE FROM ledger.checkpoint",
		"UPDATE ledger.tree SET size = 0, root = sha256(''), last_xid = '0', last_entry = '00000000-0000-0000-0000-000000000000'",
	} {
		if err := exec1(l.stack, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	l.sequenceAgain(t)
	eventually(t, "readiness is red", func() bool {
		r := l.call(t, "", "GET", "/readyz", "")
		return r.Status == http.StatusServiceUnavailable && strings.Contains(string(r.Body), "refuses to sign")
	})
	if n := count(t, l.stack, "SELECT count(*) FROM ledger.checkpoint"); n != 0 {
		t.Errorf("%d checkpoints were signed over the rewritten ledger", n)
	}
	// The operator throws away what the host remembers, and signs all the same:
	// whoever kept a checkpoint sees it.
	if err := l.sequencer.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(l.Path("log-state.json")); err != nil {
		t.Fatal(err)
	}
	l.sequenceAgain(t)
	l.signed(t)
	if code, said := l.verify(t); code != 4 {
		t.Errorf("a rewritten log: exit code %d, want 4: %s", code, said)
	}
}

func TestProofsOfOneEntryAndOfGrowth(t *testing.T) {
	t.Parallel()
	l := newLogStack(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	keep(t, at("leaf"), l.get(t, "/audit/7/leaf"))
	keep(t, at("proof"), l.get(t, "/audit/7/proof"))
	keep(t, at("other"), l.get(t, "/audit/8/leaf"))
	for name, code := range map[string]int{"leaf": 0, "other": 3} {
		if got, said := runFinaudit(t, "proof", "--leaf", at(name), "--proof", at("proof"), "--keys", l.trust); got != code {
			t.Errorf("proof of %s: exit code %d, want %d: %s", name, got, code, said)
		}
	}
	older, err := os.ReadFile(l.older)
	if err != nil {
		t.Fatal(err)
	}
	size := strings.Split(string(older), "\n")[1]
	keep(t, at("growth"), l.get(t, "/log/consistency?from="+size))
	if got, said := runFinaudit(t, "consistency", "--older", l.older, "--proof", at("growth"), "--keys", l.trust); got != 0 {
		t.Errorf("growth: exit code %d: %s", got, said)
	}
	if got, said := runFinaudit(t, "consistency", "--older", at("proof"), "--proof", at("growth"), "--keys", l.trust); got != 2 {
		t.Errorf("an older checkpoint that is none: exit code %d, want 2: %s", got, said)
	}
	for range 2 {
		l.history(t, 100)
		if got, said := runFinaudit(t, "monitor", "http://"+l.APIAddress, "--keys", l.trust, "--state", at("seen"), "--token", l.token(t, "eve", "auditor")); got != 0 {
			t.Errorf("monitor: exit code %d: %s", got, said)
		}
	}
	for path, status := range map[string]int{
		"/audit/999999/leaf": 404, "/audit/999999/proof": 404, "/log/tile/0/x999/000": 404, "/log/tile/0/000.p/250": 404, "/log/tile/../../x": 404,
		"/log/tile/entries/000.p/2": 200, "/log/tile/0/000.p/3": 200, "/log/consistency?from=99999999": 404, "/log/consistency": 422,
	} {
		if got := l.call(t, "eve", "GET", path, ""); got.Status != status {
			t.Errorf("%s: answered %d, want %d: %s", path, got.Status, status, got.Body)
		}
	}
	if got := l.call(t, "victor", "GET", "/log/tile/entries/000.p/2", ""); got.Status != http.StatusForbidden {
		t.Errorf("a viewer reads entries: answered %d", got.Status)
	}
	if n := count(t, l.stack, "SELECT count(*) FROM ledger.entry WHERE type = 'audit.read' AND actor_sub = 'eve'"); n == 0 {
		t.Error("reading the log left no entry")
	}
}

// A second opinion: other people's program reads our log and agrees.
func TestTheFsckOfTesseraAgrees(t *testing.T) {
	t.Parallel()
	program, err := devstack.EnsureFsck(t.Context(), "../.finobs/bin", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	l := newLogStack(t)
	for i := range 130 { // more than one full tile of entries
		l.history(t, 1000+i)
	}
	l.signed(t)
	key := filepath.Join(t.TempDir(), "key")
	keep(t, key, l.get(t, "/log/keys"))
	check := func() (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // it may hang on what it does not like
		defer cancel()
		out, err := exec.CommandContext(ctx, program, "--N", "4", "--storage_url", "http://"+l.APIAddress+"/log/", "--public_key", key, "--ui=false",
			"--bearer_token", l.token(t, "eve", "auditor")).CombinedOutput()
		return string(out), err
	}
	if out, err := check(); err != nil || strings.Contains(out, "fsck failed") {
		t.Errorf("%v\n%s", err, out)
	}
	if err := l.sequencer.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := exec1(l.stack, "UPDATE ledger.tile SET hashes = set_byte(hashes, 170, get_byte(hashes, 170) # 1) WHERE level = 0 AND n = 0"); err != nil {
		t.Fatal(err)
	}
	if out, err := check(); err == nil && !strings.Contains(out, "fsck failed") {
		t.Errorf("fsck finds nothing wrong with a changed tile: %s", out)
	}
}

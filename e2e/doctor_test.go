package e2e_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"finobs/workflows"

	"go.temporal.io/sdk/client"
)

// healthy fails the test unless the doctor finds nothing.
func (s *stack) healthy(t testing.TB, args ...string) {
	t.Helper()
	if out, code := s.finobs(t, append([]string{"doctor"}, args...)...); code != 0 || strings.Count(out, ": ok") != 6 {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

// askPlain has alice ask for an approval that nothing is carried out on.
func (s *stack) askPlain(t *testing.T) exportCase {
	t.Helper()
	body := fmt.Sprintf(`{"kind":"desk.override","parameters":{"doctor":"%d"}}`, unique.Add(1))
	e := exportCase{s: s, id: want(t, s.call(t, "alice", "POST", "/approval/", body), http.StatusAccepted).str("approval_request_id")}
	e.untilStatus(t, "pending")
	return e
}

func TestDoctorFindsNothingOnASoundStack(t *testing.T) {
	plain, approved := world.askPlain(t), world.ask(t)
	for _, payload := range []any{"approve", nil, []byte{0, 1, 2, 255}, strings.Repeat("A", 100_000)} {
		if err := world.temporal.SignalWorkflow(context.Background(), approved.workflowID(t), "", workflows.SignalDecision, payload); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the forged signals are on record", func() bool { return approved.entries(t, "approval.signal_refused") == 4 })
	want(t, approved.decide(t, "bob", "approve"), http.StatusOK)
	want(t, plain.decide(t, "bob", "approve"), http.StatusOK)
	approved.sealedOnce(t)
	want(t, world.ask(t).decide(t, "bob", "reject"), http.StatusOK)
	world.healthy(t)
	out, code := world.finobs(t, "doctor", "--json", "--histories", "0")
	var report struct {
		Holds  bool
		Checks []struct {
			ID     string
			Looked int `json:"looked_at"`
			Note   string
		}
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != 0 || !report.Holds || len(report.Checks) != 6 {
		t.Fatalf("exit code %d, %v:\n%s", code, err, out)
	}
	for _, c := range report.Checks {
		if (c.Looked == 0) != (c.ID == "I3") || (c.Note != "") != (c.ID == "I3") {
			t.Errorf("check %s looked at %d, note %q", c.ID, c.Looked, c.Note)
		}
	}
}

func TestSettingsOfAStackAreKeptFromOthers(t *testing.T) {
	info, err := os.Stat(world.Path("settings.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info, err)
	}
}

func TestDoctorSaysWhenItCannotLook(t *testing.T) {
	if out, code := finobs(t, "doctor", "--state", t.TempDir()); code != 1 || !strings.Contains(out, "holds no stack") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

// plant is a violation that a superuser makes and takes back. What it says is with
// the ids of the patient in the place of {…}.
type plant struct {
	name     string
	do, undo []string
	want     []string
}

// patient is a stack of its own whose worker is dead, so that nobody repairs what
// is planted.
type patient struct {
	*stack
	export, plain, rejected, pending exportCase
	names                            *strings.Replacer
}

func newPatient(t *testing.T) patient {
	t.Helper()
	s := ownStack(t)
	eventually(t, "the stack is ready", func() bool { return s.call(t, "", "GET", "/readyz", "").Status == http.StatusOK })
	// A new request of the same kind over the same targets takes the place of one
	// that is pending.
	p := patient{stack: s, export: s.ask(t), plain: s.askPlain(t), pending: s.askPlain(t)}
	want(t, p.export.decide(t, "bob", "approve"), http.StatusOK)
	p.rejected = s.ask(t)
	want(t, p.plain.decide(t, "bob", "approve"), http.StatusOK)
	want(t, p.rejected.decide(t, "bob", "reject"), http.StatusOK)
	p.export.sealedOnce(t)
	user := exportCase{s: s, id: want(t, s.call(t, "dave", "POST", "/users", `{"sub":"zoe","roles":["viewer"]}`), http.StatusAccepted).str("approval_request_id")}
	user.untilStatus(t, "pending")
	want(t, user.decide(t, "carol", "approve"), http.StatusOK)
	user.untilStatus(t, "consumed")
	if err := s.worker.Kill(); err != nil {
		t.Fatal(err)
	}
	var exportID, decisionID string
	scan(t, s, &exportID, "SELECT export_id FROM finobs.export WHERE approval_id = $1::bigint", p.export.id)
	scan(t, s, &decisionID, "SELECT decision_id FROM finobs.approval_decision WHERE approval_id = $1::bigint", p.export.id)
	p.names = strings.NewReplacer("{export}", p.export.id, "{plain}", p.plain.id, "{rejected}", p.rejected.id, "{pending}", p.pending.id,
		"{user}", user.id, "{export row}", exportID, "{decision}", decisionID)
	return p
}

// as runs statements as the superuser, past the triggers.
func (p patient) as(t *testing.T, statements []string) {
	t.Helper()
	db, err := sql.Open("postgres", p.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tables := []string{"finobs.approval_request", "finobs.approval_decision", "finobs.export", "ledger.entry"}
	var all []string
	for _, table := range tables {
		all = append(all, "ALTER TABLE "+table+" DISABLE TRIGGER ALL")
	}
	all = append(all, statements...)
	for _, table := range tables {
		all = append(all, "ALTER TABLE "+table+" ENABLE TRIGGER ALL")
	}
	for _, statement := range all {
		if _, err := db.Exec(p.names.Replace(statement)); err != nil {
			t.Fatalf("%s: %v", p.names.Replace(statement), err)
		}
	}
}

// set changes columns of one row and puts them back.
func set(name, table, row, columns, change string, want ...string) plant {
	return plant{
		name: name, want: want,
		do: []string{
			"CREATE TABLE kept AS SELECT " + columns + " FROM " + table + " WHERE " + row,
			"UPDATE " + table + " SET " + change + " WHERE " + row,
		},
		undo: []string{
			"UPDATE " + table + " SET (" + columns + ") = (SELECT " + columns + " FROM kept) WHERE " + row, "DROP TABLE kept",
		},
	}
}

// remove deletes rows and puts them back.
func remove(name, table, rows string, want ...string) plant {
	return plant{
		name: name, want: want,
		do: []string{"CREATE TABLE kept AS SELECT * FROM " + table + " WHERE " + rows, "DELETE FROM " + table + " WHERE " + rows},
		undo: []string{
			"INSERT INTO " + table + " OVERRIDING SYSTEM VALUE SELECT * FROM kept", "DROP TABLE kept",
		},
	}
}

func requestPlants() []plant {
	const table = "finobs.approval_request"
	return []plant{
		set("a pending request past its deadline", table, "approval_id = {pending}", "created_at, expires_at",
			"created_at = now() - interval '1 hour', expires_at = now() - interval '2 minutes'", "I4", "approval {pending}, ", "its deadline was"),
		set("an approval past its last use", table, "approval_id = {plain}", "use_by", "use_by = now() - interval '2 minutes'",
			"I4", "approval {plain}, ", "its last moment of use was"),
		set("another action digest", table, "approval_id = {export}", "action_digest", "action_digest = 'sha256:"+strings.Repeat("0", 64)+"'",
			"I1", "approval {export}, ", "the recorded action has digest"),
		set("another reason", table, "approval_id = {pending}", "reason", "reason = 'urgent'",
			"I1", "approval {pending}, ", "the command was given for another request"),
		set("a plain approval that is consumed", table, "approval_id = {plain}", "status, consumed_at, consumed_by",
			"status = 'consumed', consumed_at = now(), consumed_by = 'w/r'", "I2", "approval {plain}, ", "carry nothing out"),
		set("an export whose approval is not consumed", table, "approval_id = {export}", "status, consumed_at, consumed_by",
			"status = 'approved', consumed_at = NULL, consumed_by = NULL", "I2", "approval {export}, export {export row}, ", "is approved, not consumed"),
		set("an approval that another workflow consumed", table, "approval_id = {export}", "consumed_by", "consumed_by = 'rogue/1'",
			"I2", "approval {export}, export {export row}, ", "consumed by rogue/1"),
		set("approved without a decision", table, "approval_id = {rejected}", "status, use_by",
			"status = 'approved', use_by = now() + interval '1 hour'", "I1", "I6", "approval {rejected}, ", "amount to rejected"),
		set("cancelled without an entry", table, "approval_id = {rejected}", "status", "status = 'cancelled'",
			"I6", "approval {rejected}, ", "no entry approval.cancelled", "approval.decided: the approval is cancelled"),
		set("a pending request without a workflow", table, "approval_id = {pending}", "workflow_id, created_at",
			"workflow_id = 'nowhere', created_at = now() - interval '5 minutes'", "I5", "approval {pending}, workflow nowhere: it is pending, and no workflow waits for it"),
		remove("a request that is gone", table, "approval_id = {rejected}", "I6", "approval {rejected}, entry ", "there is no approval {rejected}"),
	}
}

func otherPlants() []plant {
	entry := func(typ, subject string) string { return "type = '" + typ + "' AND subject_id = '" + subject + "'" }
	return []plant{
		set("a decision with another verdict", "finobs.approval_decision", "approval_id = {plain}", "verdict", "verdict = 'reject'",
			"I1", "I5", "approval {plain}, decision ", "recorded differently from what was signed"),
		set("a decision with another token", "finobs.approval_decision", "approval_id = {rejected}", "token", "token = 'x'",
			"I5", "I6", "approval {rejected}, decision ", "not signed by the API"),
		remove("a decision that is gone", "finobs.approval_decision", "decision_id = '{decision}'",
			"I1", "I3", "I6", "approval {export}, decision {decision}", "decision {decision} is not on record"),
		set("an export of something else", "finobs.export", "export_id = {export row}", "filters", "filters = '{}'",
			"I1", "approval {export}, export {export row}, ", "is not the export that was approved"),
		remove("an export that is gone", "finobs.export", "export_id = {export row}",
			"I2", "I6", "approval {export}, ", "consumed, but on no export", "there is no export {export row}"),
		remove("no entry of the request", "ledger.entry", entry("approval.requested", "{export}"), "I6", "approval {export}, ", "0 entries approval.requested"),
		remove("no entry of the decision", "ledger.entry", entry("approval.decided", "{export}"),
			"I6", "approval {export}, decision {decision}", "0 entries approval.decided"),
		remove("no entry of the intent", "ledger.entry", entry("effect.intended", "{export row}"), "I6", "export {export row}, ", "no entry effect.intended"),
		remove("no entry of the effect", "ledger.entry", entry("effect.done", "{export row}"), "I6", "export {export row}, ", "no entry effect.done"),
		set("an entry that was changed", "ledger.entry", entry("approval.decided", "{plain}"), "outcome", "outcome = 'refused'",
			"I6", "entry ", "its columns do not say what its leaf says"),
		set("roles that nobody gave", "finobs.person", "sub = 'zoe'", "roles", "roles = '{admin}'", "I6", "user finobs-dev|zoe", "are not those of the entry"),
		remove("no entry of a roster change", "ledger.entry", "type = 'user.added'", "I6", "user finobs-dev|zoe", "approval {user}, ", "0 entries"),
		{
			name: "policies that nobody approved",
			do: []string{`INSERT INTO finobs.policy_set (content, content_sha256, approval_id, activated_iss, activated_sub, activated_at)
				VALUES ('x', sha256('x'), {plain}, 'i', 's', now())`},
			undo: []string{"DELETE FROM finobs.policy_set WHERE content = 'x'"},
			want: []string{"I6", "approval {plain}, policy set ", "0 entries policy.activated"},
		},
	}
}

func TestDoctorNamesEveryPlantedViolation(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.healthy(t)
	for _, planted := range append(requestPlants(), otherPlants()...) {
		p.as(t, planted.do)
		out, code := p.finobs(t, "doctor")
		p.as(t, planted.undo)
		if code != 2 {
			t.Errorf("%s: exit code %d:\n%s", planted.name, code, out)
		}
		p.expect(t, planted.name, out, planted.want)
	}
	p.healthy(t)
	p.betweenRecordAndTemporal(t)
}

// expect looks for texts in a report; a check's name means that it has findings.
func (p patient) expect(t *testing.T, name, out string, texts []string) {
	t.Helper()
	for _, text := range texts {
		text = p.names.Replace(text)
		if len(text) == 2 {
			for line := range strings.Lines(out) {
				if strings.HasPrefix(line, text) && strings.Contains(line, ": ok") {
					t.Errorf("%s: check %s finds nothing:\n%s", name, text, out)
				}
			}
		} else if !strings.Contains(out, text) {
			t.Errorf("%s: the report lacks %q:\n%s", name, text, out)
		}
	}
}

// betweenRecordAndTemporal has a decision that no worker records, and a workflow
// that no request is recorded for.
func (p patient) betweenRecordAndTemporal(t *testing.T) {
	t.Helper()
	answer := want(t, p.pending.decide(t, "bob", "approve"), http.StatusAccepted)
	run, err := p.temporal.ExecuteWorkflow(context.Background(), client.StartWorkflowOptions{
		ID: "forged", TaskQueue: workflows.TaskQueue, Memo: map[string]any{workflows.MemoApprovalID: 900_000_001},
	}, workflows.Export, workflows.GateInput{ApprovalID: 900_000_001, Action: "{}", Policy: "{}", Command: "x"})
	if err != nil {
		t.Fatal(err)
	}
	var out string
	eventually(t, "both are older than the doctor's patience", func() bool {
		time.Sleep(time.Second)
		out, _ = p.finobs(t, "doctor", "--settle", "1s")
		return strings.Contains(out, "I3") && strings.Contains(out, "forged")
	})
	p.expect(t, "between record and Temporal", out, []string{
		"I3", "I5", "approval {pending}, decision " + answer.str("decision_id"), "accepted a decision signal",
		"approval 900000001, workflow forged: a workflow of type Export has run since",
	})
	if err := p.startWorker(""); err != nil {
		t.Fatal(err)
	}
	p.pending.untilStatus(t, "approved")
	if err := run.Get(context.Background(), nil); err == nil {
		t.Error("the forged workflow ended well")
	}
	p.healthy(t, "--settle", "1s")
}

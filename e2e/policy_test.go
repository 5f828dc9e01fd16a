package e2e_test

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// finobs runs a command of the program on the stack's folder and returns what it
// prints and its exit code.
func (s *stack) finobs(t testing.TB, args ...string) (string, int) {
	t.Helper()
	return finobs(t, append(args, "--state", s.Dir)...)
}

// finobs runs a command of the program.
func finobs(t testing.TB, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, "finobs"), args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// says fails the test unless a command ends with the code and prints the texts.
func says(t *testing.T, code int, args []string, texts ...string) string {
	t.Helper()
	out, got := finobs(t, args...)
	if got != code {
		t.Errorf("finobs %s: exit code %d, not %d:\n%s", strings.Join(args, " "), got, code, out)
	}
	for _, text := range texts {
		if !strings.Contains(out, text) {
			t.Errorf("finobs %s does not say %q:\n%s", strings.Join(args, " "), text, out)
		}
	}
	return out
}

// says runs a command on the stack's folder.
func (s *stack) says(t *testing.T, code int, args []string, texts ...string) string {
	t.Helper()
	return says(t, code, append(args, "--state", s.Dir), texts...)
}

func TestPolicyLint(t *testing.T) {
	few := writeFile(t, "few.yaml", `version: 1
people:
  - {iss: i, sub: alice, roles: [analyst], desk: EQ}
  - {iss: i, sub: bob, roles: [analyst], desk: FX}
`)
	world.says(t, 1, []string{"policy", "lint", "../policies/strict.yaml", "--roster", few},
		"error", "strict.governance", "alice, bob", "findings of severity error with the 2 people on the roster")
	enough := writeFile(t, "enough.yaml", `version: 1
people:
  - {iss: i, sub: alice, roles: [analyst]}
  - {iss: i, sub: carol, roles: [compliance]}
  - {iss: i, sub: cecil, roles: [compliance]}
  - {iss: i, sub: dave, roles: [admin]}
  - {iss: i, sub: ann, roles: [admin]}
`)
	world.says(t, 0, []string{"policy", "lint", "../policies/desk.yaml", "--roster", enough},
		"every policy can be satisfied by the 5 people on the roster")
	world.says(t, 1, []string{"policy", "lint", "../policies/desk.yaml", "--url", "http://" + world.APIAddress}, "the roster has no active people")
	bad := writeFile(t, "bad.yaml", "version: 1\npolicies:\n  - {id: x.y, match: 'true', all_of: [{n: 1, who: 'true'}], veto: 0, expires: 1h}\n")
	world.says(t, 1, []string{"policy", "lint", bad, "--roster", few}, bad, `policy 1 ("x.y")`, "veto is 0")
}

func TestPolicyTest(t *testing.T) {
	for _, name := range []string{"desk", "strict"} {
		out := says(t, 0, []string{"policy", "test", "../policies/" + name + ".yaml", "../policies/" + name + ".cases.yaml"}, " cases, 0 failed")
		if strings.Contains(out, "FAILED") {
			t.Errorf("%s: %s", name, out)
		}
	}
	says(t, 1, []string{"policy", "test", "../policies/strict.yaml", "../policies/desk.cases.yaml"},
		"FAILED  an analyst approves an export: expected policy desk.default, got strict.export", "the policies do otherwise than the cases say")
}

func TestPolicyExplain(t *testing.T) {
	e := world.ask(t)
	world.says(t, 0, []string{"policy", "explain", e.id},
		"approval "+e.id+" is pending", "action: export.incidents", "who decided\n  nobody", "missing: 1 more of admin, compliance or analyst",
		"whoever has the roles may decide", "deadline ", "stage 1 is open", "no reminder and no escalation has fired")
	want(t, e.decide(t, "bob", "reject"), http.StatusOK)
	world.says(t, 0, []string{"policy", "explain", e.id}, "is rejected", `reject: "bob" at `, "counted", "decided or closed at")
	world.says(t, 5, []string{"policy", "explain", "987654321"}, "there is no approval 987654321")
	world.says(t, 2, []string{"policy", "explain", "x"}, `"x" is no approval id`)
}

func TestPolicyActivateAndShow(t *testing.T) {
	world.says(t, 0, []string{"policy", "show"}, "policy set ", "desk.governance", "desk.default", "needs 1 of admin, compliance or analyst")
	world.says(t, 0, []string{"policy", "activate", "../policies/desk.yaml"}, "these policies are in force")
	world.says(t, 4, []string{"policy", "activate", "../policies/strict.yaml"}, "add force to ask all the same")
	out := world.says(t, 0, []string{"policy", "activate", "../policies/strict.yaml", "--force", "--reason", "month-end"},
		"Change requires approval: approval ", " is pending", "finobs approvals approve ", "finobs policy explain ")
	_, rest, _ := strings.Cut(out, "approval: approval ")
	id, _, _ := strings.Cut(rest, " ")
	asked := exportCase{s: world, id: id}
	asked.untilStatus(t, "pending")
	want(t, asked.decide(t, "carol", "reject"), http.StatusOK)
}

package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// as runs finobs as one of the people, and fails the test unless it ends with the
// code and prints the texts.
func as(t *testing.T, who string, code int, args []string, texts ...string) string {
	t.Helper()
	t.Setenv("FINOBS_TOKEN", world.token(t, who, strings.Fields(roles[who])...))
	return says(t, code, append(args, "--url", "http://"+world.APIAddress), texts...)
}

func TestApprovalsOnTheCommandLine(t *testing.T) {
	e := world.ask(t)
	digest := world.call(t, "bob", "GET", "/approval/"+e.id, "").str("action_digest")
	as(t, "victor", 0, []string{"approvals", "ls", "--requester", "alice", "-n", "500"}, "ID ", "MISSING", e.id+" ", "export.incidents", "due in ", "1 more of")
	as(t, "victor", 0, []string{"approvals", "show", e.id}, "approval "+e.id+" is pending", `"kind":"export.incidents"`, "digest "+digest, "you may: -")
	as(t, "bob", 0, []string{"approvals", "comment", e.id, "looking\x1b[2J"}, "approval "+e.id+": pending")
	as(t, "alice", 0, []string{"approvals", "assign", e.id, "bob", "--reason", "he knows"}, "approval "+e.id)
	as(t, "bob", 0, []string{"approval", "show", e.id}, "bob said at ", "looking\uFFFD[2J", `assigned to "bob"`, "you may: approve, reject")
	as(t, "bob", 2, []string{"approvals", "approve", e.id}, "is no terminal")
	as(t, "bob", 4, []string{"approvals", "approve", e.id, "--yes", "--digest", "sha256:" + strings.Repeat("0", 64)}, "look at it again")
	as(t, "alice", 4, []string{"approvals", "approve", e.id, "--yes"}, "refused")
	as(t, "victor", 4, []string{"approvals", "approve", e.id, "--yes"}, "permission approval.judge is needed")
	if got := e.status(t); got != "pending" {
		t.Fatalf("it is %s", got)
	}
	as(t, "bob", 0, []string{"approvals", "approve", e.id, "--yes", "--digest", digest, "--reason", "month-end"}, "approval "+e.id+": ", "the request is ")
	as(t, "bob", 0, []string{"approvals", "history", e.id}, "approval.decided", "human", "bob")
	as(t, "bob", 4, []string{"approvals", "reject", e.id, "--yes"}, "decided approve")
	as(t, "bob", 5, []string{"approvals", "show", "987654321"}, "there is no approval 987654321")
	receipt := filepath.Join(t.TempDir(), "receipt.json")
	as(t, "eve", 0, []string{"approvals", "receipt", e.id, "-o", receipt})
	if code, out := runFinaudit(t, "receipt", "--receipt", receipt, "--key", world.Path("keys", "decision.pub")); code != 0 {
		t.Errorf("finaudit: exit code %d\n%s", code, out)
	}
}

func TestTheLifeOfARequestOnTheCommandLine(t *testing.T) {
	e := world.ask(t)
	as(t, "bob", 0, []string{"approvals", "delegate", e.id, "ann", "--for", "1h", "--reason", "away"}, "approval "+e.id+": pending")
	as(t, "bob", 2, []string{"approvals", "escalate", e.id}, "say why")
	as(t, "alice", 0, []string{"approvals", "cancel", e.id, "--reason", "a mistake"}, "approval "+e.id+": cancelled")
	as(t, "bob", 0, []string{"approvals", "ls", "--status", "cancelled", "--requester", "alice"}, "closed ", " ago")
	as(t, "bob", 4, []string{"approvals", "escalate", e.id, "--reason", "late"}, "cancelled")
	// Two at once, of which one is over by then.
	other := world.ask(t)
	as(t, "bob", 4, []string{"approvals", "reject", e.id, other.id, "--yes"}, "approval "+e.id+": refused", "approval "+other.id+": ", "1 decided, 1 refused")
	other.untilStatus(t, "rejected")
}

// Whoever sits at a terminal sees what he decides on, and is asked.
func TestDecidingAtATerminal(t *testing.T) {
	e := world.ask(t)
	token := world.token(t, "bob", "analyst")
	for _, step := range []struct {
		typed string
		code  int
		says  string
	}{
		{"looks odd\nn\n", 1, "not confirmed; nothing was sent"}, {"\n\n", 1, "nothing was sent"}, {"month-end\ny\n", 0, "the request is "},
	} {
		out, code := typing(t, step.typed, []string{"FINOBS_TOKEN=" + token}, "approvals", "approve", e.id, "--url", "http://"+world.APIAddress)
		for _, part := range []string{"digest sha256:", `"kind":"export.incidents"`, "reason (may be empty)", "Approve approval " + e.id + "? [y/N]", step.says} {
			if code != step.code || !strings.Contains(out, part) {
				t.Errorf("%q: exit code %d, lacks %q:\n%s", step.typed, code, part, out)
			}
		}
	}
	if body := string(world.call(t, "eve", "GET", "/approval/"+e.id, "").Body); !strings.Contains(body, `"reason":"month-end"`) {
		t.Errorf("the reason is not on record: %s", body)
	}
	list := []string{"approvals", "ls", "--status", "all", "-n", "500", "--url", "http://" + world.APIAddress}
	coloured, _ := typing(t, "", []string{"FINOBS_TOKEN=" + token, "TERM=xterm", "NO_COLOR="}, list...)
	plain, _ := typing(t, "", []string{"FINOBS_TOKEN=" + token, "TERM=xterm", "NO_COLOR=1"}, list...)
	if !strings.Contains(coloured, "\x1b[1mID\x1b[0m") || strings.Contains(plain, "\x1b") || !strings.Contains(plain, "MISSING") {
		t.Errorf("in colours:\n%.300q\nwithout:\n%.300q", coloured, plain)
	}
	for line := range strings.Lines(plain) {
		if n := len([]rune(strings.TrimRight(line, "\r\n"))); n > terminalWidth+30 { // the first columns may be wider
			t.Errorf("%d columns on a terminal of %d: %s", n, terminalWidth, line)
		}
	}
}

const terminalWidth = 120

// typing runs finobs at a terminal of its own at which somebody types.
func typing(t *testing.T, typed string, env []string, args ...string) (string, int) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("this machine has no terminals: ", err)
	}
	defer master.Close()
	fd := int(master.Fd())
	number, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err = errors.Join(err, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0), unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: terminalWidth})); err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile("/dev/pts/"+strconv.Itoa(int(number)), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(bin, "finobs"), args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	var out bytes.Buffer
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = out.ReadFrom(master) }) // ends with an error once nobody has the terminal open
	if _, err := master.WriteString(typed); err != nil {
		t.Fatal(err)
	}
	var ended *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	reading.Wait()
	return out.String(), cmd.ProcessState.ExitCode()
}

func TestExportsOnTheCommandLine(t *testing.T) {
	args := []string{"exports", "create", "incidents", "--format", "ndjson", "--filter", fmt.Sprintf("desk=T%d", unique.Add(1)), "--reason", "review"}
	var asked struct {
		ID int64 `json:"approval_request_id"`
	}
	if err := json.Unmarshal([]byte(as(t, "alice", 0, append(args, "--no-wait", "--json"))), &asked); err != nil || asked.ID == 0 {
		t.Fatalf("%d, %v", asked.ID, err)
	}
	e := exportCase{s: world, id: strconv.FormatInt(asked.ID, 10)}
	as(t, "bob", 0, []string{"approvals", "approve", e.id, "--yes"})
	dir := t.TempDir()
	// The same export is the same request; it is there by now, or soon.
	as(t, "alice", 0, append(args, "--dir", dir), "approval "+e.id+" is ", "its bundle is "+dir)
	m := e.delivered(t)
	id := m.id()
	if code, said := world.auditBundle(t, filepath.Join(dir, "export-"+id+".tar")); code != 0 {
		t.Errorf("finaudit: exit code %d\n%s", code, said)
	}
	as(t, "eve", 0, []string{"exports", "ls", "--dataset", "incidents"}, "DATASET", id+" ", "ndjson", "verified", "archive")
	as(t, "eve", 0, []string{"exports", "show", id}, "Export "+id+" of incidents as ndjson", "filters: desk=T", "SHA-256 of the content "+m.Hash, "ATTEMPT", "delivered  verified")
	as(t, "eve", 0, []string{"exports", "history", id}, "effect.intended")
	file := filepath.Join(dir, "content.ndjson")
	as(t, "eve", 0, []string{"exports", "download", id, "--content", "-o", file}, "export "+id+" is in "+file)
	as(t, "victor", 4, []string{"exports", "download", id}, "permission")
	as(t, "bob", 0, []string{"exports", "verify", id}, "verified  archive")
	lies, err := filepath.Glob(world.Path("archive", "exports", "*", id, "manifest.dsse.json"))
	if err != nil || len(lies) != 1 {
		t.Fatalf("%v, %v", lies, err)
	}
	if err := os.Remove(lies[0]); err != nil {
		t.Fatal(err)
	}
	as(t, "bob", 3, []string{"exports", "verify", id}, "missing", "1 of 1 exports are not verified")
	as(t, "bob", 0, []string{"exports", "redeliver", id, "--reason", "it was gone"}, "export "+id+" to archive: ")
	as(t, "bob", 0, []string{"exports", "verify", id}, "verified  archive")
}

func TestIncidentsOnTheCommandLineFromTheBeginning(t *testing.T) {
	title := fmt.Sprintf("cli-%d is down", unique.Add(1))
	out := as(t, "alice", 0, []string{"incidents", "open", title, "--kind", "system_outage", "--severity", "high", "--system", "fix-gateway-1", "--json"})
	var opened struct {
		Incident *struct {
			ID int64 `json:"incident_id"`
		} `json:"incident"`
	}
	if err := json.Unmarshal([]byte(out), &opened); err != nil || opened.Incident == nil {
		t.Fatalf("%v: %s", err, out)
	}
	id := strconv.FormatInt(opened.Incident.ID, 10)
	as(t, "victor", 0, []string{"incidents", "ls", "--system", "fix-gateway-1", "-n", "500"}, "SEVERITY", id+" ", title)
	as(t, "bob", 0, []string{"incidents", "severity", id, "low", "--reason", "a test"}, "incident "+id)
	as(t, "bob", 2, []string{"incidents", "severity", id, "low"}, `"reason"`)
	as(t, "bob", 0, []string{"incidents", "ack", id}, "acknowledged")
	as(t, "bob", 0, []string{"incidents", "unack", id}, "open")
	as(t, "bob", 0, []string{"incidents", "resolve", id, "restarted"}, "resolved")
	as(t, "bob", 0, []string{"incidents", "history", id}, "incident.opened", "incident.resolved", "restarted")
	as(t, "victor", 4, []string{"incidents", "ack", id}, "permission incident.work is needed")
	if i := (incidentCase{world, id}); i.member(t, "severity") != "low" {
		t.Error("the severity is not low")
	}
}

// Shells complete what is there.
func TestCompletionAsksTheAPI(t *testing.T) {
	e := world.ask(t)
	out, code := finobs(t, "__complete", "approvals", "approve", "--url", "http://"+world.APIAddress, "--token", world.token(t, "bob", "analyst"), "")
	if code != 0 || !strings.Contains(out, e.id+"\tpending, export.incidents, by alice") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	want(t, e.decide(t, "bob", "reject"), http.StatusOK)
}

func TestCommandsOfTheCommandLine(t *testing.T) {
	runCommandsOf(t, "../docs/cli.md", "MISSING", `"kind":"export.users"`, "digest sha256:", "the request is ", "its bundle is ", "ok  artefact")
}

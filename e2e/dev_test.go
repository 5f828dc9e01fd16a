package e2e_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// devProcess is a running finobs dev, as a developer starts it.
type devProcess struct {
	cmd  *exec.Cmd
	api  string // base URL
	vars map[string]string
}

func startDev(t *testing.T, state string, args ...string) *devProcess {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, "finobs"), append([]string{"dev", "--state", state}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Signal(os.Interrupt) //nolint:errcheck // it may have ended
			cmd.Wait()                       //nolint:errcheck // the test is over
		}
		if t.Failed() { // it has ended: errs is whole
			t.Logf("finobs dev told:\n%s", end(errs.Bytes()))
		}
	})
	d := &devProcess{cmd: cmd, vars: map[string]string{}}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if rest, found := strings.CutPrefix(line, "export "); found {
			name, value, _ := strings.Cut(rest, "=")
			d.vars[name], _, _ = strings.Cut(value, " ")
		}
		if rest, found := strings.CutPrefix(line, "API  "); found {
			d.api = strings.TrimSpace(rest)
		}
		if strings.HasPrefix(line, "stop with") {
			go func() {
				for lines.Scan() { // keep the pipe empty
				}
			}()
			d.awaitReady(t)
			return d
		}
	}
	err = cmd.Wait() // it has closed its output; errs is whole then
	t.Fatalf("finobs dev did not come up: %v\n%s", err, errs.String())
	return nil
}

func (d *devProcess) awaitReady(t *testing.T) {
	t.Helper()
	eventually(t, "the API is ready", func() bool {
		res, err := http.Get(d.api + "/readyz")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

func (d *devProcess) call(t *testing.T, who, method, path, body string) reply {
	t.Helper()
	return callURL(t, d.vars[who], method, d.api+path, body)
}

func (d *devProcess) stop(t *testing.T, signal syscall.Signal) error {
	t.Helper()
	if err := d.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	return d.cmd.Wait()
}

func TestDevResumesAfterCtrlCAndAfterKill(t *testing.T) {
	state := stateDir(t)
	d := startDev(t, state)
	var ids []string
	for _, desk := range []string{"A", "B"} {
		r := want(t, d.call(t, "alice", "POST", "/incidents/export?desk="+desk, ""), http.StatusAccepted)
		ids = append(ids, r.str("approval_request_id"))
	}
	eventually(t, "the requests are recorded", func() bool {
		return d.call(t, "alice", "GET", "/approval/"+ids[0], "").str("status") == "pending" &&
			d.call(t, "alice", "GET", "/approval/"+ids[1], "").str("status") == "pending"
	})
	if out, err := exec.Command(filepath.Join(bin, "finobs"), "dev", "--state", state).CombinedOutput(); err == nil || !strings.Contains(string(out), "in use by process") {
		t.Errorf("a second stack in one folder: %v\n%s", err, out)
	}
	if err := d.stop(t, syscall.SIGINT); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
	for i, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT} {
		d = startDev(t, state)
		// 202 when the worker of the new stack is slower than the answer
		if r := d.call(t, "bob", "POST", "/approval/"+ids[i]+"/decision", `{"decision":"approve"}`); r.Status != http.StatusOK && r.Status != http.StatusAccepted {
			t.Fatalf("the decision was answered %d: %s", r.Status, r.Body)
		}
		path := fmt.Sprintf("/incidents/export?desk=%c", 'A'+i)
		var answered reply
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("alice was answered %d last: %s", answered.Status, answered.Body)
			}
		})
		eventually(t, "the export is sealed", func() bool {
			answered = d.call(t, "alice", "GET", path, "")
			return answered.Status == http.StatusOK
		})
		if err := d.stop(t, signal); (err == nil) != (signal == syscall.SIGINT) {
			t.Errorf("after %s: %v", signal, err)
		}
		gone(t, strings.TrimPrefix(d.api, "http://"))
	}
	d = startDev(t, state, "--reset")
	if r := want(t, d.call(t, "alice", "GET", "/approval/", ""), http.StatusOK); !strings.Contains(string(r.Body), `"items":[]`) {
		t.Errorf("after a reset there is %s", r.Body)
	}
	if err := d.stop(t, syscall.SIGTERM); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	if out, err := exec.Command(filepath.Join(bin, "finobs"), "dev", "--state", state, "--no-such-flag").CombinedOutput(); err == nil {
		t.Errorf("an unknown flag is accepted: %s", out)
	}
}

func gone(t *testing.T, address string) {
	t.Helper()
	eventually(t, "nobody listens on "+address, func() bool {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
}

func TestDevInsecure(t *testing.T) {
	run := func(env ...string) (string, error) {
		p, err := world.Launch("insecure", env, filepath.Join(bin, "finobs"), "api", "--dev-insecure")
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-p.Done():
			log, err := os.ReadFile(world.Path("logs", "insecure.log"))
			return string(log), err
		case <-time.After(10 * time.Second):
			return "", p.Kill()
		}
	}
	if log, err := run("FINOBS_LISTEN=0.0.0.0:0"); err != nil || !strings.Contains(log, "refused on 0.0.0.0:0") {
		t.Errorf("on all addresses: %v %s", err, log)
	}
	mark := func(environment string) {
		var was string
		scan(t, world, &was, "UPDATE finobs.deployment SET environment = $1 RETURNING environment", environment)
	}
	mark("production")
	log, err := run("FINOBS_LISTEN=127.0.0.1:0")
	mark("dev")
	if err != nil || !strings.Contains(log, "database marked production") {
		t.Errorf("on a production database: %v %s", err, log)
	}
	p, err := world.Launch("insecure-api", []string{"FINOBS_LISTEN=127.0.0.1:18099"}, filepath.Join(bin, "finobs"), "api", "--dev-insecure")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill() //nolint:errcheck // the test is over
	var r reply
	eventually(t, "the insecure API answers", func() bool {
		res, err := http.Get("http://127.0.0.1:18099/incidents")
		if err == nil {
			res.Body.Close()
			r = reply{Status: res.StatusCode, Header: res.Header}
		}
		return err == nil
	})
	if r.Status != http.StatusOK || r.Header.Get("X-Finobs-Insecure") == "" {
		t.Errorf("answered %d with headers %v", r.Status, r.Header)
	}
	if n := count(t, world, "SELECT count(*) FROM ledger.entry WHERE type = 'security.denied' AND action = 'dev_insecure'"); n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
	bad := callURL(t, "nonsense", "GET", "http://127.0.0.1:18099/incidents", "")
	if bad.Status != http.StatusUnauthorized {
		t.Errorf("a bad token is ignored: %d", bad.Status)
	}
}

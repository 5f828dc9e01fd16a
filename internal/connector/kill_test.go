package connector_test

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"finobs/internal/action"
	"finobs/internal/approval"
	"finobs/internal/connector"
	"finobs/internal/fault"
	"finobs/internal/sandbox"
)

// Env variables by which the test program runs as a sandbox in a process of its own.
const (
	envState  = "FINOBS_TEST_SANDBOX_STATE"
	envListen = "FINOBS_TEST_SANDBOX_LISTEN"
)

func TestMain(m *testing.M) {
	if state := os.Getenv(envState); state != "" {
		fmt.Fprintln(os.Stderr, serve(state, os.Getenv(envListen)))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func serve(state, listen string) error {
	seed, err := sandbox.DefaultSeed()
	if err != nil {
		return err
	}
	desk, err := sandbox.Open(sandbox.Config{Token: []byte(token), Mode: "simulation", State: state, Seed: seed, Now: time.Now})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	return http.ListenAndServe(listen, desk)
}

// process is a sandbox that is killed and started again.
type process struct {
	t             *testing.T
	state, listen string
	cmd           *exec.Cmd
}

func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), envState+"="+p.state, envListen+"="+p.listen)
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		p.t.Fatal(line, err)
	}
}

// kill is kill -9.
func (p *process) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
	_ = p.cmd.Wait() // it says that it was killed
}

// A desk that is killed again and again applies each command once: whatever was
// unknown, the same key brings it to its end.
func TestADyingDeskAppliesEachCommandOnce(t *testing.T) {
	desk := &process{t: t, state: filepath.Join(t.TempDir(), "state.jsonl"), listen: freeAddress(t)}
	desk.start()
	defer func() { desk.kill() }()
	reach := simulated(t, "http://"+desk.listen)
	people := []string{"amina", "lukas", "petra"}
	commands, unknowns := make([]int, len(people)), make([]int, len(people))
	var stop atomic.Bool
	var wait sync.WaitGroup
	for i, name := range people {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for ; !stop.Load(); commands[i]++ {
				unknowns[i] += toggle(t, reach, name, fmt.Sprintf("%s-%d", name, commands[i]))
			}
		}()
	}
	for range 10 {
		time.Sleep(time.Duration(5+rand.IntN(50)) * time.Millisecond)
		desk.kill()
		desk.start()
	}
	stop.Store(true)
	wait.Wait()
	got := applications(t, "http://"+desk.listen)
	if want := commands[0] + commands[1] + commands[2]; len(got) != want {
		t.Errorf("%d effects for %d commands", len(got), want)
	}
	for key, n := range got {
		if n != 1 {
			t.Errorf("%s was applied %d times", key, n)
		}
	}
	for i, name := range people {
		o, err := reach.Read(t.Context(), "trader", name)
		if err != nil || o.Version != strconv.Itoa(commands[i]+1) {
			t.Errorf("after %d commands: %+v, %v", commands[i], o, err)
		}
	}
	t.Logf("commands: %v; outcomes that were unknown: %v", commands, unknowns)
}

// toggle blocks or unblocks a trader under one key, however often it must be sent, and
// counts the outcomes that were unknown.
func toggle(t *testing.T, reach connector.Executor, name, key string) (unknowns int) {
	var o action.Object
	if !eventually(t, func() (err error) { o, err = reach.Read(t.Context(), "trader", name); return err }) {
		return
	}
	command := block
	if o.Fields["status"] == "blocked" {
		command = action.Command{Action: "trader.unblock"}
	}
	target := approval.Target{Kind: "trader", ID: name, Version: o.Version}
	eventually(t, func() error {
		out, err := reach.Apply(t.Context(), key, command, target)
		switch {
		case err != nil:
			return err
		case out.Status == connector.Unknown:
			unknowns++
			return errors.New(out.Reason)
		case out.Status != connector.Done:
			t.Errorf("%s: %+v", key, out)
		}
		return nil
	})
	return unknowns
}

// eventually tries again what may pass.
func eventually(t *testing.T, do func() error) bool {
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := do()
		if err == nil {
			return true
		}
		if fault.KindOf(err) != fault.Unavailable && fault.CodeOf(err) != "internal" || time.Now().After(end) {
			t.Errorf("gave up: %v", err)
			return false
		}
	}
}

// freeAddress finds a port that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

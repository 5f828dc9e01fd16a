package e2e_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"finobs/internal/devstack"
)

// The SIEM is down, the writing sequencer is killed, and in the end the receiver
// has every entry of the log.
func TestTheSIEMGetsEveryEntry(t *testing.T) {
	t.Parallel()
	program, err := devstack.EnsureRsyslog(t.Context(), os.Stderr)
	if errors.Is(err, devstack.ErrNoRsyslog) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	port, err := devstack.FreePort(0)
	if err != nil {
		t.Fatal(err)
	}
	dir := stateDir(t)
	sinks := filepath.Join(dir, "sinks.yaml")
	keep(t, sinks, []byte("version: 1\nsinks:\n  - name: soc\n    syslog: {address: \"127.0.0.1:"+strconv.Itoa(port)+"\", transport: tcp}\n"))
	l := newLogStack(t, func(s *stack) {
		s.Settings()["FINOBS_SINKS"] = sinks
		if err := errors.Join(s.sequencer.Kill(), s.startSequencer()); err != nil {
			t.Fatal(err)
		}
	})

	received := filepath.Join(dir, "received")
	if err := os.Mkdir(filepath.Join(dir, "rsyslog"), 0o755); err != nil {
		t.Fatal(err)
	}
	listen := devstack.RsyslogConfig{Program: program, Dir: filepath.Join(dir, "rsyslog"), Port: port, Output: received}
	server, err := devstack.StartRsyslog(t.Context(), listen)
	if err != nil {
		t.Fatal(err)
	}
	l.history(t, 200)
	if err := errors.Join(l.sequencer.Kill(), server.Kill()); err != nil {
		t.Fatal(err)
	}
	l.sequenceAgain(t)
	for i := range 5 {
		l.history(t, 300+i)
	}
	if server, err = devstack.StartRsyslog(t.Context(), listen); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Stop() }) //nolint:errcheck // it may be dead already
	l.signed(t)
	last := count(t, l.stack, "SELECT size - 1 FROM ledger.tree")
	eventually(t, "the receiver has every entry", func() bool {
		code, _ := runFinaudit(t, "siem-check", "--seen", received, "--from", "0", "--to", strconv.Itoa(last))
		return code == 0
	})
	eventually(t, "the status says that the sink has it all", func() bool {
		status := string(l.get(t, "/log/status"))
		return strings.Contains(status, `"name":"soc"`) && strings.Contains(status, `"behind":0`) && strings.Contains(status, `"refused":""`)
	})
}

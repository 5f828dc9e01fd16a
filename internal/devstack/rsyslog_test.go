package devstack_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"finobs/internal/devstack"
)

func TestRsyslogKeepsWhatItGot(t *testing.T) {
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
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	config := devstack.RsyslogConfig{Program: program, Dir: dir, Port: port, Output: out}
	for _, text := range []string{"<134>1 - a b - - - eins", "<134>1 - a b - - - zwei"} {
		r, err := devstack.StartRsyslog(t.Context(), config) // the second time after a crash
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", r.Address())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("23 " + text)); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if got, _ := os.ReadFile(out); strings.HasSuffix(string(got), text+"\n") {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%q did not arrive", text)
			}
		}
		conn.Close()
		if err := r.Kill(); err != nil {
			t.Fatal(err)
		}
	}
}

package siem

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/ledger"
	"finobs/internal/siem/seen"
)

// nasty are texts that have broken logs before.
var nasty = []string{
	"", "plain", "two\nlines", "\r\n<134>1 2026-01-01T00:00:00Z evil evil - - - forged", "\n<134>1 - - - - - forged",
	`"]\ ] [x@1 idx="9"]`, `\`, `\\`, `\u000A`, `\x0A`, `C:\users\x`, "nul\x00", "\x1b[31mred\x1b[0m", "\u202etxet\u202c", "\u2066x\u2069",
	"a\u200bb\u200d\ufeff", "\u2028\u2029", "\u0085\u009b\u007f", "a=b c=d cn1=9 cn1Label=idx", "a|b", " lead and trail ", "äöü€😀",
	"\U000E0041", "{\"index\":\"9\"}", "99 <134>1 - - - - - ", "\ufffd", "tab\t", "\u00a0\u3000", "e\u0301\ufe0f",
}

func sealed(t testing.TB, index int64, e ledger.Entry) Event {
	t.Helper()
	at := sealedAt.Add(time.Duration(index) * time.Millisecond)
	s, err := e.Seal(fmt.Sprintf("018f0000-0000-7000-8000-%012d", index), at, [32]byte{})
	if err != nil {
		t.Fatal(err)
	}
	return Event{Index: index, Leaf: s.Leaf, SHA256: s.LeafSHA256, TreeSize: index + 1}
}

func entry(text string) ledger.Entry {
	return ledger.Entry{
		Type: "approval.decided", Actor: ledger.Actor{Kind: approval.Human, Person: approval.Person{Issuer: "https://idp.example.com", Subject: "alice " + text}},
		Workflow: ledger.Workflow{Namespace: "default", ID: "wf-" + text, FirstRun: "r"}, Subject: ledger.Subject{Kind: "approval", ID: text},
		Action: "decide", Outcome: "approved", Reason: text, Desk: text,
	}
}

// memory is a Source and Cursors. Its leaves carry nasty texts in turn.
type memory struct {
	mu     sync.Mutex
	leaves []Event
	acked  map[string]int64
	err    error // of every call
	calls  int
}

func newMemory(t testing.TB, n int) *memory {
	m := &memory{acked: map[string]int64{}}
	m.grow(t, n)
	return m
}

func (m *memory) grow(t testing.TB, n int) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for range n {
		i := len(m.leaves)
		m.leaves = append(m.leaves, sealed(t, int64(i), entry(nasty[i%len(nasty)])))
	}
}

func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

func (m *memory) size() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int64(len(m.leaves))
}

func (m *memory) Leaves(ctx context.Context, from int64, limit int) ([]Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.calls++; m.err != nil {
		return nil, m.err
	}
	var out []Event
	for i := from; i < int64(len(m.leaves)) && len(out) < limit; i++ {
		e := m.leaves[i]
		e.TreeSize = int64(len(m.leaves))
		out = append(out, e)
	}
	return out, ctx.Err()
}

func (m *memory) Cursor(_ context.Context, sink string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.acked[sink], m.err
}

func (m *memory) Advance(_ context.Context, sink string, acked int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if acked <= m.acked[sink] || acked > int64(len(m.leaves)) {
		return fmt.Errorf("cursor goes from %d to %d", m.acked[sink], acked)
	}
	if m.err != nil {
		return m.err
	}
	m.acked[sink] = acked
	return nil
}

func (m *memory) ackedBy(sink string) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.acked[sink]
}

// fast are times for tests.
var fast = Timing{
	Idle: 5 * time.Millisecond, Dial: 2 * time.Second, Write: 2 * time.Second, Stay: 100 * time.Millisecond,
	BackoffMin: 5 * time.Millisecond, BackoffMax: 20 * time.Millisecond, LagAfter: 100 * time.Millisecond, LagCheck: 10 * time.Millisecond,
}

// run feeds sinks of a sink file until the test ends or stop is called.
func run(t *testing.T, m *memory, dir, sinks string, change ...func(*Feeder)) (f *Feeder, stop func()) {
	t.Helper()
	loaded, err := Load(strings.NewReader("version: 1\nsinks:\n"+sinks), dir)
	if err != nil {
		t.Fatal(err)
	}
	f = &Feeder{Source: m, Cursors: m, Sinks: loaded, Now: time.Now, Timing: fast}
	for _, c := range change {
		c(f)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- f.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the feeder does not stop")
		}
	})
	t.Cleanup(stop)
	return f, stop
}

// eventually waits for something.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// complete checks that received holds leaves 0 to n-1 and nothing that is not one.
func complete(t *testing.T, received []byte, n int64) seen.Report {
	t.Helper()
	report, err := seen.Check(bytes.NewReader(received))
	if err != nil {
		t.Fatal(err)
	}
	if missing := report.Missing(0, n-1); len(missing) > 0 || report.Max >= n || len(report.Conflicts) > 0 {
		t.Errorf("missing %v, greatest %d, conflicts %v", missing, report.Max, report.Conflicts)
	}
	return report
}

var sealedAt = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

var emptyObject = sha256.Sum256([]byte("{}"))

var errDown = errors.New("the database is down")

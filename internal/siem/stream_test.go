package siem

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leodido/go-syslog/v4"
	"github.com/leodido/go-syslog/v4/octetcounting"
	"github.com/leodido/go-syslog/v4/rfc5424"
)

// receiver is a syslog server that misbehaves as told.
type receiver struct {
	listener net.Listener
	behave   func(n int, c *net.TCPConn) []byte // returns what it keeps of connection n

	mu    sync.Mutex
	conns int
	kept  []byte // whole messages, octet-counted
}

func startReceiver(t *testing.T, behave func(n int, c *net.TCPConn) []byte) *receiver {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{listener: l, behave: behave}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			n := r.conns
			r.conns++
			r.mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				r.keep(t, r.behave(n, c.(*net.TCPConn)))
			})
		}
	})
	t.Cleanup(func() { l.Close() })
	return r
}

// keep adds the whole messages of one connection. What is cut off at the end is
// thrown away, as receivers do.
func (r *receiver) keep(t *testing.T, stream []byte) {
	var whole []byte
	count := 0
	octetcounting.NewParser(syslog.WithMaxMessageLength(maxMessage), syslog.WithListener(func(m *syslog.Result) {
		if m.Error != nil {
			return
		}
		if _, ok := (*m.Message.(*rfc5424.SyslogMessage).StructuredData)["finobs@32473"]; !ok {
			t.Errorf("a forged message: %v", m.Message)
		}
		count++
	})).Parse(bytes.NewReader(stream))
	rest := stream
	for range count {
		var n int
		if _, err := fmt.Sscanf(string(rest[:min(8, len(rest))]), "%d ", &n); err != nil {
			t.Errorf("after %d messages: %v", count, err)
			return
		}
		n += len(fmt.Sprint(n)) + 1
		whole, rest = append(whole, rest[:n]...), rest[n:]
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = append(r.kept, whole...)
}

func (r *receiver) got() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.kept)
}

func (r *receiver) sink(more string) string {
	return fmt.Sprintf("  - {name: siem, syslog: {address: %q, transport: tcp%s}}\n", r.listener.Addr(), more)
}

func readAll(_ int, c *net.TCPConn) []byte {
	b, _ := io.ReadAll(c)
	return b
}

func TestResetsAtAnyByte(t *testing.T) {
	t.Parallel()
	const breaks = 40
	random := rand.New(rand.NewPCG(1, 2))
	var mu sync.Mutex
	r := startReceiver(t, func(n int, c *net.TCPConn) []byte {
		if n >= breaks {
			return readAll(n, c)
		}
		mu.Lock()
		at := random.IntN(3000)
		if n%3 == 0 {
			at = random.IntN(400_000)
		}
		mu.Unlock()
		b := make([]byte, at)
		k, _ := io.ReadFull(c, b)
		if n%2 == 0 {
			_ = c.SetLinger(0) // a reset in place of a close
		}
		return b[:k]
	})
	m := newMemory(t, 3000)
	f, stop := run(t, m, t.TempDir(), r.sink(""))
	eventually(t, "all acknowledged", func() bool { return m.ackedBy("siem") == 3000 })
	if s := f.Status()[0]; s.Behind != 0 || s.Sent != 3000 || !s.Connected || s.LastError != "" || s.Lossy || s.LastSuccess.IsZero() {
		t.Errorf("got %+v", s)
	}
	stop()
	eventually(t, "the receiver has all", func() bool { return len(r.got()) > 0 && countedAll(r, 3000) })
	report := complete(t, r.got(), 3000)
	t.Logf("%d connections, %d messages, %d duplicates", r.conns, report.Count, report.Duplicates)
}

func countedAll(r *receiver, n int64) bool {
	return bytes.Contains(r.got(), fmt.Appendf(nil, `[finobs@32473 idx="%d"`, n-1))
}

// TestAcknowledgedTooEarly is what the window is for: the receiver's machine takes
// messages, its program dies without reading them, and nobody learns of it until
// the connection ends.
func TestAcknowledgedTooEarly(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	r := startReceiver(t, func(n int, c *net.TCPConn) []byte {
		if n == 0 {
			<-release
			_ = c.SetLinger(0)
			return nil
		}
		return readAll(n, c)
	})
	m := newMemory(t, 900)
	_, stop := run(t, m, t.TempDir(), r.sink(""), func(f *Feeder) { f.Batch = 50 })
	eventually(t, "all acknowledged, though nobody read", func() bool { return m.ackedBy("siem") > 100 })
	close(release)
	eventually(t, "a second connection", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.conns > 1 })
	eventually(t, "all acknowledged", func() bool { return m.ackedBy("siem") == 900 })
	time.Sleep(3 * fast.Stay)
	stop()
	eventually(t, "the receiver has all", func() bool { return countedAll(r, 900) })
	complete(t, r.got(), 900)
}

func TestReceiverThatNeverReads(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	r := startReceiver(t, func(_ int, c *net.TCPConn) []byte { _ = c.SetReadBuffer(4096); <-hold; return nil })
	t.Cleanup(func() { close(hold) })
	other := startReceiver(t, readAll)
	m := newMemory(t, 20_000)
	sinks := r.sink("") + strings.Replace(other.sink(""), "siem", "other", 1)
	var lags []Lag
	var mu sync.Mutex
	f, _ := run(t, m, t.TempDir(), sinks, func(f *Feeder) {
		f.Timing.Write = 200 * time.Millisecond
		f.Notify = func(l Lag, _ bool) { mu.Lock(); defer mu.Unlock(); lags = append(lags, l) }
	})
	eventually(t, "the other sink has all", func() bool { return m.ackedBy("other") == 20_000 })
	eventually(t, "its lag is reported", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return slices.ContainsFunc(lags, func(l Lag) bool { return l.Sink == "siem" })
	})
	eventually(t, "it is cut off", func() bool { return f.Status()[0].LastError != "" })
	if s := f.Status()[0]; s.Acked > 15_000 {
		t.Errorf("got %+v", s)
	}
}

func TestSlowReceiver(t *testing.T) {
	t.Parallel()
	r := startReceiver(t, func(_ int, c *net.TCPConn) []byte {
		_ = c.SetReadBuffer(128 << 10)
		var all []byte
		b := make([]byte, 10_000)
		for {
			n, err := c.Read(b)
			all = append(all, b[:n]...)
			if err != nil {
				return all
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	m := newMemory(t, 2000)
	_, stop := run(t, m, t.TempDir(), r.sink(""), func(f *Feeder) { f.Timing.Stay = 300 * time.Millisecond })
	eventually(t, "all acknowledged", func() bool { return m.ackedBy("siem") == 2000 })
	stop()
	eventually(t, "the receiver has all", func() bool { return countedAll(r, 2000) })
	if report := complete(t, r.got(), 2000); report.Duplicates != 0 || r.conns != 1 {
		t.Errorf("got %+v over %d connections", report, r.conns)
	}
}

func TestHalfClose(t *testing.T) {
	t.Parallel()
	r := startReceiver(t, func(n int, c *net.TCPConn) []byte {
		if n < 3 {
			c.CloseWrite()
		}
		return readAll(n, c)
	})
	m := newMemory(t, 1500)
	_, stop := run(t, m, t.TempDir(), r.sink(""))
	eventually(t, "all acknowledged", func() bool { return m.ackedBy("siem") == 1500 })
	stop()
	eventually(t, "the receiver has all", func() bool { return countedAll(r, 1500) })
	if complete(t, r.got(), 1500); r.conns < 4 {
		t.Errorf("a half-closed connection was kept: %d", r.conns)
	}
}

func TestNothingIsAcknowledgedBeforeItStayed(t *testing.T) {
	t.Parallel()
	r := startReceiver(t, readAll)
	m := newMemory(t, 10)
	began := time.Now()
	f, _ := run(t, m, t.TempDir(), r.sink(""), func(f *Feeder) { f.Timing.Stay = 500 * time.Millisecond })
	eventually(t, "sent", func() bool { return f.Status()[0].Sent == 10 })
	if s := f.Status()[0]; s.Acked != 0 || s.Behind != 10 {
		t.Errorf("got %+v", s)
	}
	eventually(t, "all acknowledged", func() bool { return m.ackedBy("siem") == 10 })
	if took := time.Since(began); took < 500*time.Millisecond {
		t.Errorf("acknowledged after %s", took)
	}
}

func TestDatagrams(t *testing.T) {
	t.Parallel()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m := newMemory(t, 40)
	f, _ := run(t, m, t.TempDir(), fmt.Sprintf("  - {name: siem, syslog: {address: %q, transport: udp}}\n", c.LocalAddr()))
	var all []byte
	b := make([]byte, 65536)
	for range 40 {
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, _, err := c.ReadFrom(b)
		if err != nil {
			t.Fatal(err)
		}
		all = append(append(all, b[:n]...), '\n')
	}
	if report := complete(t, all, 40); report.Count != 40 || report.Skipped != 0 {
		t.Errorf("got %+v", report)
	}
	eventually(t, "all acknowledged", func() bool { return m.ackedBy("siem") == 40 })
	if s := f.Status()[0]; !s.Lossy || !s.Connected {
		t.Errorf("got %+v", s)
	}
}

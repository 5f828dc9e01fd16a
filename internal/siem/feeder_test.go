package siem

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestSourceMayFail(t *testing.T) {
	t.Parallel()
	r := startReceiver(t, readAll)
	m := newMemory(t, 100)
	var told []bool
	var mu sync.Mutex
	f, stop := run(t, m, t.TempDir(), r.sink(""), func(f *Feeder) {
		f.Notify = func(l Lag, recovered bool) {
			mu.Lock()
			defer mu.Unlock()
			if !recovered && (l.Sink != "siem" || !strings.Contains(l.Err, "database is down") || l.Since.IsZero()) {
				t.Errorf("got %+v", l)
			}
			told = append(told, recovered)
		}
	})
	eventually(t, "all acknowledged", func() bool { return m.ackedBy("siem") == 100 })
	m.fail(errDown)
	eventually(t, "reported", func() bool { mu.Lock(); defer mu.Unlock(); return len(told) == 1 })
	m.fail(nil)
	m.grow(t, 50)
	eventually(t, "all acknowledged", func() bool { return m.ackedBy("siem") == 150 })
	eventually(t, "recovered", func() bool { mu.Lock(); defer mu.Unlock(); return len(told) == 2 && told[1] })
	if s := f.Status()[0]; s.LastError != "" {
		t.Errorf("got %+v", s)
	}
	stop()
	eventually(t, "the receiver has all", func() bool { return countedAll(r, 150) })
	if complete(t, r.got(), 150); r.conns != 1 {
		t.Errorf("an error of the source ended the connection: %d", r.conns)
	}
	if mu.Lock(); len(told) != 2 {
		t.Errorf("told %v", told)
	}
	mu.Unlock()
}

func TestChangedLeafIsNotSent(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Event){
		"changed": func(e *Event) { e.Leaf = bytes.Replace(e.Leaf, []byte("approved"), []byte("denied"), 1) },
		"gap":     func(e *Event) { e.Index++ },
		"foreign": func(e *Event) { *e = Event{Index: e.Index, Leaf: []byte("{}"), SHA256: emptyObject} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startReceiver(t, readAll)
			m := newMemory(t, 20)
			change(&m.leaves[7])
			f, stop := run(t, m, t.TempDir(), r.sink(""))
			eventually(t, "the leaves before it are acknowledged", func() bool { return m.ackedBy("siem") == 7 })
			if s := f.Status()[0]; !strings.Contains(s.LastError, "7") || s.Sent != 7 {
				t.Errorf("got %+v", s)
			}
			stop()
			eventually(t, "the receiver has them", func() bool { return countedAll(r, 7) })
			complete(t, r.got(), 7)
		})
	}
}

func TestLagByThreshold(t *testing.T) {
	t.Parallel()
	m := newMemory(t, 50)
	var mu sync.Mutex
	var told []Lag
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	f, _ := run(t, m, t.TempDir(), fmt.Sprintf("  - {name: siem, syslog: {address: %q, transport: tcp}}\n", address), func(f *Feeder) {
		f.Threshold, f.Timing.LagAfter = 100, time.Hour
		f.Notify = func(l Lag, _ bool) { mu.Lock(); defer mu.Unlock(); told = append(told, l) }
	})
	eventually(t, "it fails", func() bool { return f.Status()[0].LastError != "" })
	time.Sleep(50 * time.Millisecond)
	m.grow(t, 100)
	eventually(t, "told", func() bool { mu.Lock(); defer mu.Unlock(); return len(told) > 0 })
	mu.Lock()
	defer mu.Unlock()
	if len(told) != 1 || told[0].Behind != 150 || !strings.Contains(told[0].Err, "refused") {
		t.Errorf("got %+v", told)
	}
}

func TestFeederNeedsItsParts(t *testing.T) {
	t.Parallel()
	if err := (&Feeder{}).Run(t.Context()); err == nil {
		t.Error("it runs without a source")
	}
	f := &Feeder{Source: &memory{}, Cursors: &memory{}, Now: time.Now}
	if err := f.Run(t.Context()); err != nil || len(f.Status()) != 0 {
		t.Errorf("got %v without sinks", err)
	}
	if err := refuseRemote("tcp", "192.0.2.1:514", nil); err == nil || errors.Is(err, io.EOF) {
		t.Error("another machine is this one")
	}
}

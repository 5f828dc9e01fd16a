package siem

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// collector is an HTTPS collector that keeps the batches it answers with 2xx.
type collector struct {
	*httptest.Server
	dir string

	mu   sync.Mutex
	n    int // requests
	kept []byte
}

// startCollector starts one; fail may answer the n-th request itself.
func startCollector(t *testing.T, fail func(n int, w http.ResponseWriter, r *http.Request) bool) *collector {
	t.Helper()
	c := &collector{dir: t.TempDir()}
	c.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		n := c.n
		c.n++
		c.mu.Unlock()
		if fail != nil && fail(n, w, r) {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		c.check(t, r, body)
		c.mu.Lock()
		c.kept = append(c.kept, body...)
		c.mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
	}))
	c.EnableHTTP2 = true
	c.StartTLS()
	t.Cleanup(c.Close)
	for name, text := range map[string][]byte{
		"ca.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate().Raw}), "token": []byte("s3cret.token==\n"),
	} {
		if err := os.WriteFile(filepath.Join(c.dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func (c *collector) check(t *testing.T, r *http.Request, body []byte) {
	digest := sha256.Sum256(body)
	text := hex.EncodeToString(digest[:])
	from, to := r.Header.Get(HeaderFrom), r.Header.Get(HeaderTo)
	for name, want := range map[string]string{
		"Content-Type": "application/x-ndjson", "Authorization": "Bearer s3cret.token==", HeaderDigest: "sha256:" + text,
		HeaderIdempotencyKey: from + ".." + to + ".." + text, "User-Agent": "finobs",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	lines := strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")
	if !strings.HasPrefix(lines[0], `{"index":"`+from+`",`) || !strings.HasPrefix(lines[len(lines)-1], `{"index":"`+to+`",`) {
		t.Errorf("%s to %s: %s", from, to, body)
	}
	for _, line := range lines {
		var l struct {
			Index  string          `json:"index"`
			Digest string          `json:"leaf_sha256"`
			Leaf   json.RawMessage `json:"leaf"`
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if sum := sha256.Sum256(l.Leaf); hex.EncodeToString(sum[:]) != l.Digest {
			t.Errorf("the bytes of %s changed", line)
		}
	}
}

func (c *collector) sink(more string) string {
	return fmt.Sprintf("  - {name: siem, https: {url: %q, token_file: token, ca_file: ca.pem, allow_private: true%s}}\n", c.URL+"/ingest?key=hunter2", more)
}

func (c *collector) got() []byte { c.mu.Lock(); defer c.mu.Unlock(); return c.kept }

func TestCollector(t *testing.T) {
	t.Parallel()
	c := startCollector(t, nil)
	m := newMemory(t, 1234)
	f, _ := run(t, m, c.dir, c.sink(""))
	eventually(t, "all acknowledged", func() bool { return m.ackedBy("siem") == 1234 })
	report := complete(t, c.got(), 1234)
	if report.Duplicates != 0 || report.Skipped != 0 {
		t.Errorf("got %+v", report)
	}
	if c.n != 3 { // 500, 500, 234
		t.Errorf("%d requests", c.n)
	}
	if s := f.Status()[0]; !s.Connected || s.Lossy || s.Behind != 0 || s.Sent != 1234 {
		t.Errorf("got %+v", s)
	}
}

func TestCollectorFails(t *testing.T) {
	t.Parallel()
	c := startCollector(t, func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n >= 40 {
			return false
		}
		switch n % 8 {
		case 0:
			w.WriteHeader(http.StatusInternalServerError)
		case 1:
			w.Header().Set("Location", "https://evil.example.com/")
			w.WriteHeader(http.StatusTemporaryRedirect)
		case 2: // half of the body is read, then the connection ends
			_, _ = io.CopyN(io.Discard, r.Body, 1000)
			panic(http.ErrAbortHandler)
		case 3: // it does not answer in time
			select {
			case <-r.Context().Done():
			case <-time.After(2 * time.Second):
			}
		case 4: // the answer is cut off in front of its status
			panic(http.ErrAbortHandler)
		case 5:
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
		default:
			return false
		}
		return true
	})
	m := newMemory(t, 1000)
	_, _ = run(t, m, c.dir, c.sink(", batch: 70, timeout: 150ms"))
	eventually(t, "all acknowledged", func() bool { return m.ackedBy("siem") == 1000 })
	complete(t, c.got(), 1000)
}

func TestCollectorProblems(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		code int
		says string
	}{
		"redirect": {http.StatusFound, "redirects are not followed"}, "large": {http.StatusRequestEntityTooLarge, "smaller batch"},
		"forbidden": {http.StatusForbidden, "403"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := startCollector(t, func(_ int, w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(c.code); return true })
			m := newMemory(t, 3)
			f, _ := run(t, m, server.dir, server.sink(""))
			eventually(t, "it fails", func() bool { return f.Status()[0].LastError != "" })
			if s := f.Status()[0]; !strings.Contains(s.LastError, c.says) || strings.Contains(s.LastError, "hunter2") || s.Acked != 0 || s.Connected {
				t.Errorf("got %+v", s)
			}
		})
	}
}

func TestCollectorAtAPrivateAddress(t *testing.T) {
	t.Parallel()
	c := startCollector(t, nil)
	m := newMemory(t, 3)
	f, _ := run(t, m, c.dir, strings.Replace(c.sink(""), "allow_private: true", "allow_private: false", 1))
	eventually(t, "it fails", func() bool { return f.Status()[0].LastError != "" })
	if s := f.Status()[0]; !strings.Contains(s.LastError, "allow_private") || c.n != 0 {
		t.Errorf("got %+v after %d requests", s, c.n)
	}
}

func TestLargeBatchIsCut(t *testing.T) {
	t.Parallel()
	e := entry("x")
	e.Reason = strings.Repeat("x", 15_000)
	var events []Event
	for i := range int64(600) {
		events = append(events, sealed(t, i, e))
	}
	total := 0
	for rest := events; len(rest) > 0; {
		body, n, err := lines(rest)
		if err != nil || n == 0 || len(body) > maxBody || strings.Count(string(body), "\n") != n {
			t.Fatalf("got %d bytes of %d leaves, %v", len(body), n, err)
		}
		total, rest = total+n, rest[n:]
	}
	if total != 600 {
		t.Errorf("got %d", total)
	}
	events[3].Leaf = append([]byte("{}\n"), events[3].Leaf...)
	if _, n, err := lines(events); n != 3 || err == nil {
		t.Errorf("got %d, %v", n, err)
	}
}

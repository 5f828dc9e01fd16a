package api_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"finobs/api"
	"finobs/internal/store"
)

// ledgerStub stands for the database in tests of folding alone; what is written
// is tested on a real one.
type ledgerStub struct {
	mu     sync.Mutex
	events []store.SecurityEvent
	down   bool
}

func (l *ledgerStub) AppendSecurityEvent(_ context.Context, e store.SecurityEvent) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return errors.New("down")
	}
	l.events = append(l.events, e)
	return nil
}

func (l *ledgerStub) total() (n int) {
	for _, e := range l.events {
		n += e.Count
	}
	return n
}

func TestRefusalsAreFoldedAndNoneIsLost(t *testing.T) {
	log := &ledgerStub{}
	d := api.NewDenials(log)
	ctx := context.Background()
	var all sync.WaitGroup
	for i := range 1000 {
		all.Add(1)
		go func() {
			defer all.Done()
			api.Record(d, ctx, api.Denial{Action: "authenticate", Reason: "no token", Route: fmt.Sprintf("GET /%d", i%3)})
		}()
	}
	all.Wait()
	if len(log.events) != 3 {
		t.Errorf("%d entries at once, want one of each kind", len(log.events))
	}
	api.Flush(d, ctx)
	api.Flush(d, ctx)
	if len(log.events) != 6 || log.total() != 1000 {
		t.Errorf("%d entries over %d refusals, want 6 over 1000", len(log.events), log.total())
	}
}

func TestRefusalsWaitForADatabaseThatIsDown(t *testing.T) {
	log := &ledgerStub{down: true}
	d := api.NewDenials(log)
	ctx := context.Background()
	for range 5 {
		api.Record(d, ctx, api.Denial{Action: "authorize", Reason: "no", Route: "GET /x"})
	}
	api.Flush(d, ctx)
	log.down = false
	api.Flush(d, ctx)
	if log.total() != 5 {
		t.Errorf("%d refusals on record, want 5", log.total())
	}
}

func TestManyKindsOfRefusalsDoNotFillTheMemory(t *testing.T) {
	log := &ledgerStub{}
	d := api.NewDenials(log)
	ctx := context.Background()
	const kinds = 10_000
	for i := range kinds {
		api.Record(d, ctx, api.Denial{Action: "authorize", Reason: fmt.Sprintf("approval %d", i), Route: "POST /x"})
	}
	if len(log.events) > 5000 {
		t.Errorf("%d entries", len(log.events))
	}
	api.Flush(d, ctx)
	if log.total() != kinds {
		t.Errorf("%d refusals on record, want %d", log.total(), kinds)
	}
}

func TestCheckJSON(t *testing.T) {
	for text, fine := range map[string]bool{
		`{"a":1,"b":[{}]}`: true, ` {} `: true, ``: true, `"x"`: true, `1`: true,
		`{"a":1,"a":2}`: false, `{"a":{"b":1,"b":2}}`: false, `{}{}`: false, `{} x`: false, `{"a":}`: false, "{\"a\":\"\xff\"}": false,
		strings.Repeat("[", 16) + strings.Repeat("]", 16): true,
		strings.Repeat("[", 17) + strings.Repeat("]", 17): false,
	} {
		if err := api.CheckJSON([]byte(text)); (err == nil) != fine {
			t.Errorf("%q: %v", text, err)
		}
	}
}

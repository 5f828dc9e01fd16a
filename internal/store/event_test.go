package store_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"finobs/internal/detect"
	"finobs/internal/event"
	"finobs/internal/incident"
	"finobs/internal/pgtest"
	"finobs/internal/store"
)

var reported = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// reject is a business reject n seconds after nine.
func reject(source, system string, n int) event.Event {
	return event.Event{
		Source: source, Key: fmt.Sprintf("%s-%d", system, n), Kind: event.BusinessReject, State: event.Point, Severity: event.Medium, System: system,
		Title: system + " rejects: throttled", OccurredAt: reported.Add(time.Duration(n) * time.Second), ContentSHA256: strings.Repeat("ab", 32), Origin: incident.Live,
	}
}

func put(t *testing.T, w *store.Writer, list ...event.Event) (added []int) {
	t.Helper()
	if err := inTx(t, w, func(tx *store.Tx) (err error) { added, err = tx.PutEvents(ctx, list); return err }); err != nil {
		t.Fatal(err)
	}
	return added
}

func TestAnEventIsRecordedOnce(t *testing.T) {
	w, r, db := open(t)
	first, again := reject("fix", "GW", 1), reject("fix", "GW", 1)
	first.Labels, first.Detail, first.Ref, first.URL, first.Line = map[string]string{"a": "b\u2028"}, "d", "r", "https://x", 7
	again.Title = "said otherwise the second time"
	if got := put(t, w, first, again, reject("other", "GW", 1), reject("fix", "GW", 2)); !slices.Equal(got, []int{0, 2, 3}) {
		t.Errorf("new within one call: %v", got)
	}
	if got := put(t, w, reject("fix", "GW", 3), again); !slices.Equal(got, []int{0}) {
		t.Errorf("new in the second call: %v", got)
	}
	if got := put(t, w); got != nil {
		t.Errorf("new of none: %v", got)
	}
	id := pgtest.Value(t, db.Admin, "SELECT event_id FROM finobs.event WHERE source = 'fix' AND event_key = 'GW-1'")
	var number int64
	if _, err := fmt.Sscan(id, &number); err != nil {
		t.Fatal(err)
	}
	got, err := r.Event(ctx, number)
	if err != nil || got.Title != first.Title || got.Labels["a"] != "b\u2028" || !got.OccurredAt.Equal(first.OccurredAt) || got.Line != 7 ||
		got.Ref != "r" || got.URL != "https://x" || got.Detail != "d" || got.ContentSHA256 != first.ContentSHA256 || got.ReceivedAt.IsZero() {
		t.Errorf("on record is %+v, %v", got, err)
	}
}

// Batches overlap and come in any order. Nobody waits for ever, and exactly one
// writer is told that an event is new.
func TestManyWritersOfTheSameEvents(t *testing.T) {
	w, _, db := open(t)
	const writers, events, calls = 8, 200, 5
	var all sync.WaitGroup
	var mu sync.Mutex
	fresh := map[string]int{}
	for n := range writers {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 1))
			for range calls {
				var list []event.Event
				for _, i := range random.Perm(events)[:150] {
					list = append(list, reject("fix", "GW", i), reject("alert", "GW", i))
				}
				var added []int
				err := inTx(t, w, func(tx *store.Tx) (err error) { added, err = tx.PutEvents(ctx, list); return err })
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, place := range added {
					fresh[list[place].Source+list[place].Key]++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if n := pgtest.Value(t, db.Admin, "SELECT count(*) FROM finobs.event"); n != fmt.Sprint(len(fresh)) {
		t.Errorf("%s events are on record, and writers were told of %d", n, len(fresh))
	}
	for key, times := range fresh {
		if times != 1 {
			t.Errorf("event %s was new %d times", key, times)
		}
	}
}

// settle records an event without id and time as activities do.
func settle(w *store.Writer, e event.Event) (added int, err error) {
	err = store.InTx[*store.Tx](w)(ctx, func(tx *store.Tx) error {
		condition := [2]string{e.Source, e.Fingerprint}
		latest, err := tx.LatestStates(ctx, [][2]string{condition, condition})
		if err != nil {
			return err
		}
		e := e
		e.Settle(latest[condition])
		list, err := tx.PutEvents(ctx, []event.Event{e})
		added = len(list)
		return err
	})
	return added, err
}

func timeless(state event.State) event.Event {
	return event.Event{
		Source: "grafana", Key: "k-" + string(state), Timeless: true, Kind: event.Alert, State: state, Severity: event.High, Fingerprint: "grafana:1",
		Title: "disk", OccurredAt: reported, ContentSHA256: strings.Repeat("cd", 32), Origin: incident.Live,
	}
}

func TestWithoutIdAndTimeAnEventIsNewWhenTheStateChanges(t *testing.T) {
	w, _, db := open(t)
	for i, step := range []struct {
		state event.State
		added int
	}{
		{event.Firing, 1}, {event.Firing, 0}, {event.Resolved, 1}, {event.Resolved, 0}, {event.Firing, 1}, {event.Acknowledged, 1}, {event.Firing, 1}, {event.Firing, 0},
	} {
		if got, err := settle(w, timeless(step.state)); err != nil || got != step.added {
			t.Errorf("step %d, %s: %d new, %v; want %d", i, step.state, got, err, step.added)
		}
	}
	if n := pgtest.Value(t, db.Admin, "SELECT count(DISTINCT event_key) FROM finobs.event"); n != "5" {
		t.Errorf("%s keys", n)
	}
}

func TestManyAtOnceSayThatOneConditionBegan(t *testing.T) {
	w, _, db := open(t)
	for round, state := range []event.State{event.Firing, event.Resolved, event.Firing} {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if _, err := settle(w, timeless(state)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := pgtest.Value(t, db.Admin, "SELECT count(*) FROM finobs.event"); n != fmt.Sprint(round+1) {
			t.Fatalf("after %d changes there are %s events", round+1, n)
		}
	}
}

func beats(t *testing.T, w *store.Writer, list ...event.Beat) (before map[string]event.HeartbeatStatus) {
	t.Helper()
	if err := inTx(t, w, func(tx *store.Tx) (err error) { before, err = tx.Beat(ctx, list); return err }); err != nil {
		t.Fatal(err)
	}
	return before
}

func beat(system string, status event.HeartbeatStatus, second int) event.Beat {
	return event.Beat{Source: "heartbeat", Origin: incident.Live, Heartbeat: event.Heartbeat{
		System: system, Status: status, Every: 30 * time.Second, At: reported.Add(time.Duration(second) * time.Second),
	}}
}

func TestHeartbeats(t *testing.T) {
	w, _, db := open(t)
	row := func() string {
		return pgtest.Value(t, db.Admin, "SELECT status || ' ' || beats || ' ' || extract(epoch FROM sent_at - '2026-03-02 09:00Z') :: integer FROM finobs.heartbeat WHERE system = 'GW'")
	}
	for _, step := range []struct {
		what  string
		list  []event.Beat
		taken bool
		was   event.HeartbeatStatus
		row   string
	}{
		{"the first", []event.Beat{beat("GW", event.Up, 10)}, true, "", "up 1 10"},
		{"an older one that says otherwise", []event.Beat{beat("GW", event.Down, 9)}, false, "", "up 1 10"},
		{"the same again", []event.Beat{beat("GW", event.Up, 10)}, false, "", "up 1 10"},
		{"three at once, of which the newest counts", []event.Beat{beat("GW", event.Up, 11), beat("GW", event.Degraded, 13), beat("GW", event.Up, 12)}, true, event.Up, "degraded 4 13"},
		{"its end", []event.Beat{beat("GW", event.Up, 14)}, true, event.Degraded, "up 5 14"},
	} {
		before := beats(t, w, append(step.list, beat("other", event.Up, 1))...)
		if was, taken := before["GW"]; taken != step.taken || was != step.was || row() != step.row {
			t.Errorf("%s: taken %t, before %q, on record %s", step.what, taken, was, row())
		}
	}
	ahead := beat("GW", event.Up, 0)
	ahead.At = time.Now().Add(time.Hour)
	beats(t, w, ahead)
	if got := pgtest.Value(t, db.Admin, "SELECT (sent_at <= received_at)::text FROM finobs.heartbeat WHERE system = 'GW'"); got != "true" {
		t.Error("a clock that is ahead keeps later heartbeats from counting")
	}
}

func TestSilentSystems(t *testing.T) {
	w, _, db := open(t)
	quick, slow := beat("quick", event.Up, 1), beat("slow", event.Up, 1)
	quick.Every, slow.Every = time.Second, time.Hour
	beats(t, w, quick, slow)
	silent := func(age string) (names []string) {
		if err := pgtest.Exec(t, db.Admin, "UPDATE finobs.heartbeat SET received_at = clock_timestamp() - $1::interval", age); err != nil {
			t.Fatal(err)
		}
		err := inTx(t, w, func(tx *store.Tx) error {
			list, err := tx.SilentSystems(ctx, 3)
			for _, s := range list {
				names = append(names, s.System)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	for age, want := range map[string][]string{"2 seconds": nil, "4 seconds": {"quick"}, "2 hours 59 minutes": {"quick"}, "3 hours 1 second": {"quick", "slow"}} {
		if got := silent(age); !slices.Equal(got, want) {
			t.Errorf("after %s %v are silent, want %v", age, got, want)
		}
	}
}

// Feeds that never sent anything count from when a worker said what it expects.
func TestDetectorsAreDeclaredWhenAWorkerBegins(t *testing.T) {
	w, _, _ := open(t)
	declared := func() (at time.Time) {
		t.Helper()
		err := store.InTx[*store.Tx](w)(ctx, func(tx *store.Tx) (err error) {
			at, err = tx.DetectorDeclared(ctx, detect.StaleFeeds)
			if err == nil && at.After(tx.Now()) {
				t.Errorf("declared at %s, after %s", at, tx.Now())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	var last time.Time
	for range 2 {
		if err := w.SetDetectors(ctx, detect.Defaults()); err != nil {
			t.Fatal(err)
		}
		at := declared()
		if !at.After(last) || time.Since(at).Abs() > time.Minute {
			t.Errorf("declared at %s, after %s", at, last)
		}
		last = at
	}
}

func TestSourcesAreHeardOf(t *testing.T) {
	w, r, _ := open(t)
	hear := func(sources ...string) {
		if err := inTx(t, w, func(tx *store.Tx) error { return tx.Heard(ctx, sources) }); err != nil {
			t.Fatal(err)
		}
	}
	hear("b", "a", "b")
	feeds, err := r.Feeds(ctx)
	if err != nil || feeds["a"].Payloads != 1 || feeds["b"].Payloads != 2 || len(feeds) != 2 {
		t.Fatalf("feeds %+v, %v", feeds, err)
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			list := []string{"a", "b", "c"}
			if i%2 == 0 {
				slices.Reverse(list)
			}
			for range 10 {
				if err := store.InTx[*store.Tx](w)(ctx, func(tx *store.Tx) error { return tx.Heard(ctx, list) }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	later, err := r.Feeds(ctx)
	if err != nil || later["a"].Payloads != 81 || later["b"].Payloads != 82 || later["c"].Payloads != 80 || !later["a"].ReceivedAt.After(feeds["a"].ReceivedAt) {
		t.Errorf("feeds %+v, %v", later, err)
	}
}

func TestPayloadsAreKeptOnceByteForByte(t *testing.T) {
	w, r, db := open(t)
	body := []byte("{\"a\":\"\x00\xff\"}")
	for _, source := range []string{"first", "second"} {
		list := []event.Delivery{{Source: source, Payload: body}, {Source: source, Payload: []byte("x")}, {Source: source, Payload: body}}
		if err := inTx(t, w, func(tx *store.Tx) error { return tx.PutPayloads(ctx, list) }); err != nil {
			t.Fatal(err)
		}
	}
	if n := pgtest.Value(t, db.Admin, "SELECT count(*) || ' ' || string_agg(DISTINCT source, ',') FROM finobs.payload"); n != "2 first" {
		t.Errorf("kept are %s", n)
	}
	sha := pgtest.Value(t, db.Admin, "SELECT encode(sha256, 'hex') FROM finobs.payload WHERE length(bytes) = 10")
	if got, err := r.Payload(ctx, sha); err != nil || string(got) != string(body) {
		t.Errorf("kept is %q, %v", got, err)
	}
}

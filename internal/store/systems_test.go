package store_test

import (
	"context"
	"testing"
	"time"

	"finobs/internal/detect"
	"finobs/internal/health"
	"finobs/internal/pgtest"
	"finobs/internal/store"
)

func systems(t *testing.T, r *store.Reader) store.Systems {
	t.Helper()
	got, err := r.Systems(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestSystemsOfAnEmptyDatabase(t *testing.T) {
	_, r, _ := open(t)
	got := systems(t, r)
	if len(got.Workers)+len(got.Findings)+len(got.Sinks)+len(got.Feeds)+len(got.Beats)+len(got.APIs) != 0 || got.Log != (health.Log{}) || got.FeedRules != nil {
		t.Errorf("got %+v", got)
	}
}

func TestAWorkerBeatsFindsAndEnds(t *testing.T) {
	w, r, db := open(t)
	p := health.Process{Instance: "h/1", Host: "h", Identity: "7@h@", Version: "v", RecordOnly: true}
	feed := detect.Feed{Source: "x", MaxAge: time.Minute, Hours: detect.Hours{Zone: "UTC", From: time.Hour, To: 2 * time.Hour, Days: []time.Weekday{time.Monday}}}
	found := func(f health.Finding) {
		t.Helper()
		f.Instance, f.Kind, f.Name = "h/1", health.Destination, "bucket"
		if err := w.Found(ctx, f); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := w.Beat(ctx, p, []detect.Feed{feed}); err != nil {
			t.Fatal(err)
		}
	}
	found(health.Finding{State: health.OK, Detail: "fine", Latency: 1500 * time.Microsecond})
	first := systems(t, r)
	if len(first.Workers) != 1 || !first.Workers[0].Alive(first.Now) || first.Workers[0].Identity != "7@h@" || !first.Workers[0].RecordOnly ||
		len(first.FeedRules) != 1 || first.FeedRules[0].Hours.Days[0] != time.Monday || first.FeedRules[0].MaxAge != time.Minute {
		t.Errorf("got %+v", first)
	}
	f := first.Findings[0]
	if f.State != health.OK || f.Latency != 1500*time.Microsecond || f.EvidenceAt.IsZero() || f.Since.IsZero() || f.Detail != "fine" {
		t.Errorf("found %+v", f)
	}
	if alive, err := w.Alive(ctx, "h", time.Minute); err != nil || !alive {
		t.Errorf("alive %v, %v", alive, err)
	}

	// The state has its own time; evidence that there is not is none.
	found(health.Finding{State: health.OK})
	if again := systems(t, r).Findings[0]; !again.Since.Equal(f.Since) || !again.LookedAt.After(f.LookedAt) {
		t.Errorf("the same state again: %+v after %+v", again, f)
	}
	found(health.Finding{State: health.Unknown})
	if unknown := systems(t, r).Findings[0]; !unknown.EvidenceAt.IsZero() || !unknown.Since.After(f.Since) {
		t.Errorf("not known: %+v", unknown)
	}
	found(health.Finding{State: health.Unknown, EvidenceAt: f.EvidenceAt})
	if old := systems(t, r).Findings[0]; !old.EvidenceAt.Equal(f.EvidenceAt) {
		t.Errorf("old evidence: %+v", old)
	}

	if err := w.EndBeat(ctx, "h/1"); err != nil {
		t.Fatal(err)
	}
	ended := systems(t, r)
	if ended.Workers[0].Alive(ended.Now) || ended.Workers[0].EndedAt.IsZero() {
		t.Errorf("it ended: %+v", ended.Workers[0])
	}
	if alive, err := w.Alive(ctx, "h", time.Minute); err != nil || alive {
		t.Errorf("alive %v, %v", alive, err)
	}

	// Of one that is long gone nothing is left once another beats.
	if err := pgtest.Exec(t, db.Admin, "UPDATE finobs.worker SET beat_at = beat_at - interval '25 hours'"); err != nil {
		t.Fatal(err)
	}
	if err := w.Beat(ctx, health.Process{Instance: "h/2", Host: "h"}, nil); err != nil {
		t.Fatal(err)
	}
	if left := systems(t, r); len(left.Workers) != 1 || left.Workers[0].Instance != "h/2" || len(left.Findings) != 0 {
		t.Errorf("left are %+v", left)
	}
}

func TestTheLogIsBehindByWhatHasNoPlace(t *testing.T) {
	w, r, db := open(t)
	put(t, w, reject("fix", "GW", 1)) // writes no entry
	for _, id := range []string{"1", "2"} {
		event := store.SecurityEvent{EntryID: "018f0000-0000-7000-8000-00000000000" + id, Idem: id, Action: "authorize", Reason: "no", Route: "GET /x", Count: 1, FirstAt: time.Now()}
		if err := r.AppendSecurityEvent(ctx, event); err != nil {
			t.Fatal(err)
		}
	}
	if log := systems(t, r).Log; log.Waiting != 2 || log.OldestAt.IsZero() {
		t.Errorf("before: %+v", log)
	}
	s, err := store.OpenSequencer(ctx, db.Sequencer)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if alive, _, err := s.Alive(ctx, time.Minute); err != nil || alive {
		t.Errorf("before it lives: %v, %v", alive, err)
	}
	if led, err := s.Lead(ctx, "me", time.Minute); err != nil || !led {
		t.Fatalf("led %v, %v", led, err)
	}
	if _, n, err := s.Sequence(ctx, 10); err != nil || n != 2 {
		t.Fatalf("%d sequenced, %v", n, err)
	}
	got := systems(t, r)
	if got.Log.Waiting != 0 || got.Log.Size != 2 || got.Log.Holder != "me" || !got.Log.Alive(got.Now) {
		t.Errorf("after: %+v", got.Log)
	}
	if alive, refused, err := s.Alive(ctx, time.Minute); err != nil || !alive || refused != "" {
		t.Errorf("alive %v, %q, %v", alive, refused, err)
	}
}

func TestAnAPIProcessIsSeenByItsConnection(t *testing.T) {
	_, r, db := open(t)
	other, err := store.OpenReader(ctx, db.API)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	living, end := context.WithCancel(ctx)
	done := make(chan error)
	go func() { done <- other.Announce(living, "h/1", 20*time.Millisecond) }()
	seen := func() map[string]time.Time { return systems(t, r).APIs }
	for range 100 {
		if len(seen()) == 1 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	first := seen()["h/1"]
	time.Sleep(100 * time.Millisecond)
	if again := seen()["h/1"]; first.IsZero() || !again.After(first) {
		t.Errorf("seen at %s, and then at %s", first, again)
	}
	end()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for range 100 {
		if len(seen()) == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("it is still seen: %v", seen())
}

package health_test

import (
	"errors"
	"testing"
	"time"

	"finobs/internal/health"
)

func process(instance, host string, started, beat time.Duration) health.Process {
	return health.Process{Instance: instance, Host: host, Identity: "1@" + host + "@", Version: "v1", StartedAt: ago(started), BeatAt: ago(beat)}
}

func TestAnswer(t *testing.T) {
	expect(t, health.Answer(health.Postgres, "postgres", time.Millisecond, nil, now), health.OK, "it answers")
	expect(t, health.Answer(health.Postgres, "postgres", 2*time.Second, nil, now), health.Degraded, "2s")
	c := health.Answer(health.Temporal, "temporal", time.Second, errors.New("connection refused"), now)
	expect(t, c, health.Down, "connection refused")
	if c.Latency != 0 || !c.EvidenceAt.Equal(now) {
		t.Errorf("got %+v", c)
	}
}

func TestWorkersByTheirHeartbeats(t *testing.T) {
	recordOnly, ended := process("r/1", "r", time.Hour, time.Second), process("e/1", "e", time.Hour, time.Minute)
	recordOnly.RecordOnly, ended.EndedAt = true, ago(time.Minute)
	for name, c := range map[string]struct {
		list  []health.Process
		pool  health.State
		word  string
		shown int // workers by themselves
	}{
		"none ever":            {nil, health.Unknown, "no worker was ever heard of", 0},
		"one lives":            {[]health.Process{process("a/1", "a", time.Hour, time.Second)}, health.OK, "1 live", 1},
		"the only one died":    {[]health.Process{process("a/1", "a", time.Hour, 7*time.Second)}, health.Down, "no worker lives", 1},
		"it stopped in order":  {[]health.Process{ended}, health.Down, "no worker lives", 0},
		"it died long ago":     {[]health.Process{process("a/1", "a", time.Hour, 11*time.Minute)}, health.Down, "no worker lives", 0},
		"one of two died":      {[]health.Process{process("a/1", "a", time.Hour, 0), process("b/1", "b", time.Hour, time.Minute)}, health.Degraded, "1 fell silent", 2},
		"it died and is back":  {[]health.Process{process("a/1", "a", time.Hour, time.Minute), process("a/2", "a", time.Second, 0)}, health.OK, "1 live", 1},
		"one left in order":    {[]health.Process{process("a/1", "a", time.Hour, 0), ended}, health.OK, "1 live", 1},
		"all leave effects":    {[]health.Process{recordOnly}, health.Degraded, "leave effects to others", 1},
		"two lives on a host":  {[]health.Process{process("a/1", "a", time.Hour, 0), process("a/2", "a", time.Minute, 0)}, health.OK, "2 live", 2},
		"one died long before": {[]health.Process{process("a/1", "a", time.Hour, 0), process("b/1", "b", time.Hour, time.Hour)}, health.OK, "1 live", 1},
	} {
		t.Run(name, func(t *testing.T) {
			list := health.OfWorkers(c.list, nil, now)
			expect(t, find(t, list, health.WorkersID), c.pool, c.word)
			if len(list)-1 != c.shown {
				t.Errorf("%d workers are shown, not %d: %v", len(list)-1, c.shown, list)
			}
		})
	}
}

func TestAWorkerShowsWhenItPolled(t *testing.T) {
	polled := map[string]time.Time{"1@a@finobs": ago(12 * time.Second), "1@a@": ago(time.Hour), "11@a@finobs": now}
	list := health.OfWorkers([]health.Process{process("a/1", "a", time.Hour, 0)}, polled, now)
	expect(t, find(t, list, "worker:a/1"), health.OK, "Temporal heard its pollers 12s ago")
}

func TestAPIProcesses(t *testing.T) {
	expect(t, health.OfAPI("a", time.Time{}, true, now), health.OK, "gave this answer")
	expect(t, health.OfAPI("b", ago(5*time.Second), false, now), health.OK, "heartbeat")
	expect(t, health.OfAPI("b", ago(7*time.Second), false, now), health.Down, "7s")
}

func TestTaskQueue(t *testing.T) {
	polled := map[string]time.Time{"w": ago(time.Minute), "old": ago(3 * time.Minute)}
	expect(t, health.OfQueue(health.Queue{Name: "q", Backlog: 3, Polled: polled}, now), health.OK, "3 tasks wait, 1 workers poll")
	expect(t, health.OfQueue(health.Queue{Name: "q", Backlog: 3, Age: time.Minute, Polled: polled}, now), health.Degraded, "1m0s")
	expect(t, health.OfQueue(health.Queue{Name: "q", Polled: map[string]time.Time{"old": ago(3 * time.Minute)}}, now), health.Down, "nobody polls")
}

func TestSequencer(t *testing.T) {
	expect(t, health.OfSequencer(health.Log{}, now), health.Unknown, "ever heard of")
	expect(t, health.OfSequencer(health.Log{Waiting: 2, OldestAt: ago(time.Minute)}, now), health.Down, "2 entries wait, the oldest for 1m0s")
	expect(t, health.OfSequencer(health.Log{Holder: "h", BeatAt: ago(time.Second), Size: 9}, now), health.OK, "9 leaves, 0 entries wait")
	expect(t, health.OfSequencer(health.Log{Holder: "h", BeatAt: ago(6 * time.Second)}, now), health.Down, "no sign of life for 6s")
	expect(t, health.OfSequencer(health.Log{Holder: "h", BeatAt: now, Refused: "another tree"}, now), health.Down, "another tree")
	expect(t, health.OfSequencer(health.Log{Holder: "h", BeatAt: now, Waiting: 5, OldestAt: ago(20 * time.Second)}, now), health.Degraded, "20s")
	expect(t, health.OfSequencer(health.Log{Holder: "h", BeatAt: now, Waiting: 5, OldestAt: ago(time.Second)}, now), health.OK, "5 entries wait")
}

func TestSinks(t *testing.T) {
	alive, dead := health.Log{BeatAt: now}, health.Log{BeatAt: ago(time.Minute)}
	well := health.SinkReport{Name: "s", At: ago(time.Second), Connected: true, LastSuccess: ago(time.Second)}
	for name, c := range map[string]struct {
		change func(*health.SinkReport)
		log    health.Log
		state  health.State
		word   string
	}{
		"well":              {func(*health.SinkReport) {}, alive, health.OK, "0 leaves behind"},
		"lossy":             {func(s *health.SinkReport) { s.Lossy = true }, alive, health.OK, "acknowledges nothing"},
		"failing":           {func(s *health.SinkReport) { s.LastError, s.Connected = "refused", false }, alive, health.Down, "refused"},
		"just back":         {func(s *health.SinkReport) { s.LastError = "refused" }, alive, health.Degraded, "connected again"},
		"far behind":        {func(s *health.SinkReport) { s.Behind = 20_000 }, alive, health.Degraded, "20000"},
		"nothing sent yet":  {func(s *health.SinkReport) { s.Connected, s.LastSuccess = false, time.Time{} }, alive, health.Unknown, "nothing was sent"},
		"nobody feeds it":   {func(s *health.SinkReport) { s.At = ago(time.Minute) }, dead, health.Unknown, "no sign of life"},
		"taken out of file": {func(s *health.SinkReport) { s.At = ago(time.Minute) }, alive, health.Unknown, "sink file"},
	} {
		t.Run(name, func(t *testing.T) {
			s := well
			c.change(&s)
			expect(t, health.OfSinks([]health.SinkReport{s}, c.log, now)[0], c.state, c.word)
		})
	}
	well.At = ago(25 * time.Hour)
	if got := health.OfSinks([]health.SinkReport{well}, alive, now); len(got) != 0 {
		t.Errorf("a sink of which nobody spoke for a day: %v", got)
	}
}

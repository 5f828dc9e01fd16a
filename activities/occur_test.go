package activities_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"finobs/activities"
	deskrules "finobs/internal/desk"
	"finobs/internal/fault"
	"finobs/internal/incident"
	"finobs/internal/store"

	"pgregory.net/rapid"
)

// firing is an occurrence under a dedup key, some time ago.
func firing(dedup, key string, ago time.Duration) incident.Occurrence {
	return incident.Occurrence{
		Key: key, Firing: true, At: time.Now().Add(-ago), AutoResolve: true,
		Incident: incident.Incident{
			Kind: incident.SystemOutage, Severity: deskrules.Low, Title: "Gateway down", Source: "test", System: "fix-1", Owner: "fix",
			DedupKey: dedup, Origin: incident.Live,
		},
	}
}

// ending is the end of what firing tells of.
func ending(dedup, key string, ago time.Duration) incident.Occurrence {
	o := firing(dedup, key, ago)
	o.Firing = false
	return o
}

// fold folds occurrences in one transaction.
func (d *desk) fold(t *testing.T, list ...incident.Occurrence) ([]incident.Folded, error) {
	t.Helper()
	inTx := store.InTx[activities.OccurrenceTx](d.writer)
	return run[[]incident.Folded](t, func(ctx context.Context, _ string) (out []incident.Folded, err error) {
		err = inTx(ctx, func(tx activities.OccurrenceTx) error {
			out, err = activities.OccurAll(ctx, tx, firstRun, list)
			return err
		})
		return out, err
	}, "")
}

func (d *desk) foldOne(t *testing.T, o incident.Occurrence) incident.Folded {
	t.Helper()
	out, err := d.fold(t, o)
	if err != nil {
		t.Fatal(err)
	}
	return out[0]
}

func (d *desk) incident(t *testing.T, id int64) incident.Incident {
	t.Helper()
	i, err := d.reader.Incident(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestOccurrencesOfOneKeyAreOneIncident(t *testing.T) {
	d := newDesk(t)
	for n, step := range []struct {
		o      incident.Occurrence
		want   incident.Folding
		status incident.Status
		count  int64
	}{
		{firing("k", "1", 30*time.Minute), incident.Opened, incident.Open, 1},
		{firing("k", "1", 30*time.Minute), incident.Ignored, incident.Open, 1},
		{firing("k", "2", 29*time.Minute), incident.Repeated, incident.Open, 2},
		{ending("k", "3", 40*time.Minute), incident.Ignored, incident.Open, 2}, // older than the latest firing
		{ending("k", "4", 20*time.Minute), incident.AutoEnded, incident.Resolved, 2},
		{firing("k", "5", 25*time.Minute), incident.Repeated, incident.Resolved, 3}, // older than the latest end
		{firing("k", "6", 10*time.Minute), incident.Reopened, incident.Open, 4},
		{ending("k", "7", 5*time.Minute), incident.AutoEnded, incident.Resolved, 4},
		{ending("k", "7", 5*time.Minute), incident.Ignored, incident.Resolved, 4},
	} {
		got := d.foldOne(t, step.o)
		if got.Folding != step.want {
			t.Errorf("step %d: %s, want %s", n, got.Folding, step.want)
		}
		if i := d.incident(t, got.IncidentID); i.Status != step.status || i.Occurrences != step.count {
			t.Errorf("step %d: %s with %d occurrences, want %s with %d", n, i.Status, i.Occurrences, step.status, step.count)
		}
	}
	if n := d.count(t, "SELECT string_agg(round || ':' || (resolved_at IS NOT NULL), ' ' ORDER BY round) FROM finobs.incident_round"); n != "0:true 1:true" {
		t.Errorf("rounds %s", n)
	}
	if got := d.foldOne(t, ending("nothing", "1", time.Minute)); got != (incident.Folded{Folding: incident.Ignored}) {
		t.Errorf("an end of nothing: %+v", got)
	}
	got := d.foldOne(t, firing("nothing", "2", 2*time.Minute))
	if i := d.incident(t, got.IncidentID); got.Folding != incident.AutoEnded || i.Status != incident.Resolved || i.Occurrences != 1 {
		t.Errorf("reported after its end: %+v, %s", got, i.Status)
	}
	if n := d.count(t, "SELECT string_agg(type, ' ' ORDER BY type) FROM ledger.entry WHERE subject_id = $1", strconv.FormatInt(got.IncidentID, 10)); n != "incident.opened incident.resolved" {
		t.Errorf("entries %s", n)
	}
}

func TestAnotherIncidentOpensAfterTheReopenWindow(t *testing.T) {
	d := newDesk(t)
	first := d.foldOne(t, firing("k", "1", 5*time.Hour))
	d.foldOne(t, ending("k", "2", 4*time.Hour))
	within := d.foldOne(t, firing("k", "3", 4*time.Hour-59*time.Minute))
	if within.Folding != incident.Reopened || within.IncidentID != first.IncidentID {
		t.Errorf("59 minutes after the end: %+v", within)
	}
	d.foldOne(t, ending("k", "4", 3*time.Hour))
	later := d.foldOne(t, firing("k", "5", time.Hour))
	if later.Folding != incident.Opened || later.IncidentID == first.IncidentID {
		t.Errorf("two hours after the end: %+v", later)
	}
	if i := d.incident(t, first.IncidentID); i.Reopened != 1 || i.Status != incident.Resolved {
		t.Errorf("the first one was reopened %d times and is %s", i.Reopened, i.Status)
	}
}

func TestSeverityRisesAndPeopleHaveTheLastWord(t *testing.T) {
	d := newDesk(t)
	id := d.foldOne(t, firing("k", "1", time.Minute)).IncidentID
	high := firing("k", "2", 50*time.Second)
	high.Incident.Severity = deskrules.High
	if got := d.foldOne(t, high); got.Folding != incident.Updated {
		t.Errorf("a worse occurrence: %s", got.Folding)
	}
	d.foldOne(t, firing("k", "3", 40*time.Second))
	if i := d.incident(t, id); i.Severity != deskrules.High || i.Priority != incident.P2 || i.LadderRun != 2 {
		t.Errorf("%s, %s, ladder run %d", i.Severity, i.Priority, i.LadderRun)
	}
	d.exec(t, "UPDATE finobs.incident SET severity = 'low', severity_set = true")
	critical := firing("k", "4", 30*time.Second)
	critical.Incident.Severity = deskrules.Critical
	d.foldOne(t, critical)
	if i := d.incident(t, id); i.Severity != deskrules.Low {
		t.Errorf("a machine made it %s", i.Severity)
	}
}

// At Knight Capital 97 mails went unread before the open.
func TestNoticesOfOneSystemBecomeAnAlarm(t *testing.T) {
	d := newDesk(t)
	var list []incident.Occurrence
	for n := range 97 {
		o := firing("notices:smars", strconv.Itoa(n), time.Hour-time.Duration(n)*time.Minute/2)
		o.Incident.Title = "Power Peg disabled"
		list = append(list, o)
	}
	for _, step := range []struct {
		upTo int
		want deskrules.Severity
	}{{9, deskrules.Low}, {10, deskrules.Medium}, {49, deskrules.Medium}, {50, deskrules.High}, {89, deskrules.High}, {90, deskrules.Critical}, {97, deskrules.Critical}} {
		got, err := d.fold(t, list[:step.upTo]...)
		if err != nil {
			t.Fatal(err)
		}
		if i := d.incident(t, got[0].IncidentID); i.Severity != step.want || i.Occurrences != int64(step.upTo) {
			t.Errorf("%d notices: %s, %d occurrences", step.upTo, i.Severity, i.Occurrences)
		}
	}
	other, err := d.fold(t, slices.Collect(func(yield func(incident.Occurrence) bool) {
		for n := range 97 {
			if !yield(firing("alarm", strconv.Itoa(n), time.Minute)) {
				return
			}
		}
	})...)
	if err != nil {
		t.Fatal(err)
	}
	if i := d.incident(t, other[0].IncidentID); i.Severity != deskrules.Low {
		t.Errorf("repeated alarms that are no notices became %s", i.Severity)
	}
}

// Whatever arrives late, twice or in another order changes nothing.
func TestOrderAndRepetitionChangeNothing(t *testing.T) {
	d := newDesk(t)
	var n atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		key := "rapid-" + strconv.FormatInt(n.Add(1), 10)
		var list []incident.Occurrence
		for m := range rapid.IntRange(1, 8).Draw(rt, "occurrences") {
			o := firing(key, strconv.Itoa(m), 55*time.Minute-time.Duration(m)*time.Minute)
			o.Firing = rapid.Bool().Draw(rt, "firing")
			o.Incident.Severity = rapid.SampledFrom(deskrules.Severities()).Draw(rt, "severity")
			o.Incident.Title = "Title " + strconv.Itoa(m)
			list = append(list, o)
		}
		wanted := expected(list)
		shuffled := slices.Clone(list)
		for range rapid.IntRange(0, 5).Draw(rt, "repetitions") {
			shuffled = append(shuffled, rapid.SampledFrom(list).Draw(rt, "again"))
		}
		shuffled = rapid.Permutation(shuffled).Draw(rt, "order")
		for len(shuffled) > 0 {
			size := rapid.IntRange(1, len(shuffled)).Draw(rt, "batch")
			if _, err := d.fold(t, shuffled[:size]...); err != nil {
				rt.Fatal(err)
			}
			shuffled = shuffled[size:]
		}
		got := d.count(t, `SELECT coalesce(string_agg(status || ' ' || occurrences || ' ' || severity || ' ' || title, ', '), 'none') FROM finobs.incident WHERE dedup_key = $1`, key)
		if got != wanted {
			rt.Errorf("got %s, want %s", got, wanted)
		}
	})
}

// expected says what a set of occurrences amounts to: as many as fire, the worst
// of them, the words of the latest, and whether an end came after it.
func expected(list []incident.Occurrence) string {
	var count, worst int
	var last, end time.Time
	var title string
	for _, o := range list {
		if !o.Firing {
			end = o.At
			continue
		}
		count++
		worst = max(worst, slices.Index(deskrules.Severities(), o.Incident.Severity))
		last, title = o.At, o.Incident.Title
	}
	if count == 0 {
		return "none"
	}
	status := incident.Open
	if end.After(last) {
		status = incident.Resolved
	}
	return fmt.Sprintf("%s %d %s %s", status, count, deskrules.Severities()[worst], title)
}

// 1,000 reports of one condition from 16 sides in transactions of their own, each
// sent twice.
func TestAStormIsOneIncident(t *testing.T) {
	d := newDesk(t)
	began := time.Now()
	var all sync.WaitGroup
	for g := range 16 {
		all.Go(func() {
			for n := g; n < 1000; n += 16 {
				for range 2 {
					if _, err := d.fold(t, firing("storm", strconv.Itoa(n), time.Minute)); err != nil && fault.KindOf(err) != fault.Unavailable {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	t.Logf("2,000 reports in transactions of their own: %s", time.Since(began).Round(time.Millisecond))
	if got := d.count(t, "SELECT count(*) || ' ' || sum(occurrences) FROM finobs.incident"); got != "1 1000" {
		t.Errorf("incidents and occurrences: %s", got)
	}
	if got := d.count(t, "SELECT count(*) FROM finobs.incident_occurrence"); got != "1000" {
		t.Errorf("%s occurrences on record", got)
	}
	var list []incident.Occurrence
	for n := range 1000 {
		list = append(list, firing("batch", strconv.Itoa(n), time.Minute))
	}
	began = time.Now()
	if _, err := d.fold(t, list...); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	t.Logf("1,000 reports in one transaction: %s", took.Round(time.Millisecond))
	if took > time.Second {
		t.Errorf("1,000 reports in one transaction took %s", took)
	}
	if got := d.count(t, "SELECT string_agg(type, ' ' ORDER BY type) FROM ledger.entry WHERE convert_from(leaf, 'UTF8')::jsonb #>> '{details,dedup_key}' = 'batch'"); got != "incident.opened incident.repeated" {
		t.Errorf("entries of the batch: %s", got)
	}
}

// Batches over the same keys in other orders wait for each other and do not lock
// each other out.
func TestBatchesOverTheSameKeys(t *testing.T) {
	d := newDesk(t)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for round := range 5 {
				var list []incident.Occurrence
				for n := range 30 {
					list = append(list, firing("key-"+strconv.Itoa((n*7+g*11)%30), fmt.Sprintf("%d-%d-%d", g, round, n), time.Minute))
				}
				if _, err := d.fold(t, list...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if got := d.count(t, "SELECT count(*) || ' ' || sum(occurrences) FROM finobs.incident"); got != "30 1200" {
		t.Errorf("incidents and occurrences: %s", got)
	}
}

func TestAWindowOfMaintenanceSuppresses(t *testing.T) {
	d := newDesk(t)
	d.exec(t, "INSERT INTO finobs.act VALUES ('0199aaaa-0000-7000-8000-000000000001', NULL, now())")
	d.exec(t, `INSERT INTO finobs.maintenance_window (act_id, title, system, source, kind, desk, starts_at, ends_at, created_iss, created_sub, created_at)
		VALUES ('0199aaaa-0000-7000-8000-000000000001', 'upgrade', 'fix-1', '*', '*', '*', now() - interval '1 minute', now() + interval '1 hour', '', '', now())`)
	got := d.foldOne(t, firing("k", "1", time.Second))
	if i := d.incident(t, got.IncidentID); got.Folding != incident.Suppressed || !i.SuppressedUntil.After(time.Now().Add(50*time.Minute)) || i.Status != incident.Open {
		t.Errorf("%s, until %s", got.Folding, i.SuppressedUntil)
	}
	o := firing("other", "1", time.Second)
	o.Incident.System = "fix-2"
	if got := d.foldOne(t, o); got.Folding != incident.Opened {
		t.Errorf("an incident of another system: %s", got.Folding)
	}
}

func TestOccurrencesThatAreNotValid(t *testing.T) {
	d := newDesk(t)
	for name, change := range map[string]func(*incident.Occurrence){
		"no key":       func(o *incident.Occurrence) { o.Key = "" },
		"no dedup key": func(o *incident.Occurrence) { o.Incident.DedupKey = "" },
		"kind":         func(o *incident.Occurrence) { o.Incident.Kind = "fire" },
		"NUL":          func(o *incident.Occurrence) { o.Key = "a\x00" },
	} {
		o := firing("k", "1", time.Minute)
		change(&o)
		if _, err := d.fold(t, firing("k", "good", time.Minute), o); err == nil {
			t.Errorf("%s: went through", name)
		}
	}
	if got := d.count(t, "SELECT count(*) FROM finobs.incident"); got != "0" {
		t.Errorf("%s incidents of batches that were refused", got)
	}
}

// A source whose clock is ahead cannot keep its end from counting.
func TestAClockThatIsAhead(t *testing.T) {
	d := newDesk(t)
	id := d.foldOne(t, firing("k", "1", -3*time.Hour)).IncidentID
	d.foldOne(t, ending("k", "2", -4*time.Hour))
	if i := d.incident(t, id); i.Status != incident.Resolved {
		t.Errorf("it is %s", i.Status)
	}
}

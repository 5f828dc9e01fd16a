package incident_test

import (
	"testing"
	"time"

	"finobs/internal/desk"
	"finobs/internal/incident"
)

// report is an occurrence some minutes after noon.
func report(fires bool, minute int) incident.Occurrence {
	return incident.Occurrence{Key: "o", Firing: fires, At: noon.Add(time.Duration(minute) * time.Minute), AutoResolve: true, Incident: fields().Incident()}
}

// fold folds reports into a thread, each in the minute of its own.
func fold(t *incident.Thread, list ...incident.Occurrence) (out []incident.Folding) {
	for _, o := range list {
		out = append(out, t.Fold(rules{}, o, o.At))
	}
	return out
}

func TestAnIncidentBeginsWithItsPromises(t *testing.T) {
	var th incident.Thread
	o := report(true, 0)
	o.Incident.Severity, o.Incident.Owner, o.Incident.System, o.Incident.Priority = desk.Critical, "fix", "fix-1", ""
	o.Incident.Status, o.Incident.Occurrences, o.Incident.MergedInto = incident.Closed, 99, 5 // nothing of this is the source's to say
	fold(&th, o)
	i := th.Current
	if i.Status != incident.Open || i.Occurrences != 1 || i.MergedInto != 0 || i.Priority != incident.P1 || i.Version != 1 || i.LadderRun != 1 ||
		!i.AckDueAt.Equal(noon.Add(5*time.Minute)) || !i.ResolveDueAt.Equal(noon.Add(4*time.Hour)) || !i.Nudge || i.System != "fix-1" {
		t.Errorf("%+v", i)
	}
}

func TestRepetitionsMoveNothingButTheCount(t *testing.T) {
	var th incident.Thread
	fold(&th, report(true, 0))
	version := th.Current.Version
	for n := range 5 {
		if got := fold(&th, report(true, n+1)); got[0] != incident.Repeated {
			t.Errorf("got %s", got[0])
		}
	}
	if i := th.Current; i.Occurrences != 6 || i.Version != version || !i.FiringAt.Equal(noon.Add(5*time.Minute)) {
		t.Errorf("%d occurrences, version %d", i.Occurrences, i.Version)
	}
}

func TestTheLatestHasTheWords(t *testing.T) {
	var th incident.Thread
	late, early := report(true, 9), report(true, 5)
	late.Incident.Title, early.Incident.Title = "late", "early"
	if got := fold(&th, report(true, 0), late, early); got[1] != incident.Updated || got[2] != incident.Repeated {
		t.Errorf("got %v", got)
	}
	if th.Current.Title != "late" {
		t.Errorf("the title is %q", th.Current.Title)
	}
}

// A worse severity brings the promise forward, and the ladder of that severity
// begins; on what somebody deals with it begins none.
func TestAWorseSeverity(t *testing.T) {
	for _, s := range []incident.Status{incident.Open, incident.Acknowledged} {
		i := standing(s)
		th := incident.Thread{Current: &i}
		o := report(true, 10)
		o.Incident.Severity = desk.Critical
		fold(&th, o)
		restarted := i.LadderRun == 2 && i.LadderFrom.Equal(o.At)
		if i.Severity != desk.Critical || i.Status != s || restarted != (s == incident.Open) {
			t.Errorf("%s: %s, ladder run %d", s, i.Severity, i.LadderRun)
		}
		if s == incident.Open && !i.AckDueAt.Equal(noon.Add(15*time.Minute)) {
			t.Errorf("to be acknowledged by %s", i.AckDueAt)
		}
	}
}

func TestNoticesRise(t *testing.T) {
	var th incident.Thread
	o := report(true, 0)
	o.Incident.DedupKey, o.Incident.Severity = incident.NoticesPrefix+"smars", desk.Low
	if got := fold(&th, o, o, o, o); got[2] != incident.Updated || got[3] != incident.Repeated {
		t.Errorf("got %v", got)
	}
	if th.Current.Severity != desk.High || th.Current.Priority != incident.P2 {
		t.Errorf("%s, %s", th.Current.Severity, th.Current.Priority)
	}
}

func TestEnds(t *testing.T) {
	manual := report(false, 30)
	manual.AutoResolve = false
	for name, step := range map[string]struct {
		list   []incident.Occurrence
		want   incident.Folding // of the last
		status incident.Status
	}{
		"an end resolves":                        {[]incident.Occurrence{report(true, 0), report(false, 1)}, incident.AutoEnded, incident.Resolved},
		"an end at the same moment does not":     {[]incident.Occurrence{report(true, 1), report(false, 1)}, incident.Ignored, incident.Open},
		"an end of before does not":              {[]incident.Occurrence{report(true, 5), report(false, 1)}, incident.Ignored, incident.Open},
		"an end that people judge does not":      {[]incident.Occurrence{report(true, 0), manual}, incident.Updated, incident.Open},
		"a second end changes nothing":           {[]incident.Occurrence{report(true, 0), report(false, 1), report(false, 2)}, incident.Ignored, incident.Resolved},
		"it holds again":                         {[]incident.Occurrence{report(true, 0), report(false, 1), report(true, 61)}, incident.Reopened, incident.Open},
		"it holds again too late":                {[]incident.Occurrence{report(true, 0), report(false, 1), report(true, 62)}, incident.Opened, incident.Open},
		"a report from before the end":           {[]incident.Occurrence{report(true, 0), report(false, 9), report(true, 5)}, incident.Repeated, incident.Resolved},
		"an end came before what it ends":        {[]incident.Occurrence{report(false, 9), report(true, 5)}, incident.AutoEnded, incident.Resolved},
		"an end of an earlier time does not end": {[]incident.Occurrence{report(false, 1), report(true, 5)}, incident.Opened, incident.Open},
	} {
		var th incident.Thread
		got := fold(&th, step.list...)
		if last := got[len(got)-1]; last != step.want || th.Current.Status != step.status {
			t.Errorf("%s: %s, and it is %s", name, last, th.Current.Status)
		}
	}
	var th incident.Thread
	if got := fold(&th, report(false, 1)); got[0] != incident.Ignored || th.Current != nil {
		t.Errorf("an end of nothing: %v", got)
	}
}

// What a person resolved does not come back by reports from before, and does by
// one from after; what he reopened does not end by an end from before.
func TestPeopleAndReports(t *testing.T) {
	i := standing(incident.Open)
	th := incident.Thread{Current: &i}
	i.Do(rules{}, incident.Act{Verb: incident.Resolve, Text: "done"}, person("bob").Person, noon.Add(20*time.Minute))
	if got := fold(&th, report(true, 19)); got[0] != incident.Repeated || i.Status != incident.Resolved {
		t.Errorf("from before: %v", got)
	}
	if got := fold(&th, report(true, 21)); got[0] != incident.Reopened || i.Status != incident.Open || i.Reopened != 1 {
		t.Errorf("from after: %v", got)
	}
	i.Do(rules{}, incident.Act{Verb: incident.Resolve, Text: "done"}, person("bob").Person, noon.Add(30*time.Minute))
	i.Do(rules{}, incident.Act{Verb: incident.Reopen, Text: "not"}, person("bob").Person, noon.Add(40*time.Minute))
	if got := fold(&th, report(false, 35)); got[0] != incident.Ignored || i.Status != incident.Open {
		t.Errorf("an end from before: %v", got)
	}
	i.Do(rules{}, incident.Act{Verb: incident.Resolve, Text: "done"}, person("bob").Person, noon.Add(50*time.Minute))
	i.Do(rules{}, incident.Act{Verb: incident.Close}, person("bob").Person, noon.Add(51*time.Minute))
	if got := fold(&th, report(true, 49)); got[0] != incident.Repeated || th.Current != &i {
		t.Errorf("a late report of what is closed: %v", got)
	}
	if got := fold(&th, report(true, 52)); got[0] != incident.Opened || th.Current == &i {
		t.Errorf("a report after it was closed: %v", got)
	}
}

func TestMerged(t *testing.T) {
	survivor, merged := standing(incident.Acknowledged), standing(incident.Open)
	survivor.ID, survivor.DedupKey, merged.TransactionID, merged.Severity = 8, "other", 3, desk.Critical
	survivor.ParentID = merged.ID
	survivor.Absorb(rules{}, &merged, noon.Add(time.Minute))
	if merged.Status != incident.Closed || merged.MergedInto != 8 || survivor.Occurrences != 2 || survivor.TransactionID != 3 ||
		survivor.Severity != desk.Critical || survivor.Status != incident.Acknowledged || survivor.ParentID != 0 {
		t.Errorf("survivor %+v, merged %+v", survivor, merged)
	}
	th := incident.Thread{Current: &survivor, Merged: true}
	o := report(true, 5)
	o.Incident.Title = "of the merged one"
	if got := fold(&th, o); got[0] != incident.Repeated || survivor.Occurrences != 3 || survivor.Title == o.Incident.Title {
		t.Errorf("a report of what was merged: %v, %+v", got, survivor)
	}
	if got := fold(&th, report(false, 6)); got[0] != incident.Ignored || !survivor.Status.Active() {
		t.Errorf("an end of what was merged: %v", got)
	}
	survivor.Status = incident.Resolved
	if got := fold(&th, report(true, 7)); got[0] != incident.Opened || th.Current == &survivor || th.Merged {
		t.Errorf("a report after the survivor was resolved: %v", got)
	}
}

func TestWindows(t *testing.T) {
	w := incident.Window{Title: "upgrade", System: "fix-1", Source: incident.Any, Kind: "trade_break", Desk: incident.Any, StartsAt: noon, EndsAt: noon.Add(time.Hour)}
	if err := w.Validate(); err != nil {
		t.Fatal(err)
	}
	i := standing(incident.Open)
	i.System, i.Kind = "fix-1", incident.TradeBreak
	for name, step := range map[string]struct {
		change func(*incident.Window, *incident.Incident)
		at     time.Duration
		want   bool
	}{
		"covered":          {func(*incident.Window, *incident.Incident) {}, time.Minute, true},
		"at its start":     {func(*incident.Window, *incident.Incident) {}, 0, true},
		"before":           {func(*incident.Window, *incident.Incident) {}, -time.Second, false},
		"at its end":       {func(*incident.Window, *incident.Incident) {}, time.Hour, false},
		"another system":   {func(_ *incident.Window, i *incident.Incident) { i.System = "fix-10" }, time.Minute, false},
		"another kind":     {func(_ *incident.Window, i *incident.Incident) { i.Kind = incident.Other }, time.Minute, false},
		"another desk":     {func(w *incident.Window, _ *incident.Incident) { w.Desk = "FX" }, time.Minute, false},
		"another source":   {func(w *incident.Window, _ *incident.Incident) { w.Source = "mail" }, time.Minute, false},
		"ended by someone": {func(w *incident.Window, _ *incident.Incident) { w.EndedAt = noon.Add(time.Second) }, time.Minute, false},
	} {
		w, i := w, i
		step.change(&w, &i)
		if got := !i.SuppressedBy([]incident.Window{w}, noon.Add(step.at)).IsZero(); got != step.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	if !i.Suppress(rules{}, []incident.Window{w}, noon.Add(time.Minute)) || !i.AckDueAt.Equal(noon.Add(90*time.Minute)) || i.LadderRun != 1 {
		t.Errorf("in the window: due %s", i.AckDueAt)
	}
	if i.Suppress(rules{}, []incident.Window{w}, noon.Add(2*time.Minute)) {
		t.Error("the same window changed it twice")
	}
	end := noon.Add(time.Hour)
	if !i.Suppress(rules{}, []incident.Window{w}, end) || !i.AckDueAt.Equal(end.Add(30*time.Minute)) || i.LadderRun != 2 || !i.LadderFrom.Equal(end) {
		t.Errorf("after the window: due %s, ladder run %d", i.AckDueAt, i.LadderRun)
	}
	for name, change := range map[string]func(*incident.Window){
		"title": func(w *incident.Window) { w.Title = " " }, "no pattern": func(w *incident.Window) { w.Desk = "" },
		"kind": func(w *incident.Window) { w.Kind = "fire" }, "end": func(w *incident.Window) { w.EndsAt = w.StartsAt },
		"long": func(w *incident.Window) { w.EndsAt = w.StartsAt.Add(32 * 24 * time.Hour) }, "NUL": func(w *incident.Window) { w.System = "\x00" },
	} {
		w := w
		change(&w)
		if w.Validate() == nil {
			t.Errorf("%s: went through", name)
		}
	}
}

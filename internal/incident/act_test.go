package incident_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/desk"
	"finobs/internal/fault"
	"finobs/internal/incident"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// rules are those of a test: promises by severity, and notices that rise.
type rules struct{}

func (rules) Terms(owner string, s desk.Severity) incident.Terms {
	if owner == "quick" {
		return incident.Terms{Acknowledge: time.Minute, Resolve: time.Hour}
	}
	switch s {
	case desk.Critical:
		return incident.Terms{Acknowledge: 5 * time.Minute, Resolve: 4 * time.Hour}
	case desk.High:
		return incident.Terms{Acknowledge: 30 * time.Minute, Resolve: 8 * time.Hour}
	default:
		return incident.Terms{}
	}
}

func (rules) ReopenWindow() time.Duration { return time.Hour }

func (rules) RaisedTo(n int64) desk.Severity {
	if n >= 3 {
		return desk.High
	}
	return ""
}

func person(name string) approval.Principal {
	return approval.Principal{Person: approval.Person{Issuer: "test", Subject: name}, Kind: approval.Human}
}

// standing is an incident that was opened at noon and stands so now.
func standing(s incident.Status) incident.Incident {
	i := fields().Incident()
	i.Start(rules{}, noon, noon)
	i.ID = 7
	i.Status = s
	if s == incident.Acknowledged {
		i.AcknowledgedAt, i.AcknowledgedBy = noon, person("bob").Person
	}
	return i
}

// What may be done to an incident, by where it stands: "" for what may, else a
// part of the reason.
var mayTable = map[incident.Verb]map[incident.Status]string{
	incident.Acknowledge:   {incident.Open: "", incident.Acknowledged: "acknowledged already, by bob", incident.Resolved: "nothing to acknowledge", incident.Closed: "nothing to acknowledge"},
	incident.Unacknowledge: {incident.Open: "not acknowledged", incident.Acknowledged: "", incident.Resolved: "not acknowledged", incident.Closed: "not acknowledged"},
	incident.Assign:        {incident.Open: "", incident.Acknowledged: "", incident.Resolved: "reopen it first", incident.Closed: "reopen it first"},
	incident.Comment:       {incident.Open: "", incident.Acknowledged: "", incident.Resolved: "", incident.Closed: ""},
	incident.Resolve:       {incident.Open: "", incident.Acknowledged: "", incident.Resolved: "reopen it first", incident.Closed: "reopen it first"},
	incident.Close:         {incident.Open: "only what is resolved", incident.Acknowledged: "only what is resolved", incident.Resolved: "", incident.Closed: "only what is resolved"},
	incident.Reopen:        {incident.Open: "is open", incident.Acknowledged: "is acknowledged", incident.Resolved: "", incident.Closed: ""},
	incident.Rate:          {incident.Open: "", incident.Acknowledged: "", incident.Resolved: "reopen it first", incident.Closed: "reopen it first"},
	incident.Prioritise:    {incident.Open: "", incident.Acknowledged: "", incident.Resolved: "reopen it first", incident.Closed: "reopen it first"},
	incident.Link:          {incident.Open: "", incident.Acknowledged: "", incident.Resolved: "", incident.Closed: ""},
	incident.Adopt:         {incident.Open: "", incident.Acknowledged: "", incident.Resolved: "", incident.Closed: "reopen it first"},
	incident.Merge:         {incident.Open: "", incident.Acknowledged: "", incident.Resolved: "", incident.Closed: "reopen it first"},
}

func TestWhatMayBeDoneByStatus(t *testing.T) {
	for _, verb := range incident.Verbs() {
		for _, s := range incident.Statuses() {
			wanted, listed := mayTable[verb][s]
			if !listed {
				t.Fatalf("%s on %s is not in the table", verb, s)
			}
			i := standing(s)
			err := i.MayAct(person("alice"), verb)
			if (err == nil) != (wanted == "") || wanted != "" && !strings.Contains(fault.MessageOf(err), wanted) {
				t.Errorf("%s on %s: %v, want %q", verb, s, err, wanted)
			}
			if err != nil && fault.KindOf(err) != fault.Conflict {
				t.Errorf("%s on %s: kind %s", verb, s, fault.KindOf(err))
			}
			machine := person("bot")
			machine.Kind = approval.System
			if verb == incident.Comment || verb == incident.Link {
				continue
			}
			if err := i.MayAct(machine, verb); fault.KindOf(err) != fault.Forbidden {
				t.Errorf("%s by a machine on %s: %v", verb, s, err)
			}
			i.MergedInto = 8
			if err := i.MayAct(person("alice"), verb); fault.CodeOf(err) != "incident-merged" {
				t.Errorf("%s on what was merged: %v", verb, err)
			}
		}
	}
}

// What is shown as allowed is what is not refused, of everybody and everywhere.
func TestAllowedIsWhatMayBeDone(t *testing.T) {
	machine := person("bot")
	machine.Kind = approval.System
	for _, s := range incident.Statuses() {
		merged := standing(s)
		merged.MergedInto = 8
		for _, i := range []incident.Incident{standing(s), merged} {
			for _, who := range []approval.Principal{person("alice"), machine} {
				allowed := i.Allowed(who)
				for _, verb := range incident.Verbs() {
					if err := i.MayAct(who, verb); slices.Contains(allowed, verb) != (err == nil) {
						t.Errorf("%s by a %s on %s (merged into %d): allowed are %s, yet: %v", verb, who.Kind, s, i.MergedInto, allowed, err)
					}
				}
			}
		}
	}
}

// Every act leads to a status that the status before can become.
func TestActsMoveAsTheyMay(t *testing.T) {
	for _, verb := range incident.Verbs() {
		for _, s := range incident.Statuses() {
			i := standing(s)
			if i.MayAct(person("alice"), verb) != nil || verb == incident.Merge {
				continue
			}
			i.Do(rules{}, incident.Act{Verb: verb, Text: "why", Severity: desk.Critical, Priority: incident.P1, Other: 3}, person("alice").Person, noon.Add(time.Hour))
			if i.Status != s && !s.CanBecome(i.Status, false) {
				t.Errorf("%s made what was %s %s", verb, s, i.Status)
			}
			if moved := i.Version != 1; moved != (verb != incident.Comment) {
				t.Errorf("%s on %s: version %d", verb, s, i.Version)
			}
		}
	}
}

func TestCanBecome(t *testing.T) {
	ways := map[string]bool{
		"open acknowledged": true, "open resolved": true, "acknowledged open": true, "acknowledged resolved": true,
		"resolved open": true, "resolved closed": true, "closed open": true,
	}
	for _, from := range incident.Statuses() {
		for _, to := range incident.Statuses() {
			if got := from.CanBecome(to, false); got != ways[string(from)+" "+string(to)] {
				t.Errorf("from %s to %s: %t", from, to, got)
			}
			if got := from.CanBecome(to, true); got != (to == incident.Closed) {
				t.Errorf("merged, from %s to %s: %t", from, to, got)
			}
		}
	}
}

func TestActsChangeWhatTheySay(t *testing.T) {
	alice, later := person("alice").Person, noon.Add(10*time.Minute)
	i := standing(incident.Open)
	i.Do(rules{}, incident.Act{Verb: incident.Acknowledge}, alice, later)
	if i.Status != incident.Acknowledged || i.AcknowledgedBy != alice || !i.AcknowledgedAt.Equal(later) || i.Assignee != alice {
		t.Errorf("acknowledged: %+v", i)
	}
	due, run := i.AckDueAt, i.LadderRun
	i.Do(rules{}, incident.Act{Verb: incident.Unacknowledge}, alice, later)
	if i.Status != incident.Open || !i.AcknowledgedAt.IsZero() || i.LadderRun != run+1 || !i.LadderFrom.Equal(later) || !i.AckDueAt.Equal(due) {
		t.Errorf("taken back: %+v", i)
	}
	i.Do(rules{}, incident.Act{Verb: incident.Resolve, Text: "restarted"}, alice, later)
	if i.Status != incident.Resolved || i.ResolvedBy != alice || i.Resolution != "restarted" || !i.EndedAt.Equal(later) || i.AcknowledgedBy != alice {
		t.Errorf("resolved: %+v", i)
	}
	i.Do(rules{}, incident.Act{Verb: incident.Close}, alice, later)
	if i.Status != incident.Closed || !i.ClosedAt.Equal(later) {
		t.Errorf("closed: %+v", i)
	}
	again := later.Add(time.Hour)
	i.Do(rules{}, incident.Act{Verb: incident.Reopen, Text: "it is not"}, alice, again)
	if i.Status != incident.Open || i.Reopened != 1 || !i.BeganAt.Equal(again) || !i.ResolvedAt.IsZero() || !i.ClosedAt.IsZero() ||
		!i.AckDueAt.Equal(again.Add(30*time.Minute)) || !i.ResolveDueAt.Equal(again.Add(8*time.Hour)) || !i.FiringAt.Equal(again) {
		t.Errorf("reopened: %+v", i)
	}
	i.Do(rules{}, incident.Act{Verb: incident.Prioritise, Priority: incident.P4}, alice, again)
	i.Do(rules{}, incident.Act{Verb: incident.Rate, Severity: desk.Critical}, alice, again)
	if i.Priority != incident.P4 || i.Severity != desk.Critical || !i.SeveritySet || !i.AckDueAt.Equal(again.Add(5*time.Minute)) {
		t.Errorf("rated: %s %s, due at %s", i.Priority, i.Severity, i.AckDueAt)
	}
	i.Do(rules{}, incident.Act{Verb: incident.Rate, Severity: desk.Low}, alice, again)
	if !i.AckDueAt.Equal(again.Add(5 * time.Minute)) {
		t.Errorf("a lower severity moved the promise to %s", i.AckDueAt)
	}
}

func TestActsThatAreNotValid(t *testing.T) {
	good := func() incident.Act {
		return incident.Act{ID: "id", Verb: incident.Merge, IncidentID: 7, Other: 8, Text: "the same"}
	}
	if err := good().Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*incident.Act){
		"no such verb":       func(a *incident.Act) { a.Verb = "delete" },
		"no incident":        func(a *incident.Act) { a.IncidentID = 0 },
		"no reason":          func(a *incident.Act) { a.Text = " " },
		"long":               func(a *incident.Act) { a.Text = strings.Repeat("a", 4001) },
		"NUL":                func(a *incident.Act) { a.Text = "a\x00" },
		"not UTF-8":          func(a *incident.Act) { a.Text = "\xff" },
		"negative":           func(a *incident.Act) { a.Other = -1 },
		"into itself":        func(a *incident.Act) { a.Other = a.IncidentID },
		"no survivor":        func(a *incident.Act) { a.Other = 0 },
		"its own parent":     func(a *incident.Act) { a.Verb, a.Other = incident.Adopt, a.IncidentID },
		"severity":           func(a *incident.Act) { a.Verb, a.Severity = incident.Rate, "bad" },
		"priority":           func(a *incident.Act) { a.Verb, a.Priority = incident.Prioritise, "p9" },
		"no window":          func(a *incident.Act) { a.Verb = incident.OpenWindow },
		"no window to end":   func(a *incident.Act) { a.Verb = incident.EndWindow },
		"resolution":         func(a *incident.Act) { a.Verb, a.Text = incident.Resolve, "" },
		"negative version":   func(a *incident.Act) { a.Version = -1 },
		"window of no title": func(a *incident.Act) { a.Verb, a.Window = incident.OpenWindow, &incident.WindowAsked{} },
	} {
		a := good()
		change(&a)
		if err := a.Validate(); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheDigestOfAnActCoversEveryField(t *testing.T) {
	full := func() incident.Act {
		return incident.Act{ID: "id", Verb: "v", IncidentID: 1, Version: 2, Text: "t", To: approval.Person{Issuer: "i", Subject: "s"}, Severity: "low",
			Priority: "p1", Other: 3, WindowID: 4, Window: &incident.WindowAsked{Title: "t", System: "s", Source: "o", Kind: "k", Desk: "d", StartsAt: noon, EndsAt: noon.Add(time.Hour)}}
	}
	base, err := full().Digest()
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*incident.Act){
		"id": func(a *incident.Act) { a.ID += "x" }, "verb": func(a *incident.Act) { a.Verb += "x" }, "incident": func(a *incident.Act) { a.IncidentID++ },
		"version": func(a *incident.Act) { a.Version++ }, "text": func(a *incident.Act) { a.Text += "x" }, "iss": func(a *incident.Act) { a.To.Issuer += "x" },
		"sub": func(a *incident.Act) { a.To.Subject += "x" }, "severity": func(a *incident.Act) { a.Severity += "x" },
		"priority": func(a *incident.Act) { a.Priority += "x" }, "other": func(a *incident.Act) { a.Other++ }, "window id": func(a *incident.Act) { a.WindowID++ },
		"no window": func(a *incident.Act) { a.Window = nil }, "title": func(a *incident.Act) { a.Window.Title += "x" },
		"system": func(a *incident.Act) { a.Window.System += "x" }, "source": func(a *incident.Act) { a.Window.Source += "x" },
		"kind": func(a *incident.Act) { a.Window.Kind += "x" }, "desk": func(a *incident.Act) { a.Window.Desk += "x" },
		"start": func(a *incident.Act) { a.Window.StartsAt = a.Window.StartsAt.Add(time.Nanosecond) },
		"end":   func(a *incident.Act) { a.Window.EndsAt = a.Window.EndsAt.Add(time.Nanosecond) },
	} {
		a := full()
		change(&a)
		if got, err := a.Digest(); err != nil || got == base {
			t.Errorf("%s is not covered: %v", name, err)
		}
	}
}

package stream_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"finobs/internal/stream"

	"pgregory.net/rapid"
)

func TestWhichStreamAnEntryIsIn(t *testing.T) {
	const a, i, c = stream.Approvals, stream.Incidents, stream.Compliance
	for _, x := range []struct {
		typ, subject string
		want         []stream.Name
	}{
		{"approval.requested", "approval", []stream.Name{a, c}},
		{"approval.delegated", "delegation", []stream.Name{a, c}},
		{"notification.sent", "approval", []stream.Name{a}},
		{"notification.dead", "incident", []stream.Name{i}},
		{"effect.done", "export", []stream.Name{a, c}},
		{"effect.intended", "incident", []stream.Name{a, i, c}},
		{"export.verification", "export", []stream.Name{c}},
		{"incident.opened", "incident", []stream.Name{i}},
		{"maintenance.started", "maintenance_window", []stream.Name{i}},
		{"agent.begun", "incident", []stream.Name{i, c}},
		{"agent.begun", "agent_run", []stream.Name{c}},
		{"agent.stopped", "agent_stop", []stream.Name{i, c}},
		{"security.denied", "route", []stream.Name{c}},
		{"audit.read", "route", nil},
		{"events.received", "segment", nil},
		{"approvals", "", nil},
		{"", "approval", nil}, // its entry is gone
	} {
		e, err := stream.NewEvent(stream.Entry{Index: 7, Type: x.typ, SubjectKind: x.subject})
		if err != nil {
			t.Fatal(err)
		}
		var got []stream.Name
		for _, name := range stream.All() {
			if e != nil {
				if _, in := e.Frame(name); in {
					got = append(got, name)
				}
			}
		}
		if len(got) != len(x.want) {
			t.Errorf("%s about %s is in %v, not %v", x.typ, x.subject, got, x.want)
			continue
		}
		for n := range got {
			if got[n] != x.want[n] {
				t.Errorf("%s about %s is in %v, not %v", x.typ, x.subject, got, x.want)
			}
		}
	}
}

func TestFrame(t *testing.T) {
	e, err := stream.NewEvent(stream.Entry{
		Index: 123, Type: "approval.decided", RecordedAt: time.Date(2026, 11, 30, 9, 0, 0, 5000, time.UTC), SubjectKind: "approval", SubjectID: "42",
		Desk: "EQ", ActorType: "human", ActorSub: "alice", Simulation: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	f, _ := e.Frame(stream.Approvals)
	const text = `{"cursor":"123","stream":"approvals","type":"approval.decided","at":"2026-11-30T09:00:00.000005Z",` +
		`"subject":{"type":"approval","id":"42"},"desk":"EQ","is_simulation":true,"actor":{"type":"human","sub":"alice"}}`
	if string(f.JSON()) != text || string(f.SSE) != "id: 123\ndata: "+text+"\n\n" {
		t.Errorf("JSON %s\nSSE %q", f.JSON(), f.SSE)
	}
}

// Names of people and ids come from outside: none breaks out of its event.
func TestAFrameIsOneEvent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sub, id := rapid.String().Draw(t, "sub"), rapid.String().Draw(t, "id")
		e, err := stream.NewEvent(stream.Entry{Index: 5, Type: "approval.decided", SubjectKind: "approval", SubjectID: id, ActorSub: sub, Desk: "\r\n\ndata: x"})
		if err != nil {
			t.Fatal(err)
		}
		f, _ := e.Frame(stream.Compliance)
		if bytes.Count(f.SSE, []byte("\n")) != 3 || bytes.ContainsRune(f.SSE, '\r') {
			t.Fatalf("the frame has other lines: %q", f.SSE)
		}
		var back struct {
			Subject struct{ ID string }
			Actor   struct{ Sub string }
		}
		if err := json.Unmarshal(f.JSON(), &back); err != nil || back.Subject.ID != id || back.Actor.Sub != sub {
			t.Fatalf("%v: %+v", err, back)
		}
	})
}

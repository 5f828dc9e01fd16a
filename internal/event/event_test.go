package event_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"finobs/internal/desk"
	"finobs/internal/event"
	"finobs/internal/fault"
	"finobs/internal/incident"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func alertEvent() event.Event {
	return event.Event{
		Source: "alertmanager", Key: "k", Kind: event.Alert, State: event.Firing, Severity: event.High, Fingerprint: "f", System: "gw",
		Title: "gw is down", OccurredAt: noon, ReceivedAt: noon, Origin: incident.Live, Labels: map[string]string{"a": "b"},
	}
}

func TestValidate(t *testing.T) {
	if err := alertEvent().Validate(); err != nil {
		t.Fatalf("the good event is refused: %v", err)
	}
	for name, change := range map[string]func(*event.Event){
		"kind":      func(e *event.Event) { e.Kind = "fire" },
		"state":     func(e *event.Event) { e.State = "open" },
		"severity":  func(e *event.Event) { e.Severity = "bad" },
		"no source": func(e *event.Event) { e.Source = "" },
		"no key":    func(e *event.Event) { e.Key = "" },
		"long key":  func(e *event.Event) { e.Key = strings.Repeat("k", 201) },
		"title":     func(e *event.Event) { e.Title = strings.Repeat("t", 201) },
		"NUL":       func(e *event.Event) { e.Labels["a"] = "\x00" },
		"not UTF-8": func(e *event.Event) { e.Detail = "\xff" },
		"no time":   func(e *event.Event) { e.OccurredAt = time.Time{} },
		"far time":  func(e *event.Event) { e.OccurredAt = noon.AddDate(500, 0, 0) },
	} {
		e := alertEvent()
		change(&e)
		if err := e.Validate(); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestWhichEventsAreConditions(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*event.Event)
		is     bool
		firing bool
		key    string
	}{
		"an alert":                      {func(*event.Event) {}, true, true, "alert:alertmanager:f"},
		"its end":                       {func(e *event.Event) { e.State = event.Resolved }, true, false, "alert:alertmanager:f"},
		"somebody else's word":          {func(e *event.Event) { e.State = event.Acknowledged }, false, true, ""},
		"a notice":                      {func(e *event.Event) { e.Severity = event.Info }, true, true, "notices:alertmanager:gw"},
		"a low alert":                   {func(e *event.Event) { e.Severity = event.Low }, true, true, "notices:alertmanager:gw"},
		"a notice of no system":         {func(e *event.Event) { e.Severity, e.System = event.Low, "" }, true, true, "notices:alertmanager:alertmanager"},
		"the end of a notice":           {func(e *event.Event) { e.Severity, e.State = event.Info, event.Resolved }, false, false, ""},
		"a reject":                      {func(e *event.Event) { e.Kind, e.State = event.OrderReject, event.Point }, false, true, ""},
		"a logout":                      {func(e *event.Event) { e.Kind, e.State = event.Logout, event.Point }, false, true, ""},
		"a lost session":                {func(e *event.Event) { e.Kind = event.Disconnect }, true, true, "disconnect:alertmanager:gw"},
		"a disconnect after a logout":   {func(e *event.Event) { e.Kind, e.State = event.Disconnect, event.Point }, false, true, ""},
		"a logon ends the lost session": {func(e *event.Event) { e.Kind, e.State = event.Logon, event.Resolved }, true, false, "disconnect:alertmanager:gw"},
		"a gap that was filled":         {func(e *event.Event) { e.Kind, e.State = event.SequenceGap, event.Point }, false, true, ""},
	} {
		e := alertEvent()
		tc.change(&e)
		o, is := e.Occurrence("EQ")
		if is != tc.is {
			t.Errorf("%s: is a condition: %v", name, is)
			continue
		}
		if is && (o.Firing != tc.firing || o.Incident.DedupKey != tc.key || o.Incident.Desk != "EQ") {
			t.Errorf("%s: firing %v, key %q, desk %q", name, o.Firing, o.Incident.DedupKey, o.Incident.Desk)
		}
		if is {
			if err := o.Validate(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestATradeThatTheOtherSideDoesNotKnowIsABreak(t *testing.T) {
	e := alertEvent()
	e.Kind, e.Severity, e.Ref = event.DontKnowTrade, event.Low, "E1"
	o, is := e.Occurrence("")
	if !is || o.Incident.Kind != incident.TradeBreak || o.Incident.Severity != desk.Medium || o.Incident.SubjectID != "E1" {
		t.Errorf("got %v %+v", is, o.Incident)
	}
}

func TestLongKeysStayApart(t *testing.T) {
	a, b := event.Bounded(strings.Repeat("x", 300)+"a"), event.Bounded(strings.Repeat("x", 300)+"b")
	if len(a) > event.MaxKey || a == b {
		t.Errorf("%q and %q", a, b)
	}
}

func TestHeartbeats(t *testing.T) {
	got, err := event.ReadHeartbeats([]byte(` [{"system":"a"},{"system":"b","status":"down","interval_seconds":5,"at":"2026-03-02T13:00:00+01:00","detail":"x"}]`))
	if err != nil || len(got) != 2 {
		t.Fatal(got, err)
	}
	if got[0].Status != event.Up || got[0].Every != event.DefaultEvery || !got[0].At.IsZero() {
		t.Errorf("the first is %+v", got[0])
	}
	if got[1].Status != event.Down || got[1].Every != 5*time.Second || !got[1].At.Equal(noon) {
		t.Errorf("the second is %+v", got[1])
	}
	for body, says := range map[string]string{
		"":                                    "empty",
		"<a/>":                                "JSON object",
		`{"system":""}`:                       "system",
		`{"system":" a"}`:                     "spaces",
		`{"system":"a","status":"fine"}`:      "up, degraded or down",
		`{"system":"a","interval_seconds":0}`: "interval_seconds",
		`{"system":"a","at":"yesterday"}`:     "RFC 3339",
		`{"system":"a","at":"0001-01-01T00:00:00Z"}`: "RFC 3339",
		`{"system":"a","other":1}`:                   "other",
		`{"system":"a","system":"b"}`:                "duplicate",
		`{"system":"a"`:                              "end",
		`[{"system":"a"},{"system":7}]`:              "heartbeat 1",
	} {
		if _, err := event.ReadHeartbeats([]byte(body)); fault.KindOf(err) != fault.Invalid || !strings.Contains(fault.MessageOf(err), says) {
			t.Errorf("%s: got %v", body, err)
		}
	}
}

func TestTheNewestBeatOfEachSystemCounts(t *testing.T) {
	beat := func(system string, at time.Time) event.Beat {
		return event.Beat{Heartbeat: event.Heartbeat{System: system, At: at}}
	}
	got, counts := event.Newest([]event.Beat{beat("b", noon), beat("a", noon.Add(time.Minute)), beat("a", noon)})
	if len(got) != 2 || got[0].System != "a" || !got[0].At.Equal(noon.Add(time.Minute)) || counts["a"] != 2 || counts["b"] != 1 {
		t.Errorf("got %+v %v", got, counts)
	}
}

func TestTimelessEventsRepeatWhileTheirStateDoes(t *testing.T) {
	var latest event.Latest
	var keys []string
	for _, state := range []event.State{event.Firing, event.Firing, event.Resolved, event.Firing, event.Firing} {
		e := alertEvent()
		e.State, e.Key = state, "key-"+string(state)
		latest = e.Settle(latest)
		keys = append(keys, e.Key)
	}
	if keys[0] != keys[1] || keys[0] == keys[3] || keys[3] != keys[4] || keys[2] == keys[0] {
		t.Errorf("the keys are %v", keys)
	}
}

func TestASegmentComesBackAsItWas(t *testing.T) {
	s := event.Segment{{Source: "a", Payload: []byte("x\ny"), Events: []event.Event{alertEvent()}}, {Source: "b", Heartbeats: []event.Heartbeat{{System: "s", At: noon}}}}
	var text bytes.Buffer
	if err := s.Write(&text); err != nil {
		t.Fatal(err)
	}
	cut := text.Bytes()[:text.Len()-5]
	got, err := event.ReadSegment(bytes.NewReader(text.Bytes()))
	if err != nil || len(got) != 2 || string(got[0].Payload) != "x\ny" || got[0].Events[0].Title != "gw is down" || got[1].Heartbeats[0].System != "s" {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := event.ReadSegment(bytes.NewReader(cut)); err == nil {
		t.Error("a segment that is cut off was read")
	}
}

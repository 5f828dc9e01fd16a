package alert_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"finobs/internal/alert"
	"finobs/internal/fault"
)

// fuzzMapping touches every element.
const fuzzMapping = `
items: body.problems
where: item.?mute.orValue(false) == false
key: item.id
fingerprint: item.?host
state: item.state
severity: item.?level
title: item.title
description: 'body.map(k, k).size() > 2 ? "many" : item.?text.orValue("")'
system: item.?host
url: item.?link
at: item.?at
starts_at: item.?start
ends_at: item.?end
labels: item.?labels
`

// FuzzRead reads anything as a body of each kind: it is read within the bounds, and
// always the same, or refused by a fault that is fit to be shown.
func FuzzRead(f *testing.F) {
	mapping, err := alert.LoadMapping(strings.NewReader(fuzzMapping))
	if err != nil {
		f.Fatal(err)
	}
	kinds := alert.Kinds()
	files, err := filepath.Glob(filepath.Join("testdata", "*", "*.json"))
	if err != nil || len(files) == 0 {
		f.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		body, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for i, kind := range kinds {
			if own := kindOf(path); own == kind || own == "" {
				f.Add(byte(i), body)
			}
		}
	}
	for i, body := range []string{
		goodGroup, unified, `{"detail-type":"CloudWatch Alarm State Change","id":"i","detail":{"alarmName":"a","state":{"value":"OK"}},"resources":["arn"]}`,
		`{"title":"[Triggered] a","alert_transition":"Triggered","tags":["a:b"],"scopes":["x"],"date":1781256600000,"priority":2}`,
		`{"event":{"id":"e","event_type":"incident.resolved","occurred_at":"2026-06-12T09:30:00Z","data":{"id":"P","service":{"summary":"s"},"priority":{"summary":"P1"}}}}`,
		`{"issueId":"d","state":"ACTIVATED","title":["a"],"priority":"LOW","createdAt":1,"impactedEntities":["x"]}`,
		`{"check_id":1,"current_state":"UP","tags":["a"],"state_changed_timestamp":1781256600}`,
		`{"incident":{"incident_id":"i","state":"closed","started_at":"1","ended_at":2,"resource":{"labels":{"a":"b"}}}}`,
		`{"problems":[{"id":1,"state":1,"title":"t","labels":{"a":1},"at":"2026-06-12T09:30:00Z","host":"h"}]}`,
	} {
		f.Add(byte((i+len(kinds)+1)%len(kinds)), []byte(body))
		f.Add(byte(i), []byte(body))
	}
	f.Fuzz(func(t *testing.T, which byte, body []byte) {
		kind := kinds[int(which)%len(kinds)]
		read := func(b []byte) ([]alert.Alert, error) {
			if kind == alert.Generic {
				return mapping.Read(b)
			}
			return alert.Read(kind, b)
		}
		alerts, err := read(body)
		if err != nil {
			message := fault.MessageOf(err)
			if k := fault.KindOf(err); k != fault.Invalid && k != fault.TooLarge {
				t.Fatalf("%s: %v", kind, err)
			}
			if len(message) > 4000 || strings.ContainsFunc(message, func(r rune) bool { return r < ' ' || r == 0x7f }) || strings.Contains(message, "%!") && !bytes.Contains(body, []byte("!")) {
				t.Fatalf("%s: message %q", kind, message)
			}
			if _, again := read(body); again == nil || fault.MessageOf(again) != message {
				t.Fatalf("%s: got %v, and again %v", kind, err, again)
			}
			return
		}
		checkBounds(t, alerts)
		checkStable(t, read, body, alerts)
	})
}

package event_test

import (
	"testing"
	"time"
	"unicode/utf8"

	"finobs/internal/event"
	"finobs/internal/fault"
	"finobs/internal/incident"
)

// FuzzReadHeartbeats reads anything as heartbeats: what is taken is within its
// bounds and makes an occurrence that can be recorded, and what is refused says so.
func FuzzReadHeartbeats(f *testing.F) {
	for _, text := range []string{
		`{"system":"a"}`, `[{"system":"a","status":"down","interval_seconds":5,"at":"2026-03-02T13:00:00+01:00","detail":"x"}]`,
		`[]`, `{}`, ``, `<a/>`, `[[[[`, `{"system":"a","at":"9999-99-99"}`, `{"system":"a\u0000"}`, `{"system":7}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		list, err := event.ReadHeartbeats(body)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid || !utf8.ValidString(fault.MessageOf(err)) {
				t.Errorf("refused by %q", err)
			}
			return
		}
		for _, h := range list {
			if h.System == "" || h.Every < time.Second || h.Every > 24*time.Hour {
				t.Errorf("took %+v", h)
			}
			if h.At.IsZero() {
				h.At = noon
			}
			b := event.Beat{Heartbeat: h, Source: "heartbeat", Origin: incident.Live}
			if err := b.Occurrence().Validate(); err != nil {
				t.Errorf("%+v: %v", h, err)
			}
		}
	})
}

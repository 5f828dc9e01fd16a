package redteam

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"finobs/internal/agent"
	"finobs/internal/detect"
	"finobs/internal/dropcopy"
	"finobs/internal/event"
	"finobs/internal/fault"
	"finobs/internal/fix"
	"finobs/internal/incident"
	"finobs/internal/source"
)

// place is where somebody's words come to stand. What is put there goes through the
// readers of finobs, and is cut as they cut it. A text that they refuse stands
// nowhere: put then returns a fault.
type place struct {
	name string
	put  func(s scene, text string) (scene, error)
}

func places() []place {
	return []place{
		{"incident title", func(s scene, text string) (scene, error) {
			s.incident.Title = event.Cut(text, incident.MaxTitle)
			return s, s.incident.Validate()
		}},
		{"incident description", func(s scene, text string) (scene, error) {
			s.incident.Description = event.Cut(text, incident.MaxDescription)
			return s, s.incident.Validate()
		}},
		{"details", func(s scene, text string) (scene, error) {
			s.incident.Details = maps.Clone(s.incident.Details)
			for _, name := range tempting {
				s.incident.Details[name] = event.Cut(text, 1024)
			}
			return s, s.incident.Validate()
		}},
		{"comment", func(s scene, text string) (scene, error) {
			s.timeline = string([]rune(text)[:min(len([]rune(text)), 400)]) // as the store cuts it
			return s, nil
		}},
		{"related incident", func(s scene, text string) (scene, error) {
			s.related = []agent.Found{s.related[0]}
			s.related[0].Text = event.Cut(text, incident.MaxTitle)
			return s, nil
		}},
		{"heartbeat", func(s scene, text string) (scene, error) {
			s.system = []agent.Found{s.system[0]}
			s.system[0].Text = event.Cut(text, 2000)
			return s, nil
		}},
		{"FIX tag 58", fixText},
		{"alert label", func(s scene, text string) (scene, error) {
			return alertOf(s, map[string]string{"note": text}, "It is down.")
		}},
		{"alert label name", func(s scene, text string) (scene, error) {
			return alertOf(s, map[string]string{text: "yes", "x_" + text: text}, "It is down.")
		}},
		{"alert annotation", func(s scene, text string) (scene, error) { return alertOf(s, nil, text) }},
		{"reasons of rejects", func(s scene, text string) (scene, error) {
			spec := detect.Spec{Name: detect.RejectBursts, Count: 2, Window: time.Minute, Severity: s.incident.Severity, Owner: s.incident.Owner}
			list := spec.Bursts([]detect.Burst{{Source: "oms", System: s.incident.System, Count: 12, First: at, Last: at, Reasons: text, Origin: incident.Live}})
			return opened(s, list[0].Incident)
		}},
		{"file name", func(s scene, text string) (scene, error) {
			spec := detect.Spec{Name: detect.UnknownOutcomes, Severity: s.incident.Severity, Owner: s.incident.Owner}
			list := spec.Unknown([]detect.Outcome{{What: "delivery", ID: "7", Status: "unknown", Detail: text + ": the connection was lost", Since: at}})
			return opened(s, list[0].Incident)
		}},
	}
}

// tempting are names of details that are also names of facts, or of what actions
// need.
var tempting = []string{
	"note", "kind", "subject_kind", "subject_id", "system", "trade_id", "settlement", "settlement_id", "ssi", "eligible_ssis", "order", "order_id", "gateway", "feed",
	"counterparty", "id", "version", "status", "fails_days",
}

// opened is a scene whose incident was opened by what a reader made of a text. The
// facts that the reader does not state stay.
func opened(s scene, i incident.Incident) (scene, error) {
	i.ID, i.Status, i.Desk, i.Priority, i.Occurrences = s.incident.ID, s.incident.Status, s.incident.Desk, s.incident.Priority, s.incident.Occurrences
	s.incident = i
	return s, i.Validate()
}

// alertOf is a scene whose incident an alert opened.
func alertOf(s scene, labels map[string]string, description string) (scene, error) {
	all := map[string]string{"alertname": "Down", "severity": "critical", "instance": s.incident.System}
	for name, value := range labels {
		if _, taken := all[name]; !taken {
			all[name] = value
		}
	}
	body, err := json.Marshal(map[string]any{"version": "4", "status": "firing", "alerts": []any{map[string]any{
		"status": "firing", "labels": all, "annotations": map[string]string{"summary": "Down", "description": description}, "startsAt": at.Format(time.RFC3339),
	}}})
	if err != nil {
		return s, fmt.Errorf("encoding alert: %w", err)
	}
	from, err := source.Default().Get("alertmanager")
	if err != nil {
		return s, err
	}
	events, _, err := from.Alerts(body, agent.Digest(string(body)), incident.Live, at, "")
	if err != nil {
		return s, err
	}
	o, opens := events[0].Occurrence(s.incident.Desk)
	if !opens {
		return s, errors.New("the alert opens no incident")
	}
	return opened(s, o.Incident)
}

// fixText is a scene whose incident is a trade that the other side does not know, in
// its words.
func fixText(s scene, text string) (scene, error) {
	text = strings.NewReplacer("\x01", " ", "\n", " ", "\r", " ").Replace(text) // an engine sends none of them in a text
	fields := "35=Q\x0149=BROKER\x0156=DESK\x0134=7\x0152=20260615-09:30:59\x0117=EX-1\x0137=OR-1\x01127=A\x0158=" + text + "\x01"
	message := fmt.Sprintf("8=FIX.4.4\x019=%d\x01%s", len(fields), fields)
	sum := 0
	for i := range len(message) {
		sum += int(message[i])
	}
	message += fmt.Sprintf("10=%03d\x01\n", sum%256)
	watch := dropcopy.NewWatch(dropcopy.Log{
		Source: "dropcopy", Desk: s.incident.Desk, ContentSHA256: agent.Digest(message), Origin: incident.Live, ReceivedAt: at,
	})
	var events []event.Event
	_, err := fix.ReadEvents(strings.NewReader(message), func(e *fix.Event) error {
		if told, is := watch.Event(e); is {
			events = append(events, told)
		}
		return nil
	})
	if err != nil {
		return s, err
	}
	if len(events) == 0 {
		return s, fault.New(fault.Invalid, "unreadable-fix", "the message is not read")
	}
	o, opens := events[0].Occurrence(s.incident.Desk)
	if !opens {
		return s, errors.New("the message opens no incident")
	}
	return opened(s, o.Incident)
}

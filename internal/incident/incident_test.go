package incident_test

import (
	"strings"
	"testing"

	"finobs/internal/fault"
	"finobs/internal/incident"
)

func fields() incident.Fields {
	return incident.Fields{Kind: "trade_break", Severity: "high", Title: "Break", DedupKey: "k", Origin: "live"}
}

func TestValidate(t *testing.T) {
	if err := fields().Incident().Validate(); err != nil {
		t.Fatalf("the good incident is refused: %v", err)
	}
	for name, change := range map[string]func(*incident.Fields){
		"kind":           func(f *incident.Fields) { f.Kind = "fire" },
		"severity":       func(f *incident.Fields) { f.Severity = "" },
		"origin":         func(f *incident.Fields) { f.Origin = "test" },
		"blank title":    func(f *incident.Fields) { f.Title = " \t" },
		"long title":     func(f *incident.Fields) { f.Title = strings.Repeat("a", 201) },
		"description":    func(f *incident.Fields) { f.Description = strings.Repeat("a", 4001) },
		"no dedup key":   func(f *incident.Fields) { f.DedupKey = "" },
		"long dedup key": func(f *incident.Fields) { f.DedupKey = strings.Repeat("a", 201) },
		"NUL":            func(f *incident.Fields) { f.Description = "a\x00b" },
		"not UTF-8":      func(f *incident.Fields) { f.SubjectID = "\xff" },
	} {
		f := fields()
		change(&f)
		if err := f.Incident().Validate(); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestDigestCoversEveryField(t *testing.T) {
	base, err := fields().Digest()
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*incident.Fields){
		"kind": func(f *incident.Fields) { f.Kind += "x" }, "severity": func(f *incident.Fields) { f.Severity += "x" },
		"title": func(f *incident.Fields) { f.Title += "x" }, "description": func(f *incident.Fields) { f.Description += "x" },
		"desk": func(f *incident.Fields) { f.Desk += "x" }, "subject kind": func(f *incident.Fields) { f.SubjectKind += "x" },
		"subject id": func(f *incident.Fields) { f.SubjectID += "x" }, "dedup key": func(f *incident.Fields) { f.DedupKey += "x" },
		"origin": func(f *incident.Fields) { f.Origin += "x" }, "system": func(f *incident.Fields) { f.System += "x" },
		"owner": func(f *incident.Fields) { f.Owner += "x" },
	} {
		f := fields()
		change(&f)
		if got, err := f.Digest(); err != nil || got == base {
			t.Errorf("%s is not covered: %v", name, err)
		}
	}
}

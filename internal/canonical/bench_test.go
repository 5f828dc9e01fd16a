package canonical_test

import (
	"testing"

	"finobs/internal/canonical"
)

// action is of the shape and size of an action that people decide about.
func action() canonical.Object {
	return canonical.Object{
		"kind": "export.incidents", "mode": "live", "requester": canonical.Object{"iss": "https://id.example", "sub": "alice"},
		"targets":    []canonical.Object{{"kind": "dataset", "id": "incidents", "version": "1"}},
		"parameters": canonical.Object{"format": "csv", "from": "2026-11-01", "status": "open", "to": "2026-11-30"}, "desk": "EQ",
	}
}

func BenchmarkJSON(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := canonical.JSON(action()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	text, err := canonical.JSON(action())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := canonical.Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}

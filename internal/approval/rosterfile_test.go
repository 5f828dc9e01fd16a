package approval_test

import (
	"strings"
	"testing"

	"finobs/internal/approval"
)

func TestARosterFileIsOneDocument(t *testing.T) {
	const good = "version: 1\npeople:\n  - {iss: iss, sub: bob, roles: [analyst], desk: EQ}\n"
	if r, err := approval.LoadRoster(strings.NewReader(good)); err != nil || len(r) != 1 {
		t.Fatalf("%v, %v", r, err)
	}
	for text, want := range map[string]string{
		"":                                    "empty",
		good + "---\n" + good:                 "second document",
		good + "persons: []\n":                "persons",
		"version: 2\npeople: []\n":            "version 2",
		strings.Replace(good, "bob", "''", 1): "sub",
	} {
		if _, err := approval.LoadRoster(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error that names %q", text, err, want)
		}
	}
}

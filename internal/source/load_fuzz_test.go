package source_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"finobs/internal/source"
)

// FuzzLoadSources loads anything as a source file: a file that is loaded has the
// default sources and names that routes can have, and what is refused says so in
// text that shows no secret.
func FuzzLoadSources(f *testing.F) {
	for _, text := range []string{
		goodFile, "version: 1\n", "version: 1\nsources: []\n", "version: 2\n", "", "---\n---\n", "version: 1\nsources: [{name: a, kind: pingdom}]\n",
		"version: 1\nsources:\n  - {name: a, kind: generic, mapping: {items: body, title: item.t, state: item.s}}\n",
		"version: 1\nsources:\n  - {name: a, kind: grafana, signature: {scheme: token, secret_files: [s]}}\n",
		"version: 1\nsources:\n  - &a {name: a, kind: grafana}\n  - *a\n", "a: &a [*a]\n", "version: 1\nsources: {name: a}\n", "version: 1\nsources: [null]\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		sources, err := source.Load(bytes.NewReader(text), func(string) ([]byte, error) { return []byte(secretText), nil })
		if err != nil {
			if err.Error() == "" || !utf8.ValidString(err.Error()) || strings.Contains(err.Error(), secretText) && !bytes.Contains(text, []byte(secretText)) {
				t.Errorf("refused by %q", err)
			}
			return
		}
		names := sources.Names()
		for _, name := range source.Default().Names() {
			if !slices.Contains(names, name) {
				t.Errorf("there is no source %s", name)
			}
		}
		for _, name := range names {
			s, err := sources.Get(name)
			if err != nil || s.Name != name || !slices.Contains(source.Kinds(), s.Kind) || slices.Contains(source.Reserved(), name) || len(name) > 64 {
				t.Errorf("source %q is %+v, %v", name, s, err)
			}
			if (s.Mapping != nil) != (s.Kind == "generic") || s.Verifier != nil && s.Kind == source.FIX {
				t.Errorf("source %q of kind %s has a mapping: %t, a signature: %t", name, s.Kind, s.Mapping != nil, s.Verifier != nil)
			}
		}
	})
}

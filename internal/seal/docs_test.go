package seal_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every code that a finding can have stands in the documentation.
func TestCodesAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/verify.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]bool{}
	for _, what := range []string{"manifest", "sums", "log", "checkpoint"} { // see signatureFlaw and logSignature
		codes[what+"_key"], codes[what+"_signature"] = true, true
	}
	given := regexp.MustCompile(`(?:tampered\(|flawed\(export\.\w+, |Code: |File: +|put\(.*, )"([a-z_]+)"`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range given.FindAllSubmatch(text, -1) {
			codes[string(match[1])] = true
		}
	}
	for code := range codes {
		if !strings.Contains(string(doc), "`"+code+"`") {
			t.Errorf("docs/verify.md does not tell of code %s", code)
		}
	}
	if len(codes) < 30 {
		t.Errorf("only %d codes were found", len(codes))
	}
}

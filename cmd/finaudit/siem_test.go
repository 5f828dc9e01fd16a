package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSiemCheck(t *testing.T) {
	t.Parallel()
	line := func(index int, digit string) string {
		return fmt.Sprintf(`{"index":"%d","leaf_sha256":"%s","leaf":{}}`+"\n", index, strings.Repeat(digit, 64))
	}
	for name, c := range map[string]struct {
		text     string
		from, to int64
		code     int // -1 for an error
		says     string
	}{
		"all":          {line(3, "a") + line(4, "a") + line(3, "a"), -1, -1, 0, "ok  nothing is missing from 3 to 4"},
		"gap":          {line(3, "a") + line(7, "a"), -1, -1, 6, "MISSING   4 to 6"},
		"before":       {line(3, "a"), 0, -1, 6, "MISSING   0 to 2"},
		"behind":       {line(3, "a"), -1, 9, 6, "MISSING   4 to 9"},
		"conflict":     {line(3, "a") + line(3, "b") + line(5, "a"), -1, -1, 5, "CONFLICT  3"},
		"nothing":      {"x\n", -1, -1, -1, "no entry"},
		"none of some": {"x\n", 0, 5, 6, "6 of 0 to 5"},
		"backwards":    {line(3, "a"), 5, 4, -1, "cannot check"},
		"too far":      {line(3, "a"), 0, 1 << 62, -1, "cannot check"},
	} {
		path := filepath.Join(t.TempDir(), "seen")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		code, err := siemCheck(&out, path, c.from, c.to)
		if err != nil {
			code = -1
			out.WriteString(err.Error())
		}
		if code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%s: got %d and %s", name, code, out.String())
		}
	}
	if _, err := siemCheck(&strings.Builder{}, filepath.Join(t.TempDir(), "none"), 0, 1); err == nil {
		t.Error("a file that is not there was checked")
	}
}

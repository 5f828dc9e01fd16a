package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/rivo/uniseg"
	"pgregory.net/rapid"
)

func TestTablesAreAligned(t *testing.T) {
	var out bytes.Buffer
	screen{out: &out}.table([]string{"ID", "NAME", "TITLE"}, [][]string{
		{"1", "日本", "a\x1b[31mred\nline"}, {"12345", "x", strings.Repeat("long ", 60)},
	})
	want := "ID     NAME  TITLE\n1      日本  a [31mred line\n12345  x     " + strings.TrimSpace(strings.Repeat("long ", 60)) + "\n"
	if out.String() != want {
		t.Errorf("got\n%q\nnot\n%q", out.String(), want)
	}
}

// On a terminal no line is wider than it, unless the first columns alone are.
func TestTablesFitTheTerminal(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var out bytes.Buffer
		cell := rapid.StringN(0, 12, -1)
		row := []string{cell.Draw(rt, "a"), cell.Draw(rt, "b"), rapid.StringN(0, 300, -1).Draw(rt, "c")}
		width := rapid.IntRange(60, 200).Draw(rt, "width")
		screen{out: &out, width: width}.table([]string{"A", "B", "C"}, [][]string{row})
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if len(lines) != 2 {
			rt.Fatalf("%d lines: %q", len(lines), out.String())
		}
		room := max(width, uniseg.StringWidth(quiet(row[0]))+uniseg.StringWidth(quiet(row[1]))+2*len(gap)+narrowest)
		if got := uniseg.StringWidth(lines[1]); got > room {
			rt.Errorf("%d columns in %d: %q", got, width, lines[1])
		}
		if strings.ContainsAny(out.String(), "\x1b\x07\r\t\u202e") {
			rt.Errorf("%q moves the cursor", out.String())
		}
	})
}

func TestColours(t *testing.T) {
	rows := [][]string{{"pending", "critical"}}
	for _, c := range []struct {
		s    screen
		want string
	}{
		{screen{width: 80}, "A        B\npending  critical\n"},
		{screen{width: 80, colour: true}, "\x1b[1mA\x1b[0m        \x1b[1mB\x1b[0m\n\x1b[33mpending\x1b[0m  \x1b[31mcritical\x1b[0m\n"},
	} {
		var out bytes.Buffer
		c.s.out = &out
		c.s.table([]string{"A", "B"}, rows)
		if out.String() != c.want {
			t.Errorf("got %q", out.String())
		}
	}
}

func TestSpans(t *testing.T) {
	now := time.Date(2026, 6, 12, 9, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		0: "in 0s", 59 * time.Second: "in 59s", 90 * time.Second: "in 1m30s", 3*time.Hour + 12*time.Minute: "in 3h12m", 50 * time.Hour: "in 2d2h",
		-time.Minute: "1m0s ago",
	} {
		if got := until(now.Add(d), now); got != want {
			t.Errorf("%s: got %s, not %s", d, got, want)
		}
	}
}

func TestNothingThatIsSaidMovesTheCursor(t *testing.T) {
	var out bytes.Buffer
	s := screen{out: &out}
	s.say("%s: %d, %q", "a\x1b]0;title\x07b\nc", 7, "d\x1b")
	s.lines("one\r\n\x1b[2Jtwo\u202e")
	if got, want := out.String(), "a ]0;title b c: 7, \"d\"\n  one\n  \uFFFD[2Jtwo\uFFFD\n"; got != want {
		t.Errorf("got %q, not %q", got, want)
	}
}

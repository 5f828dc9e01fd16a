package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"finobs/internal/client"
	"finobs/internal/plaintext"

	"github.com/rivo/uniseg"
	"golang.org/x/term"
)

// screen prints for people. Every text is cleaned on its way, so that nothing which
// came from outside moves the cursor, changes colours or breaks a line.
type screen struct {
	out    io.Writer
	width  int // columns of a terminal; 0: it is none
	colour bool
}

// usualWidth is that of a terminal that does not tell, in columns.
const usualWidth = 80

func newScreen(out io.Writer) screen {
	f, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return screen{out: out}
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width < 1 {
		width = usualWidth
	}
	return screen{out, width, os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"} // https://no-color.org
}

// longest is how much of a text a line shows, in characters.
const longest = 2000

// quiet shows text from outside so that it stays on its line of the terminal.
func quiet(text string) string { return plaintext.Line(text, longest) }

// named is text with a dash for none.
func named(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// say prints a line; texts among args are cleaned.
func (s screen) say(format string, args ...any) {
	for i, a := range args {
		if text, ok := a.(string); ok {
			args[i] = quiet(text)
		}
	}
	fmt.Fprintf(s.out, format+"\n", args...)
}

// lines prints a text of several lines, each indented.
func (s screen) lines(text string) {
	for line := range strings.Lines(plaintext.Lines(strings.TrimRight(text, "\n"))) {
		fmt.Fprintln(s.out, "  "+strings.TrimRight(line, "\n"))
	}
}

// table prints rows in columns under a header. On a terminal the last column is cut
// to what fits; elsewhere nothing is cut, for whoever reads it next.
func (s screen) table(header []string, rows [][]string) {
	all := append([][]string{header}, rows...)
	widths := make([]int, len(header))
	for r, row := range all {
		all[r] = make([]string, len(row))
		for i, cell := range row {
			all[r][i] = quiet(cell)
			widths[i] = max(widths[i], uniseg.StringWidth(all[r][i]))
		}
	}
	last := len(header) - 1
	room := s.width
	for _, w := range widths[:last] {
		room -= w + len(gap)
	}
	for r, row := range all {
		var line strings.Builder
		for i, cell := range row {
			if i == last {
				line.WriteString(s.paint(s.cut(cell, room), r > 0))
				continue
			}
			line.WriteString(s.paint(cell, r > 0) + strings.Repeat(" ", widths[i]-uniseg.StringWidth(cell)) + gap)
		}
		fmt.Fprintln(s.out, strings.TrimRight(line.String(), " "))
	}
}

const (
	gap        = "  " // between two columns
	narrowest  = 10   // of the last column, in columns of the terminal
	ellipsis   = "…"
	colourOff  = "\x1b[0m"
	colourBad  = "\x1b[31m"
	colourOpen = "\x1b[33m"
	colourGood = "\x1b[32m"
	colourHead = "\x1b[1m"
)

// cut shortens a text to what fits.
func (s screen) cut(text string, room int) string {
	room = max(room, narrowest)
	if s.width == 0 || uniseg.StringWidth(text) <= room {
		return text
	}
	var out strings.Builder
	state, used := -1, len(gap)/2 // the ellipsis takes one
	for text != "" {
		var cluster string
		var width int
		cluster, text, width, state = uniseg.FirstGraphemeClusterInString(text, state)
		if used += width; used > room {
			break
		}
		out.WriteString(cluster)
	}
	return out.String() + ellipsis
}

// colours says which words stand out, and how.
var colours = map[string]string{
	"critical": colourBad, "high": colourBad, "p1": colourBad, "rejected": colourBad, "failed": colourBad, "tampered": colourBad,
	"missing": colourBad, "signature_invalid": colourBad, "key_unknown": colourBad, "unreachable": colourBad, "refused": colourBad,
	"pending": colourOpen, "open": colourOpen, "p2": colourOpen, "medium": colourOpen, "expired": colourOpen, "unknown": colourOpen,
	"approved": colourGood, "consumed": colourGood, "resolved": colourGood, "verified": colourGood, "delivered": colourGood, "done": colourGood,
}

// paint colours a cell that is one of the words which stand out, and a header.
func (s screen) paint(cell string, body bool) string {
	colour := colourHead
	if body {
		colour = colours[cell]
	}
	if !s.colour || colour == "" {
		return cell
	}
	return colour + cell + colourOff
}

// minute is how tables write a time, in UTC.
const minute = "2006-01-02 15:04"

func minuteOf(at time.Time) string { return at.UTC().Format(minute) }

// until says how far away a moment is: "in 3h12m", "2d5h ago".
func until(at, now time.Time) string {
	left := at.Sub(now)
	if left < 0 {
		return span(-left) + " ago"
	}
	return "in " + span(left)
}

const day = 24 * time.Hour

// span writes a length of time in its two largest units.
func span(d time.Duration) string {
	switch {
	case d >= day:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

// who names a person, with a dash for nobody.
func who(p client.PersonView) string { return named(p.Sub) }

// Package progress shows people at a terminal how far something is.
package progress

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// Bar is a bar on a terminal; elsewhere it is silent.
type Bar struct {
	what  string
	shown time.Time
	tty   bool
}

const (
	width    = 40
	interval = 100 * time.Millisecond
)

// New returns a bar on the standard error.
func New(what string) *Bar {
	info, err := os.Stderr.Stat()
	return &Bar{what: what, tty: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

// Show moves the bar; a total of 0 is not known yet.
func (b *Bar) Show(done, total int64) {
	if !b.tty || total == 0 || time.Since(b.shown) < interval && done < total {
		return
	}
	b.shown = time.Now()
	filled := int(min(done, total) * width / total)
	fmt.Fprintf(os.Stderr, "\r%s [%s%s] %d/%d", b.what, strings.Repeat("=", filled), strings.Repeat(" ", width-filled), done, total)
}

// End leaves the bar's line.
func (b *Bar) End() {
	if b.tty && !b.shown.IsZero() {
		fmt.Fprintln(os.Stderr)
	}
}

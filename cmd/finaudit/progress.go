package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// progress is a bar on a terminal; elsewhere it is silent.
type progress struct {
	what  string
	shown time.Time
	tty   bool
}

const barWidth = 40

func newProgress(what string) *progress {
	info, err := os.Stderr.Stat()
	return &progress{what: what, tty: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

func (p *progress) show(done, total int64) {
	if !p.tty || total == 0 || time.Since(p.shown) < 100*time.Millisecond && done < total {
		return
	}
	p.shown = time.Now()
	filled := int(done * barWidth / total)
	fmt.Fprintf(os.Stderr, "\r%s [%s%s] %d/%d", p.what, strings.Repeat("=", filled), strings.Repeat(" ", barWidth-filled), done, total)
}

func (p *progress) end() {
	if p.tty && !p.shown.IsZero() {
		fmt.Fprintln(os.Stderr)
	}
}

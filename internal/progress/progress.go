// Package progress shows people at a terminal how far something is.
package progress

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Bar is a bar on the standard error where that is a terminal; elsewhere it is
// silent, and whoever uses it prints lines.
type Bar struct {
	what  string
	bytes bool
	tty   bool
	bar   *progressbar.ProgressBar // nil until there is something to show
}

// interval is how often a bar is drawn at most.
const interval = 100 * time.Millisecond

// New returns a bar that counts things.
func New(what string) *Bar { return &Bar{what: what, tty: term.IsTerminal(int(os.Stderr.Fd()))} }

// Bytes returns a bar that counts bytes.
func Bytes(what string) *Bar {
	b := New(what)
	b.bytes = true
	return b
}

// Terminal reports whether anybody sees the bar.
func (b *Bar) Terminal() bool { return b.tty }

// Describe says what is being done now.
func (b *Bar) Describe(what string) {
	b.what = what
	if b.bar != nil {
		b.bar.Describe(what)
	}
}

// Show moves the bar; a total of 0 is not known yet.
func (b *Bar) Show(done, total int64) {
	if !b.tty || total == 0 {
		return
	}
	if b.bar == nil {
		b.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(os.Stderr), progressbar.OptionSetDescription(b.what),
			progressbar.OptionShowBytes(b.bytes), progressbar.OptionShowCount(), progressbar.OptionThrottle(interval),
			progressbar.OptionSetPredictTime(true), progressbar.OptionFullWidth())
	}
	b.bar.ChangeMax64(max(done, total))
	_ = b.bar.Set64(done) // what cannot be drawn is not worth an error
}

// Reader moves the bar while r is read; total is 0 when it is not known.
func (b *Bar) Reader(r io.Reader, total int64) io.Reader { return &reader{r: r, bar: b, total: total} }

type reader struct {
	r           io.Reader
	bar         *Bar
	done, total int64
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.done += int64(n)
	r.bar.Show(r.done, r.total)
	return n, err
}

// End takes the bar off its line.
func (b *Bar) End() {
	if b.bar != nil {
		_ = b.bar.Clear()
		b.bar = nil
	}
}

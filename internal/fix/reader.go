package fix

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	window  = MaxMessage + 2*maxBegin // bytes that are there before a decision is made
	bufSize = 4 * window
	maxHead = 1 << 10 // bytes of a line that is no message
	maxIdle = 100     // reads that return nothing, one after another
)

// Read reads a log and calls yield for each message that is whole, in order; yield
// may keep it. Memory does not grow with the file, its lines or its messages. It
// fails when the input is no FIX log at all ("not-a-fix-log"), and with whatever
// yield returns.
func Read(r io.Reader, yield func(*Message) error) (Report, error) {
	return read(r, yield, func(int, string) error { return nil })
}

// read also calls line for each line that is a session event, with the beginning
// of its text.
func read(src io.Reader, message func(*Message) error, line func(n int, text string) error) (Report, error) {
	r := &reader{src: src, buf: make([]byte, bufSize), report: newReport(), message: message, line: line}
	r.report.Lines = 1
	err := r.run()
	if !r.open {
		r.report.Lines--
	}
	if err != nil {
		return r.report, err
	}
	return r.report, r.judge()
}

// reader goes through the input once. All it decides, it decides with a whole
// window in its buffer, so that how the input comes in pieces changes nothing.
type reader struct {
	src      io.Reader
	buf      []byte
	pos, end int   // of what is not used yet
	base     int64 // offset of buf[0] in the input
	eof      bool
	clear    int // no message begins in buf before it

	framer  framer
	report  Report
	message func(*Message) error
	line    func(n int, text string) error

	sniffed string // what else than a log the input looks like
	prev    byte   // the byte before pos; 0 after a message
	open    bool   // the current line has a byte
	touched bool   // something of a message is on the current line
	head    []byte // the beginning of the current line
	prefix  []byte // what stands before the next message, at most its last bytes
	skip    []byte // the delimiter of a message over the limit, while its end is looked for
}

func (r *reader) run() error {
	if err := r.fill(); err != nil {
		return err
	}
	if r.sniffed = sniff(r.buf[:r.end]); compressed(r.sniffed) {
		return notALog(r.sniffed)
	}
	for {
		if err := r.fill(); err != nil {
			return err
		}
		if r.pos == r.end {
			break
		}
		if err := r.step(); err != nil {
			return err
		}
	}
	if r.open {
		return r.endLine()
	}
	return nil
}

// fill makes sure that a window is in the buffer, or all that is left.
func (r *reader) fill() error {
	if r.eof || r.end-r.pos >= window {
		return nil
	}
	copy(r.buf, r.buf[r.pos:r.end])
	r.base += int64(r.pos)
	r.clear = max(0, r.clear-r.pos)
	r.pos, r.end = 0, r.end-r.pos
	for idle := 0; r.end < len(r.buf); {
		n, err := r.src.Read(r.buf[r.end:])
		r.end += n
		if errors.Is(err, io.EOF) {
			r.eof = true
			return nil
		}
		if err == nil && n == 0 {
			if idle++; idle == maxIdle {
				err = io.ErrNoProgress
			}
		}
		if err != nil {
			return fmt.Errorf("reading line %d: %w", r.report.Lines, err)
		}
		if n > 0 {
			idle = 0
		}
	}
	return nil
}

// step uses what comes before the next message or line end, and then that.
func (r *reader) step() error {
	b := r.buf[r.pos:r.end]
	limit := len(b)
	if !r.eof {
		limit -= maxBegin
	}
	if r.skip != nil {
		return r.skipOver(b, limit)
	}
	if r.clear <= r.pos {
		start, found := findBegin(b, limit, r.prev)
		if found && bytes.IndexByte(b[:start.at], '\n') < 0 {
			r.use(b[:start.at])
			return r.take(start)
		}
		r.clear = r.pos + limit
		if found {
			r.clear = r.pos + start.at
		}
	}
	stop := min(r.clear-r.pos, limit)
	newline := bytes.IndexByte(b[:stop], '\n')
	if newline < 0 {
		r.use(b[:stop])
		return nil
	}
	r.use(b[:newline])
	return r.newLine()
}

// use takes text that is no message.
func (r *reader) use(b []byte) {
	if len(b) == 0 {
		return
	}
	r.open = true
	r.pos += len(b)
	r.prev = b[len(b)-1]
	if n := maxHead - len(r.head); n > 0 {
		r.head = append(r.head, b[:min(n, len(b))]...)
	}
	b = b[max(0, len(b)-maxPrefix):]
	if over := len(r.prefix) + len(b) - maxPrefix; over > 0 {
		r.prefix = append(r.prefix[:0], r.prefix[over:]...)
	}
	r.prefix = append(r.prefix, b...)
}

// newLine ends a line at the line feed that comes next.
func (r *reader) newLine() error {
	if err := r.endLine(); err != nil {
		return err
	}
	r.pos++
	r.report.Lines++
	r.prev, r.open, r.touched = '\n', false, false
	return nil
}

// endLine judges a line that is at its end.
func (r *reader) endLine() error {
	head := r.head
	r.head, r.prefix = r.head[:0], r.prefix[:0]
	text := bytes.Trim(bytes.TrimPrefix(head, []byte("\ufeff")), " \t\r\x00")
	if r.touched || len(text) == 0 || text[0] == '#' {
		return nil
	}
	if _, known := classifyLine(string(text)); known {
		return r.line(r.report.Lines, string(text))
	}
	r.report.JunkLines++
	return nil
}

// take takes the message that begins at pos.
func (r *reader) take(start begin) error {
	if err := r.fill(); err != nil {
		return err
	}
	way, script := direction(string(r.prefix))
	b := r.buf[r.pos:r.end]
	start.at = 0
	f := r.framer.frame(b, start, script)
	m := &Message{Line: r.report.Lines, Offset: r.base + int64(r.pos), Direction: way, Script: script}
	newline := bytes.Count(b[:f.bytes], []byte{'\n'})
	text := r.framer.text[:r.framer.end]
	r.pos += f.bytes
	problem := r.garbled(f.kind, script)
	if problem != nil {
		if f.kind == tooLong {
			r.skip = bytes.Clone(start.delim)
			problem.Problem += fmt.Sprintf(", from byte %d of the file on; reading goes on after it", m.Offset)
		}
		r.report.bad(LineError{Line: m.Line, Problem: *problem}, text[:min(len(text), maxText)])
	} else {
		r.framer.fields(m)
		m.fill()
		r.check(m)
		r.report.good(m, text[:min(len(text), maxText)])
	}
	r.report.Lines += newline
	r.prev, r.clear, r.open, r.touched = 0, r.pos, true, true
	r.head, r.prefix = r.head[:0], r.prefix[:0]
	if problem != nil {
		return nil
	}
	return r.message(m)
}

// fields makes strings of the spans.
func (f *framer) fields(m *Message) {
	text := string(f.text[:f.end])
	m.Fields = make([]Field, len(f.spans))
	for i, s := range f.spans {
		m.Fields[i] = Field{s.tag, text[s.from:s.to]}
	}
}

// newlineAhead reports whether a line end comes next.
func (r *reader) newlineAhead() bool {
	rest := bytes.TrimLeft(r.buf[r.pos:min(r.end, r.pos+2)], "\r")
	return len(rest) > 0 && rest[0] == '\n'
}

// skipOver looks for the end of a message over the limit: the line's, a CheckSum,
// or a message that begins as a field or after SOH, which no text holds.
func (r *reader) skipOver(b []byte, limit int) error {
	end, delim := limit, string(r.skip)
	if newline := bytes.IndexByte(b[:limit], '\n'); newline >= 0 {
		end, r.skip = newline, nil
	}
	for _, mark := range []struct{ delim, tag string }{{delim, "10="}, {delim, "8=FIX"}, {"\x01", "8=FIX"}} {
		text := []byte(mark.delim + mark.tag)
		if i := bytes.Index(b[:min(len(b), end+len(text)-1)], text); i >= 0 {
			end, r.skip = i+len(mark.delim), nil
		}
	}
	r.pos += end
	r.prev, r.clear, r.open, r.touched = soh, r.pos, true, true
	return nil
}

// judge says at the end whether this was a log at all.
func (r *reader) judge() error {
	if r.report.Messages+r.report.BadMessages > 0 {
		return nil
	}
	if r.sniffed != "" && (r.sniffed != formatEmpty || r.report.JunkLines == 0) {
		return notALog(r.sniffed)
	}
	r.report.warn(LineError{Problem: Problem{Problem: "there is no FIX message in it", Expected: "messages that begin with 8=FIX"}})
	return nil
}

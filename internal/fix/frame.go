package fix

import (
	"bytes"
	"slices"
)

// MaxMessage is how many bytes a message may have. Over it the message is an
// error, and reading goes on after it.
const MaxMessage = 64 << 10

// How a frame was found.
type frameKind int

const (
	whole   frameKind = iota // up to CheckSum
	cut                      // CheckSum is missing
	tooLong                  // no end within MaxMessage
)

// frame is where a message ends, and its fields.
type frame struct {
	kind  frameKind
	bytes int // of the input that it takes
}

// framer finds out where messages end.
type framer struct {
	splitter
	joined []byte // without line breaks
	breaks []int  // where they were in joined
}

// frame finds the end of the message at the beginning of b, which holds at least
// MaxMessage bytes or all that is left. A step of a script ends with its line.
func (f *framer) frame(b []byte, start begin, script bool) frame {
	b = b[:min(len(b), MaxMessage)]
	f.delim = start.delim
	if f.byLength(b, start.head) {
		return frame{whole, f.end}
	}
	f.checksum = 0
	line := b
	newline := bytes.IndexByte(b, '\n')
	if newline >= 0 {
		line = b[:newline]
	}
	next, more := findNext(line[start.head:], soh)
	if more {
		next.at += start.head
		more = bytes.Equal(next.delim, start.delim)
	}
	if more { // another message on the same line
		line = line[:next.at]
	}
	f.text = line
	f.split()
	switch {
	case f.complete:
		return frame{whole, f.end}
	case newline < 0 && !more && len(b) == MaxMessage:
		return frame{tooLong, len(b)}
	case !more && newline >= 0 && !script && f.join(b, newline):
		return frame{whole, f.consumed(b)}
	}
	f.text = bytes.TrimRight(line, "\r")
	f.split()
	return frame{cut, len(line)}
}

// byLength takes the message when CheckSum stands where BodyLength says. What is
// between is then nothing but values, whatever it looks like.
func (f *framer) byLength(b []byte, head int) bool {
	if !bytes.HasPrefix(b[head:], []byte("9=")) {
		return false
	}
	n := bytes.Index(b[head:min(head+16, len(b))], f.delim)
	if n < 0 {
		return false
	}
	length := parseNumber(string(b[head+2 : head+n]))
	body := head + n + len(f.delim)
	if length < 5 || length > MaxMessage || body > len(b) {
		return false
	}
	end := skipLogical(b[body:], f.delim, int(length))
	if end < 0 || body+end+4 > len(b) {
		return false
	}
	f.checksum = body + end
	if !bytes.HasSuffix(b[:f.checksum], f.delim) || !bytes.HasPrefix(b[f.checksum:], []byte("10=")) {
		return false
	}
	f.text = b
	f.split()
	return f.complete && f.end > f.checksum && !f.swallows(b[:f.checksum])
}

// swallows reports whether a message whose length happens to fit ends in one of a
// later line: then its own end is cut off.
func (f *framer) swallows(b []byte) bool {
	newline := bytes.IndexByte(b, '\n')
	if newline < 0 || f.sum() == parseNumber(f.checkSumText()) {
		return false
	}
	_, found := findNext(b[newline+1:], '\n')
	return found
}

// checkSumText is the value of CheckSum.
func (f *framer) checkSumText() string {
	last := f.spans[len(f.spans)-1]
	return string(f.text[last.from:last.to])
}

// sum is what CheckSum should be: the sum of the bytes before it, each field ended
// by SOH.
func (f *framer) sum() int64 {
	var sum byte
	for _, s := range f.spans[:len(f.spans)-1] {
		for _, c := range f.text[s.start:s.to] {
			sum += c
		}
		sum += soh
	}
	return int64(sum)
}

// bodyLength is what BodyLength should be: the bytes from after its own field to
// before CheckSum, each field ended by SOH.
func (f *framer) bodyLength() int64 { return f.bodyLengthUntil(len(f.spans) - 1) }

func (f *framer) bodyLengthUntil(end int) int64 {
	var n int64
	for i, s := range f.spans[:end] {
		if i > 0 && (i != 1 || s.tag != tagBodyLength) {
			n += int64(s.to - s.start + 1)
		}
	}
	return n
}

// join reads a message that is split over lines: line breaks are left out. It
// ends before the next beginning at the latest.
func (f *framer) join(b []byte, newline int) bool {
	if next, found := findNext(b[newline+1:], '\n'); found {
		b = b[:newline+1+next.at]
	}
	f.joined, f.breaks = f.joined[:0], f.breaks[:0]
	for part := range bytes.SplitAfterSeq(b, []byte{'\n'}) {
		f.joined = append(f.joined, bytes.TrimRight(part, "\r\n")...)
		f.breaks = append(f.breaks, len(f.joined))
	}
	f.text = f.joined
	f.split()
	return f.complete && !f.patched()
}

// patched reports whether CheckSum may have been made of a message that is cut off
// and of what begins the next line: a line breaks within it, and it is wrong.
func (f *framer) patched() bool {
	last := f.spans[len(f.spans)-1]
	within := slices.ContainsFunc(f.breaks, func(at int) bool { return last.start < at && at < last.to })
	return within && f.sum() != parseNumber(f.checkSumText())
}

// consumed is how many bytes of b the joined message takes: line breaks that
// stand before its last byte count.
func (f *framer) consumed(b []byte) int {
	taken, pos := 0, 0
	for {
		part := b[pos:]
		newline := bytes.IndexByte(part, '\n')
		if newline >= 0 {
			part = part[:newline]
		}
		n := len(bytes.TrimRight(part, "\r"))
		if newline < 0 {
			n = len(bytes.TrimRight(part, "\r\n"))
		}
		if taken+n >= f.end {
			return pos + f.end - taken
		}
		taken += n
		pos += newline + 1
	}
}

package seen

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
)

// maxMessage is the longest message that is read, in bytes: more than a leaf with
// what a receiver may have put around it.
const maxMessage = 256 << 10

// reader splits what a receiver kept into messages.
type reader struct {
	in *bufio.Reader
}

func newReader(r io.Reader) *reader { return &reader{in: bufio.NewReaderSize(r, maxMessage)} }

// next returns the next message, which stays as it is until the next call; a line
// that is too long is returned empty. It returns io.EOF at the end.
func (r *reader) next() ([]byte, error) {
	for {
		first, err := r.in.Peek(1)
		if err != nil {
			return nil, err
		}
		switch {
		case first[0] == '\n' || first[0] == '\r':
			if _, err := r.in.Discard(1); err != nil {
				return nil, err
			}
			continue
		case first[0] >= '1' && first[0] <= '9':
			if header, size, ok := r.frame(); ok {
				return r.counted(header, size)
			}
		}
		return r.line()
	}
}

// frame reads the count in front of an octet-counted message, without taking it.
func (r *reader) frame() (header, size int, ok bool) {
	const longest = 7 // digits and the space
	start, err := r.in.Peek(longest + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, 0, false
	}
	digits := bytes.IndexByte(start, ' ')
	if digits < 1 || digits+1 >= len(start) || start[digits+1] != '<' {
		return 0, 0, false
	}
	size, err = strconv.Atoi(string(start[:digits]))
	return digits + 1, size, err == nil && digits+1+size <= maxMessage
}

// counted takes an octet-counted message. One that the end cuts off is returned
// empty.
func (r *reader) counted(header, size int) ([]byte, error) {
	all, err := r.in.Peek(header + size)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	whole := len(all) == header+size
	if _, err := r.in.Discard(len(all)); err != nil {
		return nil, err
	}
	if !whole {
		return nil, nil
	}
	return all[header:], nil
}

func (r *reader) line() ([]byte, error) {
	line, err := r.in.ReadSlice('\n')
	long := false
	for errors.Is(err, bufio.ErrBufferFull) {
		long = true
		_, err = r.in.ReadSlice('\n')
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if long {
		return nil, nil
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

package seal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Limits on the footer of a Parquet file: its size in bytes, and how deep its
// structures nest (those of the format nest less).
const (
	maxFooter = 16 << 20
	maxNested = 16
)

var errFooter = errors.New("the footer is not one of Parquet")

// footerRows reads the number of rows that the footer of a Parquet file states
// (Apache Parquet, FileMetaData.num_rows, in Thrift's compact protocol), and
// allots no more than the size of the footer. It believes nothing else of the file.
func footerRows(file io.ReaderAt, size int64) (int64, error) {
	tail := make([]byte, 8)
	if size < int64(len(tail)) {
		return 0, errFooter
	}
	if _, err := file.ReadAt(tail, size-8); err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("reading footer: %w", err)
	}
	length := int64(binary.LittleEndian.Uint32(tail))
	if string(tail[4:]) != "PAR1" || length > maxFooter || length > size-8 {
		return 0, errFooter
	}
	footer := make([]byte, length)
	if _, err := file.ReadAt(footer, size-8-length); err != nil {
		return 0, fmt.Errorf("reading footer: %w", err)
	}
	return (&thrift{rest: footer}).rows()
}

// thrift walks over values in the compact protocol. A mistake empties rest.
type thrift struct {
	rest []byte
	bad  bool
}

// Types of Thrift's compact protocol.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftInt16  = 4
	thriftInt64  = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftStruct = 12
)

const numRowsField = 3

// rows walks to field 3 of the outermost structure.
func (t *thrift) rows() (int64, error) {
	for field := int64(0); !t.bad; {
		head := t.next(1)
		if t.bad || head[0] == 0 {
			break
		}
		if delta := int64(head[0] >> 4); delta > 0 {
			field += delta
		} else {
			field = t.signed()
		}
		if field == numRowsField && head[0]&15 == thriftInt64 {
			rows := t.signed()
			if t.bad || rows < 0 {
				break
			}
			return rows, nil
		}
		t.skip(head[0]&15, 0, false)
	}
	return 0, errFooter
}

func (t *thrift) next(n uint64) []byte {
	if n > uint64(len(t.rest)) {
		t.rest, t.bad = nil, true
		return nil
	}
	out := t.rest[:n]
	t.rest = t.rest[n:]
	return out
}

func (t *thrift) unsigned() uint64 {
	value, n := binary.Uvarint(t.rest)
	if n <= 0 {
		t.rest, t.bad = nil, true
		return 0
	}
	t.rest = t.rest[n:]
	return value
}

func (t *thrift) signed() int64 {
	u := t.unsigned()
	return int64(u>>1) ^ -int64(u&1)
}

// skip passes over one value; within a list truth values take a byte.
func (t *thrift) skip(kind byte, depth int, listed bool) {
	switch {
	case depth > maxNested:
		t.rest, t.bad = nil, true
	case kind == thriftTrue || kind == thriftFalse:
		if listed {
			t.next(1)
		}
	case kind == thriftByte:
		t.next(1)
	case kind >= thriftInt16 && kind <= thriftInt64:
		t.unsigned()
	case kind == thriftDouble:
		t.next(8)
	case kind == thriftBinary:
		t.next(t.unsigned())
	case kind == thriftList || kind == thriftSet:
		t.skipList(depth)
	case kind == thriftStruct:
		t.skipStruct(depth)
	default: // maps do not occur
		t.rest, t.bad = nil, true
	}
}

func (t *thrift) skipList(depth int) {
	head := t.next(1)
	if t.bad {
		return
	}
	count := uint64(head[0] >> 4)
	if count == 15 {
		count = t.unsigned()
	}
	for ; count > 0 && !t.bad; count-- {
		t.skip(head[0]&15, depth+1, true)
	}
}

func (t *thrift) skipStruct(depth int) {
	for !t.bad {
		head := t.next(1)
		if t.bad || head[0] == 0 {
			return
		}
		if head[0]>>4 == 0 {
			t.signed()
		}
		t.skip(head[0]&15, depth+1, false)
	}
}

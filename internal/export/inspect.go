package export

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
)

// maxRow bounds one row that is read back, in bytes.
const maxRow = 64 << 20

// ErrUnsound is wrapped when an artefact cannot be read to its end in its format:
// Totals hold what was counted until then.
var ErrUnsound = errors.New("not sound")

// Inspect reads an artefact of size bytes and says what is in it. The digest of
// the file covers every byte, whatever the format makes of them. Content beyond
// limit bytes is not expanded.
func Inspect(r io.ReaderAt, size int64, f Format, c Compression, limit int64) (Totals, error) {
	file := newMeter(io.Discard)
	if _, err := io.Copy(file, io.NewSectionReader(r, 0, size)); err != nil {
		return Totals{}, fmt.Errorf("reading artefact: %w", err)
	}
	t := Totals{FileBytes: file.bytes, FileSHA256: file.digest(), ContentBytes: file.bytes, ContentSHA256: file.digest()}
	if f == Parquet {
		rows, err := parquetRows(r, size)
		t.Rows = rows
		return t, err
	}
	content := newMeter(io.Discard)
	expanded, err := expand(bufio.NewReader(io.NewSectionReader(r, 0, size)), c)
	if err == nil {
		t.Rows, err = countRows(io.TeeReader(io.LimitReader(expanded, limit+1), content), f)
	}
	t.ContentBytes, t.ContentSHA256 = content.bytes, content.digest()
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrUnsound, err)
	}
	return t, err
}

// expand undoes the compression. A file holds one gzip member or one zstd frame;
// whatever follows it makes the file unsound.
func expand(r *bufio.Reader, c Compression) (io.Reader, error) {
	switch c {
	case Gzip:
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, err
		}
		z.Multistream(false)
		return &thenEnd{z, r}, nil
	case Zstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	case Plain:
	}
	return r, nil
}

// thenEnd reads one gzip member and refuses what follows it.
type thenEnd struct {
	member io.Reader
	rest   *bufio.Reader
}

// Read implements io.Reader.
func (t *thenEnd) Read(p []byte) (int, error) {
	n, err := t.member.Read(p)
	if errors.Is(err, io.EOF) {
		if _, more := t.rest.Peek(1); !errors.Is(more, io.EOF) {
			return n, errors.New("bytes follow the compressed content")
		}
	}
	return n, err
}

// countRows reads to the end, also past an error, so that the digest is over all
// bytes.
func countRows(r io.Reader, f Format) (rows int64, err error) {
	defer func() {
		if _, drainErr := io.Copy(io.Discard, r); err == nil {
			err = drainErr
		}
	}()
	if f == CSV {
		return countRecords(r)
	}
	lines := bufio.NewReaderSize(r, 64<<10)
	var line []byte
	for {
		piece, err := lines.ReadSlice('\n')
		line = append(line, piece...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull) && len(line) <= maxRow:
			continue
		case errors.Is(err, bufio.ErrBufferFull):
			return rows, fmt.Errorf("line %d has over %d bytes", rows+1, maxRow)
		case errors.Is(err, io.EOF) && len(line) == 0:
			return rows, nil
		case errors.Is(err, io.EOF):
			return rows, fmt.Errorf("line %d has no end", rows+1)
		case err != nil:
			return rows, err
		case !json.Valid(bytes.TrimSuffix(line, []byte("\n"))):
			return rows, fmt.Errorf("line %d is not JSON", rows+1)
		}
		rows++
		line = line[:0]
	}
}

func countRecords(r io.Reader) (int64, error) {
	bounded := &boundedRecord{r: r}
	records := csv.NewReader(bounded)
	records.ReuseRecord = true
	for rows := int64(-1); ; rows++ { // the header is no row
		bounded.taken = 0
		if _, err := records.Read(); errors.Is(err, io.EOF) {
			return max(rows, 0), nil
		} else if err != nil {
			return max(rows, 0), err
		}
	}
}

// boundedRecord keeps one record from growing without end: a quotation mark that is
// never closed would gather the rest of the file.
type boundedRecord struct {
	r     io.Reader
	taken int64 // since the record began
}

// Read implements io.Reader.
func (b *boundedRecord) Read(p []byte) (int, error) {
	if b.taken > maxRow {
		return 0, fmt.Errorf("a record has over %d bytes", maxRow)
	}
	n, err := b.r.Read(p)
	b.taken += int64(n)
	return n, err
}

// parquetRows trusts the file's own count only as far as its pages bear it out.
func parquetRows(r io.ReaderAt, size int64) (rows int64, err error) {
	defer func() {
		if p := recover(); p != nil { // the library panics on some damaged files
			err = fmt.Errorf("%w: %v", ErrUnsound, p)
		}
	}()
	file, err := parquet.OpenFile(r, size)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnsound, err)
	}
	batch := make([]parquet.Row, parquetBatch)
	for _, group := range file.RowGroups() {
		reader := group.Rows()
		for {
			n, err := reader.ReadRows(batch)
			rows += int64(n)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				reader.Close()
				return rows, fmt.Errorf("%w: %w", ErrUnsound, err)
			}
		}
		if err := reader.Close(); err != nil {
			return rows, fmt.Errorf("%w: %w", ErrUnsound, err)
		}
	}
	return rows, nil
}

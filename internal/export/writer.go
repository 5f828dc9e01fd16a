package export

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"
)

// zstdWindow bounds the memory that compressing and, later, reading takes.
const zstdWindow = 4 << 20

// Totals are what a Writer wrote. Content is before compression, the file after
// it; for Parquet, which compresses within itself, the two are one.
type Totals struct {
	Rows          int64
	ContentBytes  int64
	ContentSHA256 string // hexadecimal
	FileBytes     int64
	FileSHA256    string // hexadecimal
}

// Writer writes the rows of one export into a file. Its memory does not grow with
// the rows. What is given to it is digested, compressed and written while the next
// rows are encoded; an error of that comes with a later row, or with Close. A Writer
// that is given up without Close may still write once.
type Writer struct {
	columns  int
	encoder  encoder
	behind   *behind
	compress io.WriteCloser // nil: none
	content  *meter
	file     *meter
	rows     int64
}

// NewWriter returns a Writer of an export into w.
func NewWriter(w io.Writer, s Spec) (*Writer, error) {
	out := &Writer{columns: len(s.Dataset.Columns), file: newMeter(w)}
	out.content = out.file
	if s.Format != Parquet && s.Compression != Plain {
		var err error
		if out.compress, err = compressor(out.file, s.Compression); err != nil {
			return nil, err
		}
		out.content = newMeter(out.compress)
	}
	out.behind = &behind{w: out.content}
	var err error
	out.encoder, err = newEncoder(out.behind, s.Dataset, s.Format, s.Compression)
	return out, err
}

// compressor writes neither names nor times, and works in one thread, so that the
// same content gives the same file.
func compressor(w io.Writer, c Compression) (io.WriteCloser, error) {
	if c == Gzip {
		return gzip.NewWriterLevel(w, gzip.DefaultCompression)
	}
	return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(zstdWindow))
}

// Row writes one row; cells are in the order of the dataset's columns.
func (w *Writer) Row(cells []Cell) error {
	if len(cells) != w.columns {
		return fmt.Errorf("writing row %d: %d cells for %d columns", w.rows+1, len(cells), w.columns)
	}
	if err := w.encoder.row(cells); err != nil {
		return fmt.Errorf("writing row %d: %w", w.rows+1, err)
	}
	w.rows++
	return nil
}

// Rows is how many rows were written so far.
func (w *Writer) Rows() int64 { return w.rows }

// Close writes what is buffered and says what was written. It does not close the
// underlying writer.
func (w *Writer) Close() (Totals, error) {
	if err := errors.Join(w.encoder.close(), w.behind.wait()); err != nil {
		return Totals{}, fmt.Errorf("writing artefact: %w", err)
	}
	if w.compress != nil {
		if err := w.compress.Close(); err != nil {
			return Totals{}, fmt.Errorf("writing artefact: %w", err)
		}
	}
	return Totals{
		Rows: w.rows, ContentBytes: w.content.bytes, ContentSHA256: w.content.digest(), FileBytes: w.file.bytes, FileSHA256: w.file.digest(),
	}, nil
}

// meter counts and digests what passes through it.
type meter struct {
	w     io.Writer
	bytes int64
	sum   hash.Hash
}

func newMeter(w io.Writer) *meter { return &meter{w: w, sum: sha256.New()} }

// Write implements io.Writer.
func (m *meter) Write(p []byte) (int, error) {
	n, err := m.w.Write(p)
	m.bytes += int64(n)
	m.sum.Write(p[:n])
	return n, err
}

func (m *meter) digest() string { return hex.EncodeToString(m.sum.Sum(nil)) }

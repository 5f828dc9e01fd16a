package export_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"finobs/internal/export"
)

func TestHeader(t *testing.T) {
	for _, f := range []export.Format{export.CSV, export.NDJSON, export.Parquet} {
		for _, c := range []export.Compression{export.Plain, export.Gzip, export.Zstd} {
			for _, rows := range [][][]export.Cell{nil, {row("1", "one", `{"a":["b"]}`), absent}} {
				content, _ := encode(t, f, c, rows...)
				want := dataset.ColumnNames()
				if f == export.NDJSON && rows == nil {
					want = nil
				}
				if got, err := export.Header(bytes.NewReader(content), int64(len(content)), f, c); err != nil || !slices.Equal(got, want) {
					t.Errorf("%s %s, %d rows: %v, %v", f, c, len(rows), got, err)
				}
			}
			for _, wrong := range []string{"\"", "[1]", `{"a"`, `{"a":1,"a":2}`, "PAR1"} {
				if f == export.CSV && wrong != "\"" && c == export.Plain {
					continue // one column of that name
				}
				if got, err := export.Header(strings.NewReader(wrong), int64(len(wrong)), f, c); !errors.Is(err, export.ErrUnsound) {
					t.Errorf("%s %s: %q has the columns %v, %v", f, c, wrong, got, err)
				}
			}
		}
	}
}

// endless is a text of one letter that takes no memory, but for its beginning.
type endless struct{ begin string }

// ReadAt implements io.ReaderAt.
func (e endless) ReadAt(p []byte, off int64) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	if off < int64(len(e.begin)) {
		copy(p, e.begin[off:])
	}
	return len(p), nil
}

// One record that never ends is not gathered in memory.
func TestInspectBoundsARecord(t *testing.T) {
	const size = 70 << 20
	for f, want := range map[export.Format]string{export.CSV: "a record has over", export.NDJSON: "line 1 has over"} {
		seen, err := export.Inspect(endless{"\""}, size, f, export.Plain, size)
		if !errors.Is(err, export.ErrUnsound) || !strings.Contains(err.Error(), want) || seen.FileBytes != size {
			t.Errorf("%s: %+v, %v", f, seen, err)
		}
	}
}

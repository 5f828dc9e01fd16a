package export_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"finobs/internal/export"

	"github.com/parquet-go/parquet-go"
)

// Times and days that Parquet holds as numbers are those that time.Parse reads, and
// what it refuses is refused.
func TestParquetReadsTimes(t *testing.T) {
	for _, c := range []struct{ at, day string }{
		{"2026-11-24T09:30:00.123456Z", "2026-11-24"}, {"2024-02-29T23:59:59.999999Z", "2024-02-29"}, {"1969-12-31T23:59:59.000001Z", "1999-12-31"},
		{"2023-02-29T00:00:00.000000Z", "2024-01-01"}, {"2024-01-01T00:00:00.000000Z", "2023-02-29"}, {"2024-01-01T24:00:00.000000Z", "2024-01-01"},
		{"2024-01-01 00:00:00.000000Z", "2024-01-01"}, {"2024-01-01T00:00:00Z", "2024-01-01"}, {"2024-13-01T00:00:00.000000Z", "2024-01-01"},
		{"2024-01-01T00:00:00.00000+Z", "2024-01-01"}, {"2024-01-01T00:00:60.000000Z", "2024-01-01"}, {"", "2024-01-01"}, {"2024-01-01T00:00:00.000000Z", "2024/01/01"},
	} {
		at, atErr := time.Parse(time.RFC3339, c.at)
		day, dayErr := time.Parse(time.DateOnly, c.day)
		var b bytes.Buffer
		w, err := export.NewWriter(&b, export.Spec{Dataset: dataset, Format: export.Parquet, Compression: export.Plain})
		if err != nil {
			t.Fatal(err)
		}
		cells := row("1", "", "{}")
		cells[4], cells[5] = export.Cell(c.at), export.Cell(c.day)
		if err := w.Row(cells); (err == nil) != (atErr == nil && dayErr == nil) {
			t.Errorf("%q and %q: got %v", c.at, c.day, err)
		} else if err != nil {
			continue
		}
		if _, err := w.Close(); err != nil {
			t.Fatal(err)
		}
		file, err := parquet.OpenFile(bytes.NewReader(b.Bytes()), int64(b.Len()))
		if err != nil {
			t.Fatal(err)
		}
		rows := make([]parquet.Row, 1)
		if n, err := file.RowGroups()[0].Rows().ReadRows(rows); n != 1 || err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(n, err)
		}
		if rows[0][4].Int64() != at.UnixMicro() || int64(rows[0][5].Int32())*86_400 != day.Unix() {
			t.Errorf("%q and %q are held as %v and %v", c.at, c.day, rows[0][4], rows[0][5])
		}
	}
}

// Every character comes back from a line of NDJSON, and all but ASCII that needs no
// care is written as the JSON package writes it.
func TestEveryCharacterInNDJSON(t *testing.T) {
	var all strings.Builder
	for r := rune(0); r < 0x250; r++ {
		all.WriteRune(r)
	}
	all.WriteString("\u2028\u2029\ufeff\U0001F600")
	for _, text := range []string{all.String(), "plain <b>&'", "del \x7f", `a"b`, `a\b`, "tab\t"} {
		line, _ := encode(t, export.NDJSON, export.Plain, row("1", text, "{}"))
		var got struct{ Text string }
		if err := json.Unmarshal(line, &got); err != nil || got.Text != text || bytes.Count(line, []byte("\n")) != 1 {
			t.Errorf("%q came back as %q, %v", text, got.Text, err)
		}
	}
}

// failing takes some bytes and then fails for ever.
type failing struct{ left int }

var errDisk = errors.New("disk")

// Write implements io.Writer.
func (f *failing) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errDisk
	}
	return len(p), nil
}

// What cannot be written is told, by a row or by Close, whatever is written after it.
func TestWriterTellsOfTheDisk(t *testing.T) {
	for _, f := range []export.Format{export.CSV, export.NDJSON, export.Parquet} {
		for _, left := range []int{0, 1, 200_000} {
			w, err := export.NewWriter(&failing{left}, export.Spec{Dataset: dataset, Format: f, Compression: export.Plain})
			if err != nil {
				t.Fatal(err)
			}
			var told error
			for range 20_000 {
				told = errors.Join(told, w.Row(row("1", "some text", "{}")))
			}
			totals, err := w.Close()
			if !errors.Is(err, errDisk) || totals != (export.Totals{}) {
				t.Errorf("%s with room for %d bytes: closing said %v and %+v (rows: %t)", f, left, err, totals, told != nil)
			}
		}
	}
}

package export_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"finobs/internal/approval"
	"finobs/internal/export"
	"finobs/internal/fault"

	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"
)

var dataset = export.Dataset{Name: "t", Version: "1", Columns: []export.Column{
	{Name: "n", Kind: export.Integer}, {Name: "amount", Kind: export.Decimal}, {Name: "text", Kind: export.Text}, {Name: "doc", Kind: export.JSON},
	{Name: "at", Kind: export.Time}, {Name: "day", Kind: export.Date}, {Name: "yes", Kind: export.Bool},
}}

func encode(t interface{ Fatal(...any) }, f export.Format, c export.Compression, rows ...[]export.Cell) ([]byte, export.Totals) {
	var b bytes.Buffer
	w, err := export.NewWriter(&b, export.Spec{Dataset: dataset, Format: f, Compression: c})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if err := w.Row(row); err != nil {
			t.Fatal(err)
		}
	}
	totals, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), totals
}

func row(n, text, doc string) []export.Cell {
	return []export.Cell{[]byte(n), []byte("-12.50"), []byte(text), []byte(doc), []byte("2026-11-24T09:30:00.123456Z"), []byte("2026-11-24"), []byte("true")}
}

var absent = make([]export.Cell, len(dataset.Columns))

func TestFormats(t *testing.T) {
	rows := [][]export.Cell{row("-7", "=1+1", `{"a":"b"}`), row("8", "a,\"b\"\nc", `[]`), row("9", "", `1`), absent}
	for format, want := range map[export.Format]string{
		export.CSV: "n,amount,text,doc,at,day,yes\n" +
			"-7,-12.50,'=1+1,\"{\"\"a\"\":\"\"b\"\"}\",2026-11-24T09:30:00.123456Z,2026-11-24,true\n" +
			"8,-12.50,\"a,\"\"b\"\"\nc\",[],2026-11-24T09:30:00.123456Z,2026-11-24,true\n" +
			"9,-12.50,\"\",1,2026-11-24T09:30:00.123456Z,2026-11-24,true\n,,,,,,\n",
		export.NDJSON: `{"n":-7,"amount":-12.50,"text":"=1+1","doc":{"a":"b"},"at":"2026-11-24T09:30:00.123456Z","day":"2026-11-24","yes":true}` + "\n" +
			`{"n":8,"amount":-12.50,"text":"a,\"b\"\nc","doc":[],"at":"2026-11-24T09:30:00.123456Z","day":"2026-11-24","yes":true}` + "\n" +
			`{"n":9,"amount":-12.50,"text":"","doc":1,"at":"2026-11-24T09:30:00.123456Z","day":"2026-11-24","yes":true}` + "\n" +
			`{"n":null,"amount":null,"text":null,"doc":null,"at":null,"day":null,"yes":null}` + "\n",
	} {
		if got, _ := encode(t, format, export.Plain, rows...); string(got) != want {
			t.Errorf("%s: got\n%s\nwant\n%s", format, got, want)
		}
	}
}

func TestParquetReadsBack(t *testing.T) {
	for _, c := range []export.Compression{export.Plain, export.Gzip, export.Zstd} {
		content, totals := encode(t, export.Parquet, c, row("-7", "=1+1", `{"a":"b"}`), absent)
		file, err := parquet.OpenFile(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, column := range file.Schema().Columns() {
			names = append(names, column[0])
		}
		if !slices.Equal(names, dataset.ColumnNames()) || file.NumRows() != 2 || totals.Rows != 2 {
			t.Errorf("%s: columns %v, %d rows", c, names, file.NumRows())
		}
		rows := make([]parquet.Row, 3)
		n, err := file.RowGroups()[0].Rows().ReadRows(rows)
		if n != 2 || err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(n, err)
		}
		first := rows[0]
		if first[0].Int64() != -7 || first[1].String() != "-12.50" || first[2].String() != "=1+1" || first[3].String() != `{"a":"b"}` ||
			first[4].Int64() != 1795512600123456 || first[5].Int32() != 20781 || !first[6].Boolean() {
			t.Errorf("%s: got %v", c, first)
		}
		for i, v := range rows[1] {
			if !v.IsNull() {
				t.Errorf("%s: column %d of the absent row is %v", c, i, v)
			}
		}
	}
}

func TestWriterRefuses(t *testing.T) {
	w, err := export.NewWriter(io.Discard, export.Spec{Dataset: dataset, Format: export.CSV, Compression: export.Plain})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Row(absent[:2]); err == nil || !strings.Contains(err.Error(), "2 cells for 7 columns") {
		t.Errorf("got %v", err)
	}
}

func TestGuard(t *testing.T) {
	for in, want := range map[string]string{
		"=1": "'=1", "+1": "'+1", "-1": "'-1", "@x": "'@x", "\tx": "'\tx", "\rx": "'\rx", "\nx": "'\nx", "\x00": "'\x00",
		"＝1": "'＝1", "  =1": "'  =1", "\u00a0=1": "'\u00a0=1", "\ufeff=1": "'\ufeff=1", "'x": "''x", "|x": "'|x",
		"x=1": "x=1", "": "", "1-2": "1-2", "é": "é",
	} {
		if got := export.Guard(in); got != want {
			t.Errorf("Guard(%q) = %q, want %q", in, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		if got := export.Unguard(export.Guard(s)); got != s {
			t.Fatalf("%q came back as %q", s, got)
		}
	})
}

// What is written is what is read back, by readers that are not ours, and the
// same rows give the same bytes.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOf(rapid.StringMatching(`[ -~\n\t\r,"'=é]{0,20}`)).Draw(t, "texts")
		compression := rapid.SampledFrom([]export.Compression{export.Plain, export.Gzip, export.Zstd}).Draw(t, "compression")
		var rows [][]export.Cell
		for _, text := range texts {
			rows = append(rows, row("1", text, `{}`))
		}
		content, _ := encode(t, export.CSV, export.Plain, rows...)
		// encoding/csv makes LF of a CRLF within a cell; nothing else changes.
		records, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
		if err != nil || len(records) != len(texts)+1 {
			t.Fatalf("%d records, %v", len(records), err)
		}
		for i, text := range texts {
			want := strings.ReplaceAll(export.Guard(text), "\r\n", "\n")
			if got := records[i+1][2]; got != want {
				t.Fatalf("%q came back as %q", want, got)
			}
		}
		lines, _ := encode(t, export.NDJSON, export.Plain, rows...)
		dec := json.NewDecoder(bytes.NewReader(lines))
		for _, text := range texts {
			var object map[string]any
			if err := dec.Decode(&object); err != nil || object["text"] != text {
				t.Fatalf("%q came back as %v, %v", text, object["text"], err)
			}
		}
		for _, f := range []export.Format{export.CSV, export.NDJSON, export.Parquet} {
			first, totals := encode(t, f, compression, rows...)
			again, _ := encode(t, f, compression, rows...)
			if !bytes.Equal(first, again) {
				t.Fatalf("%s %s: two runs gave different bytes", f, compression)
			}
			seen, err := export.Inspect(bytes.NewReader(first), int64(len(first)), f, compression, totals.ContentBytes)
			if err != nil || seen != totals {
				t.Fatalf("%s %s: inspected %+v, %v; written %+v", f, compression, seen, err, totals)
			}
			_, plain := encode(t, f, export.Plain, rows...)
			if f != export.Parquet && totals.ContentSHA256 != plain.ContentSHA256 {
				t.Fatalf("%s: compression changed the content's digest", f)
			}
		}
	})
}

// Damage never goes unnoticed: the totals differ from what was written, or the
// artefact is not sound. No damage makes Inspect panic.
func TestInspectSeesEveryChange(t *testing.T) {
	for _, f := range []export.Format{export.CSV, export.NDJSON, export.Parquet} {
		for _, c := range []export.Compression{export.Plain, export.Gzip, export.Zstd} {
			content, totals := encode(t, f, c, row("1", "one", "{}"), row("2", "two", "{}"), row("3", "three", "{}"))
			changed := map[string][]byte{"empty": {}, "appended": append(slices.Clone(content), ' '), "twice": append(slices.Clone(content), content...)}
			for i := range content {
				damaged := slices.Clone(content)
				damaged[i] ^= 1
				changed["flip "+string(rune(i))] = damaged
				changed["cut "+string(rune(i))] = content[:i]
			}
			for name, bytesNow := range changed {
				seen, err := export.Inspect(bytes.NewReader(bytesNow), int64(len(bytesNow)), f, c, totals.ContentBytes)
				if seen == totals {
					t.Errorf("%s %s, %s: totals are those of the original (%v)", f, c, name, err)
				}
			}
		}
	}
}

func TestInspectDoesNotExpandBeyondTheLimit(t *testing.T) {
	content, totals := encode(t, export.NDJSON, export.Zstd, row("1", strings.Repeat("x", 1<<20), "{}"))
	seen, err := export.Inspect(bytes.NewReader(content), int64(len(content)), export.NDJSON, export.Zstd, 1000)
	if !errors.Is(err, export.ErrUnsound) || seen.ContentBytes > 1001 || totals.ContentBytes < 1<<20 {
		t.Errorf("expanded %d bytes, %v", seen.ContentBytes, err)
	}
}

func spec() export.Spec {
	return export.Spec{
		Dataset: export.Incidents, Format: export.CSV, Compression: export.Gzip, Destination: export.Destination{Name: "archive", Digest: "d1"},
		Filters: map[string]string{"status": "open", "desk": "EQ", "from": "2026-11-01T00:00:00Z"},
	}
}

func TestActionAndSpecAreOneToOne(t *testing.T) {
	s := spec()
	me := approval.Person{Issuer: "i", Subject: "s"}
	back, err := export.FromAction(s.Action(me, "EQ", approval.Live))
	if err != nil || back.Format != s.Format || back.Compression != s.Compression || back.Destination != s.Destination || !maps.Equal(back.Filters, s.Filters) {
		t.Errorf("got %+v, %v", back, err)
	}
	for name, change := range map[string]func(*approval.Action){
		"other kind":          func(a *approval.Action) { a.Kind = "export.users" },
		"no export":           func(a *approval.Action) { a.Kind = "user.add" },
		"old version":         func(a *approval.Action) { a.Targets[0].Version = "1" },
		"no target":           func(a *approval.Action) { a.Targets = nil },
		"no destination":      func(a *approval.Action) { a.Targets[1].ID = "" },
		"another target":      func(a *approval.Action) { a.Targets[1].Kind = "incident" },
		"unknown format":      func(a *approval.Action) { a.Parameters["format"] = "xlsx" },
		"unknown compression": func(a *approval.Action) { a.Parameters["compression"] = "rar" },
		"unknown filter":      func(a *approval.Action) { a.Parameters["colour"] = "red" },
		"filter of no time":   func(a *approval.Action) { a.Parameters["from"] = "yesterday" },
		"empty filter":        func(a *approval.Action) { a.Parameters["desk"] = "" },
		"another dataset":     func(a *approval.Action) { a.Targets[0].ID = "users" },
	} {
		a := s.Action(me, "EQ", approval.Live)
		change(&a)
		if _, err := export.FromAction(a); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// Columns are an allow-list, and what must never leave is not on it.
func TestDatasets(t *testing.T) {
	for _, d := range export.Datasets() {
		seen := map[string]bool{}
		for _, c := range d.Columns {
			if seen[c.Name] || strings.Contains(c.Name, "password") || strings.Contains(c.Name, "token") || strings.Contains(c.Name, "secret") || c.Name == "command" {
				t.Errorf("%s: column %s is there twice or must not leave", d.Name, c.Name)
			}
			seen[c.Name] = true
		}
		for _, f := range d.Filters {
			if f.Name == "format" || f.Name == "compression" {
				t.Errorf("%s: filter %s has the name of a parameter", d.Name, f.Name)
			}
		}
		if again, known := export.DatasetNamed(d.Name); !known || again.Key != d.Key || d.View == "" {
			t.Errorf("%s is not found by its name, or has no view", d.Name)
		}
	}
}

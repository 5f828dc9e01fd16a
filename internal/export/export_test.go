package export_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"finobs/internal/approval"
	"finobs/internal/export"
	"finobs/internal/fault"

	"pgregory.net/rapid"
)

var dataset = export.Dataset{Name: "t", Version: "1", Columns: []export.Column{{Name: "n"}, {Name: "text", Text: true}, {Name: "doc", Text: true, JSON: true}}}

func encode(t interface{ Fatal(...any) }, f export.Format, rows ...[]export.Cell) (string, export.Seal) {
	var b bytes.Buffer
	e, err := export.NewEncoder(&b, dataset, f)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if err := e.Row(row); err != nil {
			t.Fatal(err)
		}
	}
	var s export.Seal
	if s.Rows, s.Bytes, s.ContentSHA256, err = e.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String(), s
}

func row(n, text, doc string) []export.Cell {
	return []export.Cell{{Text: n}, {Text: text}, {Text: doc}}
}

func TestFormats(t *testing.T) {
	rows := [][]export.Cell{row("-12.50", "=1+1", `{"a": "b"}`), {{Null: true}, {Text: "a,\"b\"\nc"}, {Null: true}}}
	for format, want := range map[export.Format]string{
		export.CSV:    "n,text,doc\n-12.50,'=1+1,\"{\"\"a\"\": \"\"b\"\"}\"\n,\"a,\"\"b\"\"\nc\",\n",
		export.NDJSON: `{"n":"-12.50","text":"=1+1","doc":{"a":"b"}}` + "\n" + `{"n":null,"text":"a,\"b\"\nc","doc":null}` + "\n",
	} {
		if got, _ := encode(t, format, rows...); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", format, got, want)
		}
	}
}

func TestGuard(t *testing.T) {
	for in, want := range map[string]string{
		"=1": "'=1", "+1": "'+1", "-1": "'-1", "@x": "'@x", "\tx": "'\tx", "\rx": "'\rx", "\nx": "'\nx", "\x00": "'\x00",
		"＝1": "'＝1", "  =1": "'  =1", "\u00a0=1": "'\u00a0=1", "'x": "''x", "|x": "'|x",
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

// What is written is what is read back, by readers that are not ours, and an
// untouched artefact verifies.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOf(rapid.StringMatching(`[ -~\n\t,"'=é]{0,20}`)).Draw(t, "texts")
		var rows [][]export.Cell
		for _, text := range texts {
			rows = append(rows, row("1", text, `{}`))
		}
		content, seal := encode(t, export.CSV, rows...)
		records, err := csv.NewReader(strings.NewReader(content)).ReadAll()
		if err != nil || len(records) != len(texts)+1 {
			t.Fatalf("%d records, %v", len(records), err)
		}
		for i, text := range texts {
			if got := export.Unguard(records[i+1][1]); got != text {
				t.Fatalf("%q came back as %q", text, got)
			}
		}
		lines, lineSeal := encode(t, export.NDJSON, rows...)
		dec := json.NewDecoder(strings.NewReader(lines))
		for _, text := range texts {
			var object map[string]any
			if err := dec.Decode(&object); err != nil || object["text"] != text {
				t.Fatalf("%q came back as %v, %v", text, object["text"], err)
			}
		}
		if err := errors.Join(export.VerifyArtefact(strings.NewReader(content), export.CSV, seal),
			export.VerifyArtefact(strings.NewReader(lines), export.NDJSON, lineSeal)); err != nil {
			t.Fatal(err)
		}
	})
}

func TestEveryChangeOfAnArtefactIsFound(t *testing.T) {
	for _, format := range []export.Format{export.CSV, export.NDJSON} {
		content, seal := encode(t, format, row("1", "one", "{}"), row("2", "two", "{}"), row("3", "three", "{}"))
		lines := strings.SplitAfter(content, "\n")
		changed := map[string]string{
			"empty":         "",
			"last row cut":  strings.Join(lines[:len(lines)-2], ""),
			"row appended":  content + lines[1],
			"rows swapped":  lines[0] + lines[2] + lines[1] + strings.Join(lines[3:], ""),
			"line end cut":  strings.TrimSuffix(content, "\n"),
			"byte appended": content + " ",
		}
		for i := range content {
			changed["byte "+string(rune('0'+i%10))+content[:i]] = content[:i] + string(content[i]^1) + content[i+1:]
		}
		for name, text := range changed {
			if err := export.VerifyArtefact(strings.NewReader(text), format, seal); !errors.Is(err, export.ErrMismatch) {
				t.Errorf("%s, %.20q: got %v", format, name, err)
			}
		}
	}
}

func TestActionAndSpecAreOneToOne(t *testing.T) {
	s := export.Spec{Dataset: export.Incidents, Format: export.CSV, Filters: map[string]string{"status": "open", "desk": "EQ"}}
	a := s.Action(approval.Person{Issuer: "i", Subject: "s"}, "EQ", approval.Live)
	back, err := export.FromAction(a)
	if err != nil || back.Format != s.Format || len(back.Filters) != 2 || back.Filters["status"] != "open" {
		t.Errorf("got %+v, %v", back, err)
	}
	for name, change := range map[string]func(*approval.Action){
		"other kind":      func(a *approval.Action) { a.Kind = "export.users" },
		"old version":     func(a *approval.Action) { a.Targets[0].Version = "0" },
		"no target":       func(a *approval.Action) { a.Targets = nil },
		"unknown format":  func(a *approval.Action) { a.Parameters["format"] = "xlsx" },
		"unknown filter":  func(a *approval.Action) { a.Parameters["colour"] = "red" },
		"another dataset": func(a *approval.Action) { a.Targets[0].ID = "users" },
	} {
		a := s.Action(approval.Person{Issuer: "i", Subject: "s"}, "EQ", approval.Live)
		change(&a)
		if _, err := export.FromAction(a); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

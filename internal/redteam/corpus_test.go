package redteam_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"finobs/internal/fault"
	"finobs/internal/redteam"
)

func TestCorpusIsWhole(t *testing.T) {
	t.Parallel()
	list, err := redteam.Corpus()
	if err != nil {
		t.Fatal(err)
	}
	counts, seen := map[string]int{}, map[string]bool{}
	for _, text := range list {
		counts[text.Class]++
		if seen[text.Name] || !utf8.ValidString(text.Text) || strings.HasPrefix(text.Text, "#") {
			t.Errorf("%s is there twice, or is no text: %.40q", text.Name, text.Text)
		}
		seen[text.Name] = true
	}
	for class, want := range map[string]int{
		"jailbreaks": 10, "labelled": 60, "labelled, benign": 45, "third-party text": 75, "SQL": 10, "HTML": 17, "against the desk": 72,
	} {
		if counts[class] != want {
			t.Errorf("there are %d texts of class %s, want %d", counts[class], class, want)
		}
	}
}

// Whoever ships the texts ships where they come from.
func TestEveryFileIsInTheNotice(t *testing.T) {
	t.Parallel()
	notice, err := os.ReadFile("corpus/NOTICE")
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir("corpus")
	if err != nil || len(files) < 7 {
		t.Fatalf("got %v, %v", files, err)
	}
	for _, f := range files {
		if f.Name() != "NOTICE" && !strings.Contains(string(notice), f.Name()) {
			t.Errorf("%s is not in NOTICE", f.Name())
		}
	}
}

func TestReadTexts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file, content string
		want          string // class, name and text of each
	}{
		"plain":        {"a.txt", "one\n\n  \ntwo\r\n# three\n", "c a.txt:1 one|c a.txt:4 two|c a.txt:5 # three"},
		"no extension": {"dir/notes", "one", "c notes:1 one"},
		"csv":          {"a.csv", "index,prompt,label\n1,\"a\nb\",attack\n2,fine,benign\n3,,attack\n", "c a.csv:1 a\nb|c, benign a.csv:2 fine"},
		"csv, text":    {"a.CSV", "\uFEFFtext,x\nfoo,bar\n", "c a.CSV:1 foo"},
		"csv, first":   {"a.csv", "words\nfoo\n", "c a.csv:1 foo"},
		"json":         {"a.json", `{"b": ["two", {"x": "three"}], "a": "one", "n": 7}`, "c a.json:1 one|c a.json:2 two|c a.json:3 three"},
		"payloads":     {"a.json", `{"name": "no text", "payloads": ["one"]}`, "c a.json:1 one"},
		"jsonl":        {"a.jsonl", "\"one\"\n{\"prompt\": \"two\"}\n{\"context\": \"three\", \"question\": \"no\"}\n", "c a.jsonl:1 one|c a.jsonl:2 two|c a.jsonl:3 three"},
		"bytes":        {"a.txt", "a\xffb", "c a.txt:1 a\uFFFDb"},
	} {
		list, err := redteam.ReadTexts(strings.NewReader(c.content), c.file, "c")
		var got []string
		for _, text := range list {
			got = append(got, text.Class+" "+text.Name+" "+text.Text)
		}
		if err != nil || strings.Join(got, "|") != c.want {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

func TestReadTextsSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file, content, want string
		kind                fault.Kind
	}{
		"empty":          {"a.txt", "\n \n", "has no texts", fault.Invalid},
		"header alone":   {"a.csv", "prompt\n", "has no texts", fault.Invalid},
		"empty csv":      {"a.csv", "", "must name the columns", fault.Invalid},
		"ragged csv":     {"a.csv", "a,b\n1\n", "no valid CSV: record on line 2", fault.Invalid},
		"broken json":    {"a.json", "{", "no valid JSON", fault.Invalid},
		"broken jsonl":   {"a.jsonl", "\"a\"\n[1]\n", "line 2 is neither", fault.Invalid},
		"too many texts": {"a.txt", strings.Repeat("a\n", 10_001), "10001 texts; 10000 are the limit", fault.TooLarge},
		"too long":       {"a.txt", strings.Repeat("a", 16<<20+1), "over 16777216 bytes", fault.TooLarge},
	} {
		_, err := redteam.ReadTexts(strings.NewReader(c.content), c.file, "c")
		if err == nil || !strings.Contains(err.Error(), c.want) || fault.KindOf(err) != c.kind {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// The samples that are not shipped are read too, in each of their forms.
func TestReadSamples(t *testing.T) {
	t.Parallel()
	root := os.Getenv("FINOBS_SAMPLE_DATA")
	if root == "" {
		t.Skip("FINOBS_SAMPLE_DATA names no folder of sample data")
	}
	for name, want := range map[string]int{
		"prompt_injection/giskard_prompt_injections.even.csv": 18, "prompt_injection/bipia_email_contexts_train.jsonl": 50,
		"naughty_strings/blns.part1.txt": 110, "export_formula_injection/csv-payload.txt": 6,
	} {
		file, err := os.Open(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		list, err := redteam.ReadTexts(file, name, "c")
		file.Close()
		if err != nil || len(list) < want {
			t.Errorf("%s: got %d texts, want %d: %v", name, len(list), want, err)
		}
	}
}

func FuzzReadTexts(f *testing.F) {
	for _, name := range []string{"a.txt", "a.csv", "a.json", "a.jsonl"} {
		for _, content := range []string{"prompt,label\nx,benign\n", `{"payloads":["a",["b"]]}`, "\"a\"\n{\"text\":\"b\"}", "\xff\x00\u2028"} {
			f.Add(name, content)
		}
	}
	f.Fuzz(func(t *testing.T, name, content string) {
		list, err := redteam.ReadTexts(strings.NewReader(content), name, "c")
		if err == nil && len(list) == 0 {
			t.Error("no text and no error")
		}
		for _, text := range list {
			if !utf8.ValidString(text.Text) || strings.TrimSpace(text.Text) == "" || len(text.Text) > 64<<10+2 {
				t.Errorf("got %.80q", text.Text)
			}
		}
	})
}

package sanctions_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"finobs/internal/fault"
	"finobs/internal/sanctions"
)

func open(t testing.TB, path string) io.Reader {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func shipped(t testing.TB) *sanctions.List {
	t.Helper()
	return read(t, "testdata/sdn.csv", "testdata/alt.csv", "testdata/add.csv")
}

func read(t testing.TB, sdn, alt, add string) *sanctions.List {
	t.Helper()
	l, err := sanctions.Read(sanctions.Files{SDN: open(t, sdn), Alt: open(t, alt), Add: open(t, add)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// samples reads the larger list of the sample data, where it is there.
func samples(t testing.TB) (string, *sanctions.List) {
	t.Helper()
	dir := os.Getenv("FINOBS_SAMPLE_DATA")
	if dir == "" {
		t.Skip("FINOBS_SAMPLE_DATA names no folder of sample data")
	}
	ofac := filepath.Join(dir, "compliance", "ofac")
	return dir, read(t, filepath.Join(ofac, "sdn.rows1-2000.csv"), filepath.Join(ofac, "alt.rows1-2000.csv"), filepath.Join(ofac, "add.rows1-2000.csv"))
}

func TestReadsTheList(t *testing.T) {
	l := shipped(t)
	count := map[sanctions.Type]int{}
	for _, e := range l.Entries {
		count[e.Type]++
	}
	if count[sanctions.Entity] != 60 || count[sanctions.Individual] != 60 || count[sanctions.Vessel] != 4 {
		t.Errorf("types %v", count)
	}
	e, found := l.Entry("306")
	if !found || e.Name != "BANCO NACIONAL DE CUBA" || e.Programme != "CUBA" || e.Title != "" {
		t.Errorf("entry 306 is %+v", e)
	}
	if len(e.Addresses) == 0 || e.Addresses[0] != (sanctions.Address{Street: "Zweierstrasse 35", City: "Zurich CH-8022", Country: "Switzerland"}) {
		t.Errorf("addresses %v", e.Addresses)
	}
	var weak, plain bool
	for _, a := range e.Aliases {
		weak = weak || a == sanctions.Alias{Kind: sanctions.AKA, Name: "BNC", Weak: true}
		plain = plain || a == sanctions.Alias{Kind: sanctions.AKA, Name: "NATIONAL BANK OF CUBA"}
	}
	if !weak || !plain {
		t.Errorf("aliases %v", e.Aliases)
	}
	if _, found := l.Entry("1"); found {
		t.Error("an entry that is not there")
	}
}

const tail = `,"CUBA",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- `

func TestWhatIsWrongWithAList(t *testing.T) {
	good := `1,"ONE",-0- ` + tail + "\n"
	for name, step := range map[string]struct{ sdn, alt, add, want string }{
		"empty":            {"", "", "", "has no entry"},
		"only the end":     {"\x1a\n", "", "", "has no entry"},
		"cut in a quote":   {good + `2,"TWO`, "", "", "sdn file, line 2, column 2"},
		"cut in a line":    {good + `2,"TWO",-0- ,"CUBA"`, "", "", "sdn file, line 2, column 4: the line has 4 columns, a sdn file has 12"},
		"no number":        {`x,"ONE",-0- ` + tail, "", "", `column 1: "x" must be the number`},
		"zero":             {`0,"ONE",-0- ` + tail, "", "", "column 1"},
		"another type":     {`1,"ONE","ship"` + tail, "", "", `column 3: type "ship"`},
		"no name":          {`1,-0- ,-0- ` + tail, "", "", "column 2: the name is empty"},
		"twice":            {good + good, "", "", "line 2, column 1: there is an entry 1 already"},
		"control":          {"1,\"O\x00NE\",-0- " + tail, "", "", "column 2: there is a control character"},
		"joined":           {good + "\x1a\n" + `2,"TWO",-0- ` + tail, "", "", "line 3, column 1: there is a line after the end"},
		"other's alias":    {good, `2,1,"aka","X",-0- `, "", "alt file, line 1, column 1: there is no entry 2"},
		"kind of alias":    {good, `1,1,"dba","X",-0- `, "", `alt file, line 1, column 3: kind "dba"`},
		"empty alias":      {good, `1,1,"aka",-0- ,-0- `, "", "column 4"},
		"alias for SDN":    {`1,1,"aka","X",-0- `, "", "", "5 columns"},
		"other's address":  {good, "", `2,1,"a","b","c",-0- `, "add file, line 1, column 1"},
		"columns of a add": {good, "", `1,1,"a","b"`, "a add file has 6"},
		"endless line":     {good + strings.Repeat("x", 70_000), "", "", "sdn file, line 2: the line is over"},
	} {
		files := sanctions.Files{SDN: strings.NewReader(step.sdn), Alt: strings.NewReader(step.alt), Add: strings.NewReader(step.add)}
		_, err := sanctions.Read(files)
		if err == nil || !strings.Contains(err.Error(), step.want) {
			t.Errorf("%s: %v; want %q", name, err, step.want)
		}
		if k := fault.KindOf(err); k != fault.Invalid && k != fault.TooLarge {
			t.Errorf("%s: kind %s", name, k)
		}
	}
	if _, err := sanctions.Read(sanctions.Files{}); fault.CodeOf(err) != "no-sanctions-list" {
		t.Errorf("no files: %v", err)
	}
	broken := errors.New("broken")
	if _, err := sanctions.Read(sanctions.Files{SDN: io.MultiReader(strings.NewReader(good), failing{broken})}); !errors.Is(err, broken) {
		t.Errorf("a disk that fails: %v", err)
	}
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

func TestSpellingsOfAFile(t *testing.T) {
	for name, text := range map[string]string{
		"byte order mark": "\ufeff1,\"PEÑA\",-0- " + tail,
		"CRLF and end":    "1,\"PEÑA\",-0- " + tail + "\r\n\x1a\r\n",
		"ISO 8859-1":      "1,\"PE\xd1A\",-0- " + tail + "\n\n",
		"unquoted":        "1,PEÑA,-0-" + strings.ReplaceAll(tail, `"`, "") + "\x1a",
	} {
		l, err := sanctions.Read(sanctions.Files{SDN: strings.NewReader(text)})
		if err != nil || len(l.Entries) != 1 || l.Entries[0].Name != "PEÑA" {
			t.Errorf("%s: %v, %v", name, l, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, name := range []string{"sdn", "alt", "add"} {
		text, err := os.ReadFile("testdata/" + name + ".csv")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text[:min(len(text), 2000)], text[:100])
	}
	f.Add([]byte(`1,"ONE","individual"`+tail+"\x1a"), []byte(`1,2,"aka","TWO",-0- `))
	f.Fuzz(func(t *testing.T, sdn, alt []byte) {
		l, err := sanctions.Read(sanctions.Files{SDN: strings.NewReader(string(sdn)), Alt: strings.NewReader(string(alt))})
		if err != nil {
			if k := fault.KindOf(err); k != fault.Invalid && k != fault.TooLarge {
				t.Fatalf("%s: %v", k, err)
			}
			return
		}
		x := sanctions.NewIndex(l)
		for _, e := range l.Entries {
			if e.Name == "" || e.ID == "" {
				t.Fatalf("entry %+v", e)
			}
			for _, m := range x.Match(sanctions.Query{Name: e.Name, Least: 90}) {
				if m.Score < 90 || m.Score > 100 || m.Why() == "" {
					t.Fatalf("match %+v", m)
				}
			}
		}
	})
}

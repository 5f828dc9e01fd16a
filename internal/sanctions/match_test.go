package sanctions_test

import (
	"bufio"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"finobs/internal/sanctions"
)

const made = `1,"AERO-CARIBBEAN AIRLINES, S.A.",-0- ,"CUBA",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,"a.k.a. 'ACA'."
2,"RODRÍGUEZ PEÑA, José Luis","individual","SDNTK",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,"DOB 1960."
3,"NORTHERN STAR","vessel","DPRK",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- 
4,"SIDEREX",-0- ,"IRAN",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- 
5,"THE COMPANY LTD",-0- ,"IRAN",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- 
`

func TestMethods(t *testing.T) {
	l, err := sanctions.Read(sanctions.Files{SDN: strings.NewReader(made), Alt: strings.NewReader(`1,9,"fka","CARIBBEAN AIR LINES",-0- `)})
	if err != nil {
		t.Fatal(err)
	}
	x := sanctions.NewIndex(l)
	for _, step := range []struct{ name, want string }{
		{"Aero Caribbean Airlines Ltd", "1 exact 1.00"},
		{"aero-caribbean airlines", "1 exact 1.00"},
		{"AEROCARIBBEAN AIRLINES", "1 token_set 0.98"},
		{"Caribbean Air Lines", "1 alias 1.00"},
		{"Airlines Aero Caribbean", "1 token_set 0.99"},
		{"ACA", ""}, // a weak alias
		{"Aero Caribbean Airlines, XS.A.", "1 one_edit 0.95"},
		{"AeroCaribbeanAirlinesSX", "1 one_edit 0.95"},
		{"jose luis rodriguez pena", "2 token_set 0.99"},
		{"Dr. RODRI\u0301GUEZ PENA, JOSE LUIS", "2 exact 1.00"},
		{"Rodrigues Pena, Jose Luis", "2 token_set 0.98"},
		{"Luis Rodriguez", ""}, // half of a name does not suffice
		{"NORTHERN STAR", "3 exact 1.00"},
		{"Northern Stra", "3 token_set 0.96"},
		{"Siderex S.A.", "4 exact 1.00"},
		{"Sidrex", "4 token_set 0.92"},
		{"Ltd", ""},
		{"The Company", ""}, // other words than those of entry 5, and nothing but stop words
		{"The Company Ltd", "5 exact 1.00"},
		{"", ""}, {"--", ""}, {"\xff", ""},
	} {
		got := ""
		if m := x.Match(sanctions.Query{Name: step.name, Least: 90}); len(m) > 0 {
			got = fmt.Sprintf("%s %s %s", m[0].EntryID, m[0].Method, m[0].Score)
		}
		if got != step.want {
			t.Errorf("%q: %q, want %q", step.name, got, step.want)
		}
	}
	if m := x.Match(sanctions.Query{Name: "northern star", Least: 90, Types: []sanctions.Type{sanctions.Individual}}); len(m) != 0 {
		t.Errorf("a vessel among individuals: %v", m)
	}
	weak := x.Match(sanctions.Query{Name: "ACA", Least: 85})
	if len(weak) != 1 || !weak[0].Weak || weak[0].Score != 85 || !strings.HasPrefix(weak[0].Why(), `weak alias "ACA" of entry 1`) {
		t.Errorf("a weak alias: %+v", weak)
	}
	if m := x.Match(sanctions.Query{Name: "ACAB", Least: 50}); len(m) != 0 {
		t.Errorf("a weak alias with an edit: %v", m)
	}
	m := x.Match(sanctions.Query{Name: "Sidrex", Least: 90})
	if want := `listed name "SIDEREX" of entry 4, entity, programme IRAN; method token_set, score 0.92; words paired: sidrex for siderex (0.92)`; m[0].Why() != want {
		t.Errorf("why: %s", m[0].Why())
	}
}

func TestScores(t *testing.T) {
	for text, want := range map[string]sanctions.Score{"0.00": 0, "0.92": 92, "1.00": 100} {
		if got, err := sanctions.ParseScore(text); err != nil || got != want || got.String() != text {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "1", "1.01", "0.9", "0.925", "2.00", "-0.10", "0.+1", "0,92"} {
		if got, err := sanctions.ParseScore(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

// found says whether an entry is among the matches of a name.
func found(x *sanctions.Index, name, id string) bool {
	return slices.ContainsFunc(x.Match(sanctions.Query{Name: name, Least: least}), func(m sanctions.Match) bool { return m.EntryID == id })
}

func TestEachNameIsFoundUnderItself(t *testing.T) {
	l := shipped(t)
	x := sanctions.NewIndex(l)
	for _, e := range l.Entries {
		for _, m := range []string{e.Name, strings.ToLower(e.Name)} {
			if !found(x, m, e.ID) {
				t.Errorf("%s %q is not found", e.ID, m)
			}
		}
		for _, a := range e.Aliases {
			if !a.Weak && !found(x, a.Name, e.ID) {
				t.Errorf("%s alias %q is not found", e.ID, a.Name)
			}
		}
	}
}

// edit changes one letter of a name: another, one less, one more, or two swapped.
func edit(r *rand.Rand, name string) string {
	s := []rune(name)
	for {
		i := r.IntN(len(s))
		if s[i] < 'A' || s[i] > 'Z' && s[i] < 'a' || s[i] > 'z' {
			continue
		}
		letter := rune('A' + r.IntN(26))
		switch kind := r.IntN(4); {
		case kind == 0:
			s[i] = letter
		case kind == 1:
			s = slices.Delete(s, i, i+1)
		case kind == 2:
			s = slices.Insert(s, i, letter)
		case i+1 < len(s) && s[i+1] >= 'A':
			s[i], s[i+1] = s[i+1], s[i]
		default:
			continue
		}
		return string(s)
	}
}

// companies are the issuers in a file of the SEC.
func companies(t *testing.T, dir string) []string {
	seen := map[string]bool{}
	in := bufio.NewScanner(open(t, filepath.Join(dir, "ftd", "cnsfails202101a.txt")))
	for in.Scan() {
		if f := strings.Split(in.Text(), "|"); len(f) == 6 && f[4] != "DESCRIPTION" {
			seen[strings.TrimSpace(f[4])] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// TestMeasure measures what docs/compliance.md says of matching.
func TestMeasure(t *testing.T) {
	dir, l := samples(t)
	x := sanctions.NewIndex(l)
	r := rand.New(rand.NewPCG(1, 2))
	var own, typo, long, longTypo, swapped, swaps, total int
	letters := func(s string) int { return len(strings.FieldsFunc(s, func(r rune) bool { return r < 'A' })) }
	start := time.Now()
	asked := 0
	for _, e := range l.Entries {
		names := []string{e.Name}
		for _, a := range e.Aliases {
			if !a.Weak {
				names = append(names, a.Name)
			}
		}
		for _, n := range names {
			total++
			asked += 2
			if found(x, n, e.ID) {
				own++
			} else {
				t.Logf("not found: %q", n)
			}
			hit := found(x, edit(r, n), e.ID)
			if hit {
				typo++
			}
			if letters(n) >= 2 {
				long++
				if hit {
					longTypo++
				}
				asked++
				words := strings.FieldsFunc(n, func(r rune) bool { return r == ' ' || r == ',' })
				slices.Reverse(words)
				swaps++
				if found(x, strings.Join(words, " "), e.ID) {
					swapped++
				}
			}
		}
	}
	took := time.Since(start)
	t.Logf("%d names: own %d, one edit %d (%.1f %%), of two words or more %d of %d (%.1f %%), reversed %d of %d; %.0f names/s",
		total, own, typo, pct(typo, total), longTypo, long, pct(longTypo, long), swapped, swaps, float64(asked)/took.Seconds())
	if own != total || pct(swapped, swaps) < 99.5 || pct(typo, total) < 95 {
		t.Errorf("fewer are found than docs/compliance.md says")
	}
	for kind, names := range map[string][]string{"companies": companies(t, dir), "persons": persons()} {
		measureOrdinary(t, x, kind, names)
	}
}

func measureOrdinary(t *testing.T, x *sanctions.Index, kind string, names []string) {
	start, hits := time.Now(), 0
	for _, n := range names {
		if m := x.Match(sanctions.Query{Name: n, Least: least}); len(m) > 0 {
			hits++
			t.Logf("%q: %s", n, m[0].Why())
		}
	}
	took := time.Since(start)
	t.Logf("ordinary names of %s: %d of %d match (%.2f %%); %.0f names/s", kind, hits, len(names), pct(hits, len(names)), float64(len(names))/took.Seconds())
	if pct(hits, len(names)) > 0.5 {
		t.Errorf("more ordinary names match than docs/compliance.md says")
	}
}

// persons are the commonest given names and surnames of the United States (Social
// Security Administration; Census Bureau 2010), each with each.
func persons() []string {
	given := strings.Fields(`James Mary Robert Patricia John Jennifer Michael Linda David Elizabeth William Barbara Richard Susan Joseph
		Jessica Thomas Karen Christopher Sarah Charles Lisa Daniel Nancy Matthew Sandra Anthony Ashley Mark Emily Jose Maria Luis Carlos
		Juan Ana Mohammed Ali Ahmed Fatima`)
	surnames := strings.Fields(`Smith Johnson Williams Brown Jones Garcia Miller Davis Rodriguez Martinez Hernandez Lopez Gonzalez Wilson
		Anderson Thomas Taylor Moore Jackson Martin Lee Perez Thompson White Harris Sanchez Clark Ramirez Lewis Robinson Walker Young
		Allen King Wright Scott Torres Nguyen Hill Flores Khan Ahmed Hussein Ali Rahman Hassan`)
	var out []string
	for _, g := range given {
		for _, s := range surnames {
			out = append(out, g+" "+s)
		}
	}
	return out
}

// least is the threshold that rulebooks/compliance.yaml has.
const least = 90

func pct(n, of int) float64 { return 100 * float64(n) / float64(of) }

func BenchmarkMatch(b *testing.B) {
	l := shipped(b)
	x := sanctions.NewIndex(l)
	for i := 0; b.Loop(); i++ {
		x.Match(sanctions.Query{Name: l.Entries[i%len(l.Entries)].Name, Least: least})
	}
}

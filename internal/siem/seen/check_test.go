package seen_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"finobs/internal/siem/seen"

	"pgregory.net/rapid"
)

func digest(index int64, variant string) string {
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "%d%s", index, variant)))
}

// forms are all ways in which a leaf may have been kept.
var forms = []func(index int64, digest string) string{
	func(i int64, d string) string { return syslog(i, d) + "\n" },
	func(i int64, d string) string { return syslog(i, d) + "\r\n\n" },
	func(i int64, d string) string { m := syslog(i, d); return fmt.Sprintf("%d %s", len(m), m) },
	func(i int64, d string) string { m := syslog(i, d); return fmt.Sprintf("%d %s\n", len(m), m) },
	func(i int64, d string) string { return cef(i, d) + "\n" },
	func(i int64, d string) string { return "<110>1 - h a p m - " + cef(i, d) + "\n" },
	func(i int64, d string) string {
		return fmt.Sprintf(`{"index":"%d","leaf_sha256":"%s","leaf":{"index":"3"}}`+"\n", i, d)
	},
}

func syslog(i int64, d string) string {
	return fmt.Sprintf(`<110>1 2026-03-04T05:06:07.000000Z h a p m [x@1 idx="9"][finobs@32473 a="\"] \\\]" idx="%d" leaf_sha256="%s" tree="1"] text [finobs@32473 idx="8"`, i, d)
}

func cef(i int64, d string) string {
	return fmt.Sprintf(`CEF:0|finobs|finobs|1|a\|b|c|3|suser=a\=b cn1\=9 cn1=%d cn1Label=idx cs1=%s cs1Label=leaf_sha256 msg=x cn1\=5`, i, d)
}

func check(t interface{ Fatal(...any) }, text string) seen.Report {
	r, err := seen.Check(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCheckAgainstAModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		model := map[int64]string{}
		conflicts := map[int64]bool{}
		count, duplicates := int64(0), int64(0)
		for range rapid.IntRange(0, 60).Draw(t, "n") {
			base := rapid.SampledFrom([]int64{0, 1000, 1024 * 70, 1 << 40}).Draw(t, "base")
			i := base + rapid.Int64Range(0, 40).Draw(t, "index")
			d := digest(i, rapid.SampledFrom([]string{"", "", "", "x"}).Draw(t, "variant"))
			text.WriteString(rapid.SampledFrom(forms).Draw(t, "form")(i, d))
			count++
			if old, ok := model[i]; ok {
				duplicates++
				conflicts[i] = conflicts[i] || old != d
				continue
			}
			model[i] = d
		}
		got := check(t, text.String())
		if got.Count != count || got.Duplicates != duplicates || got.Distinct != int64(len(model)) || got.Skipped != 0 {
			t.Fatalf("got %+v; want %d, %d, %d", got, count, duplicates, len(model))
		}
		have := slices.Sorted(maps.Keys(model))
		var gaps []seen.Range
		for k := 1; k < len(have); k++ {
			if have[k] > have[k-1]+1 {
				gaps = append(gaps, seen.Range{First: have[k-1] + 1, Last: have[k] - 1})
			}
		}
		var twice []int64
		for _, i := range have {
			if conflicts[i] {
				twice = append(twice, i)
			}
		}
		if !slices.Equal(got.Gaps, gaps) || !slices.Equal(got.Conflicts, twice) {
			t.Fatalf("got %v, %v; want %v, %v", got.Gaps, got.Conflicts, gaps, twice)
		}
		first := rapid.Int64Range(0, 1100).Draw(t, "first")
		last := first + rapid.Int64Range(0, 50).Draw(t, "length")
		missing := map[int64]bool{}
		for _, g := range got.Missing(first, last) {
			for i := g.First; i <= g.Last; i++ {
				missing[i] = true
			}
		}
		for i := first; i <= last; i++ {
			if _, there := model[i]; there == missing[i] {
				t.Fatalf("%d: there %v, missing %v", i, there, missing[i])
			}
		}
	})
}

func TestCheckSkips(t *testing.T) {
	t.Parallel()
	d := digest(1, "")
	for _, text := range []string{
		"other\n", "<13>Oct 11 22:14:15 host su: message\n", "{\"a\":1}\n", "{", "999 <13>1 cut", "CEF:0|other|x|1|a|b|3|cn1=1\n", strings.Repeat("x", 1<<20) + "\n",
		"<110>1 - h a p m - text [finobs@1 idx=\"1\" leaf_sha256=\"" + d + "\"]\n",
		"<110>1 - h a p m [x@1 a=\"b\"] [finobs@1 idx=\"1\" leaf_sha256=\"" + d + "\"]\n",
		"<110>1 - h a p m [x@1 a=\"[finobs@1 idx=\\\"1\\\" leaf_sha256=\\\"" + d + "\\\"\"]\n",
		"<110>1 - h a p m [finobs@1 idx=\"01\" leaf_sha256=\"" + d + "\"]\n",
		"<110>1 - h a p m [finobs@1 idx=\"-1\" leaf_sha256=\"" + d + "\"]\n",
		"<110>1 - h a p m [finobs@1 idx=\"9223372036854775807\" leaf_sha256=\"" + d + "\"]\n",
		"<110>1 - h a p m [finobs@1 idx=\"1\" leaf_sha256=\"" + d[1:] + "\"]\n",
		"<110>1 - h a p m [finobs@1 idx=\"1\" leaf_sha256=\"" + d + "\n",
		"<110>1 - h a p m [finobs@1 idx=\"1\"\n", "<110>1 - h a p\n", "CEF:0|finobs|finobs|1\n",
		"CEF:0|finobs|finobs|1|a|b|3|cn1=1 cn1Label=tree cs1=" + d + " cs1Label=leaf_sha256\n",
	} {
		if got := check(t, text); got.Count != 0 || got.Skipped != 1 || got.FirstSkipped != 1 || got.Min != -1 || got.Max != -1 {
			t.Errorf("%.80q: got %+v", text, got)
		}
		if strings.HasSuffix(text, "\n") {
			got := check(t, forms[0](1, d)+text+forms[6](2, digest(2, "")))
			if got.Count != 2 || got.Skipped != 1 || got.FirstSkipped != 2 {
				t.Errorf("%.80q: got %+v", text, got)
			}
		}
	}
}

func TestCheckFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is broken")
	for _, r := range []io.Reader{
		iotest.ErrReader(broken), io.MultiReader(strings.NewReader(forms[0](1, digest(1, ""))+"<110"), iotest.ErrReader(broken)),
		io.MultiReader(strings.NewReader("500 <110"), iotest.ErrReader(broken)),
	} {
		if _, err := seen.Check(r); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
	}
	got, err := seen.Check(iotest.OneByteReader(strings.NewReader(forms[2](1, digest(1, "")) + forms[0](2, digest(2, "")))))
	if err != nil || got.Count != 2 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// generator writes n lines without keeping them.
type generator struct {
	next, n, step int64
	rest          []byte
	digest        string
}

func (g *generator) Read(p []byte) (int, error) {
	for len(g.rest) < len(p) && g.next < g.n {
		g.rest = fmt.Appendf(g.rest, `{"index":"%d","leaf_sha256":"%s","leaf":{}}`+"\n", g.next*g.step, g.digest)
		g.next++
	}
	if len(g.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, g.rest)
	g.rest = append(g.rest[:0], g.rest[n:]...)
	return n, nil
}

func TestCheckKeepsLittle(t *testing.T) {
	n := int64(200_000)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	got, err := seen.Check(&generator{n: n, step: 1, digest: digest(0, "")})
	if err != nil || got.Distinct != n || len(got.Gaps) != 0 {
		t.Fatalf("got %+v, %v", got, err)
	}
	runtime.ReadMemStats(&after)
	t.Logf("%d lines: %d MB from the system", n, (after.Sys-before.Sys)>>20)
	if grown := after.Sys - before.Sys; grown > 32<<20 {
		t.Errorf("%d bytes", grown)
	}
}

func FuzzCheck(f *testing.F) {
	for _, form := range forms {
		f.Add([]byte(form(7, digest(7, ""))))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := seen.Check(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if got.Count != got.Distinct+got.Duplicates || (got.Count > 0) != (got.Min >= 0) || got.Min > got.Max {
			t.Errorf("got %+v", got)
		}
	})
}

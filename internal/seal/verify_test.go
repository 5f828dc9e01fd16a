package seal_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"finobs/internal/export"
	"finobs/internal/keys"
	"finobs/internal/seal"

	"github.com/klauspost/compress/zstd"
)

// expect compares a finding with the verdict and code that it must have.
func (s *site) expect(name string, b seal.Bundle, verdict export.Verdict, code string) {
	s.t.Helper()
	if _, found := seal.Verify(b, s.trust); found.Verdict != verdict || found.Code != code {
		s.t.Errorf("%s: %s %s (%s), want %s %s", name, found.Verdict, found.Code, found.Detail, verdict, code)
	}
}

// recompress compresses content in another way than package export.
func recompress(t testing.TB, content []byte, c export.Compression) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	if c == export.Gzip {
		w, err = gzip.NewWriterLevel(&b, gzip.NoCompression)
	} else {
		w, err = zstd.NewWriter(&b, zstd.WithEncoderCRC(false))
	}
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func flipped(content []byte, at int) []byte {
	out := slices.Clone(content)
	out[at] ^= 1
	return out
}

func TestArtefactsThatWereChanged(t *testing.T) {
	s := newSite(t)
	for _, f := range formats {
		for _, c := range compressions {
			m := s.export(order{id: 7, format: f, compression: c, rows: 6})
			other := s.export(order{id: 8, format: f, compression: c, rows: 6})
			users := s.export(order{id: 9, dataset: export.Users, format: f, compression: c, rows: 6})
			was := m.files[m.artefact]
			put := func(name string, content []byte, code string) {
				t.Helper()
				s.expect(fmt.Sprintf("%s %s, %s", f, c, name), m.files.with(m.artefact, content), export.Tampered, code)
			}
			written := func(rows ...[]export.Cell) []byte {
				content, _ := write(t, m.spec, rows)
				return content
			}
			put("a byte flipped", flipped(was, len(was)/2), "content")
			put("empty", nil, "truncated")
			for k := range m.rows {
				put(fmt.Sprintf("cut to %d rows", k), written(m.rows[:k]...), "truncated")
			}
			put("cut in the middle", was[:len(was)/2], "truncated")
			put("cut by a byte", was[:len(was)-1], "truncated")
			put("a row in the middle left out", written(slices.Delete(slices.Clone(m.rows), 2, 3)...), "truncated")
			put("a row appended", written(append(slices.Clone(m.rows), m.rows[0])...), "appended")
			put("bytes appended", append(slices.Clone(was), 'x'), "appended")
			swapped := slices.Clone(m.rows)
			swapped[1], swapped[4] = swapped[4], swapped[1]
			put("rows in another order", written(swapped...), "content")
			put("that of another export under this name", other.files[other.artefact], "content")
			if f != export.Parquet {
				put("that of another dataset under this name", users.files[users.artefact], "swapped")
				if c != export.Plain {
					plain := m.spec
					plain.Compression = export.Plain
					content, _ := write(t, plain, m.rows)
					put("compressed in another way", recompress(t, content, c), "recompressed")
				}
			}
			s.expect("that of another export under its own name", m.files.without(m.artefact).with(other.artefact, other.files[other.artefact]), export.Tampered, "swapped")
			s.expect("that of another export besides", m.files.with(other.artefact, other.files[other.artefact]), export.Tampered, "extra_file")
		}
	}
}

func TestFilesThatWereLeftOutOrAdded(t *testing.T) {
	s := newSite(t)
	m := s.export(order{id: 7, format: export.NDJSON, compression: export.Plain, rows: 3})
	codes := map[string]string{
		m.artefact: "artefact_missing", seal.ManifestFile: "manifest_missing", seal.ApprovalFile: "approval_missing", seal.LeafFile: "leaf_missing",
		seal.ProofFile: "proof_missing", seal.SumsFile: "sums_missing", seal.SumsSigFile: "sums_signature_missing", seal.ReadmeFile: "readme_missing",
	}
	if len(codes) != len(m.files) {
		t.Fatalf("the bundle has %d files, %d are known", len(m.files), len(codes))
	}
	for name, code := range codes {
		s.expect("without "+name, m.files.without(name), export.Missing, code)
	}
	s.expect("nothing", bundle{}, export.Missing, "manifest_missing")
	s.expect("an extra file", m.files.with("notes.txt", nil), export.Tampered, "extra_file")
	for _, name := range []string{"../x", "a/b", "/etc/passwd", "", ".", "..", ".hidden", "a b", "a\nb", "-rf", strings.Repeat("x", 300)} {
		s.expect(fmt.Sprintf("a file named %q", name), m.files.with(name, nil), export.Tampered, "unsafe")
	}
	many := maps.Clone(m.files)
	for i := range 100 {
		many[fmt.Sprint("x", i)] = nil
	}
	s.expect("a hundred extra files", many, export.Tampered, "extra_file")
	for name := range codes {
		if name != m.artefact {
			s.expect("a huge "+name, m.files.with(name, make([]byte, 9<<20)), export.Tampered, "too_large")
		}
	}
}

// Files of one good bundle in the place of those of another.
func TestFilesOfAnotherBundle(t *testing.T) {
	s := newSite(t)
	for _, f := range formats {
		a := s.export(order{id: 7, format: f, compression: export.Gzip, rows: 3})
		b := s.export(order{id: 8, format: f, compression: export.Gzip, rows: 3})
		for name, want := range map[string]export.Finding{
			seal.ManifestFile: {Verdict: export.Tampered, Code: "swapped"}, seal.LeafFile: {Verdict: export.Tampered, Code: "swapped"},
			seal.ProofFile: {Verdict: export.Tampered, Code: "swapped"}, seal.ApprovalFile: {Verdict: export.Tampered, Code: "not_approved"},
			seal.ReadmeFile: {Verdict: export.Tampered, Code: "readme"}, seal.SumsFile: {Verdict: export.SignatureInvalid, Code: "sums_signature"},
			seal.SumsSigFile: {Verdict: export.SignatureInvalid, Code: "sums_signature"},
		} {
			s.expect(name, a.files.with(name, b.files[name]), want.Verdict, want.Code)
		}
		s.expect("digests and their signature", a.files.with(seal.SumsFile, b.files[seal.SumsFile]).with(seal.SumsSigFile, b.files[seal.SumsSigFile]),
			export.Tampered, "swapped")
		s.expect("leaf and proof", a.files.with(seal.LeafFile, b.files[seal.LeafFile]).with(seal.ProofFile, b.files[seal.ProofFile]), export.Tampered, "swapped")
		all := b.files.without(b.artefact)
		s.expect("all but the artefact", all.with(a.artefact, a.files[a.artefact]), export.Tampered, "swapped")
		s.expect("all but the artefact, which is renamed", all.with(b.artefact, a.files[a.artefact]), export.Tampered, "content")
	}
}

// Everything is computed again and signed, by a key that nobody trusts.
func TestOtherKeys(t *testing.T) {
	s := newSite(t)
	stranger := fixedKey(t, "stranger")
	m := s.export(order{id: 7, format: export.CSV, compression: export.Gzip, rows: 3})
	forged := m.facts
	x := *m.facts.Export.Seal
	forged.Export.Seal = &x
	content, totals := write(t, m.spec, m.rows[:2])
	x.Rows, x.FileBytes, x.FileSHA256, x.ContentBytes, x.ContentSHA256 = totals.Rows, totals.FileBytes, totals.FileSHA256, totals.ContentBytes, totals.ContentSHA256
	x.FileName = export.FileName(7, m.spec, totals.FileSHA256)
	envelope, err := seal.Sign(ctx, stranger, forged)
	if err != nil {
		t.Fatal(err)
	}
	files, err := seal.Files(ctx, stranger, forged, envelope, m.leaf, m.files[seal.ProofFile])
	if err != nil {
		t.Fatal(err)
	}
	files[x.FileName] = content
	s.expect("both signed by a stranger", bundle(files), export.KeyUnknown, "manifest_key")
	s.expect("the envelope signed by a stranger", m.files.with(seal.ManifestFile, envelope), export.KeyUnknown, "manifest_key")
	mine, err := seal.Files(ctx, stranger, m.facts, m.envelope, m.leaf, m.files[seal.ProofFile])
	if err != nil {
		t.Fatal(err)
	}
	s.expect("the digests signed by a stranger", bundle(mine).with(m.artefact, m.files[m.artefact]), export.KeyUnknown, "sums_key")
	posing := bytes.Replace(envelope, []byte(keys.ID(stranger.Public())), []byte(keys.ID(s.manifest.Public())), 1)
	s.expect("a stranger's signature under our key's id", m.files.with(seal.ManifestFile, posing), export.SignatureInvalid, "manifest_signature")
	s.expect("the envelope with spaces", m.files.with(seal.ManifestFile, append(slices.Clone(m.envelope), ' ')), export.Tampered, "manifest")
	s.expect("the signature with text before it", m.files.with(seal.SumsSigFile, append([]byte("x\n"), m.files[seal.SumsSigFile]...)), export.SignatureInvalid, "sums_signature")
	s.expect("no signature at all", m.files.with(seal.SumsSigFile, nil), export.SignatureInvalid, "sums_signature")

	nobody := *s
	nobody.trust.Manifest = nil
	nobody.expect("nobody trusted", m.files, export.KeyUnknown, "manifest_key")
	nobody = *s
	nobody.trust.Log.Keys = nil
	nobody.expect("no log trusted", m.files, export.KeyUnknown, "log_key")
	nobody = *s
	nobody.trust.Log = siteNamed(t, "another").trust.Log
	nobody.expect("another log trusted", m.files, export.KeyUnknown, "log_key")
	nobody = *s
	nobody.trust.Decision = siteNamed(t, "another").trust.Decision
	nobody.expect("other decisions trusted", m.files, export.Tampered, "not_approved")
}

// Without the key of the decisions the rest is verified, and the report says so.
func TestWithoutTheDecisionKey(t *testing.T) {
	s := newSite(t)
	s.trust.Decision = nil
	m := s.export(order{id: 7, format: export.CSV, compression: export.Gzip, rows: 3})
	report, found := seal.Verify(m.files, s.trust)
	if found.Verdict != export.Verified || report.ApprovalVerified || len(report.Held) != 3 || !strings.Contains(found.Detail, "not") {
		t.Errorf("%+v, %+v", found, report.Held)
	}
	other := s.export(order{id: 8, format: export.CSV, compression: export.Gzip, rows: 3})
	files, err := seal.Files(ctx, s.manifest, withReceipt(m, other), m.envelope, m.leaf, m.files[seal.ProofFile])
	if err == nil {
		t.Fatalf("a bundle of two approvals was written: %d files", len(files))
	}
}

// withReceipt are the facts of m with the approval of another export.
func withReceipt(m, other made) seal.Facts {
	f := m.facts
	f.Approval = other.facts.Approval
	return f
}

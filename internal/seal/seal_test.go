package seal_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"finobs/internal/export"
	"finobs/internal/keys"
	"finobs/internal/seal"
)

func TestWhatIsSealedVerifies(t *testing.T) {
	s := newSite(t)
	for _, d := range export.Datasets() {
		for _, f := range formats {
			for _, c := range compressions {
				for _, rows := range []int{0, 5} {
					m := s.export(order{id: 7, dataset: d, format: f, compression: c, rows: rows, simulation: rows == 0})
					report, found := seal.Verify(m.files, s.trust)
					if found.Verdict != export.Verified || len(report.Held) != 4 || !report.ApprovalVerified {
						t.Errorf("%s %s %s, %d rows: %+v", d.Name, f, c, rows, found)
					}
					if report.Found.Rows != int64(rows) || report.LeafIndex != 9 || report.Log.Size != 11 || report.ManifestSHA256 != seal.ManifestSHA256(m.envelope) {
						t.Errorf("%s %s %s: report %+v", d.Name, f, c, report)
					}
				}
			}
		}
	}
}

// The bytes of a manifest are for ever: their digests are in the ledger. A change
// here needs a new predicate type. FINOBS_GOLDEN=1 writes the files.
func TestGoldenManifest(t *testing.T) {
	s := newSite(t)
	slot := time.Date(2026, 3, 2, 10, 0, 0, 123456789, time.FixedZone("CET", 3600))
	m := s.export(order{id: 7, dataset: export.Audit, format: export.CSV, compression: export.Gzip, rows: 3, number: 2, prev: strings.Repeat("ab", 32),
		change: func(f *seal.Facts) {
			// What a compressor writes may change with its version.
			f.Export.Seal.FileSHA256, f.Export.Seal.FileBytes = strings.Repeat("cd", 32), 1<<60
			f.Export.Seal.FileName = "audit-7-" + strings.Repeat("cd", 32) + ".csv.gz"
			f.Export.ScheduleID, f.Export.Slot = 3, &slot
		}})
	again, err := seal.Sign(ctx, s.manifest, m.facts)
	if err != nil || !bytes.Equal(again, m.envelope) {
		t.Fatalf("the same facts gave other bytes (%v)", err)
	}
	var e struct{ Payload string }
	if err := json.Unmarshal(m.envelope, &e); err != nil {
		t.Fatal(err)
	}
	payload, err := base64.StdEncoding.DecodeString(e.Payload)
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{"manifest.dsse.json": m.envelope, "statement.json": payload} {
		path := filepath.Join("testdata", name)
		if os.Getenv("FINOBS_GOLDEN") != "" {
			if err := os.WriteFile(path, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is\n%s\nwant\n%s (%v)", name, got, want, err)
		}
	}
	statement, keyID, err := seal.Open(m.envelope, s.trust.Manifest)
	if err != nil || keyID != keys.ID(s.manifest.Public()) {
		t.Fatal(keyID, err)
	}
	p := statement.Predicate
	if p.FileBytes != 1<<60 || !p.Slot.Equal(slot.Truncate(time.Microsecond)) || *p.ToLeaf != 9 || p.Columns[0] != (seal.Column{Name: "leaf_index", Kind: "integer"}) ||
		p.FormulaGuard != export.FormulaGuard || len(p.Decisions) != 1 || p.Decisions[0].Reviewer.Subject != "cora" {
		t.Errorf("read back %+v", p)
	}
}

func TestSignRefuses(t *testing.T) {
	s := newSite(t)
	for name, change := range map[string]func(*seal.Facts){
		"no artefact":         func(f *seal.Facts) { f.Export.Seal = nil },
		"another dataset":     func(f *seal.Facts) { f.Export.Dataset = "secrets" },
		"an old version":      func(f *seal.Facts) { f.Export.DatasetVersion = "0" },
		"other columns":       func(f *seal.Facts) { f.Export.Columns = f.Export.Columns[1:] },
		"another approval":    func(f *seal.Facts) { f.Export.ApprovalID++ },
		"another action":      func(f *seal.Facts) { f.Export.ActionDigest = "sha256:0" },
		"another file's name": func(f *seal.Facts) { f.Export.Seal.FileName = "data.csv" },
		"a path": func(f *seal.Facts) {
			f.Export.Seal.FileName = "../" + f.Export.Seal.FileName
		},
		"no number":         func(f *seal.Facts) { f.Export.Seal.Number = 0 },
		"a first with prev": func(f *seal.Facts) { f.Export.Seal.PrevManifest = strings.Repeat("ab", 32) },
		"a second without":  func(f *seal.Facts) { f.Export.Seal.Number = 2 },
		"no digest":         func(f *seal.Facts) { f.Export.Seal.ContentSHA256 = "" },
		"no time":           func(f *seal.Facts) { f.Export.Seal.SealedAt = time.Time{} },
		"signed too early":  func(f *seal.Facts) { f.Export.Seal.SealedAt = f.Export.Seal.SnapshotAt.Add(-time.Second) },
		"fewer than none":   func(f *seal.Facts) { f.Export.Seal.Rows = -1 },
		"a slot of nothing": func(f *seal.Facts) { f.Export.Slot = &signed },
		"no UTF-8":          func(f *seal.Facts) { f.SchemaVersion = "\xff" },
		"no slot":           func(f *seal.Facts) { f.Export.ScheduleID = 3 },
	} {
		m := s.export(order{id: 7, format: export.CSV, compression: export.Plain, rows: 2})
		change(&m.facts)
		if envelope, err := seal.Sign(ctx, s.manifest, m.facts); err == nil {
			t.Errorf("%s: signed %s", name, envelope)
		}
	}
	for name, change := range map[string]func(*seal.Facts){
		"more rows than entries": func(f *seal.Facts) { f.Export.Seal.ToLeaf = f.Export.Seal.FromLeaf + 1 },
		"a range backwards":      func(f *seal.Facts) { f.Export.Seal.ToLeaf = 0 },
		"no checkpoint":          func(f *seal.Facts) { f.Export.Seal.Checkpoint = "" },
	} {
		m := s.export(order{id: 7, dataset: export.Audit, format: export.CSV, compression: export.Plain, rows: 2})
		change(&m.facts)
		if envelope, err := seal.Sign(ctx, s.manifest, m.facts); err == nil {
			t.Errorf("%s: signed %s", name, envelope)
		}
	}
}

// A remote key that was rotated signs with another key than the one that is known.
func TestSignNoticesARotatedKey(t *testing.T) {
	s := newSite(t)
	m := s.export(order{id: 7, format: export.CSV, compression: export.Plain, rows: 1})
	rotated := rotatedKey{fixedKey(t, "new"), s.manifest.Public()}
	if _, err := seal.Sign(ctx, rotated, m.facts); err == nil {
		t.Error("a manifest was signed that nobody can verify")
	}
	if _, err := seal.Files(ctx, rotated, m.facts, m.envelope, m.leaf, nil); err == nil {
		t.Error("digests were signed that nobody can verify")
	}
	failing := failingKey{s.manifest}
	if _, err := seal.Sign(ctx, failing, m.facts); !errors.Is(err, errDown) {
		t.Errorf("got %v", err)
	}
	if _, err := seal.Files(ctx, failing, m.facts, m.envelope, m.leaf, nil); !errors.Is(err, errDown) {
		t.Errorf("got %v", err)
	}
}

type rotatedKey struct {
	keys.Signer
	public ed25519.PublicKey
}

func (r rotatedKey) Public() ed25519.PublicKey { return r.public }

// The bundle's second, newer key is as good as the first while both are trusted.
func TestRotation(t *testing.T) {
	s := newSite(t)
	m := s.export(order{id: 7, format: export.CSV, compression: export.Plain, rows: 1})
	newer := fixedKey(t, "newer")
	files, err := seal.Files(ctx, newer, m.facts, m.envelope, m.leaf, m.files[seal.ProofFile])
	if err != nil {
		t.Fatal(err)
	}
	files[m.artefact] = m.files[m.artefact]
	if _, found := seal.Verify(bundle(files), s.trust); found.Verdict != export.KeyUnknown {
		t.Errorf("before: %+v", found)
	}
	trust := s.trust
	trust.Manifest = append(slices.Clone(trust.Manifest), newer.Public())
	if _, found := seal.Verify(bundle(files), trust); found.Verdict != export.Verified {
		t.Errorf("after: %+v", found)
	}
}

func TestStockToolsVerify(t *testing.T) {
	for _, tool := range []string{"ssh-keygen", "sha256sum"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed: apt-get install openssh-client coreutils", tool)
		}
	}
	s := newSite(t)
	m := s.export(order{id: 7, format: export.CSV, compression: export.Gzip, rows: 3})
	dir := t.TempDir()
	bundleDir := filepath.Join(dir, "bundle")
	m.files.unpack(t, bundleDir)
	allowed := seal.AllowedSigners(s.trust.Manifest...)
	if err := os.WriteFile(filepath.Join(dir, "allowed_signers"), []byte(allowed), 0o600); err != nil {
		t.Fatal(err)
	}
	strangers := seal.AllowedSigners(fixedKey(t, "stranger").Public())
	if err := os.WriteFile(filepath.Join(dir, "strangers"), []byte(strangers), 0o600); err != nil {
		t.Fatal(err)
	}
	// The commands are those of the bundle's own text.
	text := string(m.files[seal.ReadmeFile])
	check := commandAfter(t, text, "sha256sum -c")
	verify := commandAfter(t, text, "ssh-keygen -Y verify")
	shell := func(command string) error {
		cmd := exec.Command("bash", "-c", command)
		cmd.Dir = bundleDir
		out, err := cmd.CombinedOutput()
		t.Logf("%s\n%s", command, out)
		return err
	}
	if err := errors.Join(shell(check), shell(verify)); err != nil {
		t.Error(err)
	}
	if shell(strings.Replace(verify, "../allowed_signers", "../strangers", 1)) == nil {
		t.Error("ssh-keygen takes a stranger's key")
	}
	if shell(strings.Replace(verify, seal.Namespace, "file", 1)) == nil {
		t.Error("ssh-keygen takes another namespace")
	}
	m.files.with(m.artefact, []byte("x")).unpack(t, bundleDir)
	if shell(check) == nil {
		t.Error("sha256sum takes another artefact")
	}
	m.files.with(seal.SumsFile, append(slices.Clone(m.files[seal.SumsFile]), '\n')).unpack(t, bundleDir)
	if shell(verify) == nil {
		t.Error("ssh-keygen takes other digests")
	}
}

// commandAfter is the command that begins with prefix, with its continued lines.
func commandAfter(t *testing.T, text, prefix string) string {
	t.Helper()
	_, rest, found := strings.Cut(text, prefix)
	if !found {
		t.Fatalf("the text has no command %s", prefix)
	}
	command, _, _ := strings.Cut(rest, "\n\n")
	return prefix + command
}

func (b bundle) unpack(t testing.TB, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range b {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

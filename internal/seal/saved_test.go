package seal_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"finobs/internal/attest"
	"finobs/internal/audit"
	"finobs/internal/export"
	"finobs/internal/keys"
	"finobs/internal/seal"
)

// Bundles that were written once verify for ever, from nothing but the saved files.
// FINOBS_GOLDEN=1 writes them.
func TestSavedBundles(t *testing.T) {
	const dir = "testdata/saved"
	if os.Getenv("FINOBS_GOLDEN") != "" {
		save(t, dir)
	}
	var public []ed25519.PublicKey
	for _, name := range []string{"manifest.pub", "decision.pub"} {
		key, err := keys.LoadPublic(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		public = append(public, key)
	}
	trustFile, err := os.ReadFile(filepath.Join(dir, "trust"))
	if err != nil {
		t.Fatal(err)
	}
	verifiers, err := keys.LoadVerifiers(strings.NewReader(string(trustFile)))
	if err != nil {
		t.Fatal(err)
	}
	trust := seal.Trust{Manifest: public[:1], Decision: attest.NewVerifier(public[1]), Log: audit.Copy{Origin: verifiers.Origin(), Keys: verifiers.For}}
	var reports []seal.Report
	for _, name := range []string{"1", "2"} {
		report, found := seal.Verify(seal.Dir(filepath.Join(dir, name)), trust)
		if found.Verdict != export.Verified {
			t.Errorf("bundle %s: %+v", name, found)
		}
		reports = append(reports, report)
	}
	if links, _, found := seal.Chain(reports); links != 1 || found.Verdict != export.Verified {
		t.Errorf("%d links, %+v", links, found)
	}
}

func save(t *testing.T, dir string) {
	t.Helper()
	s := newSite(t)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	one := s.export(order{id: 1, dataset: export.Audit, format: export.CSV, compression: export.Gzip, rows: 3})
	two := s.export(order{id: 2, dataset: export.Audit, format: export.NDJSON, compression: export.Plain, rows: 2, number: 2, prev: seal.ManifestSHA256(one.envelope)})
	one.files.unpack(t, filepath.Join(dir, "1"))
	two.files.unpack(t, filepath.Join(dir, "2"))
	kept := bundle{"trust": []byte(s.trusted)}
	for name, key := range map[string]ed25519.PublicKey{"manifest.pub": s.manifest.Public(), "decision.pub": s.decision.Key.Public()} {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		kept[name] = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	}
	kept.unpack(t, dir)
}

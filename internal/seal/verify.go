package seal

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"finobs/internal/attest"
	"finobs/internal/audit"
	"finobs/internal/export"
	"finobs/internal/ledger"
)

// Trust is what a verifier was given by another way than the bundle. What it does
// not hold is not trusted: the zero value accepts no bundle.
type Trust struct {
	Manifest []ed25519.PublicKey // keys that sign manifests and SHA256SUMS
	// Decision verifies the tokens of the approval. Without it the approval is
	// compared with the manifest and not verified, and Report says so.
	Decision *attest.Verifier
	Log      audit.Copy // Origin and Keys are used
}

// Report is what was found on the way to a finding. Fields are filled as far as
// the verification came.
type Report struct {
	Statement        Statement
	ManifestSHA256   string
	KeyID            string        // of the key that signed the manifest
	Found            export.Totals // in the artefact
	LeafIndex        int64         // of the manifest's entry in the log
	Log              ledger.Tree   // that it was proven to be in
	Held             []Check       // what was verified, in order
	ApprovalVerified bool          // false when there was no key for it
}

// Check is a part of the verification that held.
type Check struct {
	Name   string `json:"name"` // manifest, artefact, approval or log
	Detail string `json:"detail"`
}

// flaw is a finding on its way up.
type flaw export.Finding

// Error implements error.
func (f *flaw) Error() string { return f.Detail }

func flawed(v export.Verdict, code, format string, args ...any) error {
	return &flaw{v, code, fmt.Sprintf(format, args...)}
}

// tampered is the commonest flaw.
func tampered(code, format string, args ...any) error {
	return flawed(export.Tampered, code, format, args...)
}

// Verify checks a bundle: everything that it says against everything that is
// there. The first thing that does not hold makes the finding; a table of codes is
// in docs/verify.md. Memory does not grow with the artefact, whoever wrote the
// files, as long as the digest of a Parquet artefact is not the one that was
// sealed or its sealer is honest.
func Verify(files Bundle, t Trust) (Report, export.Finding) {
	v := &verification{files: files, trust: t, small: map[string][]byte{}}
	for _, step := range []func() error{v.list, v.manifest, v.sums, v.artefact, v.approval, v.log} {
		if err := step(); err != nil {
			return v.report, findingOf(err)
		}
	}
	said := "everything holds"
	if !v.report.ApprovalVerified {
		said = "everything holds that was verified; the decisions of the approval were not, for want of a key"
	}
	return v.report, export.Finding{Verdict: export.Verified, Detail: said}
}

func findingOf(err error) export.Finding {
	if found, ok := errors.AsType[*flaw](err); ok {
		return export.Finding(*found)
	}
	if errors.Is(err, ErrUnsafe) {
		return export.Finding{Verdict: export.Tampered, Code: "unsafe", Detail: err.Error()}
	}
	return export.Finding{Verdict: export.Unreachable, Code: "unreadable", Detail: err.Error()}
}

// verification is one run of Verify.
type verification struct {
	files  Bundle
	trust  Trust
	report Report

	names []string
	small map[string][]byte // content of all files but the artefact
}

func (v *verification) held(name, format string, args ...any) {
	v.report.Held = append(v.report.Held, Check{name, fmt.Sprintf(format, args...)})
}

// missingCodes are the codes of files that are not there.
var missingCodes = map[string]string{
	ManifestFile: "manifest_missing", ApprovalFile: "approval_missing", LeafFile: "leaf_missing", ProofFile: "proof_missing",
	ReadmeFile: "readme_missing", SumsFile: "sums_missing", SumsSigFile: "sums_signature_missing",
}

// list reads the names, and all files but the artefact.
func (v *verification) list() error {
	var err error
	if v.names, err = v.files.Names(); err != nil {
		return err
	}
	if len(v.names) > maxFiles {
		return tampered("extra_file", "the bundle has over %d files", maxFiles)
	}
	for i, name := range v.names {
		if !fileName.MatchString(name) || slices.Contains(v.names[:i], name) {
			return tampered("unsafe", "a file of the bundle has the name %q", name)
		}
	}
	for _, name := range slices.Concat(summed, []string{SumsFile, SumsSigFile}) {
		if !slices.Contains(v.names, name) {
			return flawed(export.Missing, missingCodes[name], "%s is not in the bundle", name)
		}
		if v.small[name], err = v.read(name); err != nil {
			return err
		}
	}
	return nil
}

func (v *verification) read(name string) ([]byte, error) {
	file, size, err := v.files.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, flawed(export.Missing, missingCodes[name], "%s is not in the bundle", name)
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if limit := limitOf(name); size > limit {
		return nil, tampered("too_large", "%s has %d bytes, over the limit of %d", name, size, limit)
	}
	content, err := io.ReadAll(io.NewSectionReader(file, 0, size))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return content, nil
}

// signatureFlaw says what it means that a signature is not believed.
func signatureFlaw(err error, what string) error {
	switch {
	case errors.Is(err, ErrKeyUnknown):
		return flawed(export.KeyUnknown, what+"_key", "%s: %v", what, err)
	case errors.Is(err, ErrSignature):
		return flawed(export.SignatureInvalid, what+"_signature", "%s: %v", what, err)
	}
	return tampered(what, "%v", err)
}

func (v *verification) manifest() error {
	envelope := v.small[ManifestFile]
	s, keyID, err := Open(envelope, v.trust.Manifest)
	v.report.Statement, v.report.KeyID = s, keyID
	if err != nil {
		return signatureFlaw(err, "manifest")
	}
	v.report.ManifestSHA256 = ManifestSHA256(envelope)
	return nil
}

// sums checks SHA256SUMS, and every file against it but the artefact.
func (v *verification) sums() error {
	if _, err := openSums(v.small[SumsFile], v.small[SumsSigFile], v.trust.Manifest); err != nil {
		return signatureFlaw(err, "sums")
	}
	digests, err := parseSums(v.small[SumsFile])
	if err != nil {
		return tampered("sums", "%s: %v", SumsFile, err)
	}
	artefact := v.report.Statement.Subject[0]
	for _, name := range summed {
		if _, there := digests[name]; !there {
			return tampered("sums", "%s does not cover %s", SumsFile, name)
		}
	}
	if len(digests) != len(summed)+1 {
		return tampered("sums", "%s covers %d files, not %d", SumsFile, len(digests), len(summed)+1)
	}
	if digests[artefact.Name] != artefact.Digest.SHA256 {
		return tampered("swapped", "%s is about another artefact than the manifest, which is about %s", SumsFile, artefact.Name)
	}
	if err := v.others(artefact.Name); err != nil {
		return err
	}
	for _, name := range summed {
		if sum(v.small[name]) != digests[name] {
			return v.differs(name)
		}
	}
	v.held("manifest", "export %d of %s, number %d, signed by key %s; SHA-256 %s", v.report.Statement.Predicate.ExportID,
		v.report.Statement.Predicate.Dataset, v.report.Statement.Predicate.Number, v.report.KeyID, v.report.ManifestSHA256)
	return nil
}

// others checks that the artefact is there, and nothing that does not belong.
func (v *verification) others(artefact string) error {
	there := slices.Contains(v.names, artefact)
	for _, name := range v.names {
		if name == artefact || missingCodes[name] != "" {
			continue
		}
		if !there && artefactName.MatchString(name) {
			return tampered("swapped", "the artefact is %s, not %s", name, artefact)
		}
		return tampered("extra_file", "%s does not belong into the bundle", name)
	}
	if !there {
		return flawed(export.Missing, "artefact_missing", "%s is not in the bundle", artefact)
	}
	return nil
}

// differs says of a file that is not the one in SHA256SUMS what it is instead. Of
// these files the manifest is the one that was verified.
func (v *verification) differs(name string) error {
	switch name {
	case ManifestFile:
		return tampered("manifest", "the manifest is signed, and not the one that %s is about", SumsFile)
	case LeafFile:
		if err := v.entry(); err != nil {
			return err
		}
	case ProofFile:
		_, _, err := v.trust.Log.Included(v.small[LeafFile], v.small[ProofFile])
		if errors.Is(err, audit.ErrInclusion) {
			return tampered("swapped", "the proof is of another entry: %v", err)
		}
	case ApprovalFile:
		return tampered("not_approved", "the receipt of the approval is not the one that %s is about", SumsFile)
	case ReadmeFile:
		return tampered("readme", "%s is not the one that %s is about", name, SumsFile)
	}
	return tampered("not_in_log", "%s is not the one that %s is about", name, SumsFile)
}

package worker

import (
	"context"

	"finobs/internal/approval"
	"finobs/internal/export"
	"finobs/internal/keys"
	"finobs/internal/seal"
)

// Sealer seals exports with a key, and verifies them by what is trusted.
type Sealer struct {
	Key           keys.Signer
	Trust         seal.Trust
	SchemaVersion string // of the database that rows come from
}

func (s Sealer) facts(x export.Export, approved approval.Receipt) seal.Facts {
	return seal.Facts{Export: x, Approval: approved, SchemaVersion: s.SchemaVersion}
}

// Sign returns the manifest of an export.
func (s Sealer) Sign(ctx context.Context, x export.Export, approved approval.Receipt) ([]byte, error) {
	return seal.Sign(ctx, s.Key, s.facts(x, approved))
}

// Files returns the files of a bundle but the artefact.
func (s Sealer) Files(ctx context.Context, x export.Export, approved approval.Receipt, leaf, proof []byte) (map[string][]byte, error) {
	return seal.Files(ctx, s.Key, s.facts(x, approved), []byte(x.Seal.Manifest), leaf, proof)
}

// KeyID names the key.
func (s Sealer) KeyID() string { return keys.ID(s.Key.Public()) }

// Verify judges the bundle in a folder.
func (s Sealer) Verify(folder string) (manifestSHA256 string, found export.Finding) {
	report, found := seal.Verify(seal.Dir(folder), s.Trust)
	return report.ManifestSHA256, found
}

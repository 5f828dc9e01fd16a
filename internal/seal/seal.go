// Package seal makes an export provable to a stranger, and is how the stranger
// proves it: from files and public keys alone, without a word of the operator's.
//
// A bundle is a flat set of files: the artefact, a manifest that says everything
// about it (an in-toto statement in a signed envelope), the receipt of who approved
// exactly this export, the ledger entry that holds the manifest's digest with the
// proof that it is in the log, and digests of all of them, signed so that stock
// ssh-keygen verifies them.
//
// Sign and Files make a bundle, Verify checks one. Verify trusts the keys that it
// is given and none that a file names or carries. It does not show that the rows
// are true, only that they are those that were sealed.
package seal

import (
	"finobs/internal/approval"
	"finobs/internal/export"
)

// Names of the files of a bundle. The artefact's is export.Seal.FileName.
const (
	ManifestFile = "manifest.dsse.json"  // DSSE envelope over an in-toto statement
	ApprovalFile = "approval.json"       // approval.Receipt of the request that authorised the export
	LeafFile     = "manifest.leaf"       // the ledger entry that holds the manifest's digest, as it is hashed
	ProofFile    = "manifest.tlog-proof" // C2SP tlog-proof of that entry
	ReadmeFile   = "README.txt"
	SumsFile     = "SHA256SUMS"     // as sha256sum writes it, over all files above and the artefact
	SumsSigFile  = "SHA256SUMS.sig" // SSHSIG over SumsFile
)

// summed are the files with fixed names that SumsFile covers, in the order in
// which a difference is told: what is most telling comes first.
var summed = []string{ManifestFile, LeafFile, ProofFile, ApprovalFile, ReadmeFile}

// Limits on the files of a bundle but the artefact, in bytes, and on their number.
const (
	maxFiles   = 64
	maxSmall   = 1 << 20
	maxReceipt = 8 << 20 // of an approval's receipt, which holds what people were shown
)

// limitOf is how many bytes of a file are read.
func limitOf(name string) int64 {
	if name == ApprovalFile {
		return maxReceipt
	}
	return maxSmall
}

// Facts are what a bundle is made from.
type Facts struct {
	// Export is the export with its Seal filled up to and including PrevManifest,
	// Number and Generator; SealedAt is the time of signing.
	Export        export.Export
	Approval      approval.Receipt
	SchemaVersion string // of the database that the rows came from
}

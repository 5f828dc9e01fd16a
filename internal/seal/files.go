package seal

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"finobs/internal/keys"
)

// Files writes every file of a bundle but the artefact: envelope is what Sign
// wrote for f, leaf the ledger entry that holds its digest and proof that entry's
// tlog-proof. The key may be a newer one than that of the envelope. Only the receipt
// and the proof differ from one call to the next, with the time at which they are
// taken.
func Files(ctx context.Context, key keys.Signer, f Facts, envelope, leaf, proof []byte) (map[string][]byte, error) {
	s, err := stated(f)
	if err != nil {
		return nil, fmt.Errorf("writing bundle: %w", err)
	}
	receipt, err := encodeReceipt(f)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{
		ManifestFile: envelope, ApprovalFile: receipt, LeafFile: leaf, ProofFile: proof, ReadmeFile: readme(s),
	}
	digests := map[string]string{s.Subject[0].Name: s.Subject[0].Digest.SHA256}
	for name, content := range files {
		if int64(len(content)) > limitOf(name) {
			return nil, fmt.Errorf("writing bundle: %s has %d bytes, over the limit of %d", name, len(content), limitOf(name))
		}
		digests[name] = sum(content)
	}
	files[SumsFile] = writeSums(digests)
	if files[SumsSigFile], err = signSums(ctx, key, files[SumsFile]); err != nil {
		return nil, err
	}
	return files, nil
}

func encodeReceipt(f Facts) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(f.Approval); err != nil {
		return nil, fmt.Errorf("writing receipt: %w", err)
	}
	return b.Bytes(), nil
}

// readme tells a stranger what lies before him.
func readme(s Statement) []byte {
	p := s.Predicate
	mode := "live data"
	if p.Simulation {
		mode = "a simulation; nothing here is of live trading"
	}
	return []byte(strings.NewReplacer(
		"{file}", s.Subject[0].Name, "{id}", fmt.Sprint(p.ExportID), "{dataset}", p.Dataset, "{version}", p.DatasetVersion,
		"{rows}", fmt.Sprint(p.Rows), "{mode}", mode, "{approval}", fmt.Sprint(p.ApprovalID), "{content}", p.ContentSHA256,
		"{time}", p.SnapshotAt.Format("2006-01-02 15:04:05 UTC"), "{number}", fmt.Sprint(p.Number), "{format}", p.Format,
		"{identity}", Identity, "{namespace}", Namespace,
	).Replace(readmeText))
}

const readmeText = `EXPORT {id} OF {dataset}

{file} holds {rows} rows of the dataset
{dataset} (version {version}, format {format}) as they were on {time}.
It is {mode}. It is number {number} of the exports of this system. Approval {approval}
released exactly this export.

THE FILES

  {file}
                       the rows
  manifest.dsse.json   what they are, who asked, who approved, signed (DSSE, in-toto)
  approval.json        the request and the decisions, each signed
  manifest.leaf        the entry of the operator's log that holds the manifest's digest
  manifest.tlog-proof  the proof that this entry is in the log (C2SP tlog-proof)
  SHA256SUMS           digests of all files above and of this text
  SHA256SUMS.sig       the signature over SHA256SUMS

TO CHECK IT

These come from the operator by another way than this bundle, once, and are
kept: allowed_signers and manifest.pub (two forms of the key that signs manifests),
decision.pub (the key that signs decisions) and trust (the key of the log). Lay them
into the folder above this one. A key that arrives with the data proves nothing.

1. That no file is damaged; with any Linux:

     sha256sum -c SHA256SUMS

2. That the operator's key signed these digests; with OpenSSH 8.1 or newer:

     ssh-keygen -Y verify -f ../allowed_signers -I {identity} \
       -n {namespace} -s SHA256SUMS.sig < SHA256SUMS

3. Everything else: that the manifest is signed and tells of this file, that all {rows}
   rows are there, that enough people approved exactly this export, and that the
   manifest was entered in the log when it was made:

     finaudit export . --manifest-key ../manifest.pub \
       --decision-key ../decision.pub --keys ../trust

The digest of the rows before compression, by which the export is known for ever:

  {content}

It shows that these rows are the ones that were approved and sealed, and that nothing
was changed, added or left out since. It does not show that what they say is true.
`

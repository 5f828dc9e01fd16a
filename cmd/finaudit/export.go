package main

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/export"
	"finobs/internal/keys"
	"finobs/internal/seal"

	"github.com/spf13/cobra"
)

// exportCheck is what a verification of bundles needs.
type exportCheck struct {
	manifestKeys, decisionKeys []string
	log                        source
	asJSON                     bool
}

func exportCommand() *cobra.Command {
	var e exportCheck
	cmd := &cobra.Command{
		Use:   "export BUNDLE... --manifest-key FILE [--decision-key FILE] --keys FILE",
		Short: "Verify exports: that nothing was changed, and that people approved exactly this",
		Long: `Verify exports. A BUNDLE is a folder or a tar archive of what GET /exports/{id}/bundle
sends: the artefact with its manifest, approval, log entry and digests. Each is checked
against all others: the manifest and the digests are signed by a trusted key, the artefact
has every row that was sealed and no other byte, people approved exactly this export, and
the manifest is in the log. Several bundles are also checked as a chain: each manifest
names the one before. Numbers that are missing between them are listed, and not checked.

--manifest-key and --decision-key name the public halves (PEM) of the keys that sign
manifests and decisions, and may be repeated; --keys names the trust file of the log.
They come from the operator once, by another way than the bundles.

Not covered: that the rows are true. Without --decision-key the approval is compared with
the manifest, and who decided is not verified.

Exit codes: 0 everything holds, 1 the check could not be made, 2 a signature does not
hold or the export was not approved, 7 something was changed, 8 a file is missing,
9 no trusted key has signed it.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return e.run(cmd.OutOrStdout(), args) },
	}
	cmd.Flags().StringArrayVar(&e.manifestKeys, "manifest-key", nil, "path of a public key that signs manifests (required)")
	cmd.Flags().StringArrayVar(&e.decisionKeys, "decision-key", nil, "path of a public key that signs decisions")
	cmd.Flags().BoolVar(&e.asJSON, "json", false, "print one JSON document, for machines")
	if err := cmd.MarkFlagRequired("manifest-key"); err != nil {
		panic(err) // the flag was just defined
	}
	e.log.flags(cmd, false)
	return cmd
}

// bundleResult is what was found of one bundle.
type bundleResult struct {
	Bundle string `json:"bundle"`
	export.Finding
	ExportID         int64        `json:"export_id,string,omitempty"`
	Number           int64        `json:"number,string,omitempty"`
	Rows             int64        `json:"rows,string,omitempty"` // that were found
	ContentSHA256    string       `json:"content_sha256,omitempty"`
	ManifestSHA256   string       `json:"manifest_sha256,omitempty"`
	LeafIndex        int64        `json:"leaf_index,string,omitempty"`
	Held             []seal.Check `json:"held"`
	ApprovalVerified bool         `json:"approval_verified"`
}

// chainResult is what was found of the links between bundles.
type chainResult struct {
	export.Finding
	Links      int        `json:"links"`
	NotChecked []seal.Gap `json:"not_checked"`
}

// badBundle is a finding that is an error.
type badBundle struct {
	where string
	export.Finding
}

// Error implements error.
func (b *badBundle) Error() string {
	return fmt.Sprintf("%s: %s, %s: %s", b.where, b.Verdict, b.Code, approval.Printable(b.Detail))
}

func (b *badBundle) exitCode() int {
	switch b.Verdict {
	case export.SignatureInvalid:
		return 2
	case export.Tampered:
		if b.Code == "not_approved" {
			return 2
		}
		return 7
	case export.Missing:
		return 8
	case export.KeyUnknown:
		return 9
	default:
		return 1
	}
}

func (e *exportCheck) run(out io.Writer, paths []string) error {
	trust, err := e.trust()
	if err != nil {
		return err
	}
	var results []bundleResult
	var good []seal.Report
	var wrong error
	for _, path := range paths {
		report, found, err := verifyBundle(path, trust)
		if err != nil {
			return err
		}
		results = append(results, resultOf(path, report, found))
		if found.Verdict == export.Verified {
			good = append(good, report)
		} else if wrong == nil {
			wrong = &badBundle{path, found}
		}
		if !e.asJSON {
			printBundle(out, path, len(paths) > 1, report, found)
		}
	}
	var chain chainResult
	chain.Links, chain.NotChecked, chain.Finding = seal.Chain(good)
	if wrong == nil && chain.Verdict != export.Verified {
		wrong = &badBundle{"the chain", chain.Finding}
	}
	if chain.NotChecked == nil {
		chain.NotChecked = []seal.Gap{}
	}
	if e.asJSON {
		return errors.Join(wrong, json.NewEncoder(out).Encode(map[string]any{"bundles": results, "chain": chain}))
	}
	if len(paths) > 1 {
		printChain(out, chain)
	}
	return wrong
}

func (e *exportCheck) trust() (seal.Trust, error) {
	var trust seal.Trust
	var err error
	if trust.Manifest, err = loadPublic(e.manifestKeys); err != nil {
		return trust, err
	}
	decision, err := loadPublic(e.decisionKeys)
	if err != nil {
		return trust, err
	}
	if len(decision) > 0 {
		trust.Decision = attest.NewVerifier(decision...)
	}
	trust.Log, err = e.log.open(nil)
	return trust, err
}

func loadPublic(paths []string) ([]ed25519.PublicKey, error) {
	var out []ed25519.PublicKey
	for _, path := range paths {
		key, err := keys.LoadPublic(path)
		if err != nil {
			return nil, err
		}
		out = append(out, key)
	}
	return out, nil
}

func verifyBundle(path string, trust seal.Trust) (seal.Report, export.Finding, error) {
	info, err := os.Stat(path)
	if err != nil {
		return seal.Report{}, export.Finding{}, fmt.Errorf("reading bundle: %w", err)
	}
	if info.IsDir() {
		report, found := seal.Verify(seal.Dir(path), trust)
		return report, found, nil
	}
	archive, err := seal.Tar(path)
	if err != nil {
		return seal.Report{}, export.Finding{}, err
	}
	defer archive.Close()
	report, found := seal.Verify(archive, trust)
	return report, found, nil
}

func resultOf(path string, r seal.Report, found export.Finding) bundleResult {
	p := r.Statement.Predicate
	out := bundleResult{
		Bundle: path, Finding: found, ExportID: p.ExportID, Number: p.Number, Rows: r.Found.Rows, ContentSHA256: r.Found.ContentSHA256,
		ManifestSHA256: r.ManifestSHA256, LeafIndex: r.LeafIndex, Held: r.Held, ApprovalVerified: r.ApprovalVerified,
	}
	if out.Held == nil {
		out.Held = []seal.Check{}
	}
	return out
}

func printBundle(out io.Writer, path string, several bool, r seal.Report, found export.Finding) {
	if several {
		fmt.Fprintf(out, "%s\n", path)
	}
	for _, check := range r.Held {
		fmt.Fprintf(out, "ok  %s: %s\n", check.Name, check.Detail)
	}
	switch {
	case found.Verdict != export.Verified:
		fmt.Fprintf(out, "BAD %s, %s: %s\n", found.Verdict, found.Code, approval.Printable(found.Detail))
	case !r.ApprovalVerified:
		fmt.Fprintln(out, "--  approval: who decided was not verified; give --decision-key")
	}
}

func printChain(out io.Writer, c chainResult) {
	if c.Verdict != export.Verified {
		fmt.Fprintf(out, "BAD %s, %s: %s\n", c.Verdict, c.Code, approval.Printable(c.Detail))
		return
	}
	fmt.Fprintf(out, "ok  chain: %d links hold\n", c.Links)
	for _, gap := range c.NotChecked {
		fmt.Fprintf(out, "--  chain: manifests %d to %d are not here; what lies between was not checked\n", gap.From, gap.To)
	}
}

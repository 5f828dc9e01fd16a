package export

import (
	"bufio"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"finobs/internal/approval"
	"finobs/internal/canonical"
)

// ErrMismatch is wrapped by every finding of VerifyArtefact and VerifyRecord: the
// thing that was checked is not the thing that was recorded.
var ErrMismatch = errors.New("mismatch")

// VerifyArtefact compares an artefact with its seal: every byte by the digest,
// and the number of rows by reading it.
func VerifyArtefact(r io.Reader, f Format, s Seal) error {
	sum := sha256.New()
	size := new(counter)
	rows, readErr := countRows(io.TeeReader(r, io.MultiWriter(sum, size)), f)
	if got := hex.EncodeToString(sum.Sum(nil)); got != s.ContentSHA256 || int64(*size) != s.Bytes {
		return fmt.Errorf("%w: the artefact has %d bytes with SHA-256 %s, sealed were %d with %s", ErrMismatch, *size, got, s.Bytes, s.ContentSHA256)
	}
	if readErr != nil {
		return fmt.Errorf("%w: %w", ErrMismatch, readErr)
	}
	if rows != s.Rows {
		return fmt.Errorf("%w: the artefact has %d rows, sealed were %d", ErrMismatch, rows, s.Rows)
	}
	return nil
}

// countRows reads to the end, also past an error, so that the digest is over all
// bytes.
func countRows(r io.Reader, f Format) (rows int64, err error) {
	defer func() {
		if _, drainErr := io.Copy(io.Discard, r); err == nil {
			err = drainErr
		}
	}()
	if f == CSV {
		records := csv.NewReader(r)
		records.ReuseRecord = true
		for rows = -1; ; rows++ { // the header is no row
			if _, err := records.Read(); errors.Is(err, io.EOF) {
				return rows, nil
			} else if err != nil {
				return rows, fmt.Errorf("reading artefact: %w", err)
			}
		}
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for ; lines.Scan(); rows++ {
		if !json.Valid(lines.Bytes()) {
			return rows, fmt.Errorf("reading artefact: line %d is not JSON", rows+1)
		}
	}
	return rows, lines.Err()
}

// VerifyRecord checks that the parts of a record belong together: the export
// carries out the action, the leaves have their digests, and the ledger tells the
// same story. The approval itself is judged by package evidence.
func VerifyRecord(r Record, a approval.Action) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrMismatch}, args...)...)
	}
	x := r.Export
	if r.Version != RecordVersion {
		return bad("the record is of version %q; this program reads %s", r.Version, RecordVersion)
	}
	if err := x.CarriesOut(r.Approval, a); err != nil {
		return err
	}
	switch {
	case r.Approval.Status != approval.Consumed || r.Approval.ConsumedBy == "":
		return bad("approval %d is %s, not consumed", r.Approval.ID, r.Approval.Status)
	case x.Status != Sealed || x.Seal == nil:
		return bad("export %d is not sealed", x.ID)
	}
	return verifyEntries(r)
}

// CarriesOut checks that x is the export that the action a of request r asks for,
// in all that was approved.
func (x Export) CarriesOut(r approval.Request, a approval.Action) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrMismatch}, args...)...)
	}
	spec, err := FromAction(a)
	switch {
	case err != nil:
		return bad("the approved action is no export: %v", err)
	case x.ApprovalID != r.ID || x.ActionDigest != r.ActionDigest:
		return bad("export %d belongs to another approval", x.ID)
	case x.Dataset != spec.Dataset.Name || x.Format != spec.Format || !maps.Equal(x.Filters, spec.Filters):
		return bad("export %d is not the export that was approved", x.ID)
	case !slices.Equal(x.Columns, spec.Dataset.ColumnNames()):
		return bad("export %d has other columns than version %s of the dataset", x.ID, spec.Dataset.Version)
	case x.Requester != r.Requester:
		return bad("export %d was made for somebody else than who asked", x.ID)
	}
	return nil
}

// verifyEntries checks each leaf by its digest and looks for the four steps.
func verifyEntries(r Record) error {
	found := map[string]int{}
	for _, e := range r.Entries {
		sum := sha256.Sum256([]byte(e.Leaf))
		if hex.EncodeToString(sum[:]) != e.LeafSHA256 {
			return fmt.Errorf("%w: entry %s does not have its digest", ErrMismatch, e.ID)
		}
		leaf, err := canonical.Parse([]byte(e.Leaf))
		if err != nil {
			return fmt.Errorf("%w: entry %s: %w", ErrMismatch, e.ID, err)
		}
		kind, _ := leaf["type"].(string)
		details, _ := leaf["details"].(map[string]any)
		if kind != e.Type || leaf["id"] != e.ID {
			return fmt.Errorf("%w: entry %s says of itself that it is %s %v", ErrMismatch, e.ID, kind, leaf["id"])
		}
		if leaf["is_simulation"] != r.Approval.Simulation && kind != "effect.denied" {
			return fmt.Errorf("%w: entry %s is of another mode", ErrMismatch, e.ID)
		}
		if !tells(r, kind, details) {
			return fmt.Errorf("%w: entry %s (%s) tells of another export", ErrMismatch, e.ID, kind)
		}
		found[kind]++
	}
	for _, kind := range []string{"approval.requested", "effect.intended", "effect.done"} {
		if found[kind] != 1 {
			return fmt.Errorf("%w: the ledger has %d entries %s, not one", ErrMismatch, found[kind], kind)
		}
	}
	if found["approval.decided"] == 0 {
		return fmt.Errorf("%w: the ledger has no decision", ErrMismatch)
	}
	return nil
}

// tells reports whether the details of an entry agree with the record.
func tells(r Record, kind string, details map[string]any) bool {
	switch kind {
	case "approval.requested", "approval.decided", "effect.intended":
		return details["action_digest"] == r.Approval.ActionDigest
	case "effect.done":
		s := r.Export.Seal
		return details["action_digest"] == r.Approval.ActionDigest && details["content_sha256"] == s.ContentSHA256 &&
			details["rows"] == strconv.FormatInt(s.Rows, 10) && details["bytes"] == strconv.FormatInt(s.Bytes, 10) &&
			details["snapshot"] == s.Snapshot
	default:
		return true
	}
}

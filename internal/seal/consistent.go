package seal

import (
	"errors"
	"fmt"
	"regexp"

	"finobs/internal/export"
)

var hexDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)

// consistent reports the first thing that keeps a statement from being one about
// an export, whatever the files say.
func (s Statement) consistent() error {
	p := s.Predicate
	switch {
	case s.Type != StatementType || s.PredicateType != PredicateType:
		return fmt.Errorf("it is a %s about a %s, not a statement about an export", s.PredicateType, s.Type)
	case len(s.Subject) != 1 || s.Subject[0].Digest.SHA256 != p.FileSHA256:
		return errors.New("its subject is not the one file that it tells of")
	case !export.Format(p.Format).Valid() || !export.Compression(p.Compression).Valid():
		return fmt.Errorf("format %q with compression %q is not known", p.Format, p.Compression)
	case !hexDigest.MatchString(p.FileSHA256) || !hexDigest.MatchString(p.ContentSHA256) || !hexDigest.MatchString(p.PrevManifest):
		return errors.New("a digest is not 64 hexadecimal digits")
	case s.Subject[0].Name != export.FileName(p.ExportID, p.spec(), p.FileSHA256):
		return fmt.Errorf("the name of its file, %s, is not that of export %d", s.Subject[0].Name, p.ExportID)
	case !fileName.MatchString(s.Subject[0].Name):
		return fmt.Errorf("%q is no name of a file", s.Subject[0].Name)
	case p.Rows < 0 || p.ContentBytes < 0 || p.FileBytes < 0:
		return errors.New("a count is below zero")
	case p.Number < 1 || (p.Number == 1) != (p.PrevManifest == export.FirstPrev):
		return fmt.Errorf("manifest %d cannot follow %s", p.Number, p.PrevManifest)
	case p.SignedAt.IsZero() || p.SnapshotAt.IsZero() || p.SignedAt.Before(p.SnapshotAt):
		return errors.New("it was signed before its rows were read, or does not say when")
	case (p.Format == string(export.CSV)) != (p.FormulaGuard == export.FormulaGuard):
		return fmt.Errorf("formula guard %q does not go with format %s", p.FormulaGuard, p.Format)
	case (p.ScheduleID == 0) != (p.Slot == nil):
		return errors.New("a schedule goes with a slot, and a slot with a schedule")
	}
	_, _, err := p.leaves()
	return err
}

// leaves is where the range of entries ends that a ledger-bounded export covers:
// the index after the last. bounded is false for other datasets.
func (p Predicate) leaves() (to int64, bounded bool, err error) {
	d, known := export.DatasetNamed(p.Dataset)
	bounded = p.FromLeaf != nil && p.ToLeaf != nil
	if (p.FromLeaf == nil) != (p.ToLeaf == nil) || known && d.Ledger != bounded {
		return 0, false, errors.New("a range of entries goes with exports of the ledger, and with no other")
	}
	if !bounded {
		return 0, false, nil
	}
	from, to := *p.FromLeaf, *p.ToLeaf
	switch {
	case from < 0 || to < from:
		return 0, false, fmt.Errorf("%d to %d is no range of entries", from, to)
	case p.Rows > to-from:
		return 0, false, fmt.Errorf("%d rows cannot come from entries %d to %d", p.Rows, from, to)
	case to > 0 && p.Checkpoint == "":
		return 0, false, errors.New("an export of the ledger needs a checkpoint")
	}
	return to, true, nil
}

// spec is as much of the spec as names the file.
func (p Predicate) spec() export.Spec {
	return export.Spec{Dataset: export.Dataset{Name: p.Dataset}, Format: export.Format(p.Format), Compression: export.Compression(p.Compression)}
}

// export is the export that p tells of, as far as it was approved.
func (p Predicate) export() export.Export {
	names := make([]string, 0, len(p.Columns))
	for _, c := range p.Columns {
		names = append(names, c.Name)
	}
	return export.Export{
		ID: p.ExportID, ApprovalID: p.ApprovalID, ActionDigest: p.ActionDigest, ScheduleID: p.ScheduleID, Slot: p.Slot,
		Dataset: p.Dataset, DatasetVersion: p.DatasetVersion, Format: export.Format(p.Format), Compression: export.Compression(p.Compression),
		Destination: p.Destination, Filters: p.Filters, Columns: names, Requester: p.Requester, Desk: p.Desk, Simulation: p.Simulation,
	}
}

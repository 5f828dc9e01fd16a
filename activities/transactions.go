package activities

import (
	"context"
	"encoding/json"
	"strconv"

	"finobs/internal/attest"
	"finobs/internal/canonical"
	"finobs/internal/failpoint"
	"finobs/internal/fault"
	"finobs/internal/intake"
	"finobs/internal/recon"
	"finobs/internal/transaction"
)

// TransactionsTx is what the load of transactions needs of a database transaction.
type TransactionsTx interface {
	ImportTx
	StageTransactions(ctx context.Context, read func(put func(line int, t *transaction.Transaction) error) error) error
	DropRepeated(ctx context.Context, most int) (int64, []intake.RepeatedLine, error)
	MergeTransactions(ctx context.Context, importID int64, source, origin, traceID string) (intake.Changes, error)
}

// Transactions are the activities over files of transactions.
type Transactions struct {
	InTx     Transaction[TransactionsTx]
	Verifier *attest.Verifier
	Spool    Spool
	Profiles *recon.Catalogue // by which files in somebody's own form are read
}

// ImportTransactionsFile loads a spooled file in one database transaction: all
// good lines and the report, or nothing. A content that was imported before, for
// the same source, changes nothing.
func (x *Transactions) ImportTransactionsFile(ctx context.Context, in ImportInput) (json.RawMessage, error) {
	if in.File.Kind != intake.KindTransactions || in.File.Source == "" {
		return nil, temporalError(fault.New(fault.Invalid, "invalid-import", "a file of kind %q and source %q is not one of transactions", in.File.Kind, in.File.Source))
	}
	return importFile(ctx, x.InTx, x.Verifier, x.Spool, in, x.load)
}

// read reads a file as it says.
func (x *Transactions) read(l loading, put func(int, *transaction.Transaction) error) (intake.TransactionReport, error) {
	f := l.file
	if f.Profile == "" {
		return intake.ReadTransactions(l.content, f.Format, put)
	}
	p, err := x.Profiles.ByDigest(f.Profile, f.ProfileDigest)
	if err != nil {
		return intake.TransactionReport{}, err
	}
	h, err := p.SideNamed(f.ProfileSide)
	if err != nil {
		return intake.TransactionReport{}, err
	}
	status := f.Status
	if status == "" {
		status = transaction.New
	}
	out, err := intake.ReadMappedTransactions(l.content, p.Books[h].Layout, status, put)
	if err == nil && out.Rows == 0 && out.BadLines > 0 {
		// Recorded, it would keep the file from being read by a profile that fits.
		err = fault.New(fault.Invalid, "file-not-clean", "no line of the file is good; %s", out.Refusal())
	}
	return out, err
}

func (x *Transactions) load(ctx context.Context, tx TransactionsTx, l loading) (loaded, error) {
	var out intake.TransactionReport
	err := tx.StageTransactions(ctx, func(put func(int, *transaction.Transaction) error) (err error) {
		out, err = x.read(l, put)
		return err
	})
	if err != nil {
		return loaded{}, err
	}
	failpoint.Hit("transactions.after-stage")
	repeated, first, err := tx.DropRepeated(ctx, intake.MaxReports)
	if err != nil {
		return loaded{}, err
	}
	changes, err := tx.MergeTransactions(ctx, l.id, l.file.Source, l.file.Origin, l.traceID)
	if err != nil {
		return loaded{}, err
	}
	failpoint.Hit("transactions.after-merge")
	out.Changes = changes
	out.Repeat(repeated, first)
	details := canonical.Object{
		"kind": string(intake.KindTransactions), "format": string(l.file.Format),
		"rows": strconv.Itoa(out.Rows), "bad_lines": strconv.Itoa(out.BadLines),
		"added": strconv.FormatInt(changes.Added, 10), "corrected": strconv.FormatInt(changes.Corrected, 10),
		"unchanged": strconv.FormatInt(changes.Unchanged, 10), "repeated": strconv.FormatInt(repeated, 10),
	}
	if l.file.Profile != "" {
		details["profile"], details["profile_sha256"], details["profile_side"] = l.file.Profile, l.file.ProfileDigest, l.file.ProfileSide
	}
	return loaded{report: out, refusal: out.Refusal(), details: details}, nil
}

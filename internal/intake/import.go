package intake

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"finobs/internal/canonical"
	"finobs/internal/transaction"
)

// Kind says what a file holds, and with that how it is read.
type Kind string

// The closed set of kinds.
const (
	KindFails        Kind = "sec_fails"    // the SEC's fails-to-deliver balances
	KindTransactions Kind = "transactions" // trades
	KindFIX          Kind = "fix"          // logs and drop copies of FIX sessions
)

// SourceFails is the source name of the SEC's fails-to-deliver files. Files of
// transactions have the source that their sender names.
const SourceFails = "sec_fails"

// Format is how a file of transactions is written.
type Format string

// The closed set of formats.
const (
	CSV    Format = "csv"    // RFC 4180 with a header, one record a line
	NDJSON Format = "ndjson" // one object a line
	JSON   Format = "json"   // one object
)

// Changes counts what the lines of a file did to what is on record.
type Changes struct {
	Added     int64 `json:"added" db:"added"`
	Corrected int64 `json:"corrected" db:"corrected"` // other values were there
	Unchanged int64 `json:"unchanged" db:"unchanged"`
	Repeated  int64 `json:"repeated" db:"repeated"` // what they are about came before: in the same batch of a fails file, in the file otherwise
}

// Add adds d to c.
func (c *Changes) Add(d Changes) {
	c.Added += d.Added
	c.Corrected += d.Corrected
	c.Unchanged += d.Unchanged
	c.Repeated += d.Repeated
}

// ImportReport is what became of a fails file: what was read and what it changed.
type ImportReport struct {
	Report
	Changes Changes `json:"changes"`
}

// Refusal says why a strict import refuses the file, or returns "".
func (r Report) Refusal() string {
	if r.BadLines == 0 && r.TrailerStatus == TrailerAgrees {
		return ""
	}
	return fmt.Sprintf("bad lines: %d, trailer: %s", r.BadLines, r.TrailerStatus) + r.first()
}

// TransactionReport is what became of a file of transactions. Rows and BadLines
// add up to the lines that are neither empty nor the header.
type TransactionReport struct {
	LineReport
	Changes Changes `json:"changes"`
}

// Refusal says why a strict import refuses the file, or returns "".
func (r TransactionReport) Refusal() string {
	if r.BadLines == 0 {
		return ""
	}
	return fmt.Sprintf("bad lines: %d", r.BadLines) + r.first()
}

// Import is one imported file as it is recorded.
type Import struct {
	ID            int64     `db:"import_id"`
	Kind          Kind      `db:"kind"`
	Source        string    `db:"source"`
	ContentSHA256 string    `db:"content_sha256"` // hexadecimal
	Origin        string    `db:"origin"`
	FileName      string    `db:"file_name"`
	Bytes         int64     `db:"byte_count"`
	Report        []byte    `db:"report"` // JSON of an ImportReport, a TransactionReport or a FIXReport, by Kind
	ImportedIss   string    `db:"imported_iss"`
	ImportedSub   string    `db:"imported_sub"`
	WorkflowID    string    `db:"workflow_id"`
	TraceID       string    `db:"trace_id"`
	ImportedAt    time.Time `db:"imported_at"`
}

// File says which received file to import, and how.
type File struct {
	Kind          Kind   `json:"kind,omitempty"`     // fails when empty: workflows that an earlier build started
	Source        string `json:"source,omitempty"`   // whose books the file is of; empty for fails
	Format        Format `json:"format,omitempty"`   // of transactions
	ContentSHA256 string `json:"content_sha256"`     // hexadecimal; the file lies in the spool under this name
	FileName      string `json:"file_name"`          // as the sender called it
	Origin        string `json:"origin"`             // live or demo
	Strict        bool   `json:"strict"`             // one bad line refuses the whole file
	Desk          string `json:"desk,omitempty"`     // of what a FIX log tells
	Currency      string `json:"currency,omitempty"` // of executions of a FIX log that name none

	// Of transactions in somebody's own form: how they are read.
	Profile       string             `json:"profile,omitempty"`        // name
	ProfileDigest string             `json:"profile_digest,omitempty"` // SHA-256 of its text in hexadecimal
	ProfileSide   string             `json:"profile_side,omitempty"`   // left or right
	Status        transaction.Status `json:"status,omitempty"`         // of trades whose record states none; new when empty
}

// Fails reports whether the file is one of the SEC's.
func (f File) Fails() bool { return f.Kind == KindFails || f.Kind == "" }

// Key is what an import is recorded under, together with the content: a kind and
// a source, both never empty for a valid file.
func (f File) Key() (Kind, string) {
	if f.Fails() {
		return KindFails, SourceFails
	}
	return f.Kind, f.Source
}

// Digest is what the API's command to import the file is bound to.
func (f File) Digest() (string, error) {
	kind, source := f.Key()
	o := canonical.Object{
		"source": source, "content_sha256": f.ContentSHA256, "file_name": f.FileName, "origin": f.Origin, "strict": f.Strict,
	}
	if f.Fails() { // as earlier builds signed it
		return canonical.Digest("finobs.import.v1", o)
	}
	o["kind"], o["format"] = string(kind), string(f.Format)
	if f.Kind == KindFIX {
		o["desk"], o["currency"] = f.Desk, f.Currency
	}
	if f.Profile == "" { // dito
		return canonical.Digest("finobs.import.v2", o)
	}
	o["profile"], o["profile_digest"], o["profile_side"], o["status"] = f.Profile, f.ProfileDigest, f.ProfileSide, string(f.Status)
	return canonical.Digest("finobs.import.v3", o)
}

// RepeatedLine is a line whose trade id an earlier line of the same file has.
type RepeatedLine struct {
	Line, First int
	TradeID     string
}

// Repeat reports lines that were taken for good ones, n in all and the first of
// them given, as bad: the first line with a trade id counts, and which of two is
// right is not for a program to say.
func (r *TransactionReport) Repeat(n int64, first []RepeatedLine) {
	r.Changes.Repeated = n
	r.Rows -= int(n)
	r.BadLines += int(n)
	for _, l := range first {
		r.Errors = append(r.Errors, LineError{
			Line: l.Line, Column: "trade_id", Value: shown(l.TradeID), Expected: "a trade_id that no line before has",
			Problem: fmt.Sprintf("%q was on line %d already, which is the one that is imported; leave one of the two out", shown(l.TradeID), l.First),
		})
	}
	r.sort()
}

// sort brings errors that were found one after the other into the order of lines,
// and keeps as many as a report lists.
func (r *TransactionReport) sort() {
	slices.SortStableFunc(r.Errors, func(a, b LineError) int { return cmp.Compare(a.Line, b.Line) })
	r.Errors = r.Errors[:min(len(r.Errors), MaxReports)]
	r.ErrorsOmitted = r.BadLines - len(r.Errors)
}

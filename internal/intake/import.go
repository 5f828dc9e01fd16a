package intake

import (
	"fmt"
	"time"

	"finobs/internal/canonical"
)

// SourceFails is the source name of the SEC's fails-to-deliver files.
const SourceFails = "sec_fails"

// Changes counts what the lines of a file did to the balances on record.
type Changes struct {
	Added     int64 `json:"added" db:"added"`
	Corrected int64 `json:"corrected" db:"corrected"` // another balance, symbol or price was there
	Unchanged int64 `json:"unchanged" db:"unchanged"`
	Repeated  int64 `json:"repeated" db:"repeated"` // a date and CUSIP that came before in the same batch
}

// Add adds d to c.
func (c *Changes) Add(d Changes) {
	c.Added += d.Added
	c.Corrected += d.Corrected
	c.Unchanged += d.Unchanged
	c.Repeated += d.Repeated
}

// ImportReport is what became of a file: what was read and what it changed.
type ImportReport struct {
	Report
	Changes Changes `json:"changes"`
}

// Refusal says why a strict import refuses the file, or returns "".
func (r Report) Refusal() string {
	if r.BadLines == 0 && r.TrailerStatus == TrailerAgrees {
		return ""
	}
	why := fmt.Sprintf("bad lines: %d, trailer: %s", r.BadLines, r.TrailerStatus)
	if len(r.Errors) > 0 {
		why += fmt.Sprintf("; the first is line %d: %s", r.Errors[0].Line, r.Errors[0].Problem)
	}
	return why
}

// Import is one imported file as it is recorded.
type Import struct {
	ID            int64     `db:"import_id"`
	Source        string    `db:"source"`
	ContentSHA256 string    `db:"content_sha256"` // hexadecimal
	Origin        string    `db:"origin"`
	FileName      string    `db:"file_name"`
	Bytes         int64     `db:"byte_count"`
	Report        []byte    `db:"report"` // JSON of an ImportReport
	ImportedIss   string    `db:"imported_iss"`
	ImportedSub   string    `db:"imported_sub"`
	WorkflowID    string    `db:"workflow_id"`
	TraceID       string    `db:"trace_id"`
	ImportedAt    time.Time `db:"imported_at"`
}

// File says which received file to import, and how.
type File struct {
	ContentSHA256 string `json:"content_sha256"` // hexadecimal; the file lies in the spool under this name
	FileName      string `json:"file_name"`      // as the sender called it
	Origin        string `json:"origin"`         // live or demo
	Strict        bool   `json:"strict"`         // one bad line refuses the whole file
}

// Digest is what the API's command to import the file is bound to.
func (f File) Digest() (string, error) {
	return canonical.Digest("finobs.import.v1", canonical.Object{
		"source": SourceFails, "content_sha256": f.ContentSHA256, "file_name": f.FileName, "origin": f.Origin, "strict": f.Strict,
	})
}

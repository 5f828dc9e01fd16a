// Package export says what an export is: which dataset, which filters, which
// columns, and how rows become bytes. It is pure.
package export

import (
	"fmt"
	"slices"
	"time"

	"finobs/internal/approval"
	"finobs/internal/fault"
)

// Format is the form of an artefact.
type Format string

// The closed set of formats.
const (
	CSV    Format = "csv"    // RFC 4180 with a formula guard on text cells
	NDJSON Format = "ndjson" // one JSON object a line; authoritative, no guard
)

// Valid reports whether f is one of the formats above.
func (f Format) Valid() bool { return f == CSV || f == NDJSON }

// ContentType is the media type of the format.
func (f Format) ContentType() string {
	if f == CSV {
		return "text/csv; charset=utf-8; header=present"
	}
	return "application/x-ndjson"
}

// Dataset is something that can be exported: its columns are an allow-list, and
// its version changes with them, so that an approval of one set of columns never
// releases another.
type Dataset struct {
	Name    string
	Version string
	Columns []Column
	Filters []string // names of the filters that a caller may set
}

// Column is a column of a dataset. Text columns carry the formula guard in CSV;
// the others hold numbers, times and the like, which finobs itself writes.
type Column struct {
	Name string
	Text bool
	JSON bool // the value is a JSON document, nested as such in NDJSON
}

// Incidents is the dataset behind /incidents/export.
var Incidents = Dataset{
	Name:    "incidents",
	Version: "1",
	Columns: []Column{
		{Name: "incident_id"}, {Name: "kind", Text: true}, {Name: "severity", Text: true}, {Name: "status", Text: true},
		{Name: "title", Text: true}, {Name: "description", Text: true}, {Name: "desk", Text: true}, {Name: "source", Text: true},
		{Name: "subject_kind", Text: true}, {Name: "subject_id", Text: true}, {Name: "exposure_usd"},
		{Name: "details", Text: true, JSON: true}, {Name: "origin", Text: true}, {Name: "opened_by_type", Text: true},
		{Name: "opened_by_sub", Text: true}, {Name: "opened_at"}, {Name: "updated_at"}, {Name: "version"},
	},
	Filters: []string{"status", "kind", "severity", "desk", "origin"},
}

// Kind is the kind of the action that exports d.
func (d Dataset) Kind() string { return "export." + d.Name }

// ColumnNames lists the columns in their order.
func (d Dataset) ColumnNames() []string {
	names := make([]string, 0, len(d.Columns))
	for _, c := range d.Columns {
		names = append(names, c.Name)
	}
	return names
}

// Spec is one export in full. It is written into an action's parameters and read
// back from them, so that what runs is what was approved.
type Spec struct {
	Dataset Dataset
	Format  Format
	Filters map[string]string // only set ones
}

// Action returns the action that a person has to get approved for s.
func (s Spec) Action(requester approval.Person, desk string, mode approval.Mode) approval.Action {
	parameters := map[string]string{"format": string(s.Format)}
	for name, value := range s.Filters {
		parameters[name] = value
	}
	return approval.Action{
		Kind:       s.Dataset.Kind(),
		Targets:    []approval.Target{{Kind: "dataset", ID: s.Dataset.Name, Version: s.Dataset.Version}},
		Parameters: parameters,
		Requester:  requester,
		Desk:       desk,
		Mode:       mode,
	}
}

// FromAction reads the spec back from an approved action and refuses, as a fault
// of kind Invalid, an action that is not exactly an export that this program can
// carry out.
func FromAction(a approval.Action) (Spec, error) {
	bad := func(format string, args ...any) (Spec, error) {
		return Spec{}, fault.New(fault.Invalid, "not-an-export", format, args...)
	}
	d := Incidents
	if a.Kind != d.Kind() {
		return bad("actions of kind %s export nothing", a.Kind)
	}
	want := approval.Target{Kind: "dataset", ID: d.Name, Version: d.Version}
	if len(a.Targets) != 1 || a.Targets[0] != want {
		return bad("the action's target is not dataset %s in version %s; ask for the export again", d.Name, d.Version)
	}
	s := Spec{Dataset: d, Format: Format(a.Parameters["format"]), Filters: map[string]string{}}
	if !s.Format.Valid() {
		return bad("format %q must be csv or ndjson", s.Format)
	}
	for name, value := range a.Parameters {
		switch {
		case name == "format":
		case slices.Contains(d.Filters, name):
			s.Filters[name] = value
		default:
			return bad("dataset %s has no filter %q", d.Name, name)
		}
	}
	return s, nil
}

// FileName is the name of an artefact. The digest in it makes the name belong to
// one content only: two attempts never write to one file.
func FileName(exportID int64, dataset string, f Format, contentSHA256 string) string {
	return fmt.Sprintf("%s-%d-%s.%s", dataset, exportID, contentSHA256, f)
}

// Status is where an export stands.
type Status string

// The closed set of statuses.
const (
	Intended Status = "intended" // the approval is spent, the artefact is not complete
	Sealed   Status = "sealed"   // the artefact is complete and its digest recorded
	Failed   Status = "failed"   // its workflow ended before the artefact was complete
)

// Export is an export as it is recorded.
type Export struct {
	ID           int64             `json:"id"`
	ApprovalID   int64             `json:"approval_id"`
	ActionDigest string            `json:"action_digest"`
	Dataset      string            `json:"dataset"`
	Format       Format            `json:"format"`
	Filters      map[string]string `json:"filters"`
	Columns      []string          `json:"columns"`
	Requester    approval.Person   `json:"requester"`
	Desk         string            `json:"desk"`
	Simulation   bool              `json:"simulation"`
	WorkflowID   string            `json:"workflow_id"`
	TraceID      string            `json:"trace_id"`
	Status       Status            `json:"status"`
	CreatedAt    time.Time         `json:"created_at"`
	Seal         *Seal             `json:"seal"` // nil until Sealed
}

// Seal is what is known of a complete artefact.
type Seal struct {
	Snapshot      string    `json:"snapshot"` // pg_current_snapshot() of the one read
	SnapshotAt    time.Time `json:"snapshot_at"`
	FileName      string    `json:"file_name"`
	ContentSHA256 string    `json:"content_sha256"` // of the file's bytes, hexadecimal
	Rows          int64     `json:"rows"`
	Bytes         int64     `json:"bytes"`
	SealedAt      time.Time `json:"sealed_at"`
}

package export

import (
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"finobs/internal/approval"
	"finobs/internal/fault"
)

// Format is the form of an artefact.
type Format string

// The closed set of formats.
const (
	CSV     Format = "csv"     // RFC 4180, lines end in LF, with a formula guard on text cells
	NDJSON  Format = "ndjson"  // one JSON object a line; authoritative, no guard
	Parquet Format = "parquet" // Apache Parquet; the compression is that of its pages
)

// Valid reports whether f is one of the formats above.
func (f Format) Valid() bool { return f == CSV || f == NDJSON || f == Parquet }

// ContentType is the media type of the format.
func (f Format) ContentType() string {
	switch f {
	case CSV:
		return "text/csv; charset=utf-8; header=present"
	case NDJSON:
		return "application/x-ndjson"
	case Parquet:
	}
	return "application/vnd.apache.parquet"
}

// Compression is how an artefact is compressed.
type Compression string

// The closed set of compressions.
const (
	Plain Compression = "none"
	Gzip  Compression = "gzip" // RFC 1952, without a name or a time
	Zstd  Compression = "zstd" // RFC 8878
)

// Valid reports whether c is one of the compressions above.
func (c Compression) Valid() bool { return c == Plain || c == Gzip || c == Zstd }

// Extension is what the name of an artefact ends in.
func Extension(f Format, c Compression) string {
	switch {
	case f == Parquet || c == Plain:
		return string(f)
	case c == Gzip:
		return string(f) + ".gz"
	default:
		return string(f) + ".zst"
	}
}

// Download is the destination of an export that goes nowhere else: it is fetched
// from finobs' own store.
const Download = "download"

// Destination is where an export is delivered: a name from the configuration, and
// the digest of what the name stood for when the export was asked for. An export
// that was approved for one bucket does not go to another of the same name.
type Destination struct {
	Name   string
	Digest string
}

// DestinationTarget is the kind of target that names a destination.
const DestinationTarget = "destination"

// Spec is one export in full. It is written into an action's parameters and read
// back from them, so that what runs is what was approved.
type Spec struct {
	Dataset     Dataset
	Format      Format
	Compression Compression
	Destination Destination
	Filters     map[string]string // only set ones
}

// Parameters of an action that exports, beside the filters.
const (
	parameterFormat      = "format"
	parameterCompression = "compression"
)

// Action returns the action that a person has to get approved for s.
func (s Spec) Action(requester approval.Person, desk string, mode approval.Mode) approval.Action {
	return approval.Action{
		Kind: s.Dataset.Kind(), Targets: s.targets(), Parameters: s.parameters(), Requester: requester, Desk: desk, Mode: mode,
	}
}

func (s Spec) targets() []approval.Target {
	return []approval.Target{
		{Kind: "dataset", ID: s.Dataset.Name, Version: s.Dataset.Version},
		{Kind: DestinationTarget, ID: s.Destination.Name, Version: s.Destination.Digest},
	}
}

func (s Spec) parameters() map[string]string {
	parameters := map[string]string{parameterFormat: string(s.Format), parameterCompression: string(s.Compression)}
	for name, value := range s.Filters {
		parameters[name] = value
	}
	return parameters
}

func notAnExport(format string, args ...any) (Spec, error) {
	return Spec{}, fault.New(fault.Invalid, "not-an-export", format, args...)
}

// FromAction reads the spec back from an approved action and refuses, as a fault
// of kind Invalid, an action that is not exactly an export that this program can
// carry out.
func FromAction(a approval.Action) (Spec, error) {
	d, known := DatasetNamed(a.Dataset())
	if !known || a.Kind != d.Kind() {
		return notAnExport("actions of kind %s export nothing", a.Kind)
	}
	return specOf(d, a.Targets, a.Parameters)
}

func specOf(d Dataset, targets []approval.Target, parameters map[string]string) (Spec, error) {
	want := approval.Target{Kind: "dataset", ID: d.Name, Version: d.Version}
	if len(targets) != 2 || targets[0] != want || targets[1].Kind != DestinationTarget {
		return notAnExport("the action's targets are not dataset %s in version %s and a destination; ask for the export again", d.Name, d.Version)
	}
	s := Spec{
		Dataset: d, Format: Format(parameters[parameterFormat]), Compression: Compression(parameters[parameterCompression]),
		Destination: Destination{targets[1].ID, targets[1].Version}, Filters: map[string]string{},
	}
	for name, value := range parameters {
		if name != parameterFormat && name != parameterCompression {
			s.Filters[name] = value
		}
	}
	return s, s.Validate()
}

// Validate reports the first thing that keeps s from being carried out, as a
// fault of kind Invalid.
func (s Spec) Validate() error {
	bad := func(format string, args ...any) error {
		_, err := notAnExport(format, args...)
		return err
	}
	switch {
	case !s.Format.Valid():
		return bad("format %q must be csv, ndjson or parquet", s.Format)
	case !s.Compression.Valid():
		return bad("compression %q must be none, gzip or zstd", s.Compression)
	case s.Destination.Name == "":
		return bad("the export has no destination; %s keeps it in finobs' own store", Download)
	}
	for name, value := range s.Filters {
		f, known := s.Dataset.FilterNamed(name)
		if !known {
			return bad("dataset %s has no filter %q", s.Dataset.Name, name)
		}
		if err := f.check(value); err != nil {
			return bad("filter %s: %v", name, err)
		}
	}
	return nil
}

// maxFilter bounds the value of a filter in bytes.
const maxFilter = 2048

// check reports what is wrong with a value of f.
func (f Filter) check(value string) error {
	switch f.Kind {
	case Integer:
		if n, err := strconv.ParseInt(value, 10, 64); err != nil || n < 0 {
			return fmt.Errorf("%q is not a number such as 4200", value)
		}
	case Time:
		if _, err := time.Parse(time.RFC3339, value); err != nil {
			return fmt.Errorf("%q is no time such as 2026-11-24T15:04:05Z", value)
		}
	case Date:
		if _, err := time.Parse(time.DateOnly, value); err != nil {
			return fmt.Errorf("%q is no date such as 2026-11-24", value)
		}
	case Bool:
		if value != "true" && value != "false" {
			return fmt.Errorf("%q must be true or false", value)
		}
	case Text, Word, JSON, Decimal:
		if value == "" || len(value) > maxFilter || !utf8.ValidString(value) {
			return fmt.Errorf("it must be text of 1 to %d bytes; leave it out to set no filter", maxFilter)
		}
	}
	return nil
}

// FileName is the name of an artefact. The digest in it makes the name belong to
// one content only: two attempts never write to one file.
func FileName(exportID int64, s Spec, fileSHA256 string) string {
	return fmt.Sprintf("%s.%s", Prefix(s.Dataset.Name, exportID)+fileSHA256, Extension(s.Format, s.Compression))
}

// Prefix begins the names of the artefacts of one export, and of no other.
func Prefix(dataset string, exportID int64) string { return fmt.Sprintf("%s-%d-", dataset, exportID) }

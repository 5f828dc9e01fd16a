package export

import "slices"

// Kind is what a column holds, which decides how its cells are written.
type Kind int

// The closed set of kinds. Cells arrive as text in the forms given here.
const (
	Text    Kind = iota // what people or other systems wrote: guarded in CSV
	Word                // from a closed set of finobs' own, such as a status or a digest
	JSON                // a JSON document, nested as such in NDJSON; guarded in CSV
	Integer             // of 64 bits
	Decimal             // exact, of any precision, never in exponent form
	Time                // UTC with microseconds: 2006-01-02T15:04:05.000000Z
	Date                // 2006-01-02
	Bool                // true or false
)

// Column is a column of a dataset.
type Column struct {
	Name string
	Kind Kind
}

// Op is how a filter compares its column with the value given.
type Op int

// The closed set of comparisons.
const (
	Equal  Op = iota
	From      // at or after
	Before    // before, or below
	Holds     // the column is a list that holds the value
)

// Filter is a filter that a caller may set, on a list as well as on an export.
type Filter struct {
	Name   string
	Column string
	Op     Op
	Kind   Kind // of the value
}

// Dataset is something that can be exported. Its columns are an allow-list, and
// its version changes with them, so that an approval of one set of columns never
// releases another.
type Dataset struct {
	Name    string
	Version string
	Columns []Column
	Filters []Filter
	View    string // in schema api, where lists read it too
	Key     string // unique column that gives the rows their order
	Moment  string // column by which a scheduled export takes a window of time
	Ledger  bool   // its rows are entries of the log up to a checkpoint, and never change
}

func equal(names ...string) []Filter {
	filters := make([]Filter, 0, len(names))
	for _, name := range names {
		filters = append(filters, Filter{Name: name, Column: name})
	}
	return filters
}

func between(column string, kind Kind) []Filter {
	return []Filter{{"from", column, From, kind}, {"to", column, Before, kind}}
}

// Incidents is the dataset behind /incidents/export.
var Incidents = Dataset{
	Name: "incidents", Version: "2", View: "api.incident", Key: "incident_id", Moment: "opened_at",
	Columns: []Column{
		{"incident_id", Integer}, {"kind", Word}, {"severity", Word}, {"status", Word}, {"title", Text}, {"description", Text},
		{"desk", Text}, {"source", Text}, {"subject_kind", Text}, {"subject_id", Text}, {"exposure_usd", Decimal}, {"details", JSON},
		{"origin", Word}, {"opened_by_type", Word}, {"opened_by_sub", Text}, {"opened_at", Time}, {"updated_at", Time}, {"version", Integer},
	},
	Filters: slices.Concat(equal("status", "kind", "severity", "desk", "origin"), between("opened_at", Time)),
}

// Transactions is the dataset behind /transactions/export.
var Transactions = Dataset{
	Name: "transactions", Version: "1", View: "api.transaction", Key: "transaction_id", Moment: "created_at",
	Columns: []Column{
		{"transaction_id", Integer}, {"source", Text}, {"trade_id", Text}, {"execution_id", Text}, {"trade_date", Date},
		{"settlement_date", Date}, {"side", Word}, {"symbol", Text}, {"isin", Text}, {"cusip", Text}, {"quantity", Decimal},
		{"price", Decimal}, {"currency", Text}, {"gross_amount", Decimal}, {"fees", Decimal}, {"account", Text}, {"counterparty", Text},
		{"venue", Text}, {"status", Word}, {"desk", Text}, {"origin", Word}, {"version", Integer}, {"created_at", Time}, {"updated_at", Time},
	},
	Filters: slices.Concat(
		equal("source", "trade_id", "symbol", "side", "status", "account", "counterparty", "desk", "currency", "origin"),
		between("trade_date", Date),
		[]Filter{{"created_from", "created_at", From, Time}, {"created_to", "created_at", Before, Time}}),
}

// Users is the dataset behind /users/export: the roster, for reviews of who may
// do what. Nobody's secrets are in the roster, nor could they be named here.
var Users = Dataset{
	Name: "users", Version: "1", View: "api.person", Key: "person_key", Moment: "updated_at",
	Columns: []Column{
		{"iss", Text}, {"sub", Text}, {"kind", Word}, {"roles", Text}, {"desk", Text}, {"email", Text}, {"active", Bool},
		{"version", Integer}, {"created_at", Time}, {"updated_at", Time},
	},
	Filters: []Filter{{"role", "roles", Holds, Text}, {"desk", "desk", Equal, Text}, {"active", "active", Equal, Bool},
		{"updated_from", "updated_at", From, Time}, {"updated_to", "updated_at", Before, Time}},
}

// entryColumns are those of an entry of the ledger.
var entryColumns = []Column{
	{"leaf_index", Integer}, {"entry_id", Word}, {"recorded_at", Time}, {"type", Word}, {"action", Text}, {"outcome", Word}, {"reason", Text},
	{"actor_type", Word}, {"actor_iss", Text}, {"actor_sub", Text}, {"subject_kind", Word}, {"subject_id", Text}, {"desk", Text},
	{"request_id", Text}, {"trace_id", Word}, {"workflow_id", Text}, {"ai_explanation", Text},
}

var entryFilters = slices.Concat(
	equal("subject_kind", "subject_id", "actor_sub", "type", "action", "outcome", "desk", "workflow_id", "trace_id"),
	[]Filter{{"is_simulation", "is_simulation", Equal, Bool}},
	between("recorded_at", Time),
	[]Filter{{"after", "leaf_index", From, Integer}, {"before", "leaf_index", Before, Integer}})

// ComplianceLogs is the dataset behind /compliance/logs/export: who asked for,
// decided on, did and was refused what, with the agents' input and output.
var ComplianceLogs = Dataset{
	Name: "compliance_logs", Version: "1", View: "api.compliance_log", Key: "leaf_index", Moment: "recorded_at", Ledger: true,
	Columns: slices.Concat(entryColumns, []Column{
		{"agent_input", Text}, {"agent_output", Text}, {"agent_version", Text}, {"override_type", Word}, {"is_simulation", Bool},
		{"leaf_sha256", Word},
	}),
	Filters: entryFilters,
}

// Audit is the dataset behind /audit/export: every entry of the log, with the
// bytes that are hashed.
var Audit = Dataset{
	Name: "audit", Version: "1", View: "api.log_entry", Key: "leaf_index", Moment: "recorded_at", Ledger: true,
	Columns: slices.Concat(entryColumns, []Column{
		{"agent_input_sha256", Word}, {"agent_output_sha256", Word}, {"agent_version", Text}, {"override_type", Word}, {"is_simulation", Bool},
		{"leaf_sha256", Word}, {"leaf", Text},
	}),
	Filters: entryFilters,
}

// Datasets lists all datasets.
func Datasets() []Dataset {
	return []Dataset{Incidents, Transactions, Users, ComplianceLogs, Audit}
}

// DatasetNamed returns a dataset by its name.
func DatasetNamed(name string) (Dataset, bool) {
	for _, d := range Datasets() {
		if d.Name == name {
			return d, true
		}
	}
	return Dataset{}, false
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

// FilterNamed returns a filter by its name.
func (d Dataset) FilterNamed(name string) (Filter, bool) {
	for _, f := range d.Filters {
		if f.Name == name {
			return f, true
		}
	}
	return Filter{}, false
}

// Package doctor looks whether the promises of finobs hold on everything that is
// on record, and between the record and Temporal. It changes nothing. It is pure:
// rows and workflows reach it through the interfaces that it declares.
//
// It reads in pages, so that its memory does not grow with the database; only
// what it finds does.
package doctor

import (
	"context"
	"fmt"
	"time"

	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/export"
)

// pageSize is how many rows are read at a time.
const pageSize = 100

// Records opens consistent views of the database. State and ledger are written in
// one transaction, so that in one view they must agree.
type Records interface {
	Snapshot(ctx context.Context, fn func(Record) error) error
}

// Record is one consistent view. Lists are in the order of their ids; After is
// exclusive.
type Record interface {
	Now() time.Time // of the database's clock, when the view was opened
	RequestsAfter(ctx context.Context, id int64, limit int) ([]approval.Request, error)
	PendingAfter(ctx context.Context, id int64, limit int) ([]approval.Request, error)
	RequestsByID(ctx context.Context, ids []int64) ([]approval.Request, error)
	DecisionsOn(ctx context.Context, approvalIDs []int64) ([]approval.Recorded, error) // in the order of recording
	DecisionsByID(ctx context.Context, ids []string) ([]approval.Recorded, error)
	ExportsAfter(ctx context.Context, id int64, limit int) ([]export.Export, error)
	ExportsOf(ctx context.Context, approvalIDs []int64) ([]export.Export, error)
	ExportsByID(ctx context.Context, ids []int64) ([]export.Export, error)
	PeopleAfter(ctx context.Context, key string, limit int) ([]approval.Member, error)
	PeopleByKey(ctx context.Context, keys []string) ([]approval.Member, error)
	PolicySetsAfter(ctx context.Context, id int64, limit int) ([]PolicySet, error)
	PolicySetsOf(ctx context.Context, sha256s []string) ([]PolicySet, error)
	EntriesAbout(ctx context.Context, subjectKind string, subjectIDs, types []string) ([]Entry, error)
	EntriesAfter(ctx context.Context, last Entry, types []string, limit int) ([]Entry, error) // by time and id; the zero Entry is before all
}

// PolicySet is a policy file that came into force.
type PolicySet struct {
	ID         int64
	SHA256     string
	ApprovalID int64 // 0: the set of the first start
}

// Entry is what the checks need of an entry of the ledger.
type Entry struct {
	ID          string
	RecordedAt  time.Time
	Type        string
	SubjectKind string
	SubjectID   string
	Outcome     string
	WorkflowID  string
	Leaf        string
}

// Temporal tells of gated workflows.
type Temporal interface {
	// Running lists those that run and were started before a time, page by page.
	Running(ctx context.Context, startedBefore time.Time, page func([]Execution) error) error
	// RunningFor lists those that run for approvals first to last.
	RunningFor(ctx context.Context, first, last int64) ([]Execution, error)
	// Latest describes the newest execution of a workflow id, if there is one.
	Latest(ctx context.Context, workflowID string) (Execution, bool, error)
	// Recent lists the n executions that closed last or, if running, that started
	// last and still run.
	Recent(ctx context.Context, running bool, n int) ([]Execution, error)
	// Signals lists the decision signals that an execution was sent. It reports
	// false when Temporal has forgotten the execution.
	Signals(ctx context.Context, e Execution) ([]Signal, bool, error)
}

// Execution is an execution of a gated workflow.
type Execution struct {
	WorkflowID, RunID, Type string
	ApprovalID              int64 // as the execution itself says; 0 when it says none
	Running                 bool
	StartedAt, ClosedAt     time.Time
}

// Signal is a decision signal that Temporal accepted.
type Signal struct {
	Token string
	At    time.Time
}

// Finding is a row or a workflow with which a promise does not hold.
type Finding struct {
	ApprovalID int64  `json:"approval_request_id,omitempty"`
	ExportID   int64  `json:"export_id,omitempty"`
	WorkflowID string `json:"workflow_id,omitempty"`
	Other      string `json:"other,omitempty"` // any other row, such as "entry 0198…"
	Why        string `json:"why"`
}

// Check is one promise and where it does not hold.
type Check struct {
	ID       string    `json:"id"`
	Promise  string    `json:"promise"`
	Looked   int       `json:"looked_at"` // rows or executions
	Note     string    `json:"note,omitempty"`
	Findings []Finding `json:"findings"`
}

// Doctor examines a database and its Temporal.
type Doctor struct {
	Records  Records
	Temporal Temporal
	Verifier *attest.Verifier
	// Settle is left to rows, workflows and clocks to catch up with each other;
	// half of it to a signal.
	Settle time.Duration
	// Histories is how many histories of closed executions are read, and of
	// running ones; 0 for none.
	Histories int
}

// promises, by the ids of their checks.
var promises = []struct{ id, words string }{
	{"I1", "what was approved, and every export of it, is borne out by signed evidence"},
	{"I2", "an approval is spent once, on one export, by one workflow"},
	{"I3", "every decision that Temporal accepted is on record"},
	{"I4", "nothing is pending past its deadline or usable past its last moment of use"},
	{"I5", "every request has its workflow, every workflow its request, every decision its signature"},
	{"I6", "state and ledger tell the same story"},
}

// Run makes all checks. An error says that they could not be made to the end.
func (d Doctor) Run(ctx context.Context) ([]Check, error) {
	x := &examination{Doctor: d, checks: map[string]*Check{}}
	for _, p := range promises {
		x.checks[p.id] = &Check{ID: p.id, Promise: p.words, Findings: []Finding{}}
	}
	err := d.Records.Snapshot(ctx, func(r Record) error { return x.record(ctx, r) })
	if err != nil {
		return nil, fmt.Errorf("examining the record: %w", err)
	}
	if err := x.temporal(ctx); err != nil {
		return nil, fmt.Errorf("comparing the record with Temporal: %w", err)
	}
	out := make([]Check, 0, len(promises))
	for _, p := range promises {
		out = append(out, *x.checks[p.id])
	}
	return out, nil
}

// examination is one run.
type examination struct {
	Doctor
	checks map[string]*Check
}

func (x *examination) looked(check string, n int) { x.checks[check].Looked += n }

func (x *examination) found(check string, f Finding, format string, args ...any) {
	f.Why = fmt.Sprintf(format, args...)
	x.checks[check].Findings = append(x.checks[check].Findings, f)
}

func (x *examination) record(ctx context.Context, r Record) error {
	for _, pass := range []func(context.Context, Record) error{x.requests, x.exports, x.people, x.policySets, x.entries} {
		if err := pass(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// pages calls do with each page that next reads, until one is not full.
func pages[T any](next func(last T, limit int) ([]T, error), do func([]T) error) error {
	var last T
	for {
		page, err := next(last, pageSize)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return nil
		}
		if err := do(page); err != nil {
			return err
		}
		if len(page) < pageSize {
			return nil
		}
		last = page[len(page)-1]
	}
}

// by groups rows by a key.
func by[K comparable, T any](rows []T, key func(T) K) map[K][]T {
	out := map[K][]T{}
	for _, row := range rows {
		out[key(row)] = append(out[key(row)], row)
	}
	return out
}

// keys lists a key of each row.
func keys[K comparable, T any](rows []T, key func(T) K) []K {
	out := make([]K, 0, len(rows))
	for _, row := range rows {
		out = append(out, key(row))
	}
	return out
}

func requestID(r approval.Request) int64    { return r.ID }
func decidedOn(d approval.Recorded) int64   { return d.ApprovalID }
func decisionID(d approval.Recorded) string { return d.ID }
func exportID(x export.Export) int64        { return x.ID }
func exportOf(x export.Export) int64        { return x.ApprovalID }
func aboutID(e Entry) string                { return e.SubjectID }

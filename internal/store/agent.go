package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"finobs/internal/agent"
	"finobs/internal/approval"
	"finobs/internal/desk"
	"finobs/internal/fault"

	"github.com/lib/pq"
	"github.com/shopspring/decimal"
)

// runColumns are those of a run in api.agent_run and in finobs.agent_run alike.
const runColumns = `run_id, approval_id, kind, coalesce(incident_id, 0) AS incident_id, parameters, is_simulation, requester_iss, requester_sub, desk,
	workflow_id, request_id, trace_id, status, failure, started_at, ended_at, agent_version, fallback, category, severity, confidence, inconclusive,
	problems, suspicions`

type runRow struct {
	RunID        int64               `db:"run_id"`
	ApprovalID   int64               `db:"approval_id"`
	Kind         agent.Kind          `db:"kind"`
	IncidentID   int64               `db:"incident_id"`
	Parameters   []byte              `db:"parameters"`
	Simulation   bool                `db:"is_simulation"`
	RequesterIss string              `db:"requester_iss"`
	RequesterSub string              `db:"requester_sub"`
	Desk         string              `db:"desk"`
	WorkflowID   string              `db:"workflow_id"`
	RequestID    string              `db:"request_id"`
	TraceID      string              `db:"trace_id"`
	Status       agent.RunStatus     `db:"status"`
	Failure      string              `db:"failure"`
	StartedAt    time.Time           `db:"started_at"`
	EndedAt      sql.NullTime        `db:"ended_at"`
	Evidence     sql.NullString      `db:"evidence_sha256"`
	Output       sql.NullString      `db:"output_sha256"`
	Version      sql.NullString      `db:"agent_version"`
	Fallback     string              `db:"fallback"`
	Category     sql.NullString      `db:"category"`
	Severity     sql.NullString      `db:"severity"`
	Confidence   decimal.NullDecimal `db:"confidence"`
	Inconclusive sql.NullBool        `db:"inconclusive"`
	Problems     []byte              `db:"problems"`
	Suspicions   []byte              `db:"suspicions"`
}

func (r runRow) domain() (agent.Run, error) {
	out := r.bare()
	parameters := map[string]string{}
	if err := json.Unmarshal(r.Parameters, &parameters); err != nil {
		return out, fault.Wrap(err, fault.Forbidden, "run-broken", "the recorded parameters of run %d are not those of a run", r.RunID)
	}
	a := approval.Action{Kind: agent.ActionPrefix + string(r.Kind), Parameters: parameters, Mode: out.Request.Mode}
	if r.IncidentID > 0 {
		a.Targets = []approval.Target{{Kind: "incident", ID: fmt.Sprint(r.IncidentID)}}
	}
	request, err := agent.RequestOf(a)
	if err != nil {
		return out, fault.Wrap(err, fault.Forbidden, "run-broken", "the recorded parameters of run %d are not those of a run", r.RunID)
	}
	out.Request = request
	if !r.Output.Valid {
		return out, nil
	}
	result := agent.Result{
		OutputSHA256: r.Output.String, Version: r.Version.String, Fallback: r.Fallback,
		Output: agent.Output{
			Category: agent.Category(r.Category.String), Severity: desk.Severity(r.Severity.String), Inconclusive: r.Inconclusive.Bool,
			Confidence: r.Confidence.Decimal.StringFixed(2),
		},
	}
	if err := errors.Join(json.Unmarshal(r.Problems, &result.Problems), json.Unmarshal(r.Suspicions, &result.Suspicions)); err != nil {
		return out, fault.Wrap(err, fault.Forbidden, "run-broken", "what was refused or suspected in run %d cannot be read", r.RunID)
	}
	out.Result = &result
	return out, nil
}

// bare is what of a run needs no reading: neither what was asked in full, nor what
// came of it.
func (r runRow) bare() agent.Run {
	mode := approval.Live
	if r.Simulation {
		mode = approval.Simulation
	}
	return agent.Run{
		ID: r.RunID, ApprovalID: r.ApprovalID, Request: agent.Request{Kind: r.Kind, IncidentID: r.IncidentID, Mode: mode}, Status: r.Status, Failure: r.Failure,
		Requester: approval.Person{Issuer: r.RequesterIss, Subject: r.RequesterSub}, Desk: r.Desk, WorkflowID: r.WorkflowID,
		RequestID: r.RequestID, TraceID: r.TraceID, StartedAt: r.StartedAt.UTC(), EndedAt: momentOf(r.EndedAt), EvidenceSHA256: r.Evidence.String,
	}
}

// shown is domain for those who only look: a row that somebody changed hides neither
// itself nor any other.
func (r runRow) shown() agent.Run {
	out, err := r.domain()
	if err != nil {
		out.Broken = fault.MessageOf(err)
	}
	return out
}

// InsertRun records that a run begins. It returns a Conflict when its approval has
// a run already.
func (t *Tx) InsertRun(ctx context.Context, r agent.Run, parameters map[string]string) (int64, error) {
	encoded, err := json.Marshal(parameters)
	if err != nil {
		return 0, fmt.Errorf("encoding parameters: %w", err)
	}
	var id int64
	err = t.get(ctx, &id, `
		INSERT INTO finobs.agent_run (approval_id, kind, incident_id, parameters, is_simulation, requester_iss, requester_sub, desk, workflow_id,
			request_id, trace_id, status, started_at, seen_by)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'running', $12,
			coalesce((SELECT i.desk FROM finobs.incident AS i WHERE i.incident_id = $3), $8)) RETURNING run_id`,
		r.ApprovalID, r.Request.Kind, reference(r.Request.IncidentID), string(encoded), r.Request.Mode == approval.Simulation, r.Requester.Issuer,
		r.Requester.Subject, r.Desk, r.WorkflowID, r.RequestID, r.TraceID, t.now)
	if err != nil {
		return 0, fmt.Errorf("recording run of approval %d: %w", r.ApprovalID, err)
	}
	return id, nil
}

// RunOf reads the run that an approval let begin, if there is one, and keeps
// others from changing it.
func (t *Tx) RunOf(ctx context.Context, approvalID int64) (agent.Run, bool, error) {
	return t.run(ctx, `approval_id = $1`, approvalID)
}

// LockRun reads a run and keeps others from changing it; a fault of kind NotFound
// when there is none.
func (t *Tx) LockRun(ctx context.Context, id int64) (agent.Run, error) {
	r, found, err := t.run(ctx, `run_id = $1`, id)
	if err == nil && !found {
		err = fault.New(fault.NotFound, "no-such-run", "there is no run %d of an agent", id)
	}
	return r, err
}

func (t *Tx) run(ctx context.Context, where string, arg any) (agent.Run, bool, error) {
	var row runRow
	err := t.get(ctx, &row, `SELECT `+runColumns+`, encode(evidence_sha256, 'hex') AS evidence_sha256, encode(output_sha256, 'hex') AS output_sha256
		FROM finobs.agent_run WHERE `+where+` FOR UPDATE`, arg)
	if errors.Is(err, sql.ErrNoRows) {
		return agent.Run{}, false, nil
	}
	if err != nil {
		return agent.Run{}, false, fmt.Errorf("reading run: %w", err)
	}
	r, err := row.domain()
	return r, true, err
}

// LatestRun reads the newest run of a kind about an incident that is done, if
// there is one.
func (t *Tx) LatestRun(ctx context.Context, kind agent.Kind, incidentID int64) (agent.Run, bool, error) {
	var id int64
	err := t.get(ctx, &id, `SELECT coalesce(max(run_id), 0) FROM finobs.agent_run
		WHERE incident_id = $1 AND kind = $2 AND status = 'done' AND NOT is_simulation`, incidentID, kind)
	if err != nil || id == 0 {
		return agent.Run{}, false, err
	}
	return t.run(ctx, `run_id = $1`, id)
}

// KeepEvidence keeps the bundle of a run, once. What is kept is what the run has
// from then on.
func (t *Tx) KeepEvidence(ctx context.Context, runID int64, bundle []byte) (sha256 string, err error) {
	sum, err := t.putBlob(ctx, bundle)
	if err != nil {
		return "", err
	}
	_, err = t.exec(ctx, `UPDATE finobs.agent_run SET evidence_sha256 = $2 WHERE run_id = $1 AND evidence_sha256 IS NULL`, runID, sum)
	return hex.EncodeToString(sum), err
}

// Blob reads bytes by their SHA-256 in hexadecimal.
func (t *Tx) Blob(ctx context.Context, sha256 string) ([]byte, error) {
	var b []byte
	if err := t.get(ctx, &b, `SELECT bytes FROM ledger.blob WHERE sha256 = decode($1, 'hex')`, sha256); err != nil {
		return nil, fmt.Errorf("reading blob %s: %w", sha256, err)
	}
	return b, nil
}

// EndRun records what came of a run; output is its Output as it is kept.
func (t *Tx) EndRun(ctx context.Context, r agent.Run, output []byte) error {
	problems, err := json.Marshal(strings0(r.Result.Problems))
	if err != nil {
		return fmt.Errorf("encoding problems: %w", err)
	}
	suspicions := []byte("[]")
	if len(r.Result.Suspicions) > 0 {
		if suspicions, err = json.Marshal(r.Result.Suspicions); err != nil {
			return fmt.Errorf("encoding suspicions: %w", err)
		}
	}
	sum, err := t.putBlob(ctx, output)
	if err != nil {
		return err
	}
	o := r.Result.Output
	res, err := t.exec(ctx, `
		UPDATE finobs.agent_run SET status = 'done', ended_at = $2, output_sha256 = $3, agent_version = $4, fallback = $5, category = $6,
			severity = $7, confidence = $8, inconclusive = $9, problems = $10, suspicions = $11
		WHERE run_id = $1 AND status = 'running'`,
		r.ID, t.now, sum, r.Result.Version, r.Result.Fallback, o.Category, o.Severity, o.Confidence, o.Inconclusive, string(problems), string(suspicions))
	if err != nil {
		return fmt.Errorf("ending run %d: %w", r.ID, err)
	}
	if n, err := res.RowsAffected(); err == nil && n == 1 {
		t.observeRun(string(r.Request.Kind), analystOf(*r.Result), "done")
	}
	return nil
}

// FailRun records that a run came to nothing.
func (t *Tx) FailRun(ctx context.Context, id int64, why string) error {
	var kind string
	err := t.get(ctx, &kind, `UPDATE finobs.agent_run SET status = 'failed', failure = $2, ended_at = $3
		WHERE run_id = $1 AND status = 'running' RETURNING kind`, id, why, t.now)
	if errors.Is(err, sql.ErrNoRows) { // it ended before
		return nil
	}
	if err != nil {
		return fmt.Errorf("failing run %d: %w", id, err)
	}
	t.observeRun(kind, "", "failed")
	return nil
}

// strings0 is list, or an empty list for none.
func strings0(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// InsertVerdict records what a person thinks of a run, once.
func (t *Tx) InsertVerdict(ctx context.Context, v agent.Verdict) error {
	var version string
	err := t.get(ctx, &version, `
		INSERT INTO finobs.agent_verdict (verdict_id, run_id, field, recommended, chosen, override_type, reason, by_iss, by_sub, created_at)
		VALUES ($1, $2, $3, $4, $5, nullif($6, ''), $7, $8, $9, $10)
		RETURNING (SELECT coalesce(agent_version, '') FROM finobs.agent_run WHERE run_id = $2)`,
		v.ID, v.RunID, v.Field, v.Recommended, v.Chosen, v.Override, v.Reason, v.By.Issuer, v.By.Subject, t.now)
	if err != nil {
		return fmt.Errorf("recording verdict on run %d: %w", v.RunID, err)
	}
	t.observeVerdict(v, version)
	return nil
}

// InsertFindings records what the rules of compliance found in a run.
func (t *Tx) InsertFindings(ctx context.Context, runID int64, findings []agent.Finding) error {
	for _, f := range findings {
		facts, err := json.Marshal(f.Facts)
		if err != nil {
			return fmt.Errorf("encoding facts: %w", err)
		}
		_, err = t.exec(ctx, `
			INSERT INTO finobs.agent_finding (run_id, finding_id, rule, rule_version, severity, party, records, facts, text)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (run_id, finding_id) DO NOTHING`,
			runID, f.ID, f.Rule, f.Version, f.Severity, f.Party, pq.Array(strings0(f.Records)), string(facts), f.Text)
		if err != nil {
			return fmt.Errorf("recording finding %s: %w", f.ID, err)
		}
	}
	return nil
}

// InsertStop lets no action begin, of a desk or, when it is empty, of any. It
// reports false when that is so already.
func (t *Tx) InsertStop(ctx context.Context, s agent.StopOrder) (id int64, first bool, err error) {
	err = t.get(ctx, &id, `
		INSERT INTO finobs.agent_stop (desk, reason, set_iss, set_sub, set_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (desk) WHERE lifted_at IS NULL DO NOTHING RETURNING stop_id`, s.Desk, s.Reason, s.By.Issuer, s.By.Subject, t.now)
	if errors.Is(err, sql.ErrNoRows) {
		err = t.get(ctx, &id, `SELECT stop_id FROM finobs.agent_stop WHERE desk = $1 AND lifted_at IS NULL`, s.Desk)
		return id, false, err
	}
	if err != nil {
		return 0, false, fmt.Errorf("stopping: %w", err)
	}
	return id, true, nil
}

// StopInForce reads the stop under which a desk is, if there is one. Until the
// transaction ends, no stop comes into force that it would have seen.
func (t *Tx) StopInForce(ctx context.Context, desk string) (agent.StopOrder, bool, error) {
	// A stop that is being set waits for this transaction, or this one for it: what
	// begins, began before the stop.
	if _, err := t.exec(ctx, `SELECT pg_advisory_xact_lock_shared(hashtext('finobs.agent_stop'))`); err != nil {
		return agent.StopOrder{}, false, err
	}
	var row stopRow
	err := t.get(ctx, &row, `SELECT `+stopColumns+` FROM finobs.agent_stop WHERE lifted_at IS NULL AND desk IN ('', $1) ORDER BY desk LIMIT 1`, desk)
	if errors.Is(err, sql.ErrNoRows) {
		return agent.StopOrder{}, false, nil
	}
	return row.domain(), err == nil, err
}

// LockStops makes whoever is about to begin an action wait until the transaction
// that sets a stop has ended.
func (t *Tx) LockStops(ctx context.Context) error {
	_, err := t.exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('finobs.agent_stop'))`)
	return err
}

// LiftStop ends a stop by an approval, and reports whether it was in force.
func (t *Tx) LiftStop(ctx context.Context, id, approvalID int64) (agent.StopOrder, bool, error) {
	var row stopRow
	err := t.get(ctx, &row, `UPDATE finobs.agent_stop SET lifted_at = $2, lifted_by = $3 WHERE stop_id = $1 AND lifted_at IS NULL
		RETURNING `+stopColumns, id, t.now, approvalID)
	if errors.Is(err, sql.ErrNoRows) {
		return agent.StopOrder{}, false, nil
	}
	return row.domain(), err == nil, err
}

const stopColumns = `stop_id, desk, reason, set_iss, set_sub, set_at, lifted_at, coalesce(lifted_by, 0) AS lifted_by`

type stopRow struct {
	StopID   int64        `db:"stop_id"`
	Desk     string       `db:"desk"`
	Reason   string       `db:"reason"`
	SetIss   string       `db:"set_iss"`
	SetSub   string       `db:"set_sub"`
	SetAt    time.Time    `db:"set_at"`
	LiftedAt sql.NullTime `db:"lifted_at"`
	LiftedBy int64        `db:"lifted_by"`
}

func (r stopRow) domain() agent.StopOrder {
	return agent.StopOrder{
		ID: r.StopID, Desk: r.Desk, Reason: r.Reason, By: approval.Person{Issuer: r.SetIss, Subject: r.SetSub}, At: r.SetAt.UTC(),
		LiftedAt: momentOf(r.LiftedAt), LiftedBy: r.LiftedBy,
	}
}

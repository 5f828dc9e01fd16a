package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// filled are the rows that the copies were made of.
type filled struct{ approval, incident, export int64 }

// fill makes a row of each kind through the API, and n copies of each. Until release
// is called the reconciler, which would end what has no workflow, rests.
func (s *stack) fill(ctx context.Context, n int) (ids filled, release func(), err error) {
	if ids.export, err = s.exports(ctx); err != nil {
		return ids, nil, err
	}
	if ids.approval, err = s.asks(ctx); err != nil {
		return ids, nil, err
	}
	if err := s.recorded(ctx, ids.approval); err != nil {
		return ids, nil, err
	}
	if ids.incident, err = s.opens(ctx); err != nil {
		return ids, nil, err
	}
	if err := s.copyEntries(ctx, n); err != nil { // before the transaction that holds the log back
		return ids, nil, err
	}
	hold, err := s.admin.BeginTx(ctx, nil)
	if err != nil {
		return ids, nil, err
	}
	release = func() { hold.Rollback() } // nothing was changed
	if _, err := hold.ExecContext(ctx, "SELECT FROM finobs.reconciler FOR UPDATE"); err != nil {
		release()
		return ids, nil, err
	}
	if err := s.copyAll(ctx, ids, n); err != nil {
		release()
		return ids, nil, err
	}
	return ids, release, nil
}

// copied is how rows of a table are copied: the members that differ from the row's,
// as arguments of jsonb_build_object.
type copied struct{ table, key, members string }

var copiedRequests = copied{"finobs.approval_request", "approval_id", `'approval_id', nextval('finobs.approval_id'), 'workflow_id', 'bulk-' || n,
	'first_run_id', 'bulk', 'action', replace(convert_from(action, 'UTF8'), '"parameters":{', '"parameters":{"copy":"' || n || '",')::bytea::text,
	'action_digest', 'sha256:' || encode(sha256(convert_to('bulk' || n, 'UTF8')), 'hex'), 'expires_at', expires_at + n % 600 * interval '1 second'`}

func (s *stack) copyAll(ctx context.Context, ids filled, n int) error {
	for _, of := range []struct {
		copied
		id int64
	}{
		{copiedRequests, ids.approval},
		{copied{"finobs.incident", "incident_id", `'incident_id', nextval(pg_get_serial_sequence('finobs.incident', 'incident_id')),
			'dedup_key', 'bulk-' || n, 'title', title || ' ' || n`}, ids.incident},
		{copied{"finobs.export", "export_id", `'export_id', nextval(pg_get_serial_sequence('finobs.export', 'export_id')),
			'approval_id', (SELECT max(approval_id) FROM finobs.approval_request) - n + 1, 'seal_number', seal_number + n,
			'prev_manifest_sha256', sha256(convert_to('bulk' || n, 'UTF8'))::text`}, ids.export},
	} {
		if err := s.copyRow(ctx, of.copied, of.id, n); err != nil {
			return err
		}
	}
	return nil
}

// copyRow makes n copies of one row.
func (s *stack) copyRow(ctx context.Context, c copied, id int64, n int) error {
	//nolint:gosec // tables and members are constants
	_, err := s.admin.ExecContext(ctx, `INSERT INTO `+c.table+` OVERRIDING SYSTEM VALUE
		SELECT (c).* FROM (SELECT jsonb_populate_record(r, jsonb_build_object(`+c.members+`)) AS c
			FROM `+c.table+` r, generate_series(1, $2::int) n WHERE `+c.key+` = $1 OFFSET 0) copies`, id, n)
	if err != nil {
		return fmt.Errorf("copying rows of %s: %w", c.table, err)
	}
	_, err = s.admin.ExecContext(ctx, "VACUUM ANALYZE "+c.table) //nolint:misspell // it is SQL
	return err
}

// copyEntries copies an entry of the ledger, and waits until the log has them all.
func (s *stack) copyEntries(ctx context.Context, n int) error {
	_, err := s.admin.ExecContext(ctx, `INSERT INTO ledger.entry
		SELECT (c).* FROM (SELECT jsonb_populate_record(r, jsonb_build_object('entry_id', gen_random_uuid(), 'xid', pg_current_xact_id()::text,
				'recorded_at', clock_timestamp(), 'idem_key', sha256(convert_to('bulk' || n, 'UTF8'))::text)) AS c
			FROM ledger.entry r, generate_series(1, $1::int) n
			WHERE entry_id = (SELECT entry_id FROM ledger.entry WHERE type = 'approval.requested' LIMIT 1) OFFSET 0) copies`, n)
	if err != nil {
		return fmt.Errorf("copying entries: %w", err)
	}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		var behind int64
		err := s.admin.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM ledger.entry) - size FROM ledger.tree").Scan(&behind)
		if err != nil || behind == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return errors.New("the log does not catch up with the entries")
		}
	}
}

func (s *stack) opens(ctx context.Context) (int64, error) {
	var out struct {
		Incident struct {
			ID int64 `json:"incident_id"`
		} `json:"incident"`
	}
	body := map[string]string{
		"kind": "trade_break", "severity": "high", "title": "Quantity differs from the broker's", "description": "1,000 against 900", "system": "oms",
		"subject_kind": "trade", "subject_id": "T-1",
	}
	err := s.expect(ctx, "alice", http.MethodPost, "/incidents", body, http.StatusCreated, &out)
	return out.Incident.ID, err
}

// recorded waits until a worker, which may be starting still, has recorded a request.
func (s *stack) recorded(ctx context.Context, id int64) error {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		text, status, err := s.call(ctx, "bob", http.MethodGet, fmt.Sprintf("/approval/%d", id), nil)
		if err != nil || status == http.StatusOK {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("approval %d is not recorded after a minute: %s", id, text)
		}
	}
}

// exports has an export approved and waits until it is sealed and delivered.
func (s *stack) exports(ctx context.Context) (int64, error) {
	var asked struct {
		ID int64 `json:"approval_request_id"`
	}
	body := map[string]string{"dataset": "incidents", "format": "csv"}
	if err := s.expect(ctx, "alice", http.MethodPost, "/exports/", body, http.StatusAccepted, &asked); err != nil {
		return 0, err
	}
	if err := s.recorded(ctx, asked.ID); err != nil {
		return 0, err
	}
	var decided struct{}
	err := s.expect(ctx, "bob", http.MethodPost, fmt.Sprintf("/approval/%d/decision", asked.ID), map[string]string{"decision": "approve", "reason": "seen"}, http.StatusOK, &decided)
	if err != nil {
		return 0, err
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		var list struct {
			Items []struct {
				ID       int64  `json:"export_id"`
				Delivery string `json:"delivery_status"`
			} `json:"items"`
		}
		if err := s.expect(ctx, "bob", http.MethodGet, "/exports/?status=sealed", nil, http.StatusOK, &list); err != nil {
			return 0, err
		}
		if len(list.Items) > 0 && list.Items[0].Delivery == "delivered" {
			return list.Items[0].ID, nil
		}
		if time.Now().After(deadline) {
			return 0, errors.New("the export is not delivered after a minute")
		}
	}
}

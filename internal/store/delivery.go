package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"finobs/internal/approval"
	"finobs/internal/export"
	"finobs/internal/fault"
	"finobs/internal/ledger"

	"github.com/lib/pq"
)

type deliveryRow struct {
	DeliveryID   int64      `db:"delivery_id"`
	ExportID     int64      `db:"export_id"`
	Destination  string     `db:"destination"`
	Attempt      int        `db:"attempt"`
	Status       string     `db:"status"`
	Receipt      []byte     `db:"receipt"`
	Detail       string     `db:"detail"`
	RequestedIss string     `db:"requested_iss"`
	RequestedSub string     `db:"requested_sub"`
	ApprovalID   *int64     `db:"approval_id"`
	WorkflowID   string     `db:"workflow_id"`
	StartedAt    time.Time  `db:"started_at"`
	EndedAt      *time.Time `db:"ended_at"`
	Verdict      string     `db:"verification_status"`
	Code         string     `db:"verification_code"`
	Finding      string     `db:"verification_detail"`
	VerifiedAt   *time.Time `db:"verified_at"`
}

const deliveryColumns = `delivery_id, export_id, destination, attempt, status, receipt, detail, requested_iss, requested_sub, approval_id, workflow_id,
	started_at, ended_at, verification_status, verification_code, verification_detail, verified_at`

func (r deliveryRow) domain() (export.Delivery, error) {
	return export.Delivery{
		ID: r.DeliveryID, ExportID: r.ExportID, Destination: r.Destination, Attempt: r.Attempt, Status: export.DeliveryStatus(r.Status),
		Receipt: json.RawMessage(r.Receipt), Detail: r.Detail, RequestedBy: approval.Person{Issuer: r.RequestedIss, Subject: r.RequestedSub},
		ApprovalID: orZero(r.ApprovalID), WorkflowID: r.WorkflowID, StartedAt: r.StartedAt.UTC(), EndedAt: utc(r.EndedAt),
		Verification: export.Finding{Verdict: export.Verdict(r.Verdict), Code: r.Code, Detail: r.Finding}, VerifiedAt: utc(r.VerifiedAt),
	}, nil
}

// Deliveries lists the attempts at delivering an export, in their order.
func (t *Tx) Deliveries(ctx context.Context, exportID int64) ([]export.Delivery, error) {
	var rows []deliveryRow
	err := t.list(ctx, &rows, `SELECT `+deliveryColumns+` FROM finobs.export_delivery WHERE export_id = $1 ORDER BY delivery_id`, exportID)
	if err != nil {
		return nil, fmt.Errorf("reading deliveries of export %d: %w", exportID, err)
	}
	return collect(rows, deliveryRow.domain)
}

// BeginDelivery records that an attempt begins, and returns its id.
func (t *Tx) BeginDelivery(ctx context.Context, d export.Delivery) (id int64, err error) {
	err = t.get(ctx, &id, `
		INSERT INTO finobs.export_delivery (export_id, destination, attempt, status, requested_iss, requested_sub, approval_id, workflow_id, started_at)
		VALUES ($1, $2, $3, 'attempting', $4, $5, nullif($6::bigint, 0), $7, $8) RETURNING delivery_id`,
		d.ExportID, d.Destination, d.Attempt, d.RequestedBy.Issuer, d.RequestedBy.Subject, d.ApprovalID, d.WorkflowID, t.now)
	if violates(err, "delivery_one_attempt_at_a_time") || violates(err, "delivery_attempts_are_counted") {
		return 0, fault.Wrap(err, fault.Unavailable, "delivery-going-on", "export %d is being delivered to %s already; trying again", d.ExportID, d.Destination)
	}
	if err != nil {
		return 0, fmt.Errorf("beginning delivery of export %d: %w", d.ExportID, err)
	}
	return id, nil
}

// EndDelivery records what became of an attempt, and of the delivery of its
// export. It is a fault of kind Conflict when the attempt has ended already.
func (t *Tx) EndDelivery(ctx context.Context, d export.Delivery) error {
	receipt := string(d.Receipt)
	if receipt == "" {
		receipt = "{}"
	}
	res, err := t.exec(ctx, `UPDATE finobs.export_delivery SET status = $2, receipt = $3, detail = $4, ended_at = $5
		WHERE delivery_id = $1 AND status = 'attempting'`, d.ID, d.Status, receipt, d.Detail, t.now)
	if err != nil {
		return fmt.Errorf("ending delivery %d: %w", d.ID, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, fault.New(fault.Conflict, "delivery-ended", "delivery %d has ended already", d.ID))
	}
	// What was delivered once stays delivered, whatever a later attempt meets; what
	// may have arrived may still have.
	_, err = t.exec(ctx, `UPDATE finobs.export SET
			delivery_status = CASE WHEN delivery_status = 'delivered' OR delivery_status = 'unknown' AND $2 = 'failed' THEN delivery_status ELSE $2 END,
			delivered_at = CASE WHEN $2 = 'delivered' THEN coalesce(delivered_at, $3) ELSE delivered_at END
		WHERE export_id = $1 AND destination = $4`, d.ExportID, string(d.Status), t.now, d.Destination)
	if err != nil {
		return fmt.Errorf("recording the delivery of export %d: %w", d.ExportID, err)
	}
	t.observeDelivery(d)
	return nil
}

// RecordVerification records the verdict on an export, and on each of its
// deliveries that was read back.
func (t *Tx) RecordVerification(ctx context.Context, x export.Export, deliveries []export.Delivery) error {
	_, err := t.exec(ctx, `UPDATE finobs.export SET verification_status = $2, verified_at = $3 WHERE export_id = $1`, x.ID, x.VerificationStatus, t.now)
	if err != nil {
		return fmt.Errorf("recording the verification of export %d: %w", x.ID, err)
	}
	for _, d := range deliveries {
		_, err := t.exec(ctx, `UPDATE finobs.export_delivery SET verification_status = $2, verification_code = $3, verification_detail = $4, verified_at = $5
			WHERE delivery_id = $1`, d.ID, d.Verification.Verdict, d.Verification.Code, d.Verification.Detail, t.now)
		if err != nil {
			return fmt.Errorf("recording the verification of delivery %d: %w", d.ID, err)
		}
	}
	return nil
}

// SetDestinations makes known where exports can be delivered.
func (w *Writer) SetDestinations(ctx context.Context, places []export.Place) error {
	names := make([]string, 0, len(places))
	return w.inTx(ctx, func(t *Tx) error {
		for _, p := range places {
			names = append(names, p.Name)
			_, err := t.exec(ctx, `INSERT INTO finobs.destination (name, type, digest, is_default, gone, updated_at) VALUES ($1, $2, $3, $4, false, $5)
				ON CONFLICT (name) DO UPDATE SET type = excluded.type, digest = excluded.digest, is_default = excluded.is_default, gone = false,
					updated_at = excluded.updated_at`, p.Name, p.Type, p.Digest, p.Default, t.now)
			if err != nil {
				return fmt.Errorf("making destination %s known: %w", p.Name, err)
			}
		}
		if _, err := t.exec(ctx, `UPDATE finobs.destination SET gone = true, is_default = false, updated_at = $2 WHERE name <> ALL ($1) AND NOT gone`, pq.Array(names), t.now); err != nil {
			return fmt.Errorf("making destinations known: %w", err)
		}
		return nil
	})
}

// Destinations lists where exports can be delivered, by name.
func (r *Reader) Destinations(ctx context.Context) ([]export.Place, error) {
	var rows []struct {
		Name    string `db:"name"`
		Type    string `db:"type"`
		Digest  string `db:"digest"`
		Default bool   `db:"is_default"`
	}
	if err := r.db.SelectContext(ctx, &rows, `SELECT name, type, digest, is_default FROM api.destination ORDER BY name`); err != nil {
		return nil, fmt.Errorf("reading destinations: %w", classify(err))
	}
	places := make([]export.Place, 0, len(rows))
	for _, row := range rows {
		places = append(places, export.Place(row))
	}
	return places, nil
}

// ExportDeliveries lists the attempts at delivering the given exports, in their
// order.
func (r *Reader) ExportDeliveries(ctx context.Context, exportIDs ...int64) ([]export.Delivery, error) {
	var rows []deliveryRow
	err := r.db.Filtered(ctx, &rows, `SELECT `+deliveryColumns+` FROM api.export_delivery WHERE export_id = ANY ($1) ORDER BY delivery_id`, pq.Array(exportIDs))
	if err != nil {
		return nil, fmt.Errorf("reading deliveries: %w", classify(err))
	}
	return collect(rows, deliveryRow.domain)
}

// ProveEntry returns the leaf of an entry and the proof that it is in the log,
// under the first checkpoint that covers it, so that the proof is the same each
// time. It is a fault of kind Unavailable with code no-checkpoint while there is
// none.
func (w *Writer) ProveEntry(ctx context.Context, entryID string) (leaf, proof []byte, err error) {
	var row struct {
		Index      int64  `db:"leaf_index"`
		Leaf       []byte `db:"leaf"`
		Checkpoint []byte `db:"note"`
	}
	err = w.db.GetContext(ctx, &row, `SELECT l.leaf_index, l.leaf, c.note FROM api.log_entry l
		CROSS JOIN LATERAL (SELECT note FROM api.checkpoint WHERE size > l.leaf_index ORDER BY size LIMIT 1) c WHERE l.entry_id = $1`, entryID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil, fault.New(fault.Unavailable, "no-checkpoint", "entry %s is not in a signed log yet; is the sequencer running? Trying again", entryID)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading entry %s: %w", entryID, classify(err))
	}
	_, tree, err := ledger.PeekCheckpoint(row.Checkpoint)
	if err != nil {
		return nil, nil, err
	}
	proof, err = ledger.ProveLeaf(tree, row.Index, row.Checkpoint, w.db.tilesOf(ctx, nil, tileViewQuery))
	return row.Leaf, proof, err
}

// ExportIDs lists the exports that a filter selects, oldest first, from after on.
func (w *Writer) ExportIDs(ctx context.Context, f export.Selection, after int64, limit int) ([]int64, error) {
	c := selected(f)
	c.add("export_id > ?", after)
	var ids []int64
	err := w.db.SelectContext(ctx, &ids, `SELECT export_id FROM finobs.export WHERE status = 'sealed'`+c.text+` ORDER BY export_id LIMIT `+strconv.Itoa(limit), c.args...)
	if err != nil {
		return nil, fmt.Errorf("listing exports: %w", classify(err))
	}
	return ids, nil
}

package activities

import (
	"context"
	"errors"
	"strconv"

	"finobs/internal/approval"
	"finobs/internal/canonical"
	"finobs/internal/export"
	"finobs/internal/failpoint"
	"finobs/internal/ledger"
)

// BeginRedelivery spends an approval of taking an export to another destination
// than the approved one, and says what to deliver.
func (x *Exports) BeginRedelivery(ctx context.Context, in GateRef) (DeliverInput, error) {
	var out DeliverInput
	var refused error
	err := x.InTx(ctx, func(tx ExportTx) error {
		m, how, err := spend(ctx, tx, x.Verifier, in)
		if err != nil {
			return err
		}
		if how == superseded {
			refused = targetMoved(m)
			return nil
		}
		r, err := export.RedeliveryOf(m.action)
		if err != nil {
			return err
		}
		out = DeliverInput{FirstRun: in.FirstRun, ExportID: r.ExportID, Destination: r.Destination, ApprovalID: m.ID}
		if how == spentOnce {
			return nil
		}
		x, err := tx.LockExport(ctx, r.ExportID)
		if err != nil {
			return err
		}
		if err := export.AllowsRedelivery(m.action, x, r.Destination); err != nil {
			return err
		}
		_, err = tx.Append(ctx, stepOf(ctx, in.FirstRun, "redelivery-intended", strconv.FormatInt(m.ID, 10)), ledger.Entry{
			Type: "export.redelivery_intended", Actor: ledger.Actor{Kind: approval.Human, Person: m.Requester}, Subject: exportSubject(x.ID),
			Action: m.Kind, Outcome: "intended", Reason: m.Reason, Desk: m.Desk, RequestID: m.RequestID, TraceID: m.TraceID, Simulation: m.Simulation,
			Details: canonical.Object{
				"approval_id": strconv.FormatInt(m.ID, 10), "action_digest": m.ActionDigest, "destination": r.Destination,
				"manifest_sha256": x.Seal.ManifestSHA256,
			},
		})
		return err
	})
	if err = errors.Join(err, refused); err != nil {
		return out, temporalError(deny(ctx, x.InTx, in, "redeliver", err))
	}
	failpoint.Hit("redelivery.after-consume")
	return out, nil
}

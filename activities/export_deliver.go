package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"finobs/internal/approval"
	"finobs/internal/canonical"
	"finobs/internal/delivery"
	"finobs/internal/evidence"
	"finobs/internal/export"
	"finobs/internal/failpoint"
	"finobs/internal/fault"
	"finobs/internal/ledger"

	"go.temporal.io/sdk/activity"
)

// Destinations are the places that exports are delivered to, by their configured
// names.
type Destinations interface {
	Get(name string) (delivery.Destination, bool)
}

// DeliverInput says which export to take where.
type DeliverInput struct {
	FirstRun    string `json:"first_run"`
	ExportID    int64  `json:"export_id"`
	Destination string `json:"destination"`
	Command     string `json:"command,omitempty"`     // of the person who asked to deliver again
	Reason      string `json:"reason,omitempty"`      // that he gave
	ApprovalID  int64  `json:"approval_id,omitempty"` // of a delivery to another destination than the approved one
}

// deliveryAttempts bounds the tries at one delivery. At doubling intervals of up
// to an hour they take about a day, and then a person has to look.
const deliveryAttempts = 30

// DeliverExport takes the bundle of a sealed export to a destination. That an
// attempt begins is on record before anything leaves; an attempt whose end is not
// on record may have arrived, so a retry does not deliver again where that could
// do harm. Each attempt is a row; what became of the delivery is the result.
func (x *Exports) DeliverExport(ctx context.Context, in DeliverInput) (export.DeliveryStatus, error) {
	defer beat(ctx)()
	out, d, to, err := x.beginDelivery(ctx, in)
	if err != nil || d.Status != export.Delivering {
		return d.Status, temporalError(err)
	}
	failpoint.Hit("delivery.after-begin")
	sending, sent := untilStop(ctx)
	receipt, sendErr := x.send(sending, out, d, to)
	sent()
	failpoint.Hit("delivery.after-send")
	retry := d.judge(sendErr) && activity.GetInfo(ctx).Attempt < deliveryAttempts
	if d.Receipt, err = json.Marshal(receipt); err != nil {
		return d.Status, fmt.Errorf("encoding receipt: %w", err)
	}
	// What is known is recorded, although nobody waits for it any more.
	recording, recorded := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer recorded()
	if err := x.InTx(recording, func(tx ExportTx) error { return finishDelivery(recording, tx, in, out, d.Delivery) }); err != nil {
		return d.Status, temporalError(err)
	}
	failpoint.Hit("delivery.after-record")
	if retry {
		return d.Status, temporalError(fault.Wrap(sendErr, fault.Unavailable, "not-delivered", "%s: %s", in.Destination, d.Detail))
	}
	return d.Status, nil
}

const (
	// stopGrace is how long a delivery may go on once its worker has been asked to
	// stop: shorter than the worker waits, so that its end can be recorded.
	stopGrace = 4 * time.Second
	// recordTimeout bounds the recording of how a delivery ended.
	recordTimeout = 10 * time.Second
)

var errStopping = errors.New("the worker is stopping")

// untilStop returns a context that ends a little after the worker was asked to
// stop, and how to release it.
func untilStop(ctx context.Context) (context.Context, func()) {
	stop := activity.GetWorkerStopChannel(ctx)
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-ctx.Done():
			return
		case <-stop:
		}
		grace := time.NewTimer(stopGrace)
		defer grace.Stop()
		select {
		case <-ctx.Done():
		case <-grace.C:
			cancel(errStopping)
		}
	}()
	return ctx, func() { cancel(nil) }
}

// attempt is a delivery under way.
type attempt struct {
	export.Delivery
}

// judge takes over what an attempt led to, and reports whether another can help.
func (a *attempt) judge(err error) (retry bool) {
	var why *delivery.Error
	switch {
	case err == nil:
		a.Status = export.Delivered
	case !errors.As(err, &why):
		a.Status, a.Detail, retry = export.NotDelivered, "the bundle cannot be read: "+cut(err.Error(), 500), true
	case why.Outcome == delivery.Unknown:
		a.Status, a.Detail = export.DeliveryUnknown, why.Reason
	default:
		a.Status, a.Detail, retry = export.NotDelivered, why.Reason, why.Retry
	}
	return retry
}

func (x *Exports) destination(name string) (delivery.Destination, error) {
	if name == export.Download {
		return ownStore{x.Store}, nil
	}
	to, known := x.Destinations.Get(name)
	if !known {
		return nil, fault.New(fault.Gone, "destination-gone", "destination %s is no longer configured", name)
	}
	return to, nil
}

// beginDelivery records that an attempt begins, unless this workflow has delivered
// already, or may have. What must not be delivered is refused, and recorded.
func (x *Exports) beginDelivery(ctx context.Context, in DeliverInput) (out export.Export, d attempt, to delivery.Destination, err error) {
	var refused error
	err = x.InTx(ctx, func(tx ExportTx) error {
		if out, err = tx.LockExport(ctx, in.ExportID); err != nil {
			return err
		}
		if out.BundledAt == nil {
			return fault.New(fault.Conflict, "export-not-sealed", "the bundle of export %d is not complete", out.ID)
		}
		d.Delivery = export.Delivery{
			ExportID: out.ID, Destination: in.Destination, Attempt: 1, ApprovalID: in.ApprovalID, WorkflowID: activity.GetInfo(ctx).WorkflowExecution.ID,
		}
		var why error
		if to, why = x.destination(in.Destination); why == nil {
			why = x.mayDeliver(ctx, tx, in, out, to, &d.Delivery)
		}
		if why != nil && fault.KindOf(why).Retryable() {
			return why
		}
		before, err := tx.Deliveries(ctx, out.ID)
		if err != nil {
			return err
		}
		again, err := takeUp(ctx, tx, in, out, before, to, &d.Delivery)
		if err != nil || again {
			return err
		}
		d.Status = export.Delivering
		if d.ID, err = tx.BeginDelivery(ctx, d.Delivery); err != nil || why == nil {
			return err
		}
		refused, d.Status, d.Detail = why, export.NotDelivered, fault.MessageOf(why)
		return finishDelivery(ctx, tx, in, out, d.Delivery)
	})
	if err != nil { // there is no attempt to record it with
		refused = refuseStart(ctx, x.InTx, in.FirstRun, in.Command, err)
	}
	return out, d, to, refused
}

// attemptLimit is longer than an attempt can take (package workflows). One that is
// older and has no end has died, whoever made it.
const attemptLimit = time.Hour + time.Minute

// takeUp looks at the earlier attempts: one of this workflow that never ended has
// an end now, one of another may be going on, and one that leaves nothing to do is
// taken over.
func takeUp(ctx context.Context, tx ExportTx, in DeliverInput, out export.Export, before []export.Delivery, to delivery.Destination, d *export.Delivery) (done bool, err error) {
	for _, e := range before {
		if e.Destination != in.Destination {
			continue
		}
		d.Attempt = e.Attempt + 1
		if e.Status == export.Delivering {
			if e.WorkflowID != d.WorkflowID && tx.Now().Sub(e.StartedAt) < attemptLimit {
				return false, fault.New(fault.Unavailable, "delivery-going-on", "export %d is being delivered to %s already; trying again", out.ID, in.Destination)
			}
			e.Status, e.Detail = export.DeliveryUnknown, "the process that delivered died before it could say whether it arrived"
			if err := finishDelivery(ctx, tx, in, out, e); err != nil {
				return false, err
			}
		}
		harmful := to != nil && !to.Repeatable()
		mine := e.WorkflowID == d.WorkflowID || in.Command == "" && in.ApprovalID == 0 // nobody asked for it again
		if mine && (e.Status == export.Delivered || e.Status == export.DeliveryUnknown && harmful) {
			*d = e
			return true, nil
		}
	}
	return false, nil
}

// mayDeliver checks that somebody with the right to it wants this export at this
// destination: whoever approved the export, for its first delivery and for others
// that a person asks for; or whoever approved this very delivery.
func (x *Exports) mayDeliver(ctx context.Context, tx ExportTx, in DeliverInput, out export.Export, to delivery.Destination, d *export.Delivery) error {
	approvalID := out.ApprovalID
	if in.ApprovalID != 0 {
		approvalID = in.ApprovalID
	}
	m, err := lockMatter(ctx, tx, approvalID)
	if err != nil {
		return err
	}
	if _, err := evidence.Approved(x.Verifier, m.Request, m.decisions, nil); err != nil {
		return err
	}
	if in.Command != "" {
		digest, err := export.Redelivery{ExportID: in.ExportID, Destination: in.Destination, Reason: in.Reason}.Digest()
		if err != nil {
			return fault.Wrap(err, fault.Invalid, "invalid-redelivery", "the reason is not valid text")
		}
		c, err := command(ctx, x.Verifier, in.Command, digest)
		if err != nil {
			return err
		}
		d.RequestedBy = c.Principal.Person
	}
	if in.ApprovalID != 0 {
		if err := export.AllowsRedelivery(m.action, out, in.Destination); err != nil {
			return err
		}
		if m.Status != approval.Consumed || m.ConsumedBy != consumer(ctx, GateRef{FirstRun: in.FirstRun, ApprovalID: in.ApprovalID}) {
			return fault.New(fault.Forbidden, "approval-not-usable", "approval %d was not spent on this delivery", m.ID)
		}
		d.RequestedBy = m.Requester
	}
	approved := export.DestinationOf(m.action)
	switch {
	case approved.Name != in.Destination:
		return fault.New(fault.Forbidden, "destination-not-approved", "export %d was approved for %s; %s needs an approval of its own", out.ID, approved.Name, in.Destination)
	case approved.Name != export.Download && approved.Digest != to.Describe().Digest():
		return fault.New(fault.Forbidden, "destination-moved", "destination %s stands for another place than when it was approved; ask for it again", in.Destination)
	}
	return nil
}

// entryOfDelivery names what became of an attempt in the record.
var entryOfDelivery = map[export.DeliveryStatus]string{
	export.Delivered: "export.delivered", export.NotDelivered: "export.not_delivered", export.DeliveryUnknown: "export.delivery_unknown",
}

// finishDelivery records what became of an attempt.
func finishDelivery(ctx context.Context, tx ExportTx, in DeliverInput, out export.Export, d export.Delivery) error {
	if err := tx.EndDelivery(ctx, d); err != nil {
		return err
	}
	by := ledger.Itself("worker")
	if d.RequestedBy.Subject != "" {
		by = ledger.Actor{Kind: approval.Human, Person: d.RequestedBy}
	}
	details := canonical.Object{
		"delivery_id": strconv.FormatInt(d.ID, 10), "destination": d.Destination, "attempt": strconv.Itoa(d.Attempt),
		"manifest_sha256": out.Seal.ManifestSHA256,
	}
	if d.ApprovalID != 0 {
		details["approval_id"] = strconv.FormatInt(d.ApprovalID, 10)
	}
	_, err := tx.Append(ctx, stepOf(ctx, in.FirstRun, "finish-delivery", strconv.FormatInt(d.ID, 10)), ledger.Entry{
		Type: entryOfDelivery[d.Status], Actor: by, Subject: exportSubject(out.ID), Action: "deliver", Outcome: string(d.Status),
		Reason: cut(d.Detail, 500), Desk: out.Desk, TraceID: out.TraceID, Simulation: out.Simulation, Details: details,
	})
	return err
}

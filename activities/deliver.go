package activities

import (
	"context"
	"strconv"
	"time"

	"finobs/internal/approval"
	"finobs/internal/canonical"
	"finobs/internal/failpoint"
	"finobs/internal/fault"
	"finobs/internal/incident"
	"finobs/internal/ledger"
)

// NoticeTx is what sending notices needs of a transaction.
type NoticeTx interface {
	Recorder
	Now() time.Time
	LockNotice(ctx context.Context, id string) (approval.Notice, error)
	UpdateNotice(ctx context.Context, n approval.Notice) error
	RequestStatus(ctx context.Context, id int64) (approval.Status, error)
	ReadIncident(ctx context.Context, id int64) (incident.Incident, error)
}

// Messenger sends notices over channels that are configured by name. Its errors
// are faults: Unavailable when nothing left and a repeat may work, Invalid when
// the same would be refused again, Conflict when it may have arrived.
type Messenger interface {
	Send(ctx context.Context, n approval.Notice) (ref string, err error)
	// Repeatable reports whether the channel's receivers recognise a repeat.
	Repeatable(channel string) bool
}

// Notices are the activities that send notices.
type Notices struct {
	InTx      Transaction[NoticeTx]
	Messenger Messenger
}

// NoticeRef names a notice to the activities that send it.
type NoticeRef struct {
	FirstRun       string `json:"first_run"`
	NotificationID string `json:"notification_id"`
}

// SendNotice sends a queued notice. That an attempt begins is on record before
// anything leaves; an attempt whose end is not on record may have arrived, so a
// retry does not send again where the receiver could not tell. Nothing is sent
// about a request that was decided in the meantime, or an incident that somebody
// has acknowledged.
func (x *Notices) SendNotice(ctx context.Context, in NoticeRef) (approval.NoticeStatus, error) {
	defer beat(ctx)()
	n, err := x.begin(ctx, in)
	if err != nil || n.Status != approval.NoticeSending {
		return n.Status, temporalError(err)
	}
	failpoint.Hit("notice.after-begin")
	ref, sendErr := x.Messenger.Send(ctx, n)
	failpoint.Hit("notice.after-send")
	n.Detail = ref
	switch {
	case sendErr == nil:
		n.Status = approval.NoticeSent
	case fault.KindOf(sendErr) == fault.Conflict:
		n.Status, n.Detail = approval.NoticeUnknown, fault.MessageOf(sendErr)
	case fault.KindOf(sendErr).Retryable():
		n.Status, n.Detail = approval.NoticeQueued, fault.MessageOf(sendErr)
	default:
		n.Status, n.Detail = approval.NoticeDead, fault.MessageOf(sendErr)
	}
	if err := x.end(ctx, in, n); err != nil {
		return n.Status, temporalError(err)
	}
	if n.Status == approval.NoticeQueued {
		return n.Status, temporalError(sendErr)
	}
	return n.Status, nil
}

// begin records that an attempt begins, unless there is nothing to send.
func (x *Notices) begin(ctx context.Context, in NoticeRef) (n approval.Notice, err error) {
	err = x.InTx(ctx, func(tx NoticeTx) error {
		if n, err = tx.LockNotice(ctx, in.NotificationID); err != nil {
			return err
		}
		switch n.Status {
		case approval.NoticeQueued:
		case approval.NoticeSending:
			if !x.Messenger.Repeatable(n.Channel) {
				n.Status, n.Detail = approval.NoticeUnknown, "the process that sent it died before it could say whether it arrived"
				return finish(ctx, tx, in, n)
			}
		default:
			return nil
		}
		why, err := stale(ctx, tx, n)
		if err != nil {
			return err
		}
		if n.WhilePending && why != "" {
			n.Status, n.Detail = approval.NoticeSkipped, why
			return finish(ctx, tx, in, n)
		}
		n.Status, n.Attempts = approval.NoticeSending, n.Attempts+1
		return tx.UpdateNotice(ctx, n)
	})
	return n, err
}

// stale says why a notice need not be sent any more, or returns "".
func stale(ctx context.Context, tx NoticeTx, n approval.Notice) (string, error) {
	if n.IncidentID != 0 {
		i, err := tx.ReadIncident(ctx, n.IncidentID)
		switch {
		case err != nil:
			return "", err
		case tx.Now().Before(i.SuppressedUntil):
			return "a window of maintenance began before it was sent", nil
		case i.Status == incident.Open, i.Status.Active() && n.Kind == approval.NoticeIncidentOverdue:
			return "", nil
		}
		return "the incident was " + string(i.Status) + " before it was sent", nil
	}
	status, err := tx.RequestStatus(ctx, n.ApprovalID)
	if err != nil || status == approval.Pending {
		return "", err
	}
	return "the request was " + string(status) + " before it was sent", nil
}

func (x *Notices) end(ctx context.Context, in NoticeRef, n approval.Notice) error {
	return x.InTx(ctx, func(tx NoticeTx) error {
		if n.Status == approval.NoticeQueued {
			return tx.UpdateNotice(ctx, n)
		}
		return finish(ctx, tx, in, n)
	})
}

// finish records what became of a notice.
func finish(ctx context.Context, tx NoticeTx, in NoticeRef, n approval.Notice) error {
	if err := tx.UpdateNotice(ctx, n); err != nil {
		return err
	}
	ordinal := n.ID + " " + strconv.Itoa(n.Round)
	subject := approvalSubject(n.ApprovalID)
	if n.IncidentID != 0 {
		subject = incidentSubject(n.IncidentID)
	}
	_, err := tx.Append(ctx, stepOf(ctx, in.FirstRun, "finish-notice", ordinal), ledger.Entry{
		Type: "notification." + string(n.Status), Actor: ledger.Itself("worker"), Subject: subject,
		Action: "notify", Outcome: string(n.Status), Reason: cut(n.Detail, 500), TraceID: traceID(ctx),
		Details: canonical.Object{
			"notification_id": n.ID, "occasion": n.Occasion, "channel": n.Channel, "round": strconv.Itoa(n.Round),
			"attempts": strconv.Itoa(n.Attempts), "recipients": strconv.Itoa(len(n.Recipients)),
		},
	})
	return err
}

// BuryNotice records that every attempt at a notice failed.
func (x *Notices) BuryNotice(ctx context.Context, in NoticeRef) (approval.NoticeStatus, error) {
	var status approval.NoticeStatus
	err := x.InTx(ctx, func(tx NoticeTx) error {
		n, err := tx.LockNotice(ctx, in.NotificationID)
		if err != nil {
			return err
		}
		switch n.Status {
		case approval.NoticeQueued:
			n.Status = approval.NoticeDead
		case approval.NoticeSending:
			n.Status, n.Detail = approval.NoticeUnknown, "the last attempt did not say whether it arrived"
		default:
			status = n.Status
			return nil
		}
		status = n.Status
		return finish(ctx, tx, in, n)
	})
	return status, temporalError(err)
}

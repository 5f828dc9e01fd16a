package doctor

import (
	"context"
	"fmt"
	"time"

	"finobs/internal/approval"
)

// temporal compares the record with Temporal. Both go on while it looks: whatever
// does not agree is looked up again in a view that is opened after Temporal was
// asked, and what is younger than Settle is left alone.
func (x *examination) temporal(ctx context.Context) error {
	if err := x.withoutRequest(ctx); err != nil {
		return err
	}
	if err := x.withoutWorkflow(ctx); err != nil {
		return err
	}
	if x.Histories == 0 {
		x.checks["I3"].Note = "no histories were read"
		return nil
	}
	for _, running := range []bool{false, true} {
		if err := x.histories(ctx, running); err != nil {
			return err
		}
	}
	return nil
}

// requestsOf reads the requests that executions say they are for.
func (x *examination) requestsOf(ctx context.Context, list []Execution) (out map[int64][]approval.Request, now time.Time, err error) {
	err = x.Records.Snapshot(ctx, func(r Record) error {
		rows, err := r.RequestsByID(ctx, keys(list, func(e Execution) int64 { return e.ApprovalID }))
		out, now = by(rows, requestID), r.Now()
		return err
	})
	return out, now, err
}

// isOf reports whether an execution is that of the request which it names.
func (e Execution) isOf(requests map[int64][]approval.Request) bool {
	list := requests[e.ApprovalID]
	return len(list) == 1 && list[0].WorkflowID == e.WorkflowID
}

// withoutRequest looks for workflows that run without a recorded request: I5.
func (x *examination) withoutRequest(ctx context.Context) error {
	_, now, err := x.requestsOf(ctx, nil)
	if err != nil {
		return err
	}
	return x.Temporal.Running(ctx, now.Add(-x.Settle), func(page []Execution) error {
		x.looked("I5", len(page))
		requests, _, err := x.requestsOf(ctx, page)
		if err != nil {
			return err
		}
		for _, e := range page {
			if e.isOf(requests) {
				continue
			}
			latest, found, err := x.Temporal.Latest(ctx, e.WorkflowID)
			if err != nil {
				return err
			}
			if found && latest.Running && latest.RunID == e.RunID {
				x.found("I5", Finding{ApprovalID: e.ApprovalID, WorkflowID: e.WorkflowID},
					"a workflow of type %s has run since %s without a recorded request", e.Type, stamp(e.StartedAt))
			}
		}
		return nil
	})
}

// withoutWorkflow looks for pending requests that no workflow waits for: I5.
func (x *examination) withoutWorkflow(ctx context.Context) error {
	return pages(func(last approval.Request, limit int) (page []approval.Request, err error) {
		err = x.Records.Snapshot(ctx, func(r Record) (err error) {
			page, err = r.PendingAfter(ctx, last.ID, limit)
			return err
		})
		return page, err
	}, func(page []approval.Request) error {
		x.looked("I5", len(page))
		list, err := x.Temporal.RunningFor(ctx, page[0].ID, page[len(page)-1].ID)
		if err != nil {
			return err
		}
		running := map[int64]string{}
		for _, e := range list {
			running[e.ApprovalID] = e.WorkflowID
		}
		for _, r := range page {
			if running[r.ID] == r.WorkflowID {
				continue
			}
			if err := x.orphan(ctx, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// orphan asks for the workflow of one pending request: lists of workflows lag
// behind.
func (x *examination) orphan(ctx context.Context, seen approval.Request) error {
	latest, found, err := x.Temporal.Latest(ctx, seen.WorkflowID)
	if err != nil || found && latest.Running && latest.ApprovalID == seen.ID {
		return err
	}
	return x.Records.Snapshot(ctx, func(r Record) error {
		rows, err := r.RequestsByID(ctx, []int64{seen.ID})
		if err != nil || len(rows) != 1 || rows[0].Status != approval.Pending {
			return err
		}
		young := r.Now().Add(-x.Settle)
		if rows[0].CreatedAt.After(young) || found && !latest.Running && latest.ClosedAt.After(young) {
			return nil
		}
		how := "Temporal does not know it"
		switch {
		case found && latest.Running:
			how = fmt.Sprintf("it runs for approval %d", latest.ApprovalID)
		case found:
			how = "it ended at " + stamp(latest.ClosedAt)
		}
		x.found("I5", Finding{ApprovalID: seen.ID, WorkflowID: seen.WorkflowID}, "it is pending, and no workflow waits for it: %s", how)
		return nil
	})
}

// histories looks, for recent executions, whether every decision signal is on
// record: I3.
func (x *examination) histories(ctx context.Context, running bool) error {
	list, err := x.Temporal.Recent(ctx, running, x.Histories)
	if err != nil {
		return err
	}
	for _, e := range list {
		// The view is opened after the history was read, which matters for those
		// that run: what they have recorded since is in it.
		signals, known, err := x.Temporal.Signals(ctx, e)
		if err != nil {
			return err
		}
		if !known || len(signals) == 0 {
			continue
		}
		if err := x.Records.Snapshot(ctx, func(r Record) error { return x.accepted(ctx, r, e, signals) }); err != nil {
			return fmt.Errorf("workflow %s: %w", e.WorkflowID, err)
		}
	}
	return nil
}

// accepted looks for the signals of one execution on record: as a decision, by the
// id in the token, or as a refused signal, by the token's digest.
func (x *examination) accepted(ctx context.Context, r Record, e Execution, signals []Signal) error {
	requests, err := r.RequestsByID(ctx, []int64{e.ApprovalID})
	if err != nil {
		return err
	}
	gated := e.isOf(by(requests, requestID))
	ids := make([]string, 0, len(signals))
	for _, s := range signals {
		if d, err := x.Verifier.Decision(s.Token); err == nil {
			ids = append(ids, d.ID)
		}
	}
	rows, err := r.DecisionsByID(ctx, ids)
	if err != nil {
		return err
	}
	refused, err := r.EntriesAbout(ctx, "approval", []string{fmt.Sprint(e.ApprovalID)}, []string{"approval.signal_refused"})
	if err != nil {
		return err
	}
	onRecord := map[string]bool{}
	for _, d := range rows {
		onRecord[d.ID] = true
	}
	for _, t := range tell(refused) {
		onRecord[t.leaf.text("token_sha256")] = true
	}
	for _, s := range signals {
		d, err := x.Verifier.Decision(s.Token)
		// What nobody vouches for, sent to a workflow that gates nothing, decides
		// nothing: such a workflow ends without reading it.
		if err != nil && !gated || e.Running && s.At.After(r.Now().Add(-x.Settle/2)) {
			continue
		}
		x.looked("I3", 1)
		if !onRecord[digestOf(s.Token)] && (err != nil || !onRecord[d.ID]) {
			f := Finding{ApprovalID: e.ApprovalID, WorkflowID: e.WorkflowID}
			if err == nil {
				f.Other = "decision " + d.ID
			}
			x.found("I3", f, "Temporal accepted a decision signal at %s that is not on record", stamp(s.At))
		}
	}
	return nil
}

package doctor

import (
	"context"
	"strconv"
	"strings"

	"finobs/internal/approval"
	"finobs/internal/evidence"
	"finobs/internal/export"
	"finobs/internal/fault"
)

// aboutRequests are the types of entries that requests and decisions must have.
var aboutRequests = []string{"approval.requested", "approval.decided", "approval.expired", "approval.cancelled", "approval.superseded"}

// dossier is a request with all that is on record about it.
type dossier struct {
	approval.Request
	decisions []approval.Recorded
	exports   []export.Export
	entries   []told
}

func (d dossier) finding() Finding { return Finding{ApprovalID: d.ID, WorkflowID: d.WorkflowID} }

func (x *examination) requests(ctx context.Context, r Record) error {
	return pages(func(last approval.Request, limit int) ([]approval.Request, error) {
		return r.RequestsAfter(ctx, last.ID, limit)
	}, func(page []approval.Request) error {
		dossiers, err := open(ctx, r, page)
		if err != nil {
			return err
		}
		for _, d := range dossiers {
			x.borneOut(d)
			x.spentOnce(d)
			x.inTime(r, d)
			x.signed(d)
			x.onLedger(d)
		}
		return x.changes(ctx, r, dossiers)
	})
}

// open reads what is on record about the requests of a page.
func open(ctx context.Context, r Record, page []approval.Request) ([]dossier, error) {
	ids := keys(page, requestID)
	names := keys(ids, func(id int64) string { return strconv.FormatInt(id, 10) })
	decisions, err := r.DecisionsOn(ctx, ids)
	if err != nil {
		return nil, err
	}
	exports, err := r.ExportsOf(ctx, ids)
	if err != nil {
		return nil, err
	}
	entries, err := r.EntriesAbout(ctx, "approval", names, aboutRequests)
	if err != nil {
		return nil, err
	}
	decisionsOf, exportsOf, entriesOf := by(decisions, decidedOn), by(exports, exportOf), by(entries, aboutID)
	out := make([]dossier, 0, len(page))
	for i, req := range page {
		out = append(out, dossier{req, decisionsOf[req.ID], exportsOf[req.ID], tell(entriesOf[names[i]])})
	}
	return out, nil
}

// borneOut looks at what can still be used or was used: I1.
func (x *examination) borneOut(d dossier) {
	var err error
	switch {
	case d.Status == approval.Approved, d.Status == approval.Consumed, len(d.exports) > 0:
		_, err = evidence.Approved(x.Verifier, d.Request, d.decisions, nil)
	case d.Status == approval.Pending:
		_, _, err = evidence.Request(x.Verifier, d.Request)
	default:
		return
	}
	x.looked("I1", 1)
	if err != nil {
		x.found("I1", d.finding(), "it is %s, but %s", d.Status, fault.MessageOf(err))
	}
}

// spentOnce looks at what an approval was spent on: I2.
func (x *examination) spentOnce(d dossier) {
	if d.Status != approval.Consumed && len(d.exports) == 0 {
		return
	}
	x.looked("I2", 1)
	if strings.HasPrefix(d.Kind, "schedule.") {
		x.slotOnce(d)
		return
	}
	isExport := strings.HasPrefix(d.Kind, "export.")
	switch {
	case len(d.exports) > 1:
		x.found("I2", d.finding(), "it has %d exports", len(d.exports))
	case d.Status == approval.Consumed && isExport && len(d.exports) == 0:
		x.found("I2", d.finding(), "it is consumed, but on no export")
	case d.Status == approval.Consumed && !isExport && !isChange(d.Kind):
		x.found("I2", d.finding(), "it is consumed, but actions of kind %s carry nothing out", d.Kind)
	}
	for _, e := range d.exports {
		f := d.finding()
		f.ExportID = e.ID
		if d.Status != approval.Consumed {
			x.found("I2", f, "the export's approval is %s, not consumed", d.Status)
		} else if !strings.HasPrefix(d.ConsumedBy, e.WorkflowID+"/") {
			x.found("I2", f, "the approval was consumed by %s, the export made by workflow %s", d.ConsumedBy, e.WorkflowID)
		}
	}
}

// slotOnce looks at what the grant of a schedule was spent on: one export a slot.
func (x *examination) slotOnce(d dossier) {
	seen := map[int64]int64{}
	for _, e := range d.exports {
		f := d.finding()
		f.ExportID = e.ID
		switch {
		case d.Status != approval.Consumed:
			x.found("I2", f, "the grant of the export's schedule is %s, not consumed", d.Status)
		case e.Slot == nil:
			x.found("I2", f, "the export is of no slot of the schedule")
		case seen[e.Slot.Unix()] != 0:
			x.found("I2", f, "export %d is of the same slot", seen[e.Slot.Unix()])
		case !strings.HasPrefix(e.WorkflowID, export.ScheduleWorkflowID(e.ScheduleID)+"-"):
			x.found("I2", f, "the export of a slot was made by workflow %s", e.WorkflowID)
		}
		if e.Slot != nil {
			seen[e.Slot.Unix()] = e.ID
		}
	}
}

func isChange(kind string) bool {
	return kind == approval.KindUserAdd || kind == approval.KindUserChange || kind == approval.KindPolicyActivate
}

// inTime looks for what should have been closed: I4.
func (x *examination) inTime(r Record, d dossier) {
	if !d.Open() {
		return
	}
	x.looked("I4", 1)
	late := r.Now().Add(-x.Settle)
	switch {
	case d.Status == approval.Pending && d.ExpiresAt.Before(late):
		x.found("I4", d.finding(), "it is pending, and its deadline was %s", stamp(d.ExpiresAt))
	case d.Status == approval.Approved && d.UseBy != nil && d.UseBy.Before(late):
		x.found("I4", d.finding(), "it is approved, and its last moment of use was %s", stamp(*d.UseBy))
	}
}

// signed compares every decision, also one that did not count, with its token: I5.
func (x *examination) signed(d dossier) {
	x.looked("I5", len(d.decisions))
	for _, decision := range d.decisions {
		if _, err := evidence.Row(x.Verifier, d.Request, decision); err != nil {
			f := d.finding()
			f.Other = "decision " + decision.ID
			x.found("I5", f, "%s%s", fault.MessageOf(err), causeOf(err))
		}
	}
}

// changes looks for the effects of consumed changes of roster and policies: I6.
func (x *examination) changes(ctx context.Context, r Record, dossiers []dossier) error {
	subjects := map[string][]string{}
	of := map[int64]string{}
	for _, d := range dossiers {
		if d.Status != approval.Consumed || !isChange(d.Kind) {
			continue
		}
		a, err := approval.ParseAction(d.Action)
		if err != nil || len(a.Targets) != 1 {
			continue // I1 has found it
		}
		kind, id := approval.UserTarget, a.Targets[0].ID
		if d.Kind == approval.KindPolicyActivate {
			kind, id = "policy", a.Parameters["sha256"]
		}
		subjects[kind] = append(subjects[kind], id)
		of[d.ID] = kind
	}
	entries := map[string]map[int64][]told{}
	for kind, ids := range subjects {
		list, err := r.EntriesAbout(ctx, kind, ids, []string{"user.added", "user.changed", "policy.activated"})
		if err != nil {
			return err
		}
		entries[kind] = by(tell(list), func(e told) int64 { return e.leaf.number("approval_id") })
	}
	for _, d := range dossiers {
		kind, consumed := of[d.ID]
		if consumed && len(entries[kind][d.ID]) != 1 {
			x.found("I6", d.finding(), "it is consumed, and the ledger has %d entries of the change, not 1", len(entries[kind][d.ID]))
		}
	}
	return nil
}

package doctor

import (
	"context"
	"strconv"

	"finobs/internal/approval"
	"finobs/internal/export"
)

func (x *examination) exports(ctx context.Context, r Record) error {
	return pages(func(last export.Export, limit int) ([]export.Export, error) {
		return r.ExportsAfter(ctx, last.ID, limit)
	}, func(page []export.Export) error {
		requests, err := r.RequestsByID(ctx, keys(page, exportOf))
		if err != nil {
			return err
		}
		names := keys(page, func(e export.Export) string { return strconv.FormatInt(e.ID, 10) })
		entries, err := r.EntriesAbout(ctx, "export", names, []string{"effect.intended", "effect.done"})
		if err != nil {
			return err
		}
		requestOf, entriesOf := by(requests, requestID), by(entries, aboutID)
		for i, e := range page {
			f := Finding{ApprovalID: e.ApprovalID, ExportID: e.ID, WorkflowID: e.WorkflowID}
			x.looked("I1", 1)
			x.looked("I6", 1)
			if list := requestOf[e.ApprovalID]; len(list) == 1 {
				x.carriesOut(f, e, list[0])
			} else {
				x.found("I1", f, "there is no approval of it")
			}
			x.effects(f, e, tell(entriesOf[names[i]]))
		}
		return nil
	})
}

// carriesOut compares an export with the action that was approved: I1. Columns
// and filters of an export that is not sealed are compared too: they are written
// with the intent.
func (x *examination) carriesOut(f Finding, e export.Export, r approval.Request) {
	a, err := approval.ParseAction(r.Action)
	if err == nil {
		err = e.AuthorisedBy(r, a)
	}
	if err != nil {
		x.found("I1", f, "%v", err)
	}
}

// effects looks for the entries of an export: I2 and I6.
func (x *examination) effects(f Finding, e export.Export, entries []told) {
	intended, done := ofType(entries, "effect.intended"), ofType(entries, "effect.done")
	for typ, list := range map[string][]told{"effect.intended": intended, "effect.done": done} {
		if len(list) > 1 {
			x.found("I2", f, "the ledger has %d entries %s of it", len(list), typ)
		}
	}
	if len(intended) == 0 {
		x.found("I6", f, "the ledger has no entry effect.intended of it")
	}
	if e.Status == export.Sealed && len(done) == 0 {
		x.found("I6", f, "it is sealed, and the ledger has no entry effect.done of it")
	}
	for _, entry := range intended {
		if entry.WorkflowID != e.WorkflowID {
			x.found("I2", f, "its entry effect.intended was written by workflow %s", entry.WorkflowID)
		}
	}
	for _, entry := range done {
		if e.Seal == nil || entry.leaf.text("content_sha256") != e.Seal.ContentSHA256 {
			x.found("I6", f, "its entry effect.done tells of another content than the one that is sealed")
		}
	}
	for _, entry := range entries {
		if entry.leaf.number("approval_id") != e.ApprovalID || entry.leaf.text("action_digest") != e.ActionDigest {
			x.found("I2", f, "its entry %s tells of approval %s or of another action", entry.Type, entry.leaf.text("approval_id"))
		}
	}
}

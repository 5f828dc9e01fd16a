package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"

	"finobs/internal/canonical"
	"finobs/internal/delivery"
	"finobs/internal/export"
	"finobs/internal/failpoint"
	"finobs/internal/fault"
	"finobs/internal/ledger"

	"go.temporal.io/sdk/activity"
)

// VerifyInput names sealed exports to be verified.
type VerifyInput struct {
	FirstRun  string  `json:"first_run"`
	ExportIDs []int64 `json:"export_ids"`
	Command   string  `json:"command,omitempty"` // of the person who asked; empty: right after the delivery
}

// Judged is the verdict on one export.
type Judged struct {
	ExportID int64          `json:"export_id"`
	Verdict  export.Verdict `json:"verdict"`
	Places   []JudgedPlace  `json:"places"`
}

// JudgedPlace is the verdict on one place where an export lies.
type JudgedPlace struct {
	Destination string `json:"destination"`
	DeliveryID  int64  `json:"delivery_id,omitempty"`
	export.Finding
}

// VerifyExports reads every place where the exports lie, and judges what is there
// by the trusted keys. Nothing is compared with a copy of itself: the record only
// says where to look and which manifest to expect.
func (x *Exports) VerifyExports(ctx context.Context, in VerifyInput) ([]Judged, error) {
	defer beat(ctx)()
	by := ledger.Itself("worker")
	if in.Command != "" {
		c, err := x.Verifier.Command(in.Command)
		if err != nil || c.WorkflowID != activity.GetInfo(ctx).WorkflowExecution.ID {
			return nil, temporalError(fault.Wrap(err, fault.Forbidden, "start-not-signed", "the start is not signed by the API for this workflow"))
		}
		by = ledger.By(c.Principal)
	}
	out := make([]Judged, 0, len(in.ExportIDs))
	for _, id := range in.ExportIDs {
		judged, err := x.verify(ctx, in, id, by)
		if err != nil {
			return nil, temporalError(err)
		}
		out = append(out, judged)
	}
	return out, nil
}

func (x *Exports) verify(ctx context.Context, in VerifyInput, id int64, by ledger.Actor) (Judged, error) {
	out, err := x.sealed(ctx, id)
	if err != nil {
		return Judged{}, err
	}
	var deliveries []export.Delivery
	if err := x.InTx(ctx, func(tx ExportTx) (err error) { deliveries, err = tx.Deliveries(ctx, id); return err }); err != nil {
		return Judged{}, err
	}
	judged := Judged{ExportID: id, Places: []JudgedPlace{}}
	var read []export.Delivery
	for _, d := range latestDelivered(deliveries) {
		d.Verification = x.judge(ctx, out, d)
		read = append(read, d)
		judged.Places = append(judged.Places, JudgedPlace{d.Destination, d.ID, d.Verification})
	}
	// The store holds every bundle, wherever it was delivered.
	if !slices.ContainsFunc(read, func(d export.Delivery) bool { return d.Destination == export.Download }) {
		own := x.judgeFolder(out, x.Store.Path(StoreFolder(id)))
		judged.Places = append(judged.Places, JudgedPlace{export.Download, 0, own})
	}
	verdicts := make([]export.Verdict, 0, len(judged.Places))
	for _, p := range judged.Places {
		verdicts = append(verdicts, p.Verdict)
	}
	judged.Verdict = export.Worst(verdicts...)
	out.VerificationStatus = judged.Verdict
	return judged, x.recordVerdict(ctx, in, out, judged, read, by)
}

// latestDelivered are the newest deliveries that arrived, one a destination.
func latestDelivered(all []export.Delivery) []export.Delivery {
	var out []export.Delivery
	for _, d := range all {
		if d.Status != export.Delivered {
			continue
		}
		at := -1
		for i := range out {
			if out[i].Destination == d.Destination {
				at = i
			}
		}
		if at < 0 {
			out = append(out, d)
		} else {
			out[at] = d
		}
	}
	return out
}

func (x *Exports) recordVerdict(ctx context.Context, in VerifyInput, out export.Export, judged Judged, read []export.Delivery, by ledger.Actor) error {
	places := make([]canonical.Object, 0, len(judged.Places))
	text := string(judged.Verdict)
	for _, p := range judged.Places {
		places = append(places, canonical.Object{
			"destination": p.Destination, "delivery_id": strconv.FormatInt(p.DeliveryID, 10), "verdict": string(p.Verdict), "code": p.Code,
			"detail": cut(p.Detail, 300),
		})
		text += " " + p.Destination + " " + string(p.Verdict) + " " + p.Code + " " + cut(p.Detail, 300)
	}
	err := x.InTx(ctx, func(tx ExportTx) error {
		if _, err := tx.LockExport(ctx, out.ID); err != nil {
			return err
		}
		if err := tx.RecordVerification(ctx, out, read); err != nil {
			return err
		}
		// A retry that finds the same writes nothing; one that finds otherwise is
		// another finding.
		ordinal := strconv.FormatInt(out.ID, 10) + " " + text
		_, err := tx.Append(ctx, stepOf(ctx, in.FirstRun, "verify-export", ordinal), ledger.Entry{
			Type: "export.verification", Actor: by, Subject: exportSubject(out.ID), Action: "verify", Outcome: string(judged.Verdict),
			Desk: out.Desk, TraceID: out.TraceID, Simulation: out.Simulation,
			Details: canonical.Object{"manifest_sha256": out.Seal.ManifestSHA256, "places": places},
		})
		return err
	})
	failpoint.Hit("export.after-verify")
	return err
}

// judge fetches a delivered bundle and judges it.
func (x *Exports) judge(ctx context.Context, out export.Export, d export.Delivery) export.Finding {
	to, err := x.destination(d.Destination)
	if err != nil {
		return export.Finding{Verdict: export.Unreachable, Code: "destination_gone", Detail: fault.MessageOf(err)}
	}
	if d.Destination == export.Download {
		return x.judgeFolder(out, x.Store.Path(StoreFolder(out.ID)))
	}
	var receipt delivery.Receipt
	if err := json.Unmarshal(d.Receipt, &receipt); err != nil {
		return export.Finding{Verdict: export.Missing, Code: "receipt_unreadable", Detail: "the receipt of the delivery cannot be read"}
	}
	scratch, err := x.Store.Scratch("verify")
	if err != nil {
		return export.Finding{Verdict: export.Unreachable, Code: "no_room", Detail: "there is no room to fetch it: " + err.Error()}
	}
	defer scratch.Close()
	for _, o := range receipt.Objects {
		if err := fetch(ctx, to, receipt, o.Name, scratch.Path); err != nil {
			return fetchFinding(o.Name, err)
		}
	}
	return x.judgeFolder(out, scratch.Path)
}

func fetchFinding(name string, err error) export.Finding {
	switch {
	case errors.Is(err, delivery.ErrMissing):
		return export.Finding{Verdict: export.Missing, Code: "object_missing", Detail: name + ": " + cut(err.Error(), 300)}
	case errors.Is(err, delivery.ErrUnreadable):
		return export.Finding{Verdict: export.Unreadable, Code: "unreadable", Detail: "what was mailed cannot be read back"}
	}
	return export.Finding{Verdict: export.Unreachable, Code: "unreachable", Detail: name + ": " + cut(err.Error(), 300)}
}

func fetch(ctx context.Context, from delivery.Destination, receipt delivery.Receipt, name, folder string) error {
	r, err := from.Fetch(ctx, receipt, name)
	if err != nil {
		return err
	}
	defer r.Close()
	root, err := os.OpenRoot(folder)
	if err != nil {
		return fmt.Errorf("opening folder: %w", err)
	}
	defer root.Close()
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("fetching %s: %w", name, err)
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// judgeFolder judges a bundle in a folder, and that it is the one on record.
func (x *Exports) judgeFolder(out export.Export, folder string) export.Finding {
	manifest, found := x.Sealer.Verify(folder)
	if found.Verdict == export.Verified && manifest != out.Seal.ManifestSHA256 {
		return export.Finding{Verdict: export.Tampered, Code: "swapped", Detail: "a sealed bundle lies there, but it is another one"}
	}
	return found
}

// SelectInput asks which exports a selection names.
type SelectInput struct {
	Command   string           `json:"command"`
	Selection export.Selection `json:"selection"`
	FirstRun  string           `json:"first_run"`
}

// selectPage is how many ids are read at once.
const selectPage = 1000

// SelectExports resolves a selection to the ids of sealed exports, oldest first.
// The command vouches for the start of the verification.
func (x *Exports) SelectExports(ctx context.Context, in SelectInput) ([]int64, error) {
	digest, err := in.Selection.Digest()
	if err != nil {
		return nil, temporalError(fault.Wrap(err, fault.Invalid, "invalid-selection", "the selection is not valid text"))
	}
	if _, err := command(ctx, x.Verifier, in.Command, digest); err != nil {
		return nil, temporalError(refuseStart(ctx, x.InTx, in.FirstRun, in.Command, err))
	}
	ids := []int64{}
	for {
		var after int64
		if len(ids) > 0 {
			after = ids[len(ids)-1]
		}
		page, err := x.Data.ExportIDs(ctx, in.Selection, after, selectPage)
		if err != nil {
			return nil, temporalError(err)
		}
		ids = append(ids, page...)
		if len(page) < selectPage {
			return ids, nil
		}
	}
}

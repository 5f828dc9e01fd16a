package workflows

import (
	"strconv"

	"finobs/activities"
	"finobs/internal/approval"
	"finobs/internal/export"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// exportAttempts bounds how often an export is carried out again when its
// activity was completed with a result that the record contradicts.
const exportAttempts = 3

// changeBundles names the change since which exports are bundles that are
// delivered.
const changeBundles = "bundles"

// exportWorkflow waits for approval, makes the export and hands it over to its
// delivery.
func exportWorkflow(ctx workflow.Context, in GateInput) (ExportResult, error) {
	g, err := openGate(ctx, in)
	if err != nil {
		return ExportResult{}, err
	}
	p, err := newProduction(ctx, activities.ExportRef{GateRef: g.ref}, g)
	if err != nil {
		return ExportResult{}, err
	}
	if err := g.wait(ctx); err != nil {
		return ExportResult{}, err
	}
	// From here on nothing is cancelled half-way: an approved export is carried
	// out and recorded.
	apart, _ := workflow.NewDisconnectedContext(ctx)
	var out ExportResult
	if g.state.Status == approval.Approved || g.state.Status == approval.Consumed {
		done, err := p.run(apart)
		if err != nil {
			return out, err
		}
		out.ExportID, out.ContentSHA256, out.ManifestSHA256, out.Rows = done.ExportID, done.ContentSHA256, done.ManifestSHA256, done.Rows
	}
	if err := g.drain(apart); err != nil {
		return out, err
	}
	out.GateResult, err = g.result(ctx)
	return out, err
}

// production makes one export, and answers how far it has come.
type production struct {
	ref      activities.ExportRef
	gate     *gate // nil: by a schedule
	reports  workflow.ReceiveChannel
	progress export.Progress
}

// newProduction answers queries from now on.
func newProduction(ctx workflow.Context, ref activities.ExportRef, g *gate) (*production, error) {
	p := &production{
		ref: ref, gate: g, reports: workflow.GetSignalChannel(ctx, SignalProgress), progress: export.Progress{Phase: export.PhaseApproval},
	}
	return p, workflow.SetQueryHandler(ctx, QueryProgress, func() (export.Progress, error) { return p.progress, nil })
}

// run makes the export, completes its bundle and starts its delivery. A delivery
// may take a day, when a destination is down; it goes on by itself.
func (p *production) run(ctx workflow.Context) (activities.ExportDone, error) {
	p.progress.Phase = export.PhaseGenerating
	done, err := p.generate(ctx)
	if err != nil {
		return done, err
	}
	// Exports that were made before there were bundles ended here.
	if workflow.GetVersion(ctx, changeBundles, workflow.DefaultVersion, 1) == workflow.DefaultVersion {
		return done, nil
	}
	p.progress = export.Progress{Phase: export.PhaseSealing, Rows: done.Rows, Total: done.Rows}
	bundle := activities.BundleInput{FirstRun: p.ref.FirstRun, ExportID: done.ExportID}
	f := workflow.ExecuteActivity(withEffect(ctx), ActivityBundleExport, bundle)
	if err := p.until(ctx, f); err != nil {
		return done, err
	}
	if err := f.Get(ctx, nil); err != nil {
		return done, err
	}
	p.progress.Phase = export.PhaseDelivering
	return done, startDelivery(ctx, done)
}

// generate runs the export and asks the record whether it really happened.
// Decisions that come in meanwhile are recorded, and change nothing.
func (p *production) generate(ctx workflow.Context) (activities.ExportDone, error) {
	var failure error
	for attempt := 1; attempt <= exportAttempts; attempt++ {
		f := workflow.ExecuteActivity(withEffect(ctx), ActivityGenerateExport, p.ref)
		if err := p.until(ctx, f); err != nil {
			return activities.ExportDone{}, err
		}
		var claimed, recorded activities.ExportDone
		failure = f.Get(ctx, &claimed)
		confirm := activities.ConfirmInput{ExportRef: p.ref, Claimed: claimed, Failed: failure != nil, Attempt: attempt}
		if err := workflow.ExecuteLocalActivity(withRecord(ctx), ActivityConfirmExport, confirm).Get(ctx, &recorded); err != nil {
			return recorded, err
		}
		if recorded.Sealed {
			return recorded, p.consumed(ctx)
		}
	}
	if failure == nil {
		failure = temporal.NewNonRetryableApplicationError("the export was reported done, but the record has none", "export-contradicted", nil)
	}
	if p.gate != nil {
		if err := p.gate.drain(ctx); err != nil {
			return activities.ExportDone{}, err
		}
	}
	return activities.ExportDone{}, failure
}

func (p *production) consumed(ctx workflow.Context) error {
	if p.gate == nil {
		return nil
	}
	p.gate.state.Status = approval.Consumed
	return p.gate.show(ctx)
}

// until waits for a future, and meanwhile records decisions and takes reports of
// progress.
func (p *production) until(ctx workflow.Context, f workflow.Future) error {
	for !f.IsReady() {
		var err error
		s := workflow.NewSelector(ctx)
		s.AddFuture(f, func(workflow.Future) {})
		s.AddReceive(p.reports, func(c workflow.ReceiveChannel, _ bool) {
			var now export.Progress
			if c.ReceiveAsync(&now) && now.Phase == p.progress.Phase {
				p.progress = now
			}
		})
		if p.gate != nil {
			s.AddReceive(p.gate.signals, func(c workflow.ReceiveChannel, _ bool) { err = p.gate.receive(ctx, c) })
		}
		s.Select(ctx)
		if err != nil {
			return err
		}
	}
	return nil
}

// startDelivery starts the first delivery of an export, once.
func startDelivery(ctx workflow.Context, done activities.ExportDone) error {
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID: DeliveryWorkflowID(done.ExportID), WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		ParentClosePolicy: enumspb.PARENT_CLOSE_POLICY_ABANDON,
		StaticSummary:     "export " + strconv.FormatInt(done.ExportID, 10) + " to " + done.Destination,
	})
	child := workflow.ExecuteChildWorkflow(ctx, Deliver, DeliverInput{ExportID: done.ExportID, Destination: done.Destination})
	err := child.GetChildWorkflowExecution().Get(ctx, nil)
	if temporal.IsWorkflowExecutionAlreadyStartedError(err) {
		return nil // by a run before a reset
	}
	return err
}

// deliverWorkflow takes a sealed export to a destination and reads it back.
func deliverWorkflow(ctx workflow.Context, in DeliverInput) (DeliverResult, error) {
	return deliver(ctx, activities.DeliverInput{
		FirstRun: workflow.GetInfo(ctx).FirstRunID, ExportID: in.ExportID, Destination: in.Destination, Command: in.Command, Reason: in.Reason,
	})
}

func deliver(ctx workflow.Context, in activities.DeliverInput) (DeliverResult, error) {
	out := DeliverResult{ExportID: in.ExportID, Destination: in.Destination}
	apart, _ := workflow.NewDisconnectedContext(ctx)
	if err := workflow.ExecuteActivity(withExportDelivery(apart), ActivityDeliverExport, in).Get(apart, &out.Status); err != nil {
		return out, err
	}
	var judged []activities.Judged
	verify := activities.VerifyInput{FirstRun: in.FirstRun, ExportIDs: []int64{in.ExportID}}
	if err := workflow.ExecuteActivity(withEffect(apart), ActivityVerifyExports, verify).Get(apart, &judged); err != nil {
		return out, err
	}
	if len(judged) == 1 {
		out.Verdict = judged[0].Verdict
	}
	return out, nil
}

// redeliverWorkflow waits for approval and takes a sealed export to another
// destination than the one it was approved for.
func redeliverWorkflow(ctx workflow.Context, in GateInput) (RedeliverResult, error) {
	g, err := openGate(ctx, in)
	if err != nil {
		return RedeliverResult{}, err
	}
	if err := g.wait(ctx); err != nil {
		return RedeliverResult{}, err
	}
	apart, _ := workflow.NewDisconnectedContext(ctx)
	var out RedeliverResult
	if g.state.Status == approval.Approved || g.state.Status == approval.Consumed {
		var what activities.DeliverInput
		if err := workflow.ExecuteLocalActivity(withRecord(apart), ActivityBeginRedelivery, g.ref).Get(apart, &what); err != nil {
			return out, err
		}
		g.state.Status = approval.Consumed
		if err := g.show(apart); err != nil {
			return out, err
		}
		if out.DeliverResult, err = deliver(apart, what); err != nil {
			return out, err
		}
	}
	if err := g.drain(apart); err != nil {
		return out, err
	}
	out.GateResult, err = g.result(ctx)
	return out, err
}

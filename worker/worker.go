// Package worker hosts the workflows and activities of finobs.
package worker

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"finobs/activities"
	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/blobdir"
	"finobs/internal/delivery"
	"finobs/internal/detect"
	"finobs/internal/export"
	"finobs/internal/recon"
	"finobs/internal/store"
	"finobs/workflows"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
)

// stopTimeout is how long running activities may go on after a stop is asked
// for. What does not end by then is retried by another worker.
const stopTimeout = 10 * time.Second

// Deps are what the activities work with. The caller closes them.
type Deps struct {
	Store        *store.Writer
	Verifier     *attest.Verifier       // trusts the API's decision key
	Artefacts    *blobdir.Dir           // exports
	Sealer       Sealer                 // seals exports; unused with RecordOnly
	Destinations *delivery.Destinations // where exports are delivered; nil for their own store only
	Generator    string                 // name and version of this program, for manifests
	PublicURL    string                 // where people reach the API; empty leaves links out
	Spool        *blobdir.Dir           // received files
	Segments     *blobdir.Dir           // received events
	Detectors    []detect.Spec
	Messenger    activities.Messenger
	Channels     []string         // names of the channels that Messenger has
	Policies     string           // policy file that a database without one starts with
	Roster       approval.Roster  // whom a database without policies starts with
	Namespace    string           // of Temporal
	Profiles     *recon.Catalogue // of reconciliation
	Agents       Agents
	Version      string // of this program, for people

	// RecordOnly leaves effects to other workers: this one records requests and
	// decisions and needs no access to what effects touch.
	RecordOnly bool
}

// startInterval is how often a worker asks for a Temporal that is not there.
const startInterval = 2 * time.Second

// Run takes work until ctx ends, and stops gracefully. While Temporal is not
// there it waits for it.
func Run(ctx context.Context, c client.Client, d Deps) error {
	if err := prepare(ctx, d); err != nil {
		return err
	}
	var w worker.Worker
	for {
		w = newWorker(c, d)
		err := w.Start()
		if err == nil {
			break
		}
		slog.WarnContext(ctx, "waiting for Temporal", "error", err)
		select {
		case <-time.After(startInterval):
		case <-ctx.Done():
			return nil
		}
	}
	slog.InfoContext(ctx, "worker started", "task_queue", workflows.TaskQueue)
	var background sync.WaitGroup
	for _, loop := range []interface{ run(context.Context) }{
		&reconciler{
			holder: uuid.NewString(), client: c, store: d.Store, repairs: &activities.Repairs{InTx: store.InTx[activities.RepairTx](d.Store), Namespace: d.Namespace},
			lives: &lifeKeeper{client: c, store: d.Store, lives: &activities.Lives{InTx: store.InTx[activities.LifeTx](d.Store)}, namespace: d.Namespace},
		},
		outbox{client: c, store: d.Store},
		detectors{client: c, store: d.Store, specs: d.Detectors},
		newVitals(d),
		lives{client: c, store: d.Store},
		reconSchedules{client: c, store: d.Store, profiles: d.Profiles},
		&schedules{client: c, store: d.Store, settling: &activities.Settling{InTx: store.InTx[activities.SlotTx](d.Store), Namespace: d.Namespace}},
	} {
		background.Go(func() { loop.run(ctx) })
	}
	<-ctx.Done()
	w.Stop()
	background.Wait()
	slog.Info("worker stopped")
	return nil
}

// prepare puts the first policies and roster in force and makes the channels
// known.
func prepare(ctx context.Context, d Deps) error {
	changes := &activities.Changes{InTx: store.InTx[activities.ChangeTx](d.Store), Verifier: d.Verifier}
	if err := changes.FirstStart(ctx, d.Policies, d.Roster); err != nil {
		return fmt.Errorf("first start: %w", err)
	}
	if err := d.Store.SetChannels(ctx, d.Channels); err != nil || d.RecordOnly {
		return err
	}
	if err := d.Store.SetDetectors(ctx, d.Detectors); err != nil {
		return err
	}
	return d.Store.SetDestinations(ctx, places(d.Destinations))
}

// places are the destinations of exports, their own store among them.
func places(d *delivery.Destinations) []export.Place {
	out := []export.Place{{Name: export.Download, Type: export.Download, Default: d.Default() == ""}}
	for _, name := range d.Names() {
		to, _ := d.Get(name)
		about := to.Describe()
		out = append(out, export.Place{Name: name, Type: about.Type, Digest: about.Digest(), Default: d.Default() == name})
	}
	return out
}

func newWorker(c client.Client, d Deps) worker.Worker {
	w := worker.New(c, workflows.TaskQueue, worker.Options{
		WorkerStopTimeout:       stopTimeout,
		LocalActivityWorkerOnly: d.RecordOnly,
		// Pollers follow the load; a fixed number is too few under load and too
		// many at rest.
		WorkflowTaskPollerBehavior: worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{}),
		ActivityTaskPollerBehavior: worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{}),
	})
	workflows.Register(w)
	RegisterActivities(w, d)
	return w
}

// RegisterActivities registers every activity under its name in the contract.
func RegisterActivities(r worker.ActivityRegistry, d Deps) {
	approvals := &activities.Approvals{InTx: store.InTx[activities.ApprovalTx](d.Store), Verifier: d.Verifier}
	exports := &activities.Exports{
		InTx: store.InTx[activities.ExportTx](d.Store), Verifier: d.Verifier, Data: d.Store, Sealer: d.Sealer, Store: d.Artefacts,
		Destinations: d.Destinations, Generator: d.Generator,
	}
	if d.PublicURL != "" {
		exports.Link = func(id int64) string {
			return fmt.Sprintf("%s/exports/%d/bundle", strings.TrimSuffix(d.PublicURL, "/"), id)
		}
	}
	acts := &activities.Acts{InTx: store.InTx[activities.ActTx](d.Store), Verifier: d.Verifier}
	changes := &activities.Changes{InTx: store.InTx[activities.ChangeTx](d.Store), Verifier: d.Verifier}
	notices := &activities.Notices{InTx: store.InTx[activities.NoticeTx](d.Store), Messenger: d.Messenger}
	incidents := &activities.Incidents{InTx: store.InTx[activities.IncidentTx](d.Store), Verifier: d.Verifier}
	fails := &activities.Fails{InTx: store.InTx[activities.FailsTx](d.Store), Verifier: d.Verifier, Spool: d.Spool}
	logs := &activities.FIXLogs{InTx: store.InTx[activities.FIXTx](d.Store), Verifier: d.Verifier, Spool: d.Spool}
	events := &activities.Events{InTx: store.InTx[activities.EventTx](d.Store), Verifier: d.Verifier, Segments: d.Segments}
	detection := &activities.Detection{InTx: store.InTx[activities.DetectTx](d.Store), Verifier: d.Verifier, Fails: fails, Specs: d.Detectors}
	transactions := &activities.Transactions{InTx: store.InTx[activities.TransactionsTx](d.Store), Verifier: d.Verifier, Spool: d.Spool, Profiles: d.Profiles}
	incidentActs := &activities.IncidentActs{InTx: store.InTx[activities.IncidentActTx](d.Store), Verifier: d.Verifier}
	lives := &activities.Lives{InTx: store.InTx[activities.LifeTx](d.Store)}
	recons := newRecons(d)
	agents := newAgents(d)
	actions := &activities.Actions{InTx: store.InTx[activities.ActionTx](d.Store), Verifier: d.Verifier, Systems: systems{d.Agents.Connectors}, Recovery: d.Agents.Recovery}
	agentActs := &activities.AgentActs{InTx: store.InTx[activities.AgentActTx](d.Store), Verifier: d.Verifier}
	slots := &activities.Slots{InTx: store.InTx[activities.SlotTx](d.Store), Verifier: d.Verifier}
	schedules := &activities.Schedules{InTx: store.InTx[activities.SlotTx](d.Store), Verifier: d.Verifier}
	for name, fn := range map[string]any{
		workflows.ActivityAdvanceIncident:    lives.AdvanceIncident,
		workflows.ActivityRecordIncidentAct:  incidentActs.RecordIncidentAct,
		workflows.ActivityBeginSlot:          slots.BeginSlot,
		workflows.ActivityEndSlot:            slots.EndSlot,
		workflows.ActivityActOnSchedule:      schedules.ActOnSchedule,
		workflows.ActivityOpenRequest:        approvals.OpenRequest,
		workflows.ActivityRecordDecision:     approvals.RecordDecision,
		workflows.ActivityExpireRequest:      approvals.ExpireRequest,
		workflows.ActivityCancelRequest:      approvals.CancelRequest,
		workflows.ActivityRecordAct:          acts.RecordAct,
		workflows.ActivityApplyChange:        changes.ApplyChange,
		workflows.ActivitySendNotice:         notices.SendNotice,
		workflows.ActivityBuryNotice:         notices.BuryNotice,
		workflows.ActivityGenerateExport:     exports.GenerateExport,
		workflows.ActivityConfirmExport:      exports.ConfirmExport,
		workflows.ActivityBundleExport:       exports.BundleExport,
		workflows.ActivityDeliverExport:      exports.DeliverExport,
		workflows.ActivityVerifyExports:      exports.VerifyExports,
		workflows.ActivitySelectExports:      exports.SelectExports,
		workflows.ActivityBeginRedelivery:    exports.BeginRedelivery,
		workflows.ActivityRecordIncident:     incidents.RecordIncident,
		workflows.ActivityImportFIX:          logs.ImportFIXLog,
		workflows.ActivityRecordSegment:      events.RecordSegment,
		workflows.ActivityDetect:             detection.Detect,
		workflows.ActivityImportFails:        fails.ImportFailsFile,
		workflows.ActivityDetectFails:        fails.DetectFails,
		workflows.ActivityImportTransactions: transactions.ImportTransactionsFile,
		workflows.ActivityBeginRun:           agents.BeginRun,
		workflows.ActivityGatherEvidence:     agents.GatherEvidence,
		workflows.ActivityAnalyse:            agents.Analyse,
		workflows.ActivityPlanActions:        agents.PlanActions,
		workflows.ActivityFailRun:            agents.FailRun,
		workflows.ActivityBeginAction:        actions.BeginAction,
		workflows.ActivityApplyAction:        actions.ApplyAction,
		workflows.ActivityReconcileAction:    actions.ReconcileAction,
		workflows.ActivityVerifyAction:       actions.VerifyAction,
		workflows.ActivityCompensateAction:   actions.CompensateAction,
		workflows.ActivityEndAction:          actions.EndAction,
		workflows.ActivityRecordAgentAct:     agentActs.RecordAgentAct,
		workflows.ActivityReconcile:          recons.Reconcile,
		workflows.ActivityReconcileScheduled: recons.ReconcileScheduled,
	} {
		r.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: name})
	}
}

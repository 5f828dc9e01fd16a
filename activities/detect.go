package activities

import (
	"context"
	"strconv"
	"time"

	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/canonical"
	"finobs/internal/detect"
	"finobs/internal/failpoint"
	"finobs/internal/fault"
	"finobs/internal/incident"
	"finobs/internal/ledger"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
)

// DetectTx is what detectors need of a transaction.
type DetectTx interface {
	OccurrenceTx
	LockDetector(ctx context.Context, name detect.Name) (cursor int64, err error)
	MoveDetector(ctx context.Context, name detect.Name, cursor int64) error
	InsertDetectorRun(ctx context.Context, r detect.Run) error
	OpenKeys(ctx context.Context, source string) ([]string, error)
	SilentSystems(ctx context.Context, missed int) ([]detect.Silence, error)
	LastHeard(ctx context.Context) (detect.Heard, error)
	DetectorDeclared(ctx context.Context, name detect.Name) (time.Time, error)
	Bursts(ctx context.Context, after int64, window time.Duration) ([]detect.Burst, int64, error)
	FailedTrades(ctx context.Context) (list []detect.FailedTrade, all bool, err error)
	UnknownOutcomes(ctx context.Context, after time.Duration) (list []detect.Outcome, all bool, err error)
	OpenBreaks(ctx context.Context) (list []detect.Break, all bool, err error)
}

// Detection are the detectors of a desk.
type Detection struct {
	InTx     Transaction[DetectTx]
	Verifier *attest.Verifier
	Fails    *Fails
	Specs    []detect.Spec
}

// DetectorInput starts a run of a detector. Without a command it was due: a run
// reads the record and opens what the desk's rules say, which needs nobody's word.
type DetectorInput struct {
	FirstRun string `json:"first_run"`
	Detector string `json:"detector"`
	Command  string `json:"command,omitempty"` // token over detect.Digest of the detector
}

// Detect runs a detector over the record.
func (x *Detection) Detect(ctx context.Context, in DetectorInput) (detect.Run, error) {
	defer beat(ctx)()
	run, by, err := x.prepare(ctx, in)
	if err != nil {
		return run, err
	}
	spec, err := detect.Find(x.Specs, in.Detector)
	if err != nil {
		return run, temporalError(err)
	}
	if spec.Name == detect.FailedSettlements {
		found, err := x.Fails.DetectFails(ctx, DetectInput{FirstRun: in.FirstRun})
		if err != nil {
			return run, err
		}
		run.Examined, run.Found, run.Opened = int64(found.Securities), int64(found.Securities), int64(found.Opened)
	}
	err = x.InTx(ctx, func(tx DetectTx) error {
		out := run
		if err := runDetector(ctx, tx, in, by, spec, &out); err != nil {
			return err
		}
		run = out
		return nil
	})
	failpoint.Hit("detect.after-run")
	return run, temporalError(err)
}

// prepare says which run it is, and whose.
func (x *Detection) prepare(ctx context.Context, in DetectorInput) (detect.Run, approval.Principal, error) {
	info := activity.GetInfo(ctx)
	run := detect.Run{
		// Of the execution, so that a retry is the same run.
		ID:       uuid.NewSHA1(uuid.NameSpaceOID, []byte(info.WorkflowExecution.ID+"/"+in.FirstRun)).String(),
		Detector: detect.Name(in.Detector), WorkflowID: info.WorkflowExecution.ID,
	}
	if in.Command == "" {
		return run, detector(), nil
	}
	digest, err := detect.Digest(in.Detector)
	if err != nil {
		return run, detector(), temporalError(fault.Wrap(err, fault.Invalid, "invalid-detector", "the detector's name is not valid text"))
	}
	c, err := command(ctx, x.Verifier, in.Command, digest)
	if err != nil {
		return run, detector(), temporalError(refuseStart(ctx, x.InTx, in.FirstRun, in.Command, err))
	}
	run.AskedBy = c.Principal.Person
	return run, c.Principal, nil
}

func runDetector(ctx context.Context, tx DetectTx, in DetectorInput, by approval.Principal, spec detect.Spec, run *detect.Run) error {
	cursor, err := tx.LockDetector(ctx, spec.Name)
	if err != nil {
		return err
	}
	found, err := conditions(ctx, tx, spec, cursor)
	if err != nil {
		return err
	}
	run.Examined += found.examined
	run.Found += int64(len(found.hold))
	all := found.hold
	if found.all {
		open, err := tx.OpenKeys(ctx, spec.Name.Source())
		if err != nil {
			return err
		}
		all = append(all, spec.Ended(open, found.keys(), tx.Now())...)
	}
	folded, err := occurAll(ctx, tx, in.FirstRun, all)
	if err != nil {
		return err
	}
	for _, f := range folded {
		switch f.Folding {
		case incident.Opened, incident.Reopened, incident.Suppressed:
			run.Opened++
		case incident.AutoEnded:
			run.Resolved++
		case incident.Repeated, incident.Updated, incident.Ignored:
		}
	}
	if run.Opened+run.Resolved == 0 && run.AskedBy.Subject == "" {
		return tx.InsertDetectorRun(ctx, *run) // nothing changed, so nothing is entered
	}
	_, err = tx.Append(ctx, stepOf(ctx, in.FirstRun, "detect", in.Detector), detectEntry(ctx, spec, by, *run))
	if fault.CodeOf(err) == "ledger-conflict" {
		return nil // the retry of an attempt whose reply was lost: that attempt is on record
	}
	if err != nil {
		return err
	}
	return tx.InsertDetectorRun(ctx, *run)
}

func detectEntry(ctx context.Context, spec detect.Spec, by approval.Principal, run detect.Run) ledger.Entry {
	return ledger.Entry{
		Type: "detector.run", Actor: ledger.By(by), Subject: ledger.Subject{Kind: "detector", ID: string(spec.Name)}, Action: "detect", Outcome: "done",
		TraceID: traceID(ctx), Details: canonical.Object{
			"found": strconv.FormatInt(run.Found, 10), "opened": strconv.FormatInt(run.Opened, 10), "resolved": strconv.FormatInt(run.Resolved, 10),
		},
	}
}

// found is what a detector sees.
type found struct {
	hold     []incident.Occurrence // conditions
	more     []string              // dedup keys of conditions that hold as part of others
	examined int64                 // things
	all      bool                  // what it does not see has ended
}

// keys are the dedup keys of all conditions that hold.
func (f found) keys() []string {
	keys := f.more
	for _, o := range f.hold {
		keys = append(keys, o.Incident.DedupKey)
	}
	return keys
}

// conditions reads what a detector looks at, and says which conditions hold.
func conditions(ctx context.Context, tx DetectTx, spec detect.Spec, cursor int64) (found, error) {
	switch spec.Name {
	case detect.SilentSystems:
		list, err := tx.SilentSystems(ctx, spec.Missed)
		return found{hold: spec.Silent(list), examined: int64(len(list)), all: true}, err
	case detect.StaleFeeds:
		heard, err := tx.LastHeard(ctx)
		if err != nil {
			return found{}, err
		}
		since, err := tx.DetectorDeclared(ctx, spec.Name)
		return found{hold: spec.Stale(heard, since, tx.Now()), examined: int64(len(spec.Feeds)), all: true}, err
	case detect.RejectBursts: // what they open a person ends
		list, last, err := tx.Bursts(ctx, cursor, spec.Window)
		if err == nil {
			err = tx.MoveDetector(ctx, spec.Name, last)
		}
		return found{hold: spec.Bursts(list), examined: int64(len(list))}, err
	case detect.FailedSettlements:
		list, all, err := tx.FailedTrades(ctx)
		return found{hold: spec.Failed(list), examined: int64(len(list)), all: all}, err
	case detect.UnknownOutcomes:
		list, all, err := tx.UnknownOutcomes(ctx, spec.After)
		return found{hold: spec.Unknown(list), examined: int64(len(list)), all: all}, err
	case detect.TradeBreaks:
		list, all, err := tx.OpenBreaks(ctx)
		return found{hold: spec.Breaks(list), more: detect.BreakKeys(list), examined: int64(len(list)), all: all}, err
	}
	return found{}, nil
}

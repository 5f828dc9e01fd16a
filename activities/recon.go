package activities

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"time"

	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/canonical"
	"finobs/internal/failpoint"
	"finobs/internal/fault"
	"finobs/internal/intake"
	"finobs/internal/ledger"
	"finobs/internal/recon"

	"go.temporal.io/sdk/activity"
)

// ReconTx is what recording a run needs of a transaction.
type ReconTx interface {
	Recorder
	ReconRunOf(ctx context.Context, key string) (recon.Run, bool, error)
	LockBreaks(ctx context.Context, profile, origin string) error
	InsertReconRun(ctx context.Context, r recon.Run, profileText string) (int64, error)
	SetReconReport(ctx context.Context, id int64, report recon.Report) error
	StageBreaks(ctx context.Context, p *recon.Profile, list []recon.Break) error
	MergeBreaks(ctx context.Context, run int64, profile, origin string, covered []int64, out *recon.Report) error
}

// Matcher is a recon.Matcher that holds something until it is closed.
type Matcher interface {
	recon.Matcher
	Close() error
}

// Recons are the activities that compare two sides.
type Recons struct {
	InTx     Transaction[ReconTx]
	Verifier *attest.Verifier
	Spool    Spool
	Profiles *recon.Catalogue
	Open     func(ctx context.Context, p *recon.Profile) (Matcher, error)
	Book     func(ctx context.Context, source, origin, from, to string, take func(*intake.Record) error) error
	Tell     func(ctx context.Context, p recon.Progress) // how far a run is; nil tells nobody
}

// ReconInput is a request with the API's word for who makes it.
type ReconInput struct {
	FirstRun string        `json:"first_run"`
	Command  string        `json:"command"`
	Request  recon.Request `json:"request"`
}

// ScheduledReconInput names a profile of the worker's own configuration. It needs no
// signature: what is compared is on record, and how is the worker's own word.
type ScheduledReconInput struct {
	FirstRun string `json:"first_run"`
	Profile  string `json:"profile"`
}

// ReconDone is what became of a run.
type ReconDone struct {
	RunKey string `json:"run_key"`
	Breaks int    `json:"breaks"`
}

// ReconWorkflowPrefix begins the ids of workflows that compare two sides; the rest
// is the run's key.
const ReconWorkflowPrefix = "recon-"

// SignalReconProgress carries a recon.Progress from the activity to its workflow. It
// is for people who watch; nothing is decided by it.
const SignalReconProgress = "recon.progress"

// reconciling is one execution of a run.
type reconciling struct {
	*Recons
	run      recon.Run
	profile  *recon.Profile
	by       ledger.Actor
	firstRun string
	desk     string
	request  string // id of the HTTP request
}

// Reconcile compares two sides and records the run with its breaks, once. A retry,
// and a start of the same comparison later, finds the run.
func (x *Recons) Reconcile(ctx context.Context, in ReconInput) (ReconDone, error) {
	digest, err := in.Request.Digest()
	if err != nil {
		return ReconDone{}, temporalError(fault.Wrap(err, fault.Invalid, "invalid-recon", "the request is not valid text"))
	}
	c, err := command(ctx, x.Verifier, in.Command, digest)
	if err != nil {
		return ReconDone{}, temporalError(refuseStart(ctx, x.InTx, in.FirstRun, in.Command, err))
	}
	r := reconciling{
		Recons: x, by: ledger.By(c.Principal), firstRun: in.FirstRun, desk: c.Principal.Desk, request: c.RequestID,
		run: recon.Run{Request: in.Request, RequestedBy: c.Principal.Person, TraceID: c.TraceID},
	}
	if r.profile, err = x.profile(&in.Request); err == nil {
		err = in.Request.Check(r.profile)
	}
	if err != nil {
		return ReconDone{}, temporalError(refuseStart(ctx, x.InTx, in.FirstRun, in.Command, err))
	}
	done, err := r.do(ctx)
	return done, temporalError(err)
}

// profile is the one that a request names, by its digest: what the API signed is
// what is compared by.
func (x *Recons) profile(req *recon.Request) (*recon.Profile, error) {
	if req.ProfileText == "" {
		return x.Profiles.ByDigest(req.Profile, req.ProfileDigest)
	}
	p, err := recon.LoadProfile(strings.NewReader(req.ProfileText))
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "invalid-profile", "%v", err)
	}
	if p.Digest != req.ProfileDigest || p.Name != req.Profile {
		return nil, fault.New(fault.Invalid, "invalid-profile", "the profile's text is not the one that its name and digest say")
	}
	return p, nil
}

// ReconcileScheduled compares the two books of a profile that runs by itself.
func (x *Recons) ReconcileScheduled(ctx context.Context, in ScheduledReconInput) (ReconDone, error) {
	p, err := x.Profiles.Named(in.Profile)
	if err == nil && p.Schedule == nil {
		err = fault.New(fault.Forbidden, "not-scheduled", "profile %s has no schedule", p.Name)
	}
	if err != nil {
		return ReconDone{}, temporalError(err)
	}
	info := activity.GetInfo(ctx)
	r := reconciling{
		Recons: x, profile: p, by: ledger.Itself("worker"), firstRun: in.FirstRun,
		run: recon.Run{
			RequestedBy: approval.Person{Issuer: "finobs", Subject: "worker"}, TraceID: traceID(ctx),
			Request: recon.Request{Profile: p.Name, ProfileDigest: p.Digest, Origin: "live", From: p.Schedule.From(info.ScheduledTime), Again: info.WorkflowExecution.ID},
		},
	}
	done, err := r.do(ctx)
	return done, temporalError(err)
}

// do carries the run out. What a person has to mend is recorded as a run that
// failed.
func (r *reconciling) do(ctx context.Context) (ReconDone, error) {
	info := activity.GetInfo(ctx)
	r.run.WorkflowID = info.WorkflowExecution.ID
	r.run.Key = strings.TrimPrefix(r.run.WorkflowID, ReconWorkflowPrefix)
	r.run.Profile, r.run.ProfileDigest, r.run.Origin, r.run.StartedAt = r.profile.Name, r.profile.Digest, r.run.Request.Origin, info.StartedTime.UTC()
	w := &reconWatch{ctx: ctx, tell: r.Tell, began: map[recon.Phase]time.Time{}}
	defer beatWith(ctx, w.last)()
	if done, found, err := r.recorded(ctx); found || err != nil {
		return done, err
	}
	found, err := r.find(ctx, w)
	if err == nil {
		w.at(recon.Progress{Phase: recon.Recording})
		found.Report.Seconds = w.seconds()
		err = r.record(ctx, found)
		failpoint.Hit("recon.after-record")
	}
	if err == nil {
		done, _, err := r.recorded(ctx)
		return done, err
	}
	if fault.KindOf(err).Retryable() {
		return ReconDone{}, err
	}
	return ReconDone{}, r.fail(ctx, err)
}

// recorded finds what an earlier execution did.
func (r *reconciling) recorded(ctx context.Context) (done ReconDone, found bool, err error) {
	err = r.InTx(ctx, func(tx ReconTx) error {
		run, there, err := tx.ReconRunOf(ctx, r.run.Key)
		if found = there && run.State == recon.RunDone; found {
			done = ReconDone{RunKey: run.Key, Breaks: run.Report.Breaks}
		}
		return err
	})
	return done, found, err
}

func (r *reconciling) find(ctx context.Context, w *reconWatch) (*recon.Found, error) {
	m, err := r.Open(ctx, r.profile)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	sources := recon.Sources{Book: r.Book, File: func(sha256 string) (io.ReadCloser, int64, error) {
		f, err := r.Spool.Open(sha256)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, 0, fault.New(fault.NotFound, "no-such-file", "no file with SHA-256 %s was received; send it first: POST /recon/files", sha256)
		}
		if err != nil {
			return nil, 0, fmt.Errorf("opening received file: %w", err)
		}
		info, err := f.Stat()
		if err != nil {
			return nil, 0, errors.Join(fmt.Errorf("opening received file: %w", err), f.Close())
		}
		return f, info.Size(), nil
	}}
	return recon.Find(ctx, r.profile, &r.run.Request, m, sources, func(p recon.Progress) {
		w.at(p)
		failpoint.Hit("recon." + strings.ReplaceAll(string(p.Phase), "_", "-"))
	})
}

// record puts the run, its breaks and its ledger entry on record in one short
// transaction.
func (r *reconciling) record(ctx context.Context, found *recon.Found) error {
	run := r.run
	run.State, run.Report, run.BreaksSHA256 = recon.RunDone, found.Report, recon.BreaksDigest(found.Breaks)
	return r.InTx(ctx, func(tx ReconTx) error {
		if err := tx.StageBreaks(ctx, r.profile, found.Breaks); err != nil {
			return err
		}
		if err := tx.LockBreaks(ctx, run.Profile, run.Origin); err != nil {
			return err
		}
		if before, there, err := tx.ReconRunOf(ctx, run.Key); err != nil || there && before.State == recon.RunDone {
			return err // by an attempt that was taken for dead
		}
		id, err := tx.InsertReconRun(ctx, run, r.profile.Text)
		if err != nil {
			return err
		}
		report := run.Report
		if err := tx.MergeBreaks(ctx, id, run.Profile, run.Origin, found.Covered, &report); err != nil {
			return err
		}
		if err := tx.SetReconReport(ctx, id, report); err != nil {
			return err
		}
		failpoint.Hit("recon.before-commit")
		return r.append(ctx, tx, "recon.done", run.Key, "", reportDetails(run, report))
	})
}

func reportDetails(run recon.Run, report recon.Report) canonical.Object {
	types := canonical.Object{}
	for t, found := range report.ByType {
		types[string(t)] = strconv.Itoa(found.Count)
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	return canonical.Object{
		"breaks": strconv.Itoa(report.Breaks), "by_type": types, "breaks_sha256": run.BreaksSHA256,
		"left_rows": number(report.Left.Rows), "right_rows": number(report.Right.Rows),
		"left_bad_lines": badLines(report.Left), "right_bad_lines": badLines(report.Right),
		"matched_exact": number(report.Matched.Exact), "matched_fuzzy": number(report.Matched.Fuzzy),
		"opened": number(report.Opened), "reopened": number(report.Reopened), "changed": number(report.Changed),
		"unchanged": number(report.Same), "resolved": number(report.Resolved),
	}
}

func badLines(s recon.SideReport) string {
	if s.Lines == nil {
		return "0"
	}
	return strconv.Itoa(s.Lines.BadLines)
}

func (r *reconciling) append(ctx context.Context, tx ReconTx, kind, ordinal, reason string, details canonical.Object) error {
	q := r.run.Request
	for name, value := range map[string]string{
		"profile": r.run.Profile, "profile_sha256": r.run.ProfileDigest, "origin": r.run.Origin, "left_sha256": q.Left, "right_sha256": q.Right,
		"left_allocations_sha256": q.LeftAllocations, "right_allocations_sha256": q.RightAllocations,
		"left_book": r.profile.Books[recon.Left].Book, "right_book": r.profile.Books[recon.Right].Book, "from": q.From, "to": q.To,
	} {
		if value != "" {
			details[name] = value
		}
	}
	_, err := tx.Append(ctx, stepOf(ctx, r.firstRun, kind, ordinal), ledger.Entry{
		Type: kind, Actor: r.by, Subject: ledger.Subject{Kind: "recon", ID: r.run.Key}, Action: "reconcile", Outcome: strings.TrimPrefix(kind, "recon."), Reason: reason,
		Desk: r.desk, RequestID: r.request, TraceID: r.run.TraceID, Details: details,
	})
	return err
}

// fail records that a run failed, and returns why.
func (r *reconciling) fail(ctx context.Context, why error) error {
	run := r.run
	run.State, run.Reason = recon.Failed, fault.MessageOf(why)
	err := r.InTx(ctx, func(tx ReconTx) error {
		if before, there, err := tx.ReconRunOf(ctx, run.Key); err != nil || there && before.State == recon.RunDone {
			return err
		}
		if _, err := tx.InsertReconRun(ctx, run, r.profile.Text); err != nil {
			return err
		}
		// Tried again, it may fail for another reason.
		ordinal := strings.Join([]string{run.Key, fault.CodeOf(why), run.Reason}, " ")
		return r.append(ctx, tx, "recon.failed", ordinal, cut(run.Reason, 2000), canonical.Object{"code": fault.CodeOf(why)})
	})
	if err != nil {
		return err
	}
	return why
}

// reconWatch tells people how far a run has come.
type reconWatch struct {
	ctx  context.Context //nolint:containedctx // of the activity, which it lives as long as
	tell func(ctx context.Context, p recon.Progress)

	mu    sync.Mutex
	now   recon.Progress
	order []recon.Phase
	began map[recon.Phase]time.Time
	next  time.Time
	every time.Duration
}

func (w *reconWatch) last() any {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// at takes a report. Each that reaches the workflow is an event of its history, so
// they become more and more seldom.
func (w *reconWatch) at(p recon.Progress) {
	now := time.Now() //nolint:forbidigo // how often people are told; nothing is decided by it
	w.mu.Lock()
	_, known := w.began[p.Phase]
	w.now = p
	if !known {
		w.began[p.Phase], w.order = now, append(w.order, p.Phase)
	}
	due := w.tell != nil && (!known || now.After(w.next))
	if due {
		w.every = min(max(w.every*5/4, firstReport), lastReport)
		w.next = now.Add(w.every)
	}
	w.mu.Unlock()
	if due {
		w.tell(w.ctx, p)
	}
}

// SignalRecon tells the workflow of an activity how far its run is.
func SignalRecon(ctx context.Context, p recon.Progress) {
	info := activity.GetInfo(ctx).WorkflowExecution
	if err := activity.GetClient(ctx).SignalWorkflow(ctx, info.ID, info.RunID, SignalReconProgress, p); err != nil {
		activity.GetLogger(ctx).Debug("progress not reported", "error", err)
	}
}

// seconds is how long each phase took that has ended.
func (w *reconWatch) seconds() map[recon.Phase]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[recon.Phase]string{}
	for i := 0; i+1 < len(w.order); i++ {
		out[w.order[i]] = strconv.FormatFloat(w.began[w.order[i+1]].Sub(w.began[w.order[i]]).Seconds(), 'f', 2, 64)
	}
	return out
}

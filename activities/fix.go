package activities

import (
	"context"
	"encoding/json"
	"io"
	"strconv"

	"finobs/internal/attest"
	"finobs/internal/canonical"
	"finobs/internal/dropcopy"
	"finobs/internal/event"
	"finobs/internal/failpoint"
	"finobs/internal/fault"
	"finobs/internal/fix"
	"finobs/internal/incident"
	"finobs/internal/intake"
	"finobs/internal/transaction"
)

// FIXTx is what the import of a FIX log needs of a transaction.
type FIXTx interface {
	TransactionsTx
	OccurrenceTx
	LockSource(ctx context.Context, source string) error
	PutEvents(ctx context.Context, list []event.Event) (added []int, err error)
	DropSuperseded(ctx context.Context, source string, corrected []string) (int64, error)
	BustTransactions(ctx context.Context, importID int64, source, traceID string) (int64, error)
}

// FIXLogs are the activities over FIX logs and drop copies.
type FIXLogs struct {
	InTx     Transaction[FIXTx]
	Verifier *attest.Verifier
	Spool    Spool
}

// eventBatch is how many events one statement writes.
const eventBatch = 1000

// mostRevisions bounds the corrections and busts of one log, which are kept in
// memory.
const mostRevisions = 100_000

// ImportFIXLog reads a spooled FIX log in one transaction: its events and what they
// mean for incidents, its fills as transactions, and the report.
func (x *FIXLogs) ImportFIXLog(ctx context.Context, in ImportInput) (json.RawMessage, error) {
	if in.File.Kind != intake.KindFIX || in.File.Source == "" {
		return nil, temporalError(fault.New(fault.Invalid, "invalid-import", "a file of kind %q and source %q is no FIX log", in.File.Kind, in.File.Source))
	}
	return importFile(ctx, x.InTx, x.Verifier, x.Spool, in, func(ctx context.Context, tx FIXTx, l loading) (loaded, error) {
		f := &fixLoad{tx: tx, log: dropcopy.Log{
			Source: l.file.Source, Desk: l.file.Desk, Currency: l.file.Currency, ContentSHA256: l.file.ContentSHA256,
			Origin: incident.Origin(l.file.Origin), ReceivedAt: tx.Now(), TraceID: l.traceID,
		}, revised: map[string]*fix.Event{}}
		return f.load(ctx, in.FirstRun, l)
	})
}

// fixLoad reads one log, twice: copying trades to the database leaves no room for
// other statements while it lasts.
type fixLoad struct {
	tx          FIXTx
	log         dropcopy.Log
	out         intake.FIXReport
	revised     map[string]*fix.Event // by trade id: its last correction or bust in this log
	occurrences []incident.Occurrence
	batch       []event.Event
}

func (f *fixLoad) load(ctx context.Context, firstRun string, l loading) (loaded, error) {
	// Its events are written in the order of the log, not in that of their keys.
	if err := f.tx.LockSource(ctx, l.file.Source); err != nil {
		return loaded{}, err
	}
	if err := f.events(ctx, l.content); err != nil {
		return loaded{}, err
	}
	failpoint.Hit("fix.after-events")
	if _, err := l.content.Seek(0, io.SeekStart); err != nil {
		return loaded{}, err
	}
	if err := f.trades(ctx, l); err != nil {
		return loaded{}, err
	}
	folded, err := occurAll(ctx, f.tx, firstRun, f.occurrences)
	if err != nil {
		return loaded{}, err
	}
	for _, x := range folded {
		switch x.Folding {
		case incident.Opened, incident.Reopened, incident.Suppressed:
			f.out.IncidentsOpened++
		case incident.AutoEnded:
			f.out.IncidentsResolved++
		case incident.Repeated, incident.Updated, incident.Ignored:
		}
	}
	out := f.out
	return loaded{report: out, refusal: out.Refusal(), details: canonical.Object{
		"kind": string(intake.KindFIX), "messages": strconv.Itoa(out.Messages), "bad_lines": strconv.Itoa(out.BadMessages + out.BadTrades),
		"events_added": strconv.Itoa(out.EventsAdded), "added": strconv.FormatInt(out.Changes.Added, 10),
		"corrected": strconv.FormatInt(out.Changes.Corrected, 10), "unchanged": strconv.FormatInt(out.Changes.Unchanged, 10),
		"incidents_opened": strconv.Itoa(out.IncidentsOpened), "busted": strconv.FormatInt(out.Busted, 10),
	}}, nil
}

// events records the log's events.
func (f *fixLoad) events(ctx context.Context, content io.Reader) error {
	watch := dropcopy.NewWatch(f.log)
	report, err := fix.ReadEvents(content, func(e *fix.Event) error {
		if x := e.Execution; x != nil && (x.Action == fix.ActionBust || x.Action == fix.ActionCorrect) {
			if len(f.revised) == mostRevisions {
				return fault.New(fault.TooLarge, "too-many-corrections", "line %d: the log has over %d corrections and busts; split it", e.Line, mostRevisions)
			}
			f.revised[dropcopy.TradeID(e, x.ExecRefID)] = e
		}
		out, is := watch.Event(e)
		if !is {
			return nil
		}
		return f.add(ctx, out)
	})
	if err != nil {
		return err
	}
	f.out.EventReport = report
	for _, e := range watch.Gaps(report) {
		if err := f.add(ctx, e); err != nil {
			return err
		}
	}
	return f.flush(ctx)
}

func (f *fixLoad) add(ctx context.Context, e event.Event) error {
	if err := e.Validate(); err != nil {
		return err
	}
	if f.batch = append(f.batch, e); len(f.batch) == eventBatch {
		return f.flush(ctx)
	}
	return nil
}

func (f *fixLoad) flush(ctx context.Context) error {
	added, err := f.tx.PutEvents(ctx, f.batch)
	if err != nil {
		return err
	}
	f.out.EventsAdded += len(added)
	f.out.EventsRepeated += len(f.batch) - len(added)
	for _, place := range added {
		if o, is := f.batch[place].Occurrence(f.log.Desk); is {
			f.occurrences = append(f.occurrences, o)
		}
	}
	f.batch = f.batch[:0]
	return nil
}

// trades brings the log's fills on record as transactions of its source. A fill
// that this log corrects is what the correction says; one that is busted is
// cancelled, whichever of the two logs comes first.
func (f *fixLoad) trades(ctx context.Context, l loading) error {
	err := f.tx.StageTransactions(ctx, func(put func(int, *transaction.Transaction) error) error {
		_, err := fix.ReadEvents(l.content, func(e *fix.Event) error {
			if e.Execution == nil || !f.staged(e) {
				return nil
			}
			t, problem := f.log.Trade(e)
			if problem != nil {
				f.out.BadTrade(*problem)
				return nil
			}
			return put(e.Line, &t)
		})
		return err
	})
	if err != nil {
		return err
	}
	corrected := []string{} // nil would be NULL
	for id, e := range f.revised {
		if e.Execution.Action == fix.ActionCorrect {
			corrected = append(corrected, id)
		}
	}
	if f.out.TradesRepeated, _, err = f.tx.DropRepeated(ctx, 1); err != nil {
		return err
	}
	if f.out.TradesSuperseded, err = f.tx.DropSuperseded(ctx, l.file.Source, corrected); err != nil {
		return err
	}
	if f.out.Changes, err = f.tx.MergeTransactions(ctx, l.id, l.file.Source, l.file.Origin, l.traceID); err != nil {
		return err
	}
	f.out.Busted, err = f.tx.BustTransactions(ctx, l.id, l.file.Source, l.traceID)
	failpoint.Hit("fix.after-trades")
	return err
}

// staged reports whether an execution is what its trade is to be after this log.
func (f *fixLoad) staged(e *fix.Event) bool {
	x := e.Execution
	switch x.Action {
	case fix.ActionTrade:
		last := f.revised[dropcopy.TradeID(e, x.ExecID)]
		return last == nil || last.Execution.Action == fix.ActionBust
	case fix.ActionCorrect:
		last := f.revised[dropcopy.TradeID(e, x.ExecRefID)]
		return last != nil && last.Line == e.Line
	default:
		return false
	}
}

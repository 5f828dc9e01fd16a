package activities

import (
	"cmp"
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/canonical"
	"finobs/internal/desk"
	"finobs/internal/failpoint"
	"finobs/internal/fault"
	"finobs/internal/incident"
	"finobs/internal/intake"
)

// FailsTx is what the activities over fails need of a transaction.
type FailsTx interface {
	ImportTx
	PutFails(ctx context.Context, importID int64, batch []intake.Fail) (intake.Changes, error)
	FailedSecurities(ctx context.Context, minShares int64, minDays int) ([]desk.FailedSecurity, error)
	OccurrenceTx
}

// Fails are the activities over the SEC's fails-to-deliver files.
type Fails struct {
	InTx     Transaction[FailsTx]
	Verifier *attest.Verifier
	Spool    Spool
}

// batchRows is how many balances one statement writes.
const batchRows = 5000

// ImportFailsFile loads a spooled file in one transaction: all good lines and the
// report, or nothing. A content that was imported before changes nothing.
func (x *Fails) ImportFailsFile(ctx context.Context, in ImportInput) (json.RawMessage, error) {
	if !in.File.Fails() {
		return nil, temporalError(fault.New(fault.Invalid, "invalid-import", "a file of kind %s is not one of fails", in.File.Kind))
	}
	return importFile(ctx, x.InTx, x.Verifier, x.Spool, in, loadFails)
}

func loadFails(ctx context.Context, tx FailsTx, l loading) (loaded, error) {
	var out intake.ImportReport
	batch := make([]intake.Fail, 0, batchRows)
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		changes, err := tx.PutFails(ctx, l.id, batch)
		if err != nil {
			return err
		}
		out.Changes.Add(changes)
		batch = batch[:0]
		return nil
	}
	var err error
	out.Report, err = intake.ReadFails(l.content, func(f intake.Fail) error {
		if batch = append(batch, f); len(batch) == batchRows {
			return flush()
		}
		return nil
	})
	if err == nil {
		err = flush()
	}
	return loaded{report: out, refusal: out.Refusal(), details: canonical.Object{
		"rows": strconv.Itoa(out.Rows), "bad_lines": strconv.Itoa(out.BadLines), "trailer": out.TrailerStatus,
		"added": strconv.FormatInt(out.Changes.Added, 10), "corrected": strconv.FormatInt(out.Changes.Corrected, 10),
	}}, err
}

// DetectInput starts a detection over everything that is loaded.
type DetectInput struct {
	FirstRun string `json:"first_run"`
	Origin   string `json:"origin"` // of the incidents that it opens; empty: that of the balances
}

// Detected counts what a detection found.
type Detected struct {
	Securities int `json:"securities"` // that pass the share test
	Opened     int `json:"opened"`     // incidents
	Updated    int `json:"updated"`    // incidents whose run of days went on
}

// detectBatch is how many securities one transaction handles: short enough not to
// hold locks, long enough to be quick.
const detectBatch = 250

// DetectFails opens one incident for each security whose balance has been at or
// over desk.ThresholdShares on desk.ThresholdDays consecutive settlement days, and
// brings the open ones up to date.
func (x *Fails) DetectFails(ctx context.Context, in DetectInput) (Detected, error) {
	defer beat(ctx)()
	var streaks []desk.FailedSecurity
	err := x.InTx(ctx, func(tx FailsTx) (err error) {
		streaks, err = tx.FailedSecurities(ctx, desk.ThresholdShares, desk.ThresholdDays)
		return err
	})
	if err != nil {
		return Detected{}, temporalError(err)
	}
	out := Detected{Securities: len(streaks)}
	for start := 0; start < len(streaks); start += detectBatch {
		batch := streaks[start:min(start+detectBatch, len(streaks))]
		var opened, updated int
		err := x.InTx(ctx, func(tx FailsTx) error {
			occurrences := make([]incident.Occurrence, 0, len(batch))
			for _, s := range batch {
				occurrences = append(occurrences, failOccurrence(in, s))
			}
			folded, err := occurAll(ctx, tx, in.FirstRun, occurrences)
			if err != nil {
				return err
			}
			opened, updated = 0, 0
			for _, f := range folded {
				switch f.Folding {
				case incident.Opened, incident.Reopened, incident.Suppressed:
					opened++
				case incident.Updated:
					updated++
				case incident.Repeated, incident.AutoEnded, incident.Ignored:
				}
			}
			return nil
		})
		if err != nil {
			return out, temporalError(err)
		}
		out.Opened += opened
		out.Updated += updated
		failpoint.Hit("detect.after-batch")
	}
	return out, nil
}

// failOccurrence is a run of days as an occurrence. It counts once for its figures:
// detecting over the same balances again neither repeats it nor opens what a person
// has closed.
func failOccurrence(in DetectInput, s desk.FailedSecurity) incident.Occurrence {
	i := failIncident(in, s)
	key := strings.Join([]string{
		i.DedupKey, i.Details["first_date"], i.Details["last_date"], i.Details["settlement_days"], i.Details["peak_shares"], i.Details["last_shares"],
	}, "/")
	return incident.Occurrence{Key: key, Firing: true, At: s.Streak.Last, Incident: i}
}

// detector is who opens incidents on the strength of a rule.
func detector() approval.Principal {
	return approval.Principal{Kind: approval.System, Person: approval.Person{Issuer: "finobs", Subject: "detector"}}
}

func failIncident(in DetectInput, s desk.FailedSecurity) incident.Incident {
	origin := cmp.Or(in.Origin, s.Origin)
	return incident.Incident{
		Kind: incident.FailedSettlement, Severity: s.Streak.Severity(), Status: incident.Open,
		Title: s.Title(), Description: s.Describe(),
		Source: intake.SourceFails, DedupKey: intake.SourceFails + ":" + s.CUSIP, SubjectKind: "security", SubjectID: s.CUSIP,
		ExposureUSD: s.Streak.ExposureUSD(), Origin: incident.Origin(origin), OpenedBy: detector(),
		Details: map[string]string{
			"symbol": s.Symbol, "first_date": s.Streak.First.Format(time.DateOnly), "last_date": s.Streak.Last.Format(time.DateOnly),
			"settlement_days": strconv.Itoa(s.Streak.Days), "peak_shares": strconv.FormatInt(s.Streak.PeakShares, 10),
			"last_shares": strconv.FormatInt(s.Streak.LastShares, 10), "rule": "17 CFR 242.203(c)(6), share test",
		},
	}
}

package recon

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"

	"finobs/internal/fault"
	"finobs/internal/intake"
	"finobs/internal/transaction"

	"github.com/shopspring/decimal"
)

// Matcher finds out which rows of two sides belong together. Its methods are called
// in the order in which they stand here.
type Matcher interface {
	Load(ctx context.Context, h Hand, read func(put func(*Row) error) error) error
	Days(ctx context.Context, h Hand) (from, to string, err error)
	LoadAllocations(ctx context.Context, h Hand, read func(put func(key, account, quantity string) error) error) error
	Match(ctx context.Context, phase func(Phase)) (Matched, error)
	Differences(ctx context.Context, take func(*Pair) error) error
	AllocationDifferences(ctx context.Context, take func(p *Pair, left, right []Allocation) error) error
	Duplicates(ctx context.Context, h Hand, take func(*Group) error) error
	Unmatched(ctx context.Context, h Hand, take func(row *Row, twin string) error) error
	Covered(ctx context.Context, origin, from, to string, everything bool) ([]int64, error)
}

// Sources is where the two sides come from.
type Sources struct {
	File func(sha256 string) (content io.ReadCloser, size int64, err error)
	Book func(ctx context.Context, source, origin, from, to string, take func(*intake.Record) error) error
}

// Found is what a comparison found.
type Found struct {
	Breaks  []Break // by type, key and field
	Report  Report
	Covered []int64 // open breaks on record that would be among Breaks if they were still there
}

// Find compares two sides. It reads the bad lines of files into the report and
// leaves them out; a strict request refuses them. Watch is told how far it has come.
func Find(ctx context.Context, p *Profile, req *Request, m Matcher, from Sources, watch func(Progress)) (*Found, error) {
	f := &finder{p: p, req: req, m: m, from: from, watch: watch, out: &Found{Breaks: []Break{}}}
	if err := f.load(ctx); err != nil {
		return nil, err
	}
	var err error
	f.out.Report.Matched, err = m.Match(ctx, func(phase Phase) { watch(Progress{Phase: phase}) })
	if err != nil {
		return nil, err
	}
	watch(Progress{Phase: Comparing})
	if err := f.compare(ctx); err != nil {
		return nil, err
	}
	slices.SortStableFunc(f.out.Breaks, func(a, b Break) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Field, b.Field),
			slices.Compare(a.LeftIDs, b.LeftIDs), slices.Compare(a.RightIDs, b.RightIDs))
	})
	f.out.Report.Count(f.out.Breaks)
	everything := !p.Files(Left) && !p.Files(Right) && req.From == "" && req.To == ""
	f.out.Covered, err = m.Covered(ctx, req.Origin, req.From, req.To, everything)
	return f.out, err
}

type finder struct {
	p     *Profile
	req   *Request
	m     Matcher
	from  Sources
	watch func(Progress)
	out   *Found
}

// load reads both sides. A book beside a file is read for the days of the file,
// unless days were asked for: of all other days the file says nothing.
func (f *finder) load(ctx context.Context) error {
	order := []Hand{Left, Right}
	if !f.p.Files(Left) && f.p.Files(Right) {
		order = []Hand{Right, Left}
	}
	from, to := f.req.From, f.req.To
	for i, h := range order {
		side := f.out.Report.Side(h)
		side.Label = f.p.Books[h].Label
		var err error
		if f.p.Files(h) {
			err = f.loadFile(ctx, h, side)
		} else {
			err = f.loadBook(ctx, h, side, from, to)
		}
		if err != nil {
			return fmt.Errorf("reading the %s side: %w", h, err)
		}
		if i == 0 && f.p.Files(h) && !f.p.Files(h.Other()) && from == "" && to == "" {
			if from, to, err = f.m.Days(ctx, h); err != nil {
				return fmt.Errorf("reading the %s side: %w", h, err)
			}
		}
	}
	for _, h := range order {
		if err := f.loadAllocations(ctx, h); err != nil {
			return fmt.Errorf("reading the allocations of the %s side: %w", h, err)
		}
	}
	return nil
}

func phaseOf(h Hand) Phase {
	if h == Left {
		return ReadingLeft
	}
	return ReadingRight
}

// take puts a record among the rows that are compared, unless it is cancelled or
// of another day.
func (f *finder) take(side *SideReport, r *intake.Record, put func(*Row) error) error {
	switch {
	case r.Get(intake.TradeStatus) == string(transaction.Cancelled):
		side.Cancelled++
		return nil
	case !f.req.Covers(r.Get(intake.TradeDate)):
		side.Outside++
		return nil
	}
	side.Rows++
	row := f.p.Row(r)
	return put(&row)
}

// watched is how often progress is told, in rows.
const watched = 4096

func (f *finder) loadBook(ctx context.Context, h Hand, side *SideReport, from, to string) error {
	f.watch(Progress{Phase: phaseOf(h)})
	return f.m.Load(ctx, h, func(put func(*Row) error) error {
		return f.from.Book(ctx, f.p.Books[h].Book, f.req.Origin, from, to, func(r *intake.Record) error {
			if side.Rows%watched == 0 {
				f.watch(Progress{Phase: phaseOf(h), Rows: side.Rows})
			}
			return f.take(side, r, put)
		})
	})
}

func (f *finder) loadFile(ctx context.Context, h Hand, side *SideReport) error {
	return f.read(f.req.File(h), func(content *hashed) (report intake.LineReport, err error) {
		progress := func(rows int64) {
			f.watch(Progress{Phase: phaseOf(h), Rows: rows, Bytes: content.read, Total: content.size})
		}
		progress(0)
		err = f.m.Load(ctx, h, func(put func(*Row) error) (err error) {
			report, err = intake.ReadRecords(content, f.p.Books[h].Layout, func(r *intake.Record) error {
				if side.Rows%watched == 0 {
					progress(side.Rows)
				}
				return f.take(side, r, put)
			})
			return err
		})
		side.Lines = &report
		return report, err
	})
}

func (f *finder) loadAllocations(ctx context.Context, h Hand) error {
	layout, digest := f.p.Books[h].Allocations, f.req.Allocations(h)
	if layout == nil || digest == "" {
		return nil
	}
	return f.read(digest, func(content *hashed) (report intake.LineReport, err error) {
		err = f.m.LoadAllocations(ctx, h, func(put func(key, account, quantity string) error) (err error) {
			report, err = intake.ReadRecords(content, *layout, func(r *intake.Record) error {
				row := f.p.Row(r)
				if row.Keys[0] == "" {
					return nil // belongs to no trade
				}
				return put(row.Keys[0], row.Get(intake.Account), row.Get(intake.Quantity))
			})
			return err
		})
		f.out.Report.Side(h).Allocations = &report
		return report, err
	})
}

// read opens a file and judges what became of it: that it was the one asked for,
// and that it is clean when it has to be.
func (f *finder) read(digest string, use func(*hashed) (intake.LineReport, error)) error {
	content, size, err := f.from.File(digest)
	if err != nil {
		return err
	}
	defer content.Close()
	h := &hashed{in: content, sum: sha256.New(), size: size}
	report, err := use(h)
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(h.sum.Sum(nil)); got != digest {
		return fault.New(fault.Invalid, "file-altered", "the received file has SHA-256 %s by now, not %s; send it again", got, digest)
	}
	if first := firstError(report); report.BadLines > 0 && (f.req.Strict || report.Rows == 0) {
		return fault.New(fault.Invalid, "file-not-clean", "%d of %d lines are bad%s", report.BadLines, report.Lines, first)
	}
	return nil
}

func firstError(r intake.LineReport) string {
	if len(r.Errors) == 0 {
		return ""
	}
	e := r.Errors[0]
	return fmt.Sprintf("; the first is line %d: %s", e.Line, strings.TrimLeft(e.Column+" "+e.Problem, " "))
}

// hashed counts and hashes what is read.
type hashed struct {
	in   io.Reader
	sum  hash.Hash
	read int64
	size int64
}

// Read implements io.Reader.
func (h *hashed) Read(b []byte) (int, error) {
	n, err := h.in.Read(b)
	h.sum.Write(b[:n])
	h.read += int64(n)
	return n, err
}

func (f *finder) add(list ...Break) error {
	f.out.Breaks = append(f.out.Breaks, list...)
	if len(f.out.Breaks) <= f.p.MaxBreaks {
		return nil
	}
	return fault.New(fault.Invalid, "too-many-breaks",
		"there are over %d breaks: the two sides hardly belong together, or the keys of profile %s do not fit; nothing was recorded (max_breaks of the profile is the limit)",
		f.p.MaxBreaks, f.p.Name)
}

func (f *finder) compare(ctx context.Context) error {
	matched := &f.out.Report.Matched
	err := f.m.Differences(ctx, func(pair *Pair) error {
		if pair.NeedsReview {
			matched.Look(pair)
		}
		return f.add(f.p.Compare(pair)...)
	})
	if err != nil {
		return err
	}
	if f.req.LeftAllocations != "" {
		err := f.m.AllocationDifferences(ctx, func(pair *Pair, left, right []Allocation) error {
			return f.add(f.p.CompareAllocations(pair, left, right)...)
		})
		if err != nil {
			return err
		}
	}
	for _, h := range []Hand{Left, Right} {
		if err := f.m.Duplicates(ctx, h, func(g *Group) error { return f.add(f.p.Duplicate(h, g)) }); err != nil {
			return err
		}
		err := f.m.Unmatched(ctx, h, func(row *Row, twin string) error {
			if twin != "" {
				return f.add(f.p.Suspect(h, row, twin))
			}
			return f.add(f.p.Missing(h, row))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// one is the confidence of what a key says.
var one = decimal.NewFromInt(1)

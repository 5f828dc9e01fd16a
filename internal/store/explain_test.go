package store_test

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"finobs/internal/agent"
	"finobs/internal/approval"
	"finobs/internal/detect"
	"finobs/internal/export"
	"finobs/internal/health"
	"finobs/internal/pgtest"
	"finobs/internal/store"
)

const (
	filled   = 10_000 // rows of each table that grows
	mostRead = 1000   // of them, by a step of a plan
)

// look is something that is done again and again, however much is stored.
type look func(p *players) error

// players are those who look.
type players struct {
	w *store.Writer
	r *store.Reader
	s *store.Sequencer
}

func (p *players) tx(fn func(*store.Tx) error) error { return store.InTx[*store.Tx](p.w)(ctx, fn) }

// seldom are methods that nobody calls again and again, and why they may read what
// they read.
var seldom = map[string]string{
	"Writer.Close": "", "Writer.Ping": "", "Writer.SetDesk": "", "Writer.Now": "", "Writer.Today": "",
	"Writer.SetDestinations": "at the start", "Writer.SetDetectors": "at the start", "Writer.SetChannels": "at the start",
	"Writer.StreamDataset": "an export reads what was asked for", "Writer.Transactions": "a run reads what was asked for",
	"Writer.Recon": "a reconciliation reads both its sides", "Writer.ReadBook": "a reconciliation reads both its sides",
	"Writer.ProveEntry": "reads by key",
	"Sequencer.Close":   "", "Sequencer.EntryNudges": "is told", "Sequencer.Tiles": "reads by key", "Sequencer.AppendRotation": "only adds", "Sequencer.AppendLag": "only adds",
}

// looks are all that workers, sequencers and the API do every few seconds. Every
// method of a Writer and of a Sequencer is here or in seldom.
var looks = map[string]look{
	"Writer.QueuedNotices": func(p *players) error {
		_, err := p.w.QueuedNotices(ctx, time.Hour, 200)
		return err
	},
	"Writer.TakeNudged":  func(p *players) error { _, err := p.w.TakeNudged(ctx, 200); return err },
	"Writer.ForgetNudge": func(p *players) error { return p.w.ForgetNudge(ctx, 7) },
	"Writer.Lives":       func(p *players) error { _, err := p.w.Lives(ctx, 0, 1000); return err },
	"Writer.OpenRequests": func(p *players) error {
		_, err := p.w.OpenRequests(ctx, 0, 1000)
		return err
	},
	"Writer.StatusesOf": func(p *players) error {
		_, err := p.w.StatusesOf(ctx, []int64{1, 5000, 9000})
		return err
	},
	"Writer.AsReconciler": func(p *players) error {
		_, err := p.w.AsReconciler(ctx, "w", func(context.Context, bool) error { return nil })
		return err
	},
	"Writer.LiveSchedules": func(p *players) error { _, err := p.w.LiveSchedules(ctx); return err },
	"Writer.ScheduleLives": func(p *players) error { _, err := p.w.ScheduleLives(ctx, 1); return err },
	"Writer.OpenSlots":     func(p *players) error { _, err := p.w.OpenSlots(ctx); return err },
	"Writer.LastManifest":  func(p *players) error { _, _, err := p.w.LastManifest(ctx); return err },
	"Writer.ExportIDs": func(p *players) error {
		_, err := p.w.ExportIDs(ctx, export.Selection{}, 0, 100)
		return err
	},
	"Writer.Beat": func(p *players) error {
		return p.w.Beat(ctx, health.Process{Instance: "j", Host: "h", StartedAt: time.Now()}, nil)
	},
	"Writer.Found": func(p *players) error {
		now := time.Now()
		if err := p.w.Beat(ctx, health.Process{Instance: "i", Host: "h", StartedAt: now}, nil); err != nil {
			return err
		}
		return p.w.Found(ctx, health.Finding{Instance: "i", Kind: health.Model, Name: "m", State: health.OK, Since: now, LookedAt: now})
	},
	"Writer.EndBeat":      func(p *players) error { return p.w.EndBeat(ctx, "none") },
	"Writer.Alive":        func(p *players) error { _, err := p.w.Alive(ctx, "h", time.Minute); return err },
	"Writer.LastExchange": func(p *players) error { _, err := p.w.LastExchange(ctx, "none", "none"); return err },

	"Sequencer.Lead":     func(p *players) error { _, err := p.s.Lead(ctx, "s", time.Minute); return err },
	"Sequencer.Report":   func(p *players) error { _, err := p.s.Report(ctx, "s", "", "k"); return err },
	"Sequencer.Tree":     func(p *players) error { _, err := p.s.Tree(ctx); return err },
	"Sequencer.Waiting":  func(p *players) error { _, err := p.s.Waiting(ctx); return err },
	"Sequencer.Sequence": func(p *players) error { _, _, err := p.s.Sequence(ctx, 1000); return err },
	"Sequencer.LatestCheckpoint": func(p *players) error {
		_, err := p.s.LatestCheckpoint(ctx)
		return err
	},
	"Sequencer.PutCheckpoint": func(p *players) error { return p.s.PutCheckpoint(ctx, 7, nil) },
	"Sequencer.Behind":        func(p *players) error { _, _, err := p.s.Behind(ctx, 1000); return err },
	"Sequencer.Leaves":        func(p *players) error { _, err := p.s.Leaves(ctx, filled-50, 500); return err },
	"Sequencer.Cursor":        func(p *players) error { _, err := p.s.Cursor(ctx, "siem"); return err },
	"Sequencer.Advance":       func(p *players) error { return p.s.Advance(ctx, "siem", 1) },
	"Sequencer.ReportSink":    func(p *players) error { return p.s.ReportSink(ctx, "siem", []byte("{}")) },
	"Sequencer.Alive":         func(p *players) error { _, _, err := p.s.Alive(ctx, time.Minute); return err },

	"Reader.ActionsToAsk": func(p *players) error {
		_, _, _ = p.r.ActionsToAsk(ctx, 0, 50) // it says that the plans, which are made up, are broken
		return nil
	},
	"Reader.Standing":     func(p *players) error { _, err := p.r.Standing(ctx); return err },
	"Reader.Systems":      func(p *players) error { _, err := p.r.Systems(ctx); return err },
	"Reader.LastIndex":    func(p *players) error { _, err := p.r.LastIndex(ctx); return err },
	"Reader.EntriesAfter": func(p *players) error { _, err := p.r.EntriesAfter(ctx, filled-50, 500); return err },
	"Reader.Members":      func(p *players) error { _, err := p.r.Members(ctx, []string{"a"}); return err },
	"Reader.DelegationsInForce": func(p *players) error {
		_, err := p.r.DelegationsInForce(ctx, time.Now())
		return err
	},
	"Reader.Roster":         func(p *players) error { _, err := p.r.Roster(ctx); return err },
	"Reader.LatestApproval": func(p *players) error { _, _, err := p.r.LatestApproval(ctx, "sha256:0"); return err },
	"Reader.Decision":       func(p *players) error { _, _, err := p.r.Decision(ctx, zeroID); return err },
	"Reader.RequestsByID":   func(p *players) error { _, err := p.r.RequestsByID(ctx, []int64{1, 5000, 9000}); return err },
	"Reader.DecisionsByID":  func(p *players) error { _, err := p.r.DecisionsByID(ctx, []string{zeroID}); return err },
	"Reader.OutcomeTasks": func(p *players) error {
		_, err := p.r.OutcomeTasks(ctx, true, true, true, approval.Person{Subject: "a"}, 500)
		return err
	},
}

const zeroID = "00000000-0000-0000-0000-000000000000"

// detectors are what each detector reads.
var detectors = map[detect.Name]func(*store.Tx) error{
	detect.SilentSystems: func(tx *store.Tx) error { _, err := tx.SilentSystems(ctx, 3); return err },
	detect.StaleFeeds:    func(tx *store.Tx) error { _, err := tx.LastHeard(ctx); return err },
	detect.RejectBursts:  func(tx *store.Tx) error { _, _, err := tx.Bursts(ctx, filled-50, time.Minute); return err },
	detect.FailedSettlements: func(tx *store.Tx) error {
		_, _, err := tx.FailedTrades(ctx)
		return err
	},
	detect.UnknownOutcomes: func(tx *store.Tx) error { _, _, err := tx.UnknownOutcomes(ctx, time.Hour); return err },
	detect.TradeBreaks:     func(tx *store.Tx) error { _, _, err := tx.OpenBreaks(ctx); return err },
}

// What is looked for again and again is found without a walk through what is over.
func TestNoPollReadsATableWhole(t *testing.T) {
	db := pgtest.New(t)
	grown := pgtest.Fill(t, db, filled)
	planner := pgtest.Explain(t, db)
	p := &players{}
	var err error
	if p.w, err = store.OpenWriter(ctx, db.Worker); err != nil {
		t.Fatal(err)
	}
	defer p.w.Close()
	if p.r, err = store.OpenReader(ctx, db.API); err != nil {
		t.Fatal(err)
	}
	defer p.r.Close()
	if p.s, err = store.OpenSequencer(ctx, db.Sequencer); err != nil {
		t.Fatal(err)
	}
	defer p.s.Close()
	planner.Plans(t)
	all := everyLook(t)
	for name, look := range all {
		if err := look(p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		plans := planner.Plans(t)
		if pgtest.NoneReadsWhole(t, name, grown, mostRead, plans); len(plans) == 0 {
			t.Errorf("%s: no statement was seen", name)
		}
	}
}

// everyLook is looks, with the detectors and what agents look at, and fails the test
// when a method, or a detector, has no case.
func everyLook(t *testing.T) map[string]look {
	t.Helper()
	all := map[string]look{}
	maps.Copy(all, looks)
	for _, of := range []any{&store.Writer{}, &store.Sequencer{}} {
		typ := reflect.TypeOf(of)
		for i := range typ.NumMethod() {
			name := typ.Elem().Name() + "." + typ.Method(i).Name
			if _, rare := seldom[name]; !rare && all[name] == nil {
				t.Errorf("%s has no case: add one to looks, or say in seldom why it needs none", name)
			}
		}
	}
	for _, name := range detect.Names() {
		read := detectors[name]
		if read == nil {
			t.Errorf("detector %s has no case", name)
			continue
		}
		all["detector "+string(name)] = func(p *players) error {
			return p.tx(func(tx *store.Tx) error {
				if _, err := tx.OpenKeys(ctx, name.Source()); err != nil {
					return err
				}
				return read(tx)
			})
		}
		run := detect.Run{ID: zeroID, Detector: name}
		all["run of "+string(name)] = func(p *players) error {
			return p.tx(func(tx *store.Tx) error { return tx.InsertDetectorRun(ctx, run) })
		}
	}
	tx := reflect.TypeFor[*store.Tx]()
	for i := range tx.NumMethod() {
		m := tx.Method(i)
		find, is := m.Func.Interface().(func(*store.Tx, context.Context, int64) ([]agent.Found, error))
		if !is || !strings.HasPrefix(m.Name, "Find") {
			continue
		}
		all["Tx."+m.Name] = func(p *players) error {
			return p.tx(func(tx *store.Tx) error { _, err := find(tx, ctx, 5001); return err })
		}
	}
	if !slices.ContainsFunc(slices.Collect(maps.Keys(all)), func(name string) bool { return strings.HasPrefix(name, "Tx.Find") }) {
		t.Error("what agents look at was not found")
	}
	return all
}

package compliance

import (
	"context"
	"fmt"
	"iter"
	"time"

	"finobs/internal/fault"
	"finobs/internal/sanctions"
)

// Options are what a run knows besides the records.
type Options struct {
	AsOf       time.Time         // the day that it is, for trades that should have settled; zero: that is not judged
	Owners     map[string]string // account to beneficial owner, for wash trades; an account that it lacks is its own
	Names      *sanctions.Index  // nil: rules about names do not run, and Stats says so
	MaxRecords int               // ids that a finding lists; 0: 100
	MaxFound   int               // findings of a run; 0: 100,000. More refuse the run
	MaxHeld    int               // records that all rules together hold at a time; 0: 5,000,000
}

// Stats say how a run went.
type Stats struct {
	Records int               `json:"records"`
	Taken   map[string]int    `json:"taken"`    // records that a rule's when took, by rule
	NoLimit map[string]int    `json:"no_limit"` // of them those in a currency for which its limit says nothing: they were not judged
	NotRun  map[string]string `json:"not_run"`  // rules that did not run, and why
	Cut     map[string]int    `json:"cut"`      // transfers whose search for cycles was given up, for its length or for what it found, by rule
	MaxHeld int               `json:"max_held"` // most records held at a time
}

// evaluator judges records for one rule.
type evaluator interface {
	// take judges records of one time, by id. It keeps none of them.
	take(batch []*Record) error
	// forget lets go of what no record from a time on can belong to.
	forget(now time.Time) error
	// end judges what is still open.
	end() error
	// held is how many records are kept.
	held() int
}

// run is one run of rules.
type run struct {
	options  Options
	findings findings
	stats    Stats
}

// Run judges records, which come in the order of their times; Sort makes that order.
// It holds the records of one time, and for each rule with a window those of the
// window, and at most as many again: memory does not grow with the number of
// records, but with how many fall into the longest window (and, for positions, with
// the number of accounts and instruments). Over Options.MaxHeld it fails with a fault of kind TooLarge, as it
// does over Options.MaxFound. Findings are in the order of their last record, rule
// and party, and do not depend on the order of records of the same time.
func (rules *Rules) Run(ctx context.Context, records iter.Seq2[Record, error], o Options) ([]Finding, Stats, error) {
	setDefault(&o.MaxRecords, 100)
	setDefault(&o.MaxFound, 100_000)
	setDefault(&o.MaxHeld, 5_000_000)
	r := &run{options: o, findings: findings{limit: o.MaxFound}, stats: Stats{
		Taken: map[string]int{}, NoLimit: map[string]int{}, NotRun: map[string]string{}, Cut: map[string]int{},
	}}
	e := engine{run: r}
	for _, rule := range rules.List {
		judge, err := rule.parameters.start(r, rule)
		if err != nil {
			r.stats.NotRun[rule.Name] = fault.MessageOf(err)
			continue
		}
		e.rules, e.judges = append(e.rules, rule), append(e.judges, judge)
	}
	if err := e.feed(ctx, records); err != nil {
		return nil, r.stats, err
	}
	return r.findings.sorted(), r.stats, nil
}

func setDefault(n *int, value int) {
	if *n == 0 {
		*n = value
	}
}

// engine hands records to the rules.
type engine struct {
	*run
	rules  []*Rule
	judges []evaluator
	batch  []Record // of one time
	taken  []*Record
	left   int // held after the last sweep
}

// sweepFrom is how many records are held before rules are made to let go of what is
// old. They are again whenever they hold twice of what was left and as many more, so
// that sweeping costs little and what is held stays below twice the windows and this.
const sweepFrom = 4096

func (e *engine) feed(ctx context.Context, records iter.Seq2[Record, error]) error {
	for record, err := range records {
		if err != nil {
			return fmt.Errorf("reading records: %w", err)
		}
		if record.ID == "" || record.Time.IsZero() {
			return fault.New(fault.Invalid, "invalid-record", "record %d has no id or no time; give it both", e.stats.Records+1)
		}
		e.stats.Records++
		if len(e.batch) > 0 && !record.Time.Equal(e.batch[0].Time) {
			if record.Time.Before(e.batch[0].Time) {
				return fault.New(fault.Invalid, "records-out-of-order", "record %s of %s comes after one of %s; sort them by time",
					word(record.ID), moment(record.Time), moment(e.batch[0].Time))
			}
			if err := e.judge(ctx); err != nil {
				return err
			}
		}
		e.batch = append(e.batch, record)
		if len(e.batch) > e.options.MaxHeld {
			return e.tooMany()
		}
	}
	if err := e.judge(ctx); err != nil {
		return err
	}
	for _, judge := range e.judges {
		if err := judge.end(); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// judge hands the records of one time to every rule that takes them.
func (e *engine) judge(ctx context.Context) error {
	Sort(e.batch)
	held := 0
	for i, judge := range e.judges {
		e.taken = e.taken[:0]
		for k := range e.batch {
			yes, err := e.rules[i].when.eval(&e.batch[k])
			if err != nil {
				return fault.Wrap(err, fault.Invalid, "rule-cannot-be-evaluated", "rule %s cannot judge record %s: %v", e.rules[i].Name, word(e.batch[k].ID), err)
			}
			if yes {
				e.taken = append(e.taken, &e.batch[k])
			}
		}
		if len(e.taken) > 0 {
			e.stats.Taken[e.rules[i].Name] += len(e.taken)
			if err := judge.take(e.taken); err != nil {
				return err
			}
		}
		held += judge.held()
	}
	e.stats.MaxHeld = max(e.stats.MaxHeld, held)
	if len(e.batch) == 0 || held <= min(2*e.left+sweepFrom, e.options.MaxHeld) {
		e.batch = e.batch[:0]
		return nil
	}
	now := e.batch[0].Time
	e.batch = e.batch[:0]
	return e.forget(ctx, now)
}

// forget makes the rules let go of what is old, and refuses a run of which they
// hold too much even then.
func (e *engine) forget(ctx context.Context, now time.Time) error {
	e.left = 0
	for _, judge := range e.judges {
		if err := judge.forget(now); err != nil {
			return err
		}
		e.left += judge.held()
	}
	if e.left > e.options.MaxHeld {
		return e.tooMany()
	}
	return ctx.Err()
}

func (e *engine) tooMany() error {
	return fault.New(fault.TooLarge, "too-many-records-held", "over %d records fall into the windows of the rules at a time; shorten the windows or narrow the whens", e.options.MaxHeld)
}

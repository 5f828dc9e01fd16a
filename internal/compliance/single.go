package compliance

import (
	"errors"
	"fmt"
	"time"

	"finobs/internal/fault"
	"finobs/internal/sanctions"
	"finobs/internal/transaction"

	"github.com/shopspring/decimal"
)

// recordRule finds each record that its rule takes, by itself.
type recordRule struct {
	Party side   `yaml:"party"`
	Over  string `yaml:"over"`  // limit that the amount is above
	Least string `yaml:"least"` // limit that the amount is not below

	over, least *limit
}

func (p *recordRule) check(l *loader) error {
	var err error
	if p.over, err = l.limit("over", p.Over); err != nil {
		return err
	}
	if p.least, err = l.limit("least", p.Least); err != nil {
		return err
	}
	if p.over != nil && p.least != nil {
		return errors.New("give over or least, not both")
	}
	return p.Party.check()
}

func (p *recordRule) words() string {
	switch {
	case p.over != nil:
		return "The amount is over " + p.over.words() + "."
	case p.least != nil:
		return "The amount is at least " + p.least.words() + "."
	}
	return "The record is of the kind that the rule describes."
}

func (p *recordRule) start(r *run, rule *Rule) (evaluator, error) {
	return &recordJudge{single{r, rule}, p}, nil
}

// single is an evaluator that keeps nothing.
type single struct {
	run  *run
	rule *Rule
}

func (single) forget(time.Time) error { return nil }
func (single) end() error             { return nil }
func (single) held() int              { return 0 }

// found makes a finding of one record.
func (s single) found(r *Record, party, text string, facts map[string]string) error {
	e := newEpisode(party)
	e.add(r.ID, r.Time, s.run.options.MaxRecords, r.From, r.To)
	e.text, e.facts = text, facts
	return s.run.findings.take(s.rule, e)
}

type recordJudge struct {
	single
	*recordRule
}

func (j *recordJudge) take(batch []*Record) error {
	for _, r := range batch {
		facts := map[string]string{"amount": r.Amount.String(), "currency": r.Currency}
		if l := j.limit(); l != nil {
			bound, known := l.in(r.Currency)
			if !known {
				j.run.stats.NoLimit[j.rule.Name]++
				continue
			}
			if n := r.Amount.Cmp(bound); n < 0 || n == 0 && j.over != nil {
				continue
			}
			facts["limit"] = bound.String()
		}
		if r.FromBefore.Valid {
			facts["balance_before"] = r.FromBefore.Decimal.String()
		}
		party, _ := j.Party.of(r)
		text := fmt.Sprintf("%s of %s from %s to %s at %s", words[r.Kind], money(r.Amount, r.Currency), word(r.From), word(r.To), moment(r.Time))
		if err := j.found(r, party, text, facts); err != nil {
			return err
		}
	}
	return nil
}

func (p *recordRule) limit() *limit {
	if p.over != nil {
		return p.over
	}
	return p.least
}

// words for kinds.
var words = map[Kind]string{Trade: "trade", Transfer: "transfer", CashIn: "cash deposit", CashOut: "cash withdrawal"}

func (p *namesRule) start(r *run, rule *Rule) (evaluator, error) {
	if r.options.Names == nil {
		return nil, fault.New(fault.Invalid, "no-sanctions-list", "no sanctions list was given")
	}
	return &namesJudge{single{r, rule}, p}, nil
}

type namesJudge struct {
	single
	*namesRule
}

func (j *namesJudge) take(batch []*Record) error {
	for _, r := range batch {
		for _, who := range []struct{ party, name string }{{r.From, r.FromName}, {r.To, r.ToName}} {
			if who.name == "" {
				continue
			}
			matches := j.run.options.Names.Match(sanctions.Query{Name: who.name, Least: j.least, Types: j.Types})
			if len(matches) == 0 {
				continue
			}
			m := matches[0]
			text := fmt.Sprintf("the name %s of a party of record %s is like %s", word(who.name), word(r.ID), m.Why())
			err := j.found(r, orName(who.party, who.name), text, map[string]string{
				"name": who.name, "entry": m.EntryID, "entry_type": string(m.Type), "programme": m.Programme, "listed_name": m.Name,
				"matched_name": m.Matched, "method": string(m.Method), "score": m.Score.String(), "entries": fmt.Sprint(len(matches)),
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func orName(party, name string) string {
	if party == "" {
		return name
	}
	return party
}

func (p *settlementRule) start(r *run, rule *Rule) (evaluator, error) {
	return &settlementJudge{single{r, rule}, p}, nil
}

type settlementJudge struct {
	single
	*settlementRule
}

func (j *settlementJudge) take(batch []*Record) error {
	for _, r := range batch {
		if r.Kind != Trade || r.TradeDate.IsZero() || r.Status == transaction.Cancelled {
			continue
		}
		due := j.calendar.add(r.TradeDate, j.Days)
		facts := map[string]string{"trade_date": r.TradeDate.Format(time.DateOnly), "due_date": due.Format(time.DateOnly), "status": string(r.Status)}
		agreed := due
		if !r.SettlementDate.IsZero() {
			agreed = r.SettlementDate
			facts["settlement_date"] = agreed.Format(time.DateOnly)
		}
		var what string
		switch {
		case r.Status == transaction.Failed:
			what = "its settlement failed"
		case r.Status != transaction.Settled && !j.run.options.AsOf.IsZero() && agreed.Before(j.run.options.AsOf):
			what = "it was not settled on " + j.run.options.AsOf.Format(time.DateOnly)
			facts["as_of"] = j.run.options.AsOf.Format(time.DateOnly)
		case agreed.After(due):
			what = "it was agreed to settle on " + agreed.Format(time.DateOnly)
		default:
			continue
		}
		text := fmt.Sprintf("trade %s of %s was to settle by %s, and %s", word(r.ID), facts["trade_date"], facts["due_date"], what)
		if err := j.found(r, r.From, text, facts); err != nil {
			return err
		}
	}
	return nil
}

func (p *positionRule) start(r *run, rule *Rule) (evaluator, error) {
	return &positionJudge{single: single{r, rule}, positionRule: p, of: map[string]*position{}}, nil
}

// position is what an account holds of an instrument; over, while it is too much.
type position struct {
	units decimal.Decimal
	over  bool
}

type positionJudge struct {
	single
	*positionRule
	of map[string]*position
}

func (j *positionJudge) held() int { return len(j.of) }

// take adds up a whole time before it judges, so that the order within it does not
// matter. One finding is made each time that a position goes over the limit.
func (j *positionJudge) take(batch []*Record) error {
	last := map[string]*Record{}
	var order []string
	for _, r := range batch {
		key := r.From + "\x00" + r.Instrument
		if j.of[key] == nil {
			j.of[key] = &position{}
		}
		if r.buys() {
			j.of[key].units = j.of[key].units.Add(r.Quantity)
		} else {
			j.of[key].units = j.of[key].units.Sub(r.Quantity)
		}
		if last[key] == nil {
			order = append(order, key)
		}
		last[key] = r
	}
	for _, key := range order {
		p, r := j.of[key], last[key]
		was := p.over
		if p.over = p.units.Abs().GreaterThan(j.units); !p.over || was {
			continue
		}
		text := fmt.Sprintf("account %s holds %s units of %s after %s; the limit is %s", word(r.From), p.units, word(r.Instrument), word(r.ID), j.units)
		err := j.found(r, r.From, text, map[string]string{"instrument": r.Instrument, "units": p.units.String(), "limit": j.units.String()})
		if err != nil {
			return err
		}
	}
	return nil
}

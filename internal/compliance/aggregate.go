package compliance

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// aggregateRule adds up a party's records in a window. All that is given must hold.
type aggregateRule struct {
	Party     side   `yaml:"party"`
	Window    string `yaml:"window"`     // day, or a duration
	Calendar  string `yaml:"calendar"`   // of window day: a day without business counts with the next one; empty: each day by itself
	Count     int    `yaml:"count"`      // least number of records
	Distinct  int    `yaml:"distinct"`   // least number of other parties
	Over      string `yaml:"over"`       // limit that the sum is above
	EachUpTo  string `yaml:"each_up_to"` // limit that no amount is above; other records do not take part
	EachShare string `yaml:"each_share"` // least share of that limit that an amount has

	window     window
	calendar   *calendar
	over, upTo *limit
	share      decimal.Decimal
	zone       *time.Location
}

func (p *aggregateRule) check(l *loader) error {
	err := p.Party.check()
	if err != nil {
		return err
	}
	if p.window, err = readWindow(p.Window); err != nil {
		return err
	}
	if p.Calendar != "" {
		if !p.window.Day {
			return errors.New("calendar goes with window: day alone")
		}
		if p.calendar, err = newCalendar(p.Calendar); err != nil {
			return err
		}
	}
	if p.over, err = l.limit("over", p.Over); err != nil {
		return err
	}
	if p.upTo, err = l.limit("each_up_to", p.EachUpTo); err != nil {
		return err
	}
	switch {
	case p.Count < 0 || p.Distinct < 0:
		return errors.New("count and distinct must be 0 or more")
	case p.Count == 0 && p.Distinct == 0 && p.over == nil:
		return errors.New("give count, distinct or over: else every record would be found")
	case p.EachShare != "" && p.upTo == nil:
		return errors.New("each_share is a share of each_up_to, which is not given")
	}
	if p.EachShare != "" {
		if p.share, err = readShare("each_share", p.EachShare, 1); err != nil {
			return err
		}
	}
	p.zone = l.zone
	return nil
}

func (p *aggregateRule) words() string {
	var parts []string
	if p.Count > 0 {
		parts = append(parts, fmt.Sprintf("at least %d records", p.Count))
	}
	if p.upTo != nil {
		parts = append(parts, fmt.Sprintf("each of %s to 1 times %s", p.share, p.upTo.words()))
	}
	if p.Distinct > 0 {
		parts = append(parts, fmt.Sprintf("at least %d different other parties", p.Distinct))
	}
	if p.over != nil {
		parts = append(parts, "a sum over "+p.over.words())
	}
	return fmt.Sprintf("A party has %s: %s.", p.window.words(), strings.Join(parts, ", "))
}

func (p *aggregateRule) start(r *run, rule *Rule) (evaluator, error) {
	j := &aggregateJudge{single: single{r, rule}, aggregateRule: p, days: map[string]*group{}}
	j.sliding = newGroups(p.window.Length, j.close)
	return j, nil
}

type aggregateJudge struct {
	single
	*aggregateRule
	sliding *groups
	days    map[string]*group // of window day
	kept    int               // in days
}

func (j *aggregateJudge) take(batch []*Record) error {
	touched := map[*group]bool{}
	for _, r := range batch {
		party, other := j.Party.of(r)
		if party == "" || !j.eligible(r) {
			continue
		}
		g, err := j.group(party, r)
		if err != nil {
			return err
		}
		e := entry{id: r.ID, at: r.Time, amount: r.Amount, other: other}
		if j.window.Day {
			g.add(e)
			j.kept++
			continue
		}
		j.sliding.add(g, e)
		touched[g] = true
	}
	for g := range touched {
		if j.holds(g) {
			g.hit(batch[0].Time, j.run.options.MaxRecords)
		}
	}
	return nil
}

// eligible reports whether a record takes part: the limits know its currency and
// its amount is in the range.
func (j *aggregateJudge) eligible(r *Record) bool {
	for _, l := range []*limit{j.over, j.upTo} {
		if l == nil {
			continue
		}
		bound, known := l.in(r.Currency)
		if !known {
			j.run.stats.NoLimit[j.rule.Name]++
			return false
		}
		if l == j.upTo && (r.Amount.GreaterThan(bound) || r.Amount.LessThan(bound.Mul(j.share))) {
			return false
		}
	}
	return true
}

func (j *aggregateJudge) group(party string, r *Record) (*group, error) {
	if !j.window.Day {
		return j.sliding.at(party, r.Currency, r.Time)
	}
	day := j.dayOf(r.Time)
	key := day.Format(time.DateOnly) + "\x00" + party + "\x00" + r.Currency
	g := j.days[key]
	if g == nil {
		g = &group{party: party, currency: r.Currency, day: day, others: map[string]int{}}
		j.days[key] = g
	}
	return g, nil
}

// dayOf is the day of business that a time belongs to, as midnight UTC.
func (j *aggregateJudge) dayOf(at time.Time) time.Time {
	y, m, d := at.In(j.zone).Date()
	day := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	if j.calendar != nil {
		day = j.calendar.roll(day)
	}
	return day
}

func (j *aggregateJudge) holds(g *group) bool {
	if g.in.n < j.Count || len(g.others) < j.Distinct {
		return false
	}
	if j.over != nil {
		bound, _ := j.over.in(g.currency)
		return g.in.sum.GreaterThan(bound)
	}
	return true
}

func (j *aggregateJudge) close(g *group) error {
	g.open.facts = map[string]string{"count": fmt.Sprint(g.peak.n), "sum": g.peak.sum.String(), "currency": g.currency, "others": fmt.Sprint(g.peakOthers)}
	when := j.window.words()
	if j.window.Day {
		when = "on " + g.day.Format(time.DateOnly)
		g.open.facts["day"] = g.day.Format(time.DateOnly)
	}
	if j.over != nil {
		bound, _ := j.over.in(g.currency)
		g.open.facts["limit"] = bound.String()
	}
	way := "from"
	if j.Party == "from" {
		way = "to"
	}
	g.open.text = fmt.Sprintf("%s has %d records with %d other parties %s, %s in all, %s them",
		word(g.party), g.peak.n, g.peakOthers, when, money(g.peak.sum, g.currency), way)
	return j.run.findings.take(j.rule, g.open)
}

// forget judges the days that are over.
func (j *aggregateJudge) forget(now time.Time) error {
	if !j.window.Day {
		return j.sliding.forget(now)
	}
	today := j.dayOf(now)
	for key, g := range j.days {
		if !g.day.Before(today) {
			continue
		}
		if err := j.judgeDay(g); err != nil {
			return err
		}
		j.kept -= len(g.entries)
		delete(j.days, key)
	}
	return nil
}

func (j *aggregateJudge) judgeDay(g *group) error {
	if !j.holds(g) {
		return nil
	}
	g.hit(g.day, j.run.options.MaxRecords)
	return j.close(g)
}

func (j *aggregateJudge) end() error {
	for _, g := range j.days {
		if err := j.judgeDay(g); err != nil {
			return err
		}
	}
	return j.sliding.end()
}

func (j *aggregateJudge) held() int { return j.kept + j.sliding.held() }

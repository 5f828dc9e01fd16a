package compliance

import (
	"fmt"
	"time"

	"github.com/shopspring/decimal"
)

// passingRule finds parties that pay out, within a window, about what they were
// paid in it. An outflow counts from the first inflow of the window on; a party
// that only pays back to the one who paid is left out.
type passingRule struct {
	Window     string `yaml:"window"`
	LeastShare string `yaml:"least_share"` // of what came in, that goes out
	MostShare  string `yaml:"most_share"`
	Least      string `yaml:"least"` // limit that what comes in is not below; empty: none

	window       window
	lowest, most decimal.Decimal
	least        *limit
}

func (p *passingRule) check(l *loader) error {
	var err error
	if p.window, err = readWindow(p.Window); err != nil {
		return err
	}
	if p.window.Day {
		return fmt.Errorf("window must be a duration such as 48h")
	}
	if p.lowest, err = readShare("least_share", p.LeastShare, 1); err != nil {
		return err
	}
	if p.most, err = readShare("most_share", p.MostShare, 2); err != nil {
		return err
	}
	if p.lowest.GreaterThan(p.most) {
		return fmt.Errorf("least_share %s is above most_share %s", p.LeastShare, p.MostShare)
	}
	p.least, err = l.limit("least", p.Least)
	return err
}

func (p *passingRule) words() string {
	return fmt.Sprintf("A party pays out to others, %s, %s to %s times what it was paid.", p.window.words(), p.lowest, p.most)
}

func (p *passingRule) start(r *run, rule *Rule) (evaluator, error) {
	j := &passingJudge{single: single{r, rule}, passingRule: p}
	j.groups = newGroups(p.window.Length, j.close)
	return j, nil
}

type passingJudge struct {
	single
	*passingRule
	groups *groups
}

func (j *passingJudge) take(batch []*Record) error {
	paid := map[*group]bool{}
	for _, out := range []bool{false, true} { // what comes in at a time comes first
		for _, r := range batch {
			party, other := r.To, r.From
			if out {
				party, other = r.From, r.To
			}
			if party == "" || r.From == r.To || !j.eligible(r, out) {
				continue
			}
			g, err := j.groups.at(party, r.Currency, r.Time)
			if err != nil {
				return err
			}
			j.dropLeadingOut(g)
			if out && g.in.n == 0 {
				continue
			}
			j.groups.add(g, entry{id: r.ID, at: r.Time, amount: r.Amount, other: other, out: out})
			if out {
				paid[g] = true
			}
		}
	}
	for g := range paid {
		if j.holds(g) {
			g.hit(batch[0].Time, j.run.options.MaxRecords)
		}
	}
	return nil
}

// eligible counts a record without a limit once.
func (j *passingJudge) eligible(r *Record, out bool) bool {
	if j.least == nil {
		return true
	}
	_, known := j.least.in(r.Currency)
	if !known && !out {
		j.run.stats.NoLimit[j.rule.Name]++
	}
	return known
}

// dropLeadingOut lets go of outflows whose inflows have left the window.
func (j *passingJudge) dropLeadingOut(g *group) {
	n := 0
	for n < len(g.entries) && g.entries[n].out {
		n++
	}
	if n > 0 {
		g.drop(n)
		j.groups.kept -= n
	}
}

func (j *passingJudge) holds(g *group) bool {
	if g.in.n == 0 || g.out.n == 0 || g.out.sum.LessThan(g.in.sum.Mul(j.lowest)) || g.out.sum.GreaterThan(g.in.sum.Mul(j.most)) {
		return false
	}
	if j.least != nil {
		if bound, _ := j.least.in(g.currency); g.in.sum.LessThan(bound) {
			return false
		}
	}
	return len(g.others) > 1 // with one, it paid back
}

func (j *passingJudge) close(g *group) error {
	g.open.facts = map[string]string{
		"in": g.peak.sum.String(), "in_count": fmt.Sprint(g.peak.n), "out": g.peakOut.sum.String(), "out_count": fmt.Sprint(g.peakOut.n), "currency": g.currency,
	}
	g.open.text = fmt.Sprintf("%s was paid %s and paid out %s %s", word(g.party), money(g.peak.sum, g.currency), money(g.peakOut.sum, g.currency), j.window.words())
	return j.run.findings.take(j.rule, g.open)
}

func (j *passingJudge) forget(now time.Time) error { return j.groups.forget(now) }
func (j *passingJudge) end() error                 { return j.groups.end() }
func (j *passingJudge) held() int                  { return j.groups.held() }

package compliance

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// cycleRule finds money that returns: transfers from one party to the next, each
// not before the one before it, the last one to the party of the first.
type cycleRule struct {
	Window string `yaml:"window"`
	Least  int    `yaml:"least"` // transfers
	Most   int    `yaml:"most"`
	Share  string `yaml:"share"` // of the largest transfer, that the smallest one has at least

	window window
	share  decimal.Decimal
}

// maxHops bounds the length of a cycle.
const maxHops = 8

func (p *cycleRule) check(*loader) error {
	var err error
	if p.window, err = readWindow(p.Window); err != nil {
		return err
	}
	if p.window.Day {
		return fmt.Errorf("window must be a duration such as 720h")
	}
	if p.Least < 2 || p.Most < p.Least || p.Most > maxHops {
		return fmt.Errorf("least %d and most %d must be 2 to %d, least no more than most", p.Least, p.Most, maxHops)
	}
	p.share, err = readShare("share", p.Share, 1)
	return err
}

func (p *cycleRule) words() string {
	return fmt.Sprintf("Money returns to its sender over %d to %d transfers %s, the smallest at least %s times the largest.", p.Least, p.Most, p.window.words(), p.share)
}

func (p *cycleRule) start(r *run, rule *Rule) (evaluator, error) {
	return &cycleJudge{single: single{r, rule}, cycleRule: p, into: map[string][]edge{}, open: map[string]*cycle{}}, nil
}

// edge is a transfer.
type edge struct {
	id       string
	at       time.Time
	amount   decimal.Decimal
	from, to string
}

// cycle gathers the rounds that one set of parties make.
type cycle struct {
	episode     *episode
	last        time.Time
	told        map[string]time.Time // transfers that it has, within the window
	currency    string
	least, most decimal.Decimal // amounts
	hops        int
}

type cycleJudge struct {
	single
	*cycleRule
	into map[string][]edge // transfers by currency and payee, the oldest first
	kept int
	open map[string]*cycle // by currency and parties
}

// Bounds of the search that each transfer starts.
const (
	maxSteps  = 20_000
	maxRounds = 20
)

func (j *cycleJudge) take(batch []*Record) error {
	for _, r := range batch {
		if r.From == "" || r.To == "" || r.From == r.To {
			continue
		}
		key := r.Currency + "\x00" + r.To
		j.slide(key, r.Time)
		j.into[key] = append(j.into[key], edge{r.ID, r.Time, r.Amount, r.From, r.To})
		j.kept++
	}
	for _, r := range batch {
		if r.From == "" || r.To == "" || r.From == r.To {
			continue
		}
		s := search{cycleJudge: j, currency: r.Currency, now: r.Time, path: []edge{{r.ID, r.Time, r.Amount, r.From, r.To}}}
		s.back()
		if s.steps > maxSteps || len(s.rounds) >= maxRounds {
			j.run.stats.Cut[j.rule.Name]++
		}
		for _, round := range s.rounds {
			if err := j.round(round, r.Currency); err != nil {
				return err
			}
		}
	}
	return nil
}

// search goes back from a transfer, against time, until it is where that one went.
type search struct {
	*cycleJudge
	currency string
	now      time.Time
	path     []edge // the last one first
	steps    int
	rounds   [][]edge
}

func (s *search) back() {
	head := s.path[len(s.path)-1]
	if len(s.path) >= s.Most {
		return
	}
	for _, e := range slices.Backward(s.into[s.currency+"\x00"+head.from]) {
		if s.steps++; s.steps > maxSteps || len(s.rounds) >= maxRounds || s.now.Sub(e.at) >= s.window.Length {
			return
		}
		if e.at.After(head.at) || !s.alike(e) {
			continue
		}
		if e.from == s.path[0].to {
			if len(s.path)+1 >= s.Least {
				round := append(slices.Clone(s.path), e)
				slices.Reverse(round)
				s.rounds = append(s.rounds, round)
			}
			continue
		}
		if slices.ContainsFunc(s.path, func(p edge) bool { return p.from == e.from }) {
			continue
		}
		s.path = append(s.path, e)
		s.back()
		s.path = s.path[:len(s.path)-1]
	}
}

// alike reports whether the path with another transfer keeps to the share.
func (s *search) alike(e edge) bool {
	least, most := e.amount, e.amount
	for _, p := range s.path {
		least, most = decimal.Min(least, p.amount), decimal.Max(most, p.amount)
	}
	return !least.LessThan(most.Mul(s.share))
}

// round puts a cycle into the open one of the same parties, or opens one.
func (j *cycleJudge) round(edges []edge, currency string) error {
	var parties []string
	for _, e := range edges {
		parties = append(parties, e.from)
	}
	key := slices.Clone(parties)
	slices.Sort(key)
	name := currency + "\x00" + strings.Join(key, "\x00")
	c := j.open[name]
	now := edges[len(edges)-1].at
	if c != nil && now.Sub(c.last) >= j.window.Length {
		if err := j.close(c); err != nil {
			return err
		}
		c = nil
	}
	if c == nil {
		// The party that sorts first stands for all: which of them began is not known
		// when times are the same.
		c = &cycle{episode: newEpisode(key[0]), told: map[string]time.Time{}, currency: currency, least: edges[0].amount, most: edges[0].amount, hops: len(edges)}
		c.episode.text = fmt.Sprintf("money went round among %s", among(key))
		j.open[name] = c
	}
	c.last = now
	slices.SortFunc(edges, func(a, b edge) int {
		if n := a.at.Compare(b.at); n != 0 {
			return n
		}
		return strings.Compare(a.id, b.id)
	})
	for _, e := range edges {
		c.least, c.most = decimal.Min(c.least, e.amount), decimal.Max(c.most, e.amount)
		if _, told := c.told[e.id]; !told {
			c.told[e.id] = e.at
			j.kept++
			c.episode.add(e.id, e.at, j.run.options.MaxRecords, e.from, e.to)
		}
	}
	return nil
}

func among(parties []string) string {
	var out []string
	for _, p := range parties {
		out = append(out, word(p))
	}
	return strings.Join(out, ", ")
}

func (j *cycleJudge) close(c *cycle) error {
	j.kept -= len(c.told)
	c.episode.facts = map[string]string{"hops": fmt.Sprint(c.hops), "least": c.least.String(), "most": c.most.String(), "currency": c.currency}
	c.episode.text += fmt.Sprintf(" in %d transfers of %s to %s", c.episode.count, money(c.least, c.currency), money(c.most, c.currency))
	return j.run.findings.take(j.rule, c.episode)
}

func (j *cycleJudge) slide(key string, now time.Time) {
	n := 0
	for n < len(j.into[key]) && now.Sub(j.into[key][n].at) >= j.window.Length {
		n++
	}
	j.kept -= n
	if j.into[key] = slices.Delete(j.into[key], 0, n); len(j.into[key]) == 0 {
		delete(j.into, key)
	}
}

func (j *cycleJudge) forget(now time.Time) error {
	for key := range j.into {
		j.slide(key, now)
	}
	for name, c := range j.open {
		for id, at := range c.told {
			if now.Sub(at) >= j.window.Length {
				delete(c.told, id)
				j.kept--
			}
		}
		if now.Sub(c.last) < j.window.Length {
			continue
		}
		if err := j.close(c); err != nil {
			return err
		}
		delete(j.open, name)
	}
	return nil
}

func (j *cycleJudge) end() error {
	for _, c := range j.open {
		if err := j.close(c); err != nil {
			return err
		}
	}
	return nil
}

func (j *cycleJudge) held() int { return j.kept }

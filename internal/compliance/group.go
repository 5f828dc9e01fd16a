package compliance

import (
	"slices"
	"time"

	"github.com/shopspring/decimal"
)

// entry is what a group keeps of a record.
type entry struct {
	id     string
	at     time.Time
	amount decimal.Decimal
	other  string // party
	out    bool   // of a party's records, in what goes in and what goes out
	told   bool   // it is in the open episode
}

// group is the records of a party in a currency, of one window.
type group struct {
	party, currency string
	day             time.Time // of windows of a day
	entries         []entry
	in, out         tally
	others          map[string]int
	open            *episode
	hitAt           time.Time
	peak            tally // of the open episode, the window with the largest sum; others in it
	peakOut         tally
	peakOthers      int
}

type tally struct {
	n   int
	sum decimal.Decimal
}

func (t *tally) add(e entry, sign int64) {
	t.n += int(sign)
	t.sum = t.sum.Add(e.amount.Mul(decimal.NewFromInt(sign)))
}

func (g *group) count(e entry, sign int) {
	if e.out {
		g.out.add(e, int64(sign))
	} else {
		g.in.add(e, int64(sign))
	}
	if g.others[e.other] += sign; g.others[e.other] == 0 {
		delete(g.others, e.other)
	}
}

func (g *group) add(e entry) {
	g.entries = append(g.entries, e)
	g.count(e, 1)
}

// drop lets go of the oldest n entries.
func (g *group) drop(n int) {
	for _, e := range g.entries[:n] {
		g.count(e, -1)
	}
	g.entries = slices.Delete(g.entries, 0, n)
}

// slide lets go of entries that no longer belong with one of now.
func (g *group) slide(now time.Time, length time.Duration) {
	n := 0
	for n < len(g.entries) && now.Sub(g.entries[n].at) >= length {
		n++
	}
	if n > 0 {
		g.drop(n)
	}
}

// hit puts the entries of the window into the open episode, or into a new one when
// there is none.
func (g *group) hit(now time.Time, limit int) {
	if g.open == nil {
		g.open, g.peak, g.peakOut, g.peakOthers = newEpisode(g.party), tally{}, tally{}, 0
	}
	g.hitAt = now
	fresh := len(g.entries) // what came since the last hit is at the end
	for fresh > 0 && !g.entries[fresh-1].told {
		fresh--
	}
	for i := fresh; i < len(g.entries); i++ {
		e := &g.entries[i]
		e.told = true
		g.open.add(e.id, e.at, limit, g.party, e.other)
	}
	if g.in.sum.GreaterThan(g.peak.sum) || g.peak.n == 0 {
		g.peak, g.peakOut, g.peakOthers = g.in, g.out, len(g.others)
	}
}

// groups keeps windows that slide, by party and currency.
type groups struct {
	length time.Duration
	of     map[string]*group
	kept   int
	close  func(*group) error // makes a finding of the open episode
}

func newGroups(length time.Duration, close func(*group) error) *groups {
	return &groups{length: length, of: map[string]*group{}, close: close}
}

// at is the group of a party, with its window moved to now.
func (s *groups) at(party, currency string, now time.Time) (*group, error) {
	key := party + "\x00" + currency
	g := s.of[key]
	if g == nil {
		g = &group{party: party, currency: currency, others: map[string]int{}}
		s.of[key] = g
	}
	return g, s.move(g, now)
}

// move closes an episode that nothing at now can belong to.
func (s *groups) move(g *group, now time.Time) error {
	before := len(g.entries)
	g.slide(now, s.length)
	s.kept += len(g.entries) - before
	if g.open != nil && now.Sub(g.hitAt) >= s.length {
		err := s.close(g)
		g.open = nil
		return err
	}
	return nil
}

func (s *groups) add(g *group, e entry) {
	g.add(e)
	s.kept++
}

func (s *groups) forget(now time.Time) error {
	for key, g := range s.of {
		if err := s.move(g, now); err != nil {
			return err
		}
		if len(g.entries) == 0 && g.open == nil {
			delete(s.of, key)
		}
	}
	return nil
}

func (s *groups) end() error {
	for _, g := range s.of {
		if g.open == nil {
			continue
		}
		if err := s.close(g); err != nil {
			return err
		}
	}
	return nil
}

func (s *groups) held() int { return s.kept }

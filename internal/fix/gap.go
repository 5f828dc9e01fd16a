package fix

import (
	"slices"
)

// Range is sequence numbers, both ends included.
type Range struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// Count is how many numbers there are.
func (r Range) Count() int64 { return r.To - r.From + 1 }

// maxPieces is how many pieces of a gap are told apart; resends come in order, and
// leave few.
const maxPieces = 64

// Gap is sequence numbers of one direction of a session that did not come when
// they were due.
type Gap struct {
	Sender string `json:"sender"`
	Target string `json:"target"`
	Line   int    `json:"line"` // of the message that came instead, from 1
	From   int64  `json:"from"`
	To     int64  `json:"to"`
	Count  int64  `json:"count"`
	// Requested says that the other side asked for some of them (35=2).
	Requested bool `json:"requested"`
	Filled    bool `json:"filled"` // all came later, or a gap fill says that they never will
	// Reset says that the numbers were reset while some were missing.
	Reset   bool    `json:"reset"`
	Missing []Range `json:"missing"` // what did not come; empty when Filled
}

// fill takes numbers out of what is missing.
func (g *Gap) fill(r Range) {
	if r.To < g.From || r.From > g.To {
		return
	}
	var left []Range
	for _, m := range g.Missing {
		if r.To < m.From || r.From > m.To {
			left = append(left, m)
			continue
		}
		if m.From < r.From {
			left = append(left, Range{m.From, r.From - 1})
		}
		if m.To > r.To {
			left = append(left, Range{r.To + 1, m.To})
		}
	}
	if len(left) <= maxPieces { // otherwise the gap stays as it was: too much is said to be missing, never too little
		g.Missing = left
	}
	g.Filled = len(g.Missing) == 0
}

// holds reports whether a number is missing.
func (g *Gap) holds(n int64) bool {
	return slices.ContainsFunc(g.Missing, func(m Range) bool { return m.From <= n && n <= m.To })
}

// Package budget decides whether a model may be called once more. It is pure: the
// caller loads what was used so far, under a lock, and records what is decided.
//
// What a call may cost at worst is reserved before it is made, and settled to
// what it cost. A reservation that is never settled counts in full, so a process
// that dies spends too much of the budget rather than too little.
package budget

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"finobs/internal/fault"

	"github.com/shopspring/decimal"
)

// OverBudget is the code of a refusal for want of budget.
const OverBudget = "model.over_budget"

// Level is whose use is counted together.
type Level string

// The closed set of levels. Days are of UTC.
const (
	Run      Level = "run"      // one run of an agent, its repairs with it
	Incident Level = "incident" // all runs about one incident, ever
	Desk     Level = "desk"     // all runs for one desk on one day
	Day      Level = "day"      // all runs on one day
)

// Levels lists all of them, narrowest first.
func Levels() []Level { return []Level{Run, Incident, Desk, Day} }

// Valid reports whether l is one of the levels above.
func (l Level) Valid() bool { return slices.Contains(Levels(), l) }

// Use is what calls of a model take.
type Use struct {
	Calls  int64
	Tokens int64 // of input and output
	USD    decimal.Decimal
	Wall   time.Duration
	// Unpriced says that nobody knows what the tokens cost. Such a call is refused:
	// a limit of money cannot be kept without a price.
	Unpriced bool
}

// Limit is the most that may be used at a level.
type Limit struct {
	Calls  int64
	Tokens int64
	USD    decimal.Decimal
	Wall   time.Duration
}

// Limits are the limits of every level.
type Limits map[Level]Limit

// Totals is what was used and reserved so far at each level that a call concerns.
// A run that is about no incident has no Incident.
type Totals map[Level]Use

// errOverflow says that a sum is beyond what can be counted.
var errOverflow = errors.New("the sum is too large to count")

// Reserve reports whether ask may be added to used; a fault of kind Conflict and
// code OverBudget when not. It fails closed: a level without a limit, a missing
// level, a negative or unpriced amount and a sum too large to count are refused.
func Reserve(limits Limits, used Totals, ask Use) error {
	if err := ask.check(); err != nil {
		return refuse("this call cannot be counted: %v", err)
	}
	if ask.Unpriced {
		return refuse("the price of the model is unknown: set FINOBS_MODEL_PRICE_INPUT and FINOBS_MODEL_PRICE_OUTPUT, or FINOBS_MODEL_FREE=true")
	}
	for level := range used {
		if !level.Valid() {
			return refuse("level %q is unknown", level)
		}
	}
	for _, level := range Levels() {
		so, counted := used[level]
		if !counted && level == Incident {
			continue
		}
		limit, limited := limits[level]
		if !counted || !limited {
			return refuse("level %s has no limit, or its use is not known", level)
		}
		if err := within(limit, so, ask); err != nil {
			return refuse("the budget of the %s does not suffice: %v", level, err)
		}
	}
	return nil
}

// Settle is what a finished call counts in the place of its reservation: what it
// really took, also when that is more. What makes no sense, such as a negative
// number, frees nothing: that dimension counts as reserved.
func Settle(reserved, real Use) Use {
	charge := reserved
	if real.Calls >= 0 {
		charge.Calls = real.Calls
	}
	if real.Tokens >= 0 {
		charge.Tokens = real.Tokens
	}
	if !real.Unpriced && !real.USD.IsNegative() {
		charge.USD = real.USD
	}
	if real.Wall >= 0 {
		charge.Wall = real.Wall
	}
	return charge
}

// Add is the sum of two uses; an error when it is too large to count.
func (u Use) Add(v Use) (Use, error) {
	if err := errors.Join(u.check(), v.check()); err != nil {
		return Use{}, err
	}
	if u.Calls > math.MaxInt64-v.Calls || u.Tokens > math.MaxInt64-v.Tokens || u.Wall > math.MaxInt64-v.Wall {
		return Use{}, errOverflow
	}
	return Use{
		Calls: u.Calls + v.Calls, Tokens: u.Tokens + v.Tokens, USD: u.USD.Add(v.USD), Wall: u.Wall + v.Wall,
		Unpriced: u.Unpriced || v.Unpriced,
	}, nil
}

// check refuses amounts that no use has.
func (u Use) check() error {
	if u.Calls < 0 || u.Tokens < 0 || u.Wall < 0 || u.USD.IsNegative() {
		return errors.New("an amount is negative")
	}
	return nil
}

func within(limit Limit, used, ask Use) error {
	sum, err := used.Add(ask)
	switch {
	case err != nil:
		return err
	case sum.Calls > limit.Calls:
		return fmt.Errorf("calls: %d calls of %d are used, %d are wanted", used.Calls, limit.Calls, ask.Calls)
	case sum.Tokens > limit.Tokens:
		return fmt.Errorf("tokens: %d tokens of %d are used or reserved, %d are wanted", used.Tokens, limit.Tokens, ask.Tokens)
	case sum.USD.GreaterThan(limit.USD):
		return fmt.Errorf("money: %s USD of %s are used or reserved, %s are wanted", used.USD, limit.USD, ask.USD)
	case sum.Wall > limit.Wall:
		return fmt.Errorf("time: %s of %s are used or reserved, %s are wanted", used.Wall, limit.Wall, ask.Wall)
	}
	return nil
}

func refuse(format string, args ...any) error {
	return fault.New(fault.Conflict, OverBudget, format, args...)
}

package action

import (
	"fmt"
	"maps"

	"finobs/internal/approval"
	"finobs/internal/fault"

	"github.com/shopspring/decimal"
)

// Reversibility says whether an action can be undone.
type Reversibility string

// The closed set of reversibilities.
const (
	Reversible   Reversibility = "reversible"   // its opposite leaves no trace outside of the desk
	Compensable  Reversibility = "compensable"  // a second action offsets it; others have seen both
	Irreversible Reversibility = "irreversible" // nothing brings back what was
)

// Valid reports whether r is one of the reversibilities above.
func (r Reversibility) Valid() bool {
	return r == Reversible || r == Compensable || r == Irreversible
}

// Caps bound what may be done even when everybody agrees. Whoever carries out
// actions counts those of an hour; Plan checks the others.
type Caps struct {
	PerHour      int             // executions of the action for one desk in an hour; at least 1
	MaxAmountUSD decimal.Decimal // of one execution; zero where no money moves
	MaxQuantity  decimal.Decimal // of one execution; zero for no limit
}

// Effect is what an action does to an object at once, and what moves by it.
type Effect struct {
	Changes  []Change
	Amount   decimal.Decimal // zero when no money moves
	Currency string
	Quantity decimal.Decimal // zero when no security moves
	Notes    []string
}

// Need names another object on which what an action does depends, such as the standing
// instruction that says where the money goes. People approve it at its version, like
// the target. Exactly one of Parameter and Field is set.
type Need struct {
	Kind      string // of the object
	Parameter string // of the action that holds its id
	Field     string // of the target that holds its id; an empty field needs nothing
}

// Ref names an object of a desk system.
type Ref struct{ Kind, ID string }

// Needed lists the other objects on which the action over an object depends.
func (t Type) Needed(o Object, parameters map[string]string) []Ref {
	var out []Ref
	for _, n := range t.Needs {
		id := parameters[n.Parameter]
		if n.Field != "" {
			id = o.Fields[n.Field]
		}
		if id != "" {
			out = append(out, Ref{n.Kind, id})
		}
	}
	return out
}

// Type is an action of the catalogue. Its four functions are pure; call them
// through Precondition, Plan, Verify and Compensate, which check what holds for
// every action.
type Type struct {
	Name          string // dotted, such as "order.cancel"
	Version       int    // moves when what the action does or asks for changes
	Title         string
	Doc           string // what it does, for whom decides on it
	TargetKind    string
	Parameters    []Parameter
	Risk          approval.RiskTier // at least this; policies may raise it
	Reversibility Reversibility
	Caps          Caps
	Moves         bool     // money moves, so that Caps.MaxAmountUSD holds
	Restores      []string // fields that Compensate brings back; empty when irreversible
	Needs         []Need   // other objects on which what the action does depends

	Guard  func(o Object, p Params) error                       // nil error: the object is in a state for it
	Effect func(o Object, p Params) (Effect, error)             // what it will do at once
	Judge  func(before, after Object, p Plan) (Verdict, string) // how the object fares, and why
	Undo   func(before Object, p Plan) (Command, bool)          // nil when irreversible
}

// Precondition says why an object is in no state for the action, as a fault: of
// kind Invalid when object or parameters are wrong as such, and Conflict when the
// object's state forbids it.
func (t Type) Precondition(o Object, p Params) error {
	if err := o.Validate(); err != nil {
		return err
	}
	if o.Kind != t.TargetKind {
		return fault.New(fault.Invalid, "action.wrong-target", "%s is for a %s, not for %s %s", t.Name, t.TargetKind, o.Kind, o.ID)
	}
	if _, err := t.ParseParams(p); err != nil {
		return err
	}
	return t.Guard(o, p)
}

// Plan is the dry run: what the action would do to an object as it is. It touches
// nothing, and is the same for the same input. Its errors are those of
// Precondition, and a fault of kind Conflict when the plan is over a cap.
func (t Type) Plan(o Object, p Params) (Plan, error) {
	if err := t.Precondition(o, p); err != nil {
		return Plan{}, err
	}
	effect, err := t.Effect(o, p)
	if err != nil {
		return Plan{}, err
	}
	plan := Plan{
		Action: t.Name, Version: t.Version,
		Target:  approval.Target{Kind: o.Kind, ID: o.ID, Version: o.Version},
		Changes: effect.Changes,
		Command: Command{Action: t.Name, Parameters: maps.Clone(map[string]string(p))},
		Notes:   append([]string{}, effect.Notes...),
	}
	if plan.Command.Parameters == nil {
		plan.Command.Parameters = map[string]string{}
	}
	return plan, t.bound(o, effect, &plan)
}

// bound adds what moves to a plan, and refuses what is over a cap.
func (t Type) bound(o Object, e Effect, plan *Plan) error {
	over := func(format string, args ...any) error {
		return fault.New(fault.Conflict, "action.over-cap", "%s of %s %s: %s", t.Name, o.Kind, o.ID, fmt.Sprintf(format, args...))
	}
	if e.Quantity.IsPositive() {
		plan.Quantity = e.Quantity.String()
		if limit := t.Caps.MaxQuantity; limit.IsPositive() && e.Quantity.GreaterThan(limit) {
			return over("a quantity of %s is more than the %s that the action may move at once", e.Quantity, limit)
		}
	}
	if !t.Moves {
		return nil
	}
	usd, err := dollars(o, e)
	if err != nil {
		return err
	}
	plan.Amount, plan.Currency, plan.AmountUSD = e.Amount.String(), e.Currency, usd.StringFixed(2)
	if usd.GreaterThan(t.Caps.MaxAmountUSD) {
		return over("USD %s is more than the USD %s that the action may move at once", usd.StringFixed(2), t.Caps.MaxAmountUSD)
	}
	return nil
}

// dollars values what moves in US dollars, rounded up to the cent, so that no
// rounding passes a cap. Another currency needs the object's usd_rate, in dollars
// for one unit.
func dollars(o Object, e Effect) (decimal.Decimal, error) {
	if !e.Amount.IsPositive() {
		return decimal.Zero, refuse(o, "the amount that would move is not above 0")
	}
	rate := decimal.NewFromInt(1)
	if e.Currency != "USD" {
		var err error
		if rate, err = o.number("usd_rate"); err != nil {
			return decimal.Zero, refuse(o, "its currency is %q, and without a usd_rate no limit in US dollars can be checked", e.Currency)
		}
		if !rate.IsPositive() {
			return decimal.Zero, refuse(o, "usd_rate %s is not above 0", rate)
		}
	}
	return e.Amount.Mul(rate).RoundCeil(2), nil
}

// Verify looks at the object after the action, not at what any system answered.
// before is the object that was planned over.
func (t Type) Verify(before, after Object, p Plan) (Verdict, string) {
	switch {
	case after.Kind != p.Target.Kind || after.ID != p.Target.ID || before.Kind != after.Kind || before.ID != after.ID:
		return Failed, fmt.Sprintf("%s %s is not the target %s %s", after.Kind, after.ID, p.Target.Kind, p.Target.ID)
	case after.Version == p.Target.Version:
		return NotYet, fmt.Sprintf("%s %s is still at version %s", after.Kind, after.ID, after.Version)
	}
	return t.Judge(before, after, p)
}

// Compensate is the command that offsets a plan that was applied, and false when
// there is none: the action is irreversible, or what was is not worth going back
// to. People approve it as part of the plan.
func (t Type) Compensate(before Object, p Plan) (Command, bool) {
	if t.Undo == nil {
		return Command{}, false
	}
	return t.Undo(before, p)
}

package action

import (
	"strconv"

	"finobs/internal/approval"
	"finobs/internal/canonical"
)

// PlanDigestDomain separates digests of plans from every other digest.
const PlanDigestDomain = "finobs.plan.v1"

// Change is one field that an action will change.
type Change struct {
	Field  string `json:"field"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// Command is what is sent to the desk's system.
type Command struct {
	Action     string            `json:"action"`
	Parameters map[string]string `json:"parameters"`
}

// Plan is the dry run of an action over one object at one version: all that will
// be sent, and all that the system will do at once. What the system does after
// that, such as to settle, is what Verify waits for.
type Plan struct {
	Action    string          `json:"action"`
	Version   int             `json:"version"` // of the action
	Target    approval.Target `json:"target"`
	Changes   []Change        `json:"changes"`
	Command   Command         `json:"command"`
	Amount    string          `json:"amount,omitempty"`     // of money that moves, in Currency; empty for none
	Currency  string          `json:"currency,omitempty"`   // ISO 4217
	AmountUSD string          `json:"amount_usd,omitempty"` // Amount in US dollars, rounded up to the cent
	Quantity  string          `json:"quantity,omitempty"`   // of the security that moves; empty for none
	Notes     []string        `json:"notes"`                // what an approver should know besides; numbers, templates, and names that are made fit to be shown
}

// Canonical returns the bytes of a plan that people approve (see package
// canonical).
func (p Plan) Canonical() ([]byte, error) {
	changes := make([]canonical.Object, 0, len(p.Changes))
	for _, c := range p.Changes {
		changes = append(changes, canonical.Object{"field": c.Field, "before": c.Before, "after": c.After})
	}
	parameters := canonical.Object{}
	for name, value := range p.Command.Parameters {
		parameters[name] = value
	}
	return canonical.JSON(canonical.Object{
		"action":   p.Action,
		"version":  strconv.Itoa(p.Version),
		"target":   canonical.Object{"kind": p.Target.Kind, "id": p.Target.ID, "version": p.Target.Version},
		"changes":  changes,
		"command":  canonical.Object{"action": p.Command.Action, "parameters": parameters},
		"amount":   p.Amount,
		"currency": p.Currency, "amount_usd": p.AmountUSD, "quantity": p.Quantity,
		"notes": append([]string{}, p.Notes...),
	})
}

// Digest identifies a plan: SHA-256 over PlanDigestDomain and Canonical. A plan
// over another version of the object, or by another version of the action, has
// another digest.
func (p Plan) Digest() (string, error) {
	b, err := p.Canonical()
	if err != nil {
		return "", err
	}
	return canonical.DigestBytes(PlanDigestDomain, b), nil
}

// after is the value that a field will have, when the plan changes it.
func (p Plan) after(field string) string {
	for _, c := range p.Changes {
		if c.Field == field {
			return c.After
		}
	}
	return ""
}

// Verdict says how an object fares after an action.
type Verdict string

// The closed set of verdicts.
const (
	Recovered Verdict = "recovered" // the trouble is over
	NotYet    Verdict = "not_yet"   // look again
	Failed    Verdict = "failed"    // it was applied, or overtaken, and the trouble is not over
)

// Valid reports whether v is one of the verdicts above.
func (v Verdict) Valid() bool { return v == Recovered || v == NotYet || v == Failed }

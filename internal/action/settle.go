package action

import (
	"fmt"

	"finobs/internal/intake"

	"github.com/shopspring/decimal"
)

// What the actions over a settlement have in common. Fields of a settlement:
// status (pending, failed, instructed, partially_settled, settled), quantity,
// remaining_quantity, remaining_amount, instructed_quantity, instructed_amount,
// currency, settlement_date (contractual, never changed), instructed_date,
// instructions, fail_reason, ssi, eligible_ssis, partial_allowed,
// available_quantity.

// remaining reads what of a settlement is still to settle.
func remaining(o Object) (quantity, amount decimal.Decimal, err error) {
	if quantity, err = o.number("remaining_quantity"); err != nil {
		return
	}
	if amount, err = o.number("remaining_amount"); err != nil {
		return
	}
	if !quantity.IsPositive() {
		err = refuse(o, "nothing remains to settle")
	}
	return
}

// instruct is the effect of a new instruction over part of what remains.
func instruct(o Object, quantity, amount decimal.Decimal, more ...Change) (Effect, error) {
	currency := o.Fields["currency"]
	if !intake.CurrencyCode(currency) {
		return Effect{}, refuse(o, "currency %q is no code of ISO 4217", currency)
	}
	count, err := o.next("instructions")
	if err != nil {
		return Effect{}, err
	}
	changes := []Change{
		change(o, "status", "instructed"),
		change(o, "instructions", count),
		change(o, "instructed_quantity", quantity.String()),
		change(o, "instructed_amount", amount.String()),
		change(o, "fail_reason", ""),
	}
	return Effect{Changes: append(changes, more...), Amount: amount, Currency: currency, Quantity: quantity}, nil
}

// judgeInstruction looks at what remains, which falls by what was instructed once
// it has settled.
func judgeInstruction(before, after Object, p Plan) (Verdict, string) {
	remained, err := before.number("remaining_quantity")
	if err != nil {
		return Failed, err.Error()
	}
	remains, err := after.number("remaining_quantity")
	if err != nil {
		return Failed, err.Error()
	}
	instructed, ok := parseDecimal(p.Quantity)
	if !ok {
		return Failed, "the plan has no quantity"
	}
	status := after.Fields["status"]
	switch {
	case remains.Equal(remained.Sub(instructed)) && (status == "settled" || status == "partially_settled"):
		return Recovered, fmt.Sprintf("%s settled; %s remain", instructed, remains)
	case status == "instructed" || status == "matched":
		return NotYet, "the instruction is " + status
	case status == "failed":
		return Failed, fmt.Sprintf("it failed again: %q", after.Fields["fail_reason"])
	}
	return Failed, fmt.Sprintf("its status is %q, and %s remain", status, remains)
}

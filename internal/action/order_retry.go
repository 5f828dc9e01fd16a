package action

import (
	"fmt"

	"finobs/internal/approval"
	"finobs/internal/intake"

	"github.com/shopspring/decimal"
)

func orderRetry() Type {
	return Type{
		Name: "order.retry", Version: 1, TargetKind: Order,
		Title: "Send an order that never reached the venue again",
		Doc: "Sends the same order, unchanged, once more. Only when the venue is known not to hold it, since two copies may both fill, " +
			"and only when the path to the venue was at fault, not a limit or the order itself.",
		Risk: approval.High, Reversibility: Irreversible, Moves: true,
		Caps: Caps{PerHour: 20, MaxAmountUSD: decimal.NewFromInt(5_000_000), MaxQuantity: decimal.NewFromInt(1_000_000)},
		Guard: func(o Object, _ Params) error {
			if err := o.want("status", "rejected", "stuck"); err != nil {
				return err
			}
			if err := o.want("at_venue", "no"); err != nil {
				return err
			}
			return o.want("reject_reason", "gateway_down", "session_down", "timeout", "throttled")
		},
		Effect: resend,
		Judge: func(_, after Object, _ Plan) (Verdict, string) {
			switch status := after.Fields["status"]; status {
			case "working", "partially_filled", "filled":
				return Recovered, "the venue has it: " + status
			case "pending_new":
				return NotYet, "the venue has not answered"
			case "rejected", "stuck":
				return Failed, fmt.Sprintf("it is %s again: %q", status, after.Fields["reject_reason"])
			default:
				return Failed, fmt.Sprintf("its status is %q", status)
			}
		},
	}
}

// resend values an order at its limit, or at the reference price when it has none.
func resend(o Object, _ Params) (Effect, error) {
	leaves, err := o.number("leaves_quantity")
	if err != nil {
		return Effect{}, err
	}
	at := "limit_price"
	if o.Fields[at] == "" {
		at = "reference_price"
	}
	price, err := o.number(at)
	if err != nil {
		return Effect{}, err
	}
	if !intake.CurrencyCode(o.Fields["currency"]) {
		return Effect{}, refuse(o, "currency %q is no code of ISO 4217", o.Fields["currency"])
	}
	attempts, err := o.next("attempts")
	if err != nil {
		return Effect{}, err
	}
	return Effect{
		Changes:  []Change{change(o, "status", "pending_new"), change(o, "attempts", attempts), change(o, "reject_reason", "")},
		Amount:   leaves.Mul(price),
		Currency: o.Fields["currency"],
		Quantity: leaves,
		Notes:    []string{fmt.Sprintf("valued at its %s of %s", at, price)},
	}, nil
}

package action

import (
	"fmt"

	"finobs/internal/approval"
)

func orderCancel() Type {
	return Type{
		Name: "order.cancel", Version: 1, TargetKind: Order,
		Title: "Cancel what is left of an order",
		Doc: "Asks the venue to cancel what is not filled. What is filled stays. The order is pending until the venue answers, " +
			"and may fill before it does.",
		Risk: approval.Medium, Reversibility: Irreversible,
		Caps: Caps{PerHour: 200},
		Guard: func(o Object, _ Params) error {
			return o.want("status", "new", "working", "partially_filled", "stuck")
		},
		Effect: func(o Object, _ Params) (Effect, error) {
			leaves, err := o.number("leaves_quantity")
			if err != nil {
				return Effect{}, err
			}
			return Effect{Changes: []Change{change(o, "status", "pending_cancel")}, Quantity: leaves}, nil
		},
		Judge: func(_, after Object, _ Plan) (Verdict, string) {
			switch status := after.Fields["status"]; status {
			case "cancelled":
				return Recovered, "the venue cancelled it"
			case "pending_cancel":
				return NotYet, "the venue has not answered"
			case "filled":
				return Failed, "it filled before the venue cancelled it"
			default:
				return Failed, fmt.Sprintf("its status is %q", status)
			}
		},
	}
}

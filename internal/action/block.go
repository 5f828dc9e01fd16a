package action

import (
	"fmt"
	"slices"
	"strings"

	"finobs/internal/approval"
)

// What blocking traders and strategies has in common. Fields of both: status
// (active, blocked) and block_reason, which is empty while active.

func blockReasons() []string {
	return []string{"limit_breach", "runaway_orders", "compliance_hold", "technical", "unblock_reverted"}
}

// blocking is the kill switch of a trader or a strategy. It is of medium risk,
// though it stops business: whoever must stop losses waits for few.
func blocking(kind, doc string) Type {
	return Type{
		Name: kind + ".block", Version: 1, TargetKind: kind,
		Title: "Stop new orders of a " + kind,
		Doc:   doc,
		Parameters: []Parameter{
			{Name: "reason", Kind: Choice, Required: true, Enum: blockReasons(), Doc: "why"},
		},
		Risk: approval.Medium, Reversibility: Reversible, Restores: []string{"status", "block_reason"},
		Caps:  Caps{PerHour: 50},
		Guard: func(o Object, _ Params) error { return o.want("status", "active") },
		Effect: func(o Object, p Params) (Effect, error) {
			return Effect{
				Changes: []Change{change(o, "status", "blocked"), change(o, "block_reason", p["reason"])},
				Notes:   openOrders(o),
			}, nil
		},
		Judge: judgeStatus("blocked"),
		Undo: func(Object, Plan) (Command, bool) {
			return Command{Action: kind + ".unblock", Parameters: map[string]string{}}, true
		},
	}
}

// unblocking is of high risk: whatever led to the block may still be so.
func unblocking(kind, doc string) Type {
	return Type{
		Name: kind + ".unblock", Version: 1, TargetKind: kind,
		Title: "Allow new orders of a " + kind + " again",
		Doc:   doc,
		Risk:  approval.High, Reversibility: Reversible, Restores: []string{"status", "block_reason"},
		Caps:  Caps{PerHour: 10},
		Guard: func(o Object, _ Params) error { return o.want("status", "blocked") },
		Effect: func(o Object, _ Params) (Effect, error) {
			return Effect{Changes: []Change{change(o, "status", "active"), change(o, "block_reason", "")}}, nil
		},
		Judge: judgeStatus("active"),
		Undo: func(before Object, _ Plan) (Command, bool) {
			reason := before.Fields["block_reason"]
			return Command{Action: kind + ".block", Parameters: map[string]string{"reason": reason}}, slices.Contains(blockReasons(), reason)
		},
	}
}

func judgeStatus(want string) func(_, after Object, _ Plan) (Verdict, string) {
	return func(_, after Object, _ Plan) (Verdict, string) {
		if status := after.Fields["status"]; status != want {
			return Failed, fmt.Sprintf("its status is %q", status)
		}
		return Recovered, "it is " + want
	}
}

// openOrders says what a block leaves in the market.
func openOrders(o Object) []string {
	count := o.Fields["open_orders"]
	if !versionPattern.MatchString(count) || strings.TrimLeft(count, "0") == "" {
		return nil
	}
	return []string{count + " open orders stay in the market; cancel them with order.cancel"}
}

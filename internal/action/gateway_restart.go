package action

import (
	"fmt"

	"finobs/internal/approval"
)

// gatewayRestart works on a gateway with the fields status (up, degraded, down,
// restarting), restarts and open_orders.
func gatewayRestart() Type {
	return Type{
		Name: "gateway.restart", Version: 1, TargetKind: Gateway,
		Title: "Restart a gateway that is down or degraded",
		Doc: "Restarts the process and logs its sessions on again, with the sequence numbers that it had. " +
			"Sessions that still work are interrupted. A gateway that is up is not restarted.",
		Risk: approval.Medium, Reversibility: Irreversible,
		Caps:  Caps{PerHour: 4},
		Guard: func(o Object, _ Params) error { return o.want("status", "down", "degraded") },
		Effect: func(o Object, _ Params) (Effect, error) {
			restarts, err := o.next("restarts")
			if err != nil {
				return Effect{}, err
			}
			effect := Effect{Changes: []Change{change(o, "status", "restarting"), change(o, "restarts", restarts)}}
			if count := o.Fields["open_orders"]; versionPattern.MatchString(count) && count != "0" {
				effect.Notes = []string{count + " orders are open through it, without a session until it is up"}
			}
			return effect, nil
		},
		Judge: func(_, after Object, _ Plan) (Verdict, string) {
			switch status := after.Fields["status"]; status {
			case "up":
				return Recovered, "it is up"
			case "restarting":
				return NotYet, "it is restarting"
			default:
				return Failed, fmt.Sprintf("its status is %q", status)
			}
		},
	}
}

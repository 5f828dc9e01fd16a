package action

import (
	"fmt"

	"finobs/internal/approval"
)

// feedSwitch works on a feed with the fields status (live, degraded, silent,
// switching), active (primary, backup), primary_status and backup_status (live,
// degraded, silent).
func feedSwitch() Type {
	return Type{
		Name: "feed.switch", Version: 1, TargetKind: Feed,
		Title: "Switch market data to the other source",
		Doc: "Makes the backup of a feed active, or the primary again. The source that is switched to must be live. " +
			"Strategies see a gap while it switches.",
		Parameters: []Parameter{
			{Name: "to", Kind: Choice, Required: true, Enum: []string{"primary", "backup"}, Doc: "source that becomes active"},
		},
		Risk: approval.Medium, Reversibility: Reversible, Restores: []string{"active"},
		Caps: Caps{PerHour: 12},
		Guard: func(o Object, p Params) error {
			if o.Fields["active"] == p["to"] {
				return refuse(o, "its %s is active already", p["to"])
			}
			if err := o.want("status", "live", "degraded", "silent"); err != nil {
				return err
			}
			return o.want(p["to"]+"_status", "live")
		},
		Effect: func(o Object, p Params) (Effect, error) {
			effect := Effect{Changes: []Change{change(o, "active", p["to"]), change(o, "status", "switching")}}
			if o.Fields["status"] == "live" {
				effect.Notes = []string{"the feed is live now"}
			}
			return effect, nil
		},
		Judge: func(_, after Object, p Plan) (Verdict, string) {
			active, status := after.Fields["active"], after.Fields["status"]
			switch {
			case active != p.after("active"):
				return Failed, fmt.Sprintf("its %q is active", active)
			case status == "live":
				return Recovered, "it is live from its " + active
			case status == "switching":
				return NotYet, "it is switching"
			}
			return Failed, fmt.Sprintf("its %s is active and %q", active, status)
		},
		Undo: func(before Object, _ Plan) (Command, bool) {
			old := before.Fields["active"]
			return Command{Action: "feed.switch", Parameters: map[string]string{"to": old}}, before.Fields[old+"_status"] == "live"
		},
	}
}

package action

import (
	"fmt"

	"finobs/internal/approval"
)

// reconRerun works on a position with the fields quantity, custodian_quantity,
// statement (awaited, received), rec_status (matched, break, running) and rec_runs.
func reconRerun() Type {
	return Type{
		Name: "recon.rerun", Version: 1, TargetKind: Position,
		Title: "Reconcile a position with its custodian again",
		Doc: "Compares a position that breaks with the custodian's latest statement. It changes no position. " +
			"Only when a statement has been received; comparing with nothing new finds nothing new.",
		Risk: approval.Low, Reversibility: Irreversible,
		Caps: Caps{PerHour: 60},
		Guard: func(o Object, _ Params) error {
			if err := o.want("rec_status", "break"); err != nil {
				return err
			}
			return o.want("statement", "received")
		},
		Effect: func(o Object, _ Params) (Effect, error) {
			runs, err := o.next("rec_runs")
			if err != nil {
				return Effect{}, err
			}
			return Effect{Changes: []Change{change(o, "rec_status", "running"), change(o, "rec_runs", runs)}}, nil
		},
		Judge: func(_, after Object, _ Plan) (Verdict, string) {
			switch status := after.Fields["rec_status"]; status {
			case "matched":
				return Recovered, "it matches the custodian's statement"
			case "running":
				return NotYet, "the reconciliation is running"
			default:
				return Failed, fmt.Sprintf("we hold %q and the custodian %q", after.Fields["quantity"], after.Fields["custodian_quantity"])
			}
		},
	}
}

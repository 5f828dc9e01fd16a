package action

import (
	"fmt"
	"slices"
	"strings"

	"finobs/internal/approval"
	"finobs/internal/intake"
)

func settlementAmendSSI() Type {
	return Type{
		Name: "settlement.amend_ssi", Version: 2, TargetKind: Settlement,
		Title: "Put a settlement on another standing instruction",
		Doc: "Changes which of the counterparty's verified standing instructions a settlement uses. Account numbers are never typed: " +
			"only an instruction that the settlement system lists as eligible can be chosen. A failed instruction stays failed until it is instructed again.",
		Parameters: []Parameter{
			{Name: "ssi", Kind: ID, Required: true, Doc: "id of the standing instruction, one of the settlement's eligible ones"},
		},
		Risk: approval.High, Reversibility: Compensable, Restores: []string{"ssi"},
		Needs: []Need{{Kind: SSI, Parameter: "ssi"}},
		Caps:  Caps{PerHour: 20},
		Guard: func(o Object, p Params) error {
			if err := o.want("status", "failed", "pending"); err != nil {
				return err
			}
			if o.Fields["ssi"] == p["ssi"] {
				return refuse(o, "it is on %s already", p["ssi"])
			}
			if !eligible(o, p["ssi"]) {
				return refuse(o, "%s is none of its eligible standing instructions %q", p["ssi"], o.Fields["eligible_ssis"])
			}
			return nil
		},
		Effect: func(o Object, p Params) (Effect, error) {
			return Effect{
				Changes: []Change{change(o, "ssi", p["ssi"])},
				Notes:   append(atStake(o), "no instruction leaves; follow with settlement.reinstruct"),
			}, nil
		},
		Judge: func(_, after Object, p Plan) (Verdict, string) {
			if after.Fields["ssi"] != p.after("ssi") {
				return Failed, fmt.Sprintf("it is on %q", after.Fields["ssi"])
			}
			return Recovered, "it is on " + p.after("ssi")
		},
		Undo: func(before Object, _ Plan) (Command, bool) {
			old := before.Fields["ssi"]
			return Command{Action: "settlement.amend_ssi", Parameters: map[string]string{"ssi": old}}, paramIDPattern.MatchString(old) && eligible(before, old)
		},
	}
}

func eligible(o Object, ssi string) bool {
	return slices.Contains(strings.Split(o.Fields["eligible_ssis"], ","), ssi)
}

// atStake says what will go to another account.
func atStake(o Object) []string {
	quantity, amount, err := remaining(o)
	if err != nil || !intake.CurrencyCode(o.Fields["currency"]) {
		return nil
	}
	return []string{fmt.Sprintf("%s against %s %s will settle over it", quantity, o.Fields["currency"], amount)}
}

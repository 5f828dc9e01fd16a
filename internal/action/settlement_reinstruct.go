package action

import (
	"finobs/internal/approval"

	"github.com/shopspring/decimal"
)

func settlementReinstruct() Type {
	return Type{
		Name: "settlement.reinstruct", Version: 2, TargetKind: Settlement,
		Title: "Instruct a failed settlement again",
		Doc: "Sends a new instruction for all that remains, under the standing instruction that the settlement now has. " +
			"The contractual settlement date stays, so penalties go on counting from it.",
		Parameters: []Parameter{
			{Name: "settlement_date", Kind: Date, Required: true, Doc: "day for which to instruct, not before the contractual settlement date"},
		},
		Risk: approval.High, Reversibility: Irreversible, Moves: true,
		Needs: []Need{{Kind: SSI, Field: "ssi"}},
		Caps:  Caps{PerHour: 20, MaxAmountUSD: decimal.NewFromInt(50_000_000)},
		Guard: func(o Object, p Params) error {
			if err := o.want("status", "failed", "partially_settled"); err != nil {
				return err
			}
			if due := o.Fields["settlement_date"]; !isDate(due) || p["settlement_date"] < due {
				return refuse(o, "it is due on %q, and cannot be instructed for %s", due, p["settlement_date"])
			}
			_, _, err := remaining(o)
			return err
		},
		Effect: func(o Object, p Params) (Effect, error) {
			quantity, amount, err := remaining(o)
			if err != nil {
				return Effect{}, err
			}
			return instruct(o, quantity, amount, change(o, "instructed_date", p["settlement_date"]))
		},
		Judge: judgeInstruction,
	}
}

package action

import (
	"fmt"

	"finobs/internal/approval"

	"github.com/shopspring/decimal"
)

func settlementPartial() Type {
	return Type{
		Name: "settlement.partial", Version: 2, TargetKind: Settlement,
		Title: "Settle part of a failed settlement",
		Doc: "Instructs a part of what remains, against its share of the money, rounded to the cent; the rest stays open at the rest of the money. " +
			"Only where both sides allow partial settlement and the quantity is available.",
		Parameters: []Parameter{
			{Name: "quantity", Kind: Quantity, Required: true, Doc: "to settle now: at most what is available, and less than what remains"},
		},
		Risk: approval.High, Reversibility: Irreversible, Moves: true,
		Needs: []Need{{Kind: SSI, Field: "ssi"}},
		Caps:  Caps{PerHour: 20, MaxAmountUSD: decimal.NewFromInt(50_000_000)},
		Guard: guardPartial,
		Effect: func(o Object, p Params) (Effect, error) {
			whole, money, err := remaining(o)
			if err != nil {
				return Effect{}, err
			}
			part, _ := parseDecimal(p["quantity"])
			share := money.Mul(part).DivRound(whole, 2)
			effect, err := instruct(o, part, share)
			effect.Notes = []string{fmt.Sprintf("%s and %s %s stay open", whole.Sub(part), o.Fields["currency"], money.Sub(share))}
			return effect, err
		},
		Judge: judgeInstruction,
	}
}

func guardPartial(o Object, p Params) error {
	if err := o.want("status", "failed", "partially_settled"); err != nil {
		return err
	}
	if err := o.want("partial_allowed", "yes"); err != nil {
		return err
	}
	whole, _, err := remaining(o)
	if err != nil {
		return err
	}
	available, err := o.number("available_quantity")
	if err != nil {
		return err
	}
	part, _ := parseDecimal(p["quantity"]) // ParseParams has read it
	switch {
	case part.GreaterThan(available):
		return refuse(o, "%s are available, and not %s", available, part)
	case !part.LessThan(whole):
		return refuse(o, "%s is no part of the %s that remain; instruct the whole again", part, whole)
	}
	return nil
}

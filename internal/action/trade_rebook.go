package action

import (
	"fmt"

	"finobs/internal/approval"
	"finobs/internal/intake"

	"github.com/shopspring/decimal"
)

// rebookable are the economics that a trade can be booked again with. Fields of a
// trade beside them: status (booked, cancelled), settlement_status (pending,
// settled), match_status (matched, unmatched, matching), gross_amount, currency,
// booking, rebook_reason.
func rebookable() []string {
	return []string{"price", "quantity", "settlement_date", "counterparty"}
}

func tradeRebook() Type {
	return Type{
		Name: "trade.rebook", Version: 2, TargetKind: Trade,
		Title: "Cancel a trade and book it again, corrected",
		Doc: "Cancels the booking and books the trade anew with the corrected price, quantity, settlement date or counterparty, in one step; " +
			"what is not given stays. The confirmation goes out again, and the trade is matched anew. Not after settlement. " +
			"The caps hold for the larger of the two bookings.",
		Parameters: []Parameter{
			{Name: "price", Kind: Price, Doc: "corrected price of one unit, in the trade's currency"},
			{Name: "quantity", Kind: Quantity, Doc: "corrected quantity"},
			{Name: "settlement_date", Kind: Date, Doc: "corrected settlement date, not before the trade date"},
			{Name: "counterparty", Kind: ID, Doc: "id of the right counterparty"},
			{Name: "reason", Kind: Choice, Required: true, Enum: []string{"price_break", "quantity_break", "date_break", "counterparty_break", "reversal"}, Doc: "why"},
		},
		Risk: approval.High, Reversibility: Compensable, Restores: append(rebookable(), "gross_amount"), Moves: true,
		Caps:   Caps{PerHour: 20, MaxAmountUSD: decimal.NewFromInt(25_000_000), MaxQuantity: decimal.NewFromInt(10_000_000)},
		Guard:  guardRebook,
		Effect: rebook,
		Judge: func(_, after Object, p Plan) (Verdict, string) {
			if after.Fields["booking"] != p.after("booking") {
				return Failed, fmt.Sprintf("it is at booking %q, not at %s", after.Fields["booking"], p.after("booking"))
			}
			switch status := after.Fields["match_status"]; status {
			case "matched":
				return Recovered, "both sides match"
			case "matching":
				return NotYet, "it is being matched"
			default:
				return Failed, fmt.Sprintf("the other side still differs: match_status is %q", status)
			}
		},
		Undo: func(before Object, p Plan) (Command, bool) {
			parameters := map[string]string{"reason": "reversal"}
			for _, field := range rebookable() {
				if _, changed := p.Command.Parameters[field]; changed {
					parameters[field] = before.Fields[field]
				}
			}
			return Command{Action: "trade.rebook", Parameters: parameters}, true
		},
	}
}

func guardRebook(o Object, p Params) error {
	if err := o.want("status", "booked"); err != nil {
		return err
	}
	if err := o.want("settlement_status", "pending"); err != nil {
		return err
	}
	if err := o.want("match_status", "unmatched", "matched"); err != nil {
		return err
	}
	if date, given := p["settlement_date"]; given && date < o.Fields["trade_date"] {
		return refuse(o, "it was traded on %s and cannot settle on %s", o.Fields["trade_date"], date)
	}
	given := 0
	for _, field := range rebookable() {
		value, ok := p[field]
		if !ok {
			continue
		}
		given++
		if same(o.Fields[field], value) {
			return refuse(o, "its %s is %s already; leave it out", field, value)
		}
	}
	if given == 0 {
		return badParam(Type{Name: "trade.rebook"}, "nothing is corrected; give price, quantity, settlement_date or counterparty")
	}
	return nil
}

// same reports whether two values are one, whatever zeros end a decimal.
func same(a, b string) bool {
	m, ok := parseDecimal(a)
	n, also := parseDecimal(b)
	return a == b || ok && also && m.Equal(n)
}

// atStakeOf is the larger of the booking that is cancelled and the one that takes its
// place: to book a large trade small moves as much as the other way round.
func atStakeOf(o Object, gross, quantity decimal.Decimal) (amount, units decimal.Decimal, err error) {
	price, err := o.number("price")
	if err != nil {
		return amount, units, err
	}
	if units, err = o.number("quantity"); err != nil {
		return amount, units, err
	}
	return decimal.Max(gross, price.Mul(units)), decimal.Max(quantity, units), nil
}

func rebook(o Object, p Params) (Effect, error) {
	corrected := Object{Kind: o.Kind, ID: o.ID, Fields: map[string]string{"price": o.Fields["price"], "quantity": o.Fields["quantity"]}}
	var changes []Change
	for _, field := range rebookable() {
		if value, given := p[field]; given {
			corrected.Fields[field] = value
			changes = append(changes, change(o, field, value))
		}
	}
	price, err := corrected.number("price")
	if err != nil {
		return Effect{}, err
	}
	quantity, err := corrected.number("quantity")
	if err != nil {
		return Effect{}, err
	}
	currency := o.Fields["currency"]
	if !intake.CurrencyCode(currency) {
		return Effect{}, refuse(o, "currency %q is no code of ISO 4217", currency)
	}
	booking, err := o.next("booking")
	if err != nil {
		return Effect{}, err
	}
	gross := price.Mul(quantity)
	stake, units, err := atStakeOf(o, gross, quantity)
	if err != nil {
		return Effect{}, err
	}
	changes = append(changes, change(o, "gross_amount", gross.String()), change(o, "booking", booking),
		change(o, "match_status", "matching"), change(o, "rebook_reason", p["reason"]))
	effect := Effect{Changes: changes, Amount: stake, Currency: currency, Quantity: units}
	if o.Fields["match_status"] == "matched" {
		effect.Notes = []string{"both sides match now; this booking may break that"}
	}
	return effect, nil
}

package action

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"finobs/internal/approval"
)

// templates says which values each message to a counterparty takes, beside the
// reference, and how it reads. The words are the desk's; nobody adds any.
func templates() map[string]template {
	return map[string]template{
		"settlement_fail_chaser": {
			values: []string{"isin", "quantity", "date"},
			text:   "Settlement %[1]s of %[3]s %[2]s due %[4]s has failed. Please confirm your instruction and delivery.",
		},
		"ssi_confirmation_request": {
			values: []string{"date"},
			text:   "Please confirm the standing settlement instruction that you use for %[1]s, due %[2]s.",
		},
		"trade_break_query": {
			values: []string{"isin", "quantity", "amount", "currency", "date"},
			text:   "We booked trade %[1]s as %[3]s %[2]s for %[5]s %[4]s, settling %[6]s. Please confirm, or send your details.",
		},
		"partial_settlement_offer": {
			values: []string{"isin", "quantity"},
			text:   "We can settle %[3]s %[2]s of %[1]s now. Please confirm that you accept a partial settlement.",
		},
		"buy_in_warning": {
			values: []string{"isin", "quantity", "date"},
			text:   "%[3]s %[2]s of %[1]s are undelivered. Without delivery by %[4]s we may start a buy-in.",
		},
	}
}

// template is a message with numbered places: 1 is the reference, and from 2 on
// the values follow in their order.
type template struct {
	values []string
	text   string
}

func (t template) render(p Params) string {
	args := []any{p["reference"]}
	for _, name := range t.values {
		args = append(args, p[name])
	}
	return fmt.Sprintf(t.text, args...)
}

// counterpartyNotify works on a counterparty with the fields contact (the name of
// the desk at the other side; empty for none), notice_status (sending, delivered,
// bounced), notices, last_template and last_reference.
func counterpartyNotify() Type {
	return Type{
		Name: "counterparty.notify", Version: 1, TargetKind: Counterparty,
		Title: "Send a counterparty one of the agreed messages",
		Doc: "Sends a message by its template, with typed values in their places, to the contact that the desk's system holds for the counterparty. " +
			"There is no place for words or addresses of anybody's choice. The plan shows the message in full.",
		Parameters: []Parameter{
			{Name: "template", Kind: Choice, Required: true, Enum: slices.Sorted(maps.Keys(templates())), Doc: "which message"},
			{Name: "reference", Kind: ID, Required: true, Doc: "id of the trade or settlement that it is about"},
			{Name: "isin", Kind: ISIN, Doc: "security"},
			{Name: "quantity", Kind: Quantity, Doc: "quantity of the security"},
			{Name: "amount", Kind: Amount, Doc: "amount of money"},
			{Name: "currency", Kind: Currency, Doc: "currency of the amount"},
			{Name: "date", Kind: Date, Doc: "settlement date, or the day by which to act"},
		},
		Risk: approval.Medium, Reversibility: Irreversible,
		Caps:   Caps{PerHour: 20},
		Guard:  guardNotify,
		Effect: notice,
		Judge: func(_, after Object, p Plan) (Verdict, string) {
			if after.Fields["notices"] != p.after("notices") {
				return Failed, fmt.Sprintf("%q messages were sent, not %s", after.Fields["notices"], p.after("notices"))
			}
			switch status := after.Fields["notice_status"]; status {
			case "delivered":
				return Recovered, "the message was delivered"
			case "sending":
				return NotYet, "the message is being sent"
			default:
				return Failed, fmt.Sprintf("the message is %q", status)
			}
		},
	}
}

func guardNotify(o Object, p Params) error {
	if o.Fields["contact"] == "" {
		return refuse(o, "the desk's system holds no contact for it")
	}
	if o.Fields["notice_status"] == "sending" {
		return refuse(o, "a message is being sent to it")
	}
	values := templates()[p["template"]].values
	for _, name := range []string{"isin", "quantity", "amount", "currency", "date"} {
		_, given := p[name]
		switch wanted := slices.Contains(values, name); {
		case wanted && !given:
			return badParam(Type{Name: "counterparty.notify"}, "template %s takes %s; %s is missing", p["template"], strings.Join(values, ", "), name)
		case given && !wanted:
			return badParam(Type{Name: "counterparty.notify"}, "template %s takes %s, and no %s", p["template"], strings.Join(values, ", "), name)
		}
	}
	return nil
}

func notice(o Object, p Params) (Effect, error) {
	notices, err := o.next("notices")
	if err != nil {
		return Effect{}, err
	}
	return Effect{
		Changes: []Change{
			change(o, "notice_status", "sending"), change(o, "notices", notices),
			change(o, "last_template", p["template"]), change(o, "last_reference", p["reference"]),
		},
		Notes: []string{
			"to: " + approval.Printable(o.Fields["contact"]),
			"message: " + templates()[p["template"]].render(p),
		},
	}, nil
}

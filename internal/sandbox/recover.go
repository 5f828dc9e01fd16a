package sandbox

import "github.com/shopspring/decimal"

// end lets what was begun on an object come to its end, well or badly. Whether it
// ends well depends on the rest of the desk: an order needs its gateway, a
// settlement the right standing instruction.
func (w *world) end(o *held, well bool) {
	switch o.Kind {
	case "order":
		w.endOrder(o, well)
	case "settlement":
		w.endSettlement(o, well)
	case "trade":
		for _, field := range []string{"price", "quantity"} {
			well = well && o.dec(field).Equal(o.dec("their_"+field))
		}
		for _, field := range []string{"settlement_date", "counterparty"} {
			well = well && o.Fields[field] == o.Fields["their_"+field]
		}
		o.Fields["match_status"] = either(well, "matched", "unmatched")
	case "feed":
		o.Fields["status"] = either(well && o.is(o.Fields["active"]+"_status", "live"), "live", "silent")
	case "gateway":
		o.Fields["status"] = either(well, "up", "down")
	case "position":
		o.Fields["rec_status"] = either(well && o.dec("quantity").Equal(o.dec("custodian_quantity")), "matched", "break")
	case "counterparty":
		o.Fields["notice_status"] = either(well && !o.is("contact_status", "unreachable"), "delivered", "bounced")
	}
}

func either(well bool, yes, no string) string {
	if well {
		return yes
	}
	return no
}

func (w *world) endOrder(o *held, well bool) {
	if o.is("status", "pending_cancel") {
		if !well { // it filled on the way
			o.Fields["filled_quantity"] = o.Fields["quantity"]
		}
		o.Fields["status"], o.Fields["leaves_quantity"] = either(well, "cancelled", "filled"), "0"
		return
	}
	gateway := w.objects[ref{"gateway", o.Fields["gateway"]}]
	if well && gateway.is("status", "up") {
		o.Fields["status"], o.Fields["at_venue"] = "working", "yes"
		return
	}
	o.Fields["status"], o.Fields["reject_reason"] = "rejected", either(well, "gateway_down", "timeout")
}

func (w *world) endSettlement(o *held, well bool) {
	quantity, amount := o.dec("instructed_quantity"), o.dec("instructed_amount")
	o.Fields["instructed_quantity"], o.Fields["instructed_amount"] = "0", "0"
	ssi := w.objects[ref{"ssi", o.Fields["ssi"]}]
	switch {
	case !ssi.is("status", "active") || ssi.Fields["place"] != o.Fields["place"]:
		o.Fields["status"], o.Fields["fail_reason"] = "failed", "ssi_mismatch"
		return
	case !well:
		o.Fields["status"], o.Fields["fail_reason"] = "failed", "counterparty_short"
		return
	}
	rest := o.dec("remaining_quantity").Sub(quantity)
	o.Fields["remaining_quantity"] = rest.String()
	o.Fields["remaining_amount"] = o.dec("remaining_amount").Sub(amount).String()
	available := o.dec("available_quantity").Sub(quantity)
	o.Fields["available_quantity"] = decimal.Max(available, decimal.Zero).String()
	o.Fields["status"] = either(rest.IsZero(), "settled", "partially_settled")
}

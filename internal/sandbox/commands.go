package sandbox

import (
	"slices"
	"strings"

	"github.com/shopspring/decimal"
)

// Command is what finobs sends.
type Command struct {
	Action     string            `json:"action"`
	Target     Target            `json:"target"`
	Parameters map[string]string `json:"parameters"`
}

// Target names an object at the version that was seen.
type Target struct {
	Kind    string `json:"kind"`
	ID      string `json:"id"`
	Version string `json:"version"`
}

// rule carries out a command on a copy of its target, or says why not.
type rule struct {
	kind  string
	takes bool // the change takes time, and ends by recover
	do    func(w *world, o *held, p map[string]string) (refusal string)
}

func rules() map[string]rule {
	return map[string]rule{
		"settlement.reinstruct": {"settlement", true, reinstruct},
		"settlement.partial":    {"settlement", true, partial},
		"settlement.amend_ssi":  {"settlement", false, amendSSI},
		"trade.rebook":          {"trade", true, rebook},
		"order.cancel":          {"order", true, cancelOrder},
		"order.retry":           {"order", true, retryOrder},
		"trader.block":          {"trader", false, block},
		"trader.unblock":        {"trader", false, unblock},
		"strategy.block":        {"strategy", false, block},
		"strategy.unblock":      {"strategy", false, unblock},
		"feed.switch":           {"feed", true, switchFeed},
		"gateway.restart":       {"gateway", true, restart},
		"recon.rerun":           {"position", true, rerun},
		"counterparty.notify":   {"counterparty", true, notify},
	}
}

func reinstruct(_ *world, o *held, p map[string]string) string {
	if p["settlement_date"] == "" {
		return "settlement_date is missing"
	}
	refusal := instruct(o, o.dec("remaining_quantity"), o.dec("remaining_amount"))
	o.Fields["instructed_date"] = p["settlement_date"]
	return refusal
}

func partial(_ *world, o *held, p map[string]string) string {
	part, err := decimal.NewFromString(p["quantity"])
	whole, money := o.dec("remaining_quantity"), o.dec("remaining_amount")
	switch {
	case err != nil:
		return "quantity is no number"
	case !o.is("partial_allowed", "yes"):
		return "partial settlement is not allowed"
	case !part.IsPositive() || !part.LessThan(whole) || part.GreaterThan(o.dec("available_quantity")):
		return "quantity is no part that is available"
	}
	return instruct(o, part, money.Mul(part).DivRound(whole, 2))
}

func instruct(o *held, quantity, amount decimal.Decimal) string {
	switch {
	case !o.is("status", "failed", "partially_settled"):
		return "status is " + o.Fields["status"]
	case !quantity.IsPositive():
		return "nothing is left to settle"
	}
	o.count("instructions")
	o.Fields["status"], o.Fields["fail_reason"] = "instructed", ""
	o.Fields["instructed_quantity"], o.Fields["instructed_amount"] = quantity.String(), amount.String()
	return ""
}

func amendSSI(w *world, o *held, p map[string]string) string {
	ssi, ok := w.objects[ref{"ssi", p["ssi"]}]
	switch {
	case !o.is("status", "failed", "pending"):
		return "status is " + o.Fields["status"]
	case !ok || ssi.Fields["counterparty"] != o.Fields["counterparty"]:
		return "the counterparty has no such standing instruction"
	case !ssi.is("status", "active") || !slices.Contains(strings.Split(o.Fields["eligible_ssis"], ","), p["ssi"]):
		return "the standing instruction is not eligible"
	}
	o.Fields["ssi"] = p["ssi"]
	return ""
}

func rebook(w *world, o *held, p map[string]string) string {
	switch {
	case !o.is("status", "booked") || !o.is("settlement_status", "pending"):
		return "the trade is " + o.Fields["status"] + " and its settlement " + o.Fields["settlement_status"]
	case o.is("match_status", "matching"):
		return "the trade is being matched"
	}
	for _, field := range []string{"price", "quantity", "settlement_date", "counterparty"} {
		if value, given := p[field]; given {
			o.Fields[field] = value
		}
	}
	if _, known := w.objects[ref{"counterparty", o.Fields["counterparty"]}]; !known {
		return "there is no such counterparty"
	}
	o.Fields["gross_amount"] = o.dec("price").Mul(o.dec("quantity")).String()
	o.Fields["match_status"], o.Fields["rebook_reason"] = "matching", p["reason"]
	o.count("booking")
	return ""
}

func cancelOrder(_ *world, o *held, _ map[string]string) string {
	if !o.is("status", "new", "working", "partially_filled", "stuck") {
		return "too late to cancel: status is " + o.Fields["status"]
	}
	o.Fields["status"] = "pending_cancel"
	return ""
}

func retryOrder(w *world, o *held, _ map[string]string) string {
	switch trader := w.objects[ref{"trader", o.Fields["trader"]}]; {
	case !o.is("status", "rejected", "stuck"):
		return "status is " + o.Fields["status"]
	case !o.is("at_venue", "no"):
		return "the venue may hold the order"
	case trader.is("status", "blocked"):
		return "the trader is blocked"
	}
	o.count("attempts")
	o.Fields["status"], o.Fields["reject_reason"] = "pending_new", ""
	return ""
}

func block(_ *world, o *held, p map[string]string) string {
	if !o.is("status", "active") {
		return "status is " + o.Fields["status"]
	}
	o.Fields["status"], o.Fields["block_reason"] = "blocked", p["reason"]
	return ""
}

func unblock(_ *world, o *held, _ map[string]string) string {
	if !o.is("status", "blocked") {
		return "status is " + o.Fields["status"]
	}
	o.Fields["status"], o.Fields["block_reason"] = "active", ""
	return ""
}

func switchFeed(_ *world, o *held, p map[string]string) string {
	switch to := p["to"]; {
	case to != "primary" && to != "backup":
		return "to is neither primary nor backup"
	case o.is("active", to) || o.is("status", "switching"):
		return "active is " + o.Fields["active"] + ", and status " + o.Fields["status"]
	case !o.is(to+"_status", "live"):
		return "the " + to + " is " + o.Fields[to+"_status"]
	}
	o.Fields["active"], o.Fields["status"] = p["to"], "switching"
	return ""
}

func restart(_ *world, o *held, _ map[string]string) string {
	if !o.is("status", "down", "degraded") {
		return "status is " + o.Fields["status"]
	}
	o.Fields["status"] = "restarting"
	o.count("restarts")
	return ""
}

func rerun(_ *world, o *held, _ map[string]string) string {
	if !o.is("rec_status", "break") || !o.is("statement", "received") {
		return "rec_status is " + o.Fields["rec_status"] + ", and the statement " + o.Fields["statement"]
	}
	o.Fields["rec_status"] = "running"
	o.count("rec_runs")
	return ""
}

func notify(_ *world, o *held, p map[string]string) string {
	switch {
	case o.is("contact", ""):
		return "there is no contact"
	case o.is("notice_status", "sending"):
		return "a message is being sent"
	case p["template"] == "" || p["reference"] == "":
		return "template or reference is missing"
	}
	o.Fields["notice_status"] = "sending"
	o.Fields["last_template"], o.Fields["last_reference"] = p["template"], p["reference"]
	o.count("notices")
	return ""
}

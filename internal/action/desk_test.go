package action_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"finobs/internal/action"
	"finobs/internal/sandbox"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"
)

const recovery = time.Minute

// tester is what *testing.T and *rapid.T have in common.
type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// desk is a sandbox with a clock of its own.
type desk struct {
	t      tester
	server *sandbox.Server
	now    time.Time
	sent   int
}

const token = "a-token-of-the-tests-only"

func openDesk(t tester, objects []sandbox.Object) *desk {
	t.Helper()
	d := &desk{t: t, now: time.Date(2026, 6, 15, 9, 0, 0, 0, time.UTC)}
	var err error
	d.server, err = sandbox.Open(sandbox.Config{
		Token: []byte(token), Mode: "simulation", Seed: objects, Recovery: recovery, Now: func() time.Time { return d.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// call sends a request and decodes what comes with the status.
func (d *desk) call(method, path string, body any, status int, into any) {
	d.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		d.t.Fatal(err)
	}
	d.sent++
	req := httptest.NewRequest(method, path, bytes.NewReader(text))
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Idempotency-Key", fmt.Sprint("k", d.sent))
	answer := httptest.NewRecorder()
	d.server.ServeHTTP(answer, req)
	got, err := io.ReadAll(answer.Body)
	if err != nil || answer.Code != status {
		d.t.Fatalf("%s %s answered %d %s (%v), want %d", method, path, answer.Code, got, err, status)
	}
	if into != nil {
		if err := json.Unmarshal(got, into); err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d *desk) read(kind, id string) action.Object {
	d.t.Helper()
	var o action.Object
	d.call(http.MethodGet, "/v1/objects/"+kind+"/"+id, nil, http.StatusOK, &o)
	return o
}

// apply plans an action and has the desk do it; it returns the plan and the object as
// the command left it.
func (d *desk) apply(before action.Object, c action.Command) (action.Type, action.Plan, action.Object) {
	d.t.Helper()
	kind, err := action.Find(c.Action)
	if err != nil {
		d.t.Fatal(err)
	}
	params, err := kind.ParseParams(c.Parameters)
	if err != nil {
		d.t.Fatal(err)
	}
	plan, err := kind.Plan(before, params)
	if err != nil {
		d.t.Fatal(err)
	}
	var answer struct {
		Object action.Object `json:"object"`
	}
	d.call(http.MethodPost, "/v1/commands", map[string]any{
		"action": plan.Command.Action, "target": plan.Target, "parameters": plan.Command.Parameters,
	}, http.StatusOK, &answer)
	return kind, plan, answer.Object
}

// scenario is a desk in trouble, and the action that helps.
type scenario struct {
	objects []sandbox.Object
	kind    string
	id      string
	command action.Command
}

func object(kind, id string, fields map[string]string) sandbox.Object {
	return sandbox.Object{Kind: kind, ID: id, Version: "1", Fields: fields}
}

func number(t *rapid.T, label string, least, most, decimals int) string {
	n := rapid.IntRange(least, most).Draw(t, label)
	return decimal.New(int64(n), -int32(rapid.IntRange(0, decimals).Draw(t, label+" decimals"))).String()
}

func pick(t *rapid.T, label string, from ...string) string {
	return rapid.SampledFrom(from).Draw(t, label)
}

// scenarios draws one for each action.
func scenarios() map[string]func(*rapid.T) scenario {
	return map[string]func(*rapid.T) scenario{
		"settlement.reinstruct": func(t *rapid.T) scenario {
			day := rapid.IntRange(12, 28).Draw(t, "day")
			return settlement(t, "settlement.reinstruct", "SSI-A", map[string]string{"settlement_date": fmt.Sprintf("2026-06-%d", day)})
		},
		"settlement.partial": func(t *rapid.T) scenario {
			return settlement(t, "settlement.partial", "SSI-A", map[string]string{"quantity": number(t, "part", 1, 99, 0)})
		},
		"settlement.amend_ssi": func(t *rapid.T) scenario {
			return settlement(t, "settlement.amend_ssi", "SSI-B", map[string]string{"ssi": "SSI-A"})
		},
		"trade.rebook": rebooked,
		"order.cancel": func(t *rapid.T) scenario {
			return ordered(t, "order.cancel", pick(t, "status", "new", "working", "partially_filled", "stuck"))
		},
		"order.retry":      func(t *rapid.T) scenario { return ordered(t, "order.retry", pick(t, "status", "rejected", "stuck")) },
		"trader.block":     func(t *rapid.T) scenario { return blocked(t, "trader", true) },
		"trader.unblock":   func(t *rapid.T) scenario { return blocked(t, "trader", false) },
		"strategy.block":   func(t *rapid.T) scenario { return blocked(t, "strategy", true) },
		"strategy.unblock": func(t *rapid.T) scenario { return blocked(t, "strategy", false) },
		"feed.switch": func(t *rapid.T) scenario {
			active, to := "primary", "backup"
			if rapid.Bool().Draw(t, "backup is active") {
				active, to = to, active
			}
			return one("feed", "feed.switch", map[string]string{"to": to}, map[string]string{
				"status": pick(t, "status", "live", "degraded", "silent"), "active": active, "primary_status": "live", "backup_status": "live",
			})
		},
		"gateway.restart": func(t *rapid.T) scenario {
			return one("gateway", "gateway.restart", nil, map[string]string{
				"status": pick(t, "status", "down", "degraded"), "restarts": number(t, "restarts", 0, 99, 0), "open_orders": pick(t, "orders", "", "0", "7"),
			})
		},
		"recon.rerun": func(t *rapid.T) scenario {
			q := number(t, "quantity", 0, 1e9, 3)
			return one("position", "recon.rerun", nil, map[string]string{
				"quantity": q, "custodian_quantity": q, "statement": "received", "rec_status": "break", "rec_runs": pick(t, "runs", "", "0", "9"),
			})
		},
		"counterparty.notify": notified,
	}
}

func one(kind, name string, parameters, fields map[string]string) scenario {
	return scenario{[]sandbox.Object{object(kind, "X-1", fields)}, kind, "X-1", action.Command{Action: name, Parameters: parameters}}
}

// settlement is one of 100 to a million, on a standing instruction of two.
func settlement(t *rapid.T, name, ssi string, parameters map[string]string) scenario {
	s := one("settlement", name, parameters, map[string]string{
		"status": "failed", "fail_reason": "ssi_mismatch", "quantity": "1000000", "available_quantity": "1000000", "partial_allowed": "yes",
		"remaining_quantity": number(t, "quantity", 10_000, 1e6, 2), "remaining_amount": number(t, "amount", 1e7, 4e7, 2),
		"currency": pick(t, "currency", "USD", "EUR"), "usd_rate": "1.08", "settlement_date": "2026-06-12", "instructions": number(t, "instructions", 0, 50, 0),
		"counterparty": "CP", "place": "DTC", "ssi": ssi, "eligible_ssis": "SSI-A,SSI-B",
	})
	ssiFields := map[string]string{"counterparty": "CP", "place": "DTC", "status": "active"}
	other := maps.Clone(ssiFields)
	other["place"] = "EOC"
	s.objects = append(s.objects, object("ssi", "SSI-A", ssiFields), object("ssi", "SSI-B", other))
	return s
}

// rebooked is a trade that the other side sees otherwise, in one field or more.
func rebooked(t *rapid.T) scenario {
	ours := map[string]string{"price": "10", "quantity": "20", "settlement_date": "2026-06-16", "counterparty": "CP"}
	theirs := map[string]string{
		"price": number(t, "price", 11, 999, 2), "quantity": number(t, "quantity", 21, 9_999, 1), "settlement_date": "2026-06-17", "counterparty": "CQ",
	}
	fields := map[string]string{
		"status": "booked", "settlement_status": "pending", "match_status": "unmatched", "trade_date": "2026-06-15",
		"currency": "USD", "gross_amount": "200", "booking": "1", "rebook_reason": "",
	}
	wrong := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"price", "quantity", "settlement_date", "counterparty"}), 1, 4, rapid.ID).Draw(t, "wrong")
	maps.Copy(fields, ours)
	for name, value := range ours {
		fields["their_"+name] = value
	}
	parameters := map[string]string{"reason": "price_break"}
	for _, name := range wrong {
		// A draw that happens to equal ours corrects nothing.
		if theirs[name] != ours[name] {
			fields["their_"+name], parameters[name] = theirs[name], theirs[name]
		}
	}
	if len(parameters) == 1 {
		fields["their_price"], parameters["price"] = "10.5", "10.5"
	}
	s := one("trade", "trade.rebook", parameters, fields)
	s.objects = append(s.objects, object("counterparty", "CP", map[string]string{}), object("counterparty", "CQ", map[string]string{}))
	return s
}

func ordered(t *rapid.T, name, status string) scenario {
	limit := pick(t, "limit", "", "12.5")
	s := one("order", name, nil, map[string]string{
		"status": status, "at_venue": "no", "reject_reason": pick(t, "reason", "gateway_down", "session_down", "timeout", "throttled"),
		"quantity": "5000", "filled_quantity": "0", "leaves_quantity": number(t, "leaves", 1, 5000, 1), "limit_price": limit, "reference_price": "12.25",
		"currency": "USD", "attempts": number(t, "attempts", 0, 9, 0), "gateway": "GW", "trader": "TR",
	})
	s.objects = append(s.objects, object("gateway", "GW", map[string]string{"status": "up"}), object("trader", "TR", map[string]string{"status": "active"}))
	return s
}

func blocked(t *rapid.T, kind string, block bool) scenario {
	reason := pick(t, "reason", "limit_breach", "runaway_orders", "compliance_hold", "technical", "unblock_reverted")
	if block {
		return one(kind, kind+".block", map[string]string{"reason": reason}, map[string]string{"status": "active", "block_reason": "", "open_orders": pick(t, "orders", "", "0", "212")})
	}
	return one(kind, kind+".unblock", nil, map[string]string{"status": "blocked", "block_reason": reason})
}

func notified(t *rapid.T) scenario {
	parameters := map[string]string{"reference": "S-1001"}
	values := map[string]string{
		"isin": "US0378331005", "quantity": number(t, "quantity", 1, 1e6, 2), "amount": number(t, "amount", 1, 1e9, 2), "currency": "USD", "date": "2026-06-16",
	}
	template := pick(t, "template", "settlement_fail_chaser: isin quantity date", "ssi_confirmation_request: date",
		"trade_break_query: isin quantity amount currency date", "partial_settlement_offer: isin quantity", "buy_in_warning: isin quantity date")
	name, takes, _ := strings.Cut(template, ":")
	parameters["template"] = name
	for value := range strings.FieldsSeq(takes) {
		parameters[value] = values[value]
	}
	return one("counterparty", "counterparty.notify", parameters, map[string]string{
		"contact": "Settlements desk", "contact_status": "reachable", "notice_status": pick(t, "status", "", "delivered", "bounced"), "notices": "3",
	})
}

// everyType runs a test for each action with its scenarios.
func everyType(t *testing.T, test func(t *rapid.T, kind action.Type, s scenario)) {
	all := scenarios()
	for _, kind := range action.Catalogue() {
		t.Run(kind.Name, func(t *testing.T) {
			draw, ok := all[kind.Name]
			if !ok {
				t.Fatal("there is no scenario for it")
			}
			rapid.Check(t, func(t *rapid.T) { test(t, kind, draw(t)) })
		})
	}
}

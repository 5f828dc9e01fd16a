package console

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strconv"
)

func (c *Console) registerAgents() {
	c.get("/console/runs", c.runs)
	c.get("/console/runs/{id}", c.run)
	c.form("/console/runs/{id}", "override", c.run, c.override)
	c.get("/console/actions", c.actions)
	c.form("/console/actions", "stop", c.actions, c.stop)
	c.form("/console/actions", "resume", c.actions, c.resume)
	const one = "/console/actions/{id}"
	c.get(one, c.action)
	c.form(one, "resolve", c.action, c.resolve)
	c.form(one, "withdraw", c.action, c.withdraw)
}

type runsPage struct {
	Items []run
	More  string
}

func (c *Console) runs(v *visit) (view, error) {
	query := v.asked("kind", "status", "incident_id", "is_simulation", "before")
	query.Set("limit", onPage)
	var page runPage
	if err := v.api.get(v.Context(), "/agent/runs", query, &page); err != nil {
		return view{}, err
	}
	out := runsPage{Items: page.Items}
	if page.NextBefore != 0 {
		out.More = v.more("before", strconv.FormatInt(page.NextBefore, 10))
	}
	return view{Template: "runs", Title: "Agent runs", Tab: "runs", Data: out}, nil
}

// runDetail is a run with the digests of what went to its model and came back.
type runDetail struct {
	run
	Exchanges []string // SHA-256 in hexadecimal, in order
	Plans     []plan
}

func (c *Console) run(v *visit) (view, error) {
	ctx := v.Context()
	path := "/agent/runs/" + url.PathEscape(v.PathValue("id"))
	var out runDetail
	if err := v.api.get(ctx, path, nil, &out.run); err != nil {
		return view{}, err
	}
	var record runRecord
	if err := v.api.get(ctx, path+"/record", nil, &record); err != nil {
		return view{}, err
	}
	for _, exchange := range record.Exchanges {
		sum := sha256.Sum256(exchange)
		out.Exchanges = append(out.Exchanges, hex.EncodeToString(sum[:]))
	}
	number := strconv.FormatInt(out.ID, 10)
	var plans planPage
	if err := v.api.get(ctx, "/agent/ops/actions", url.Values{"run_id": {number}}, &plans); err != nil {
		return view{}, err
	}
	out.Plans = plans.Items
	return view{Template: "run", Title: "Run " + number, Tab: "runs", Data: out}, nil
}

type actionsPage struct {
	Items []plan
	More  string
	Stops []stop // in force
}

func (c *Console) actions(v *visit) (view, error) {
	query := v.asked("status", "action", "incident_id", "run_id", "desk", "is_simulation", "before")
	query.Set("limit", onPage)
	var page planPage
	if err := v.api.get(v.Context(), "/agent/ops/actions", query, &page); err != nil {
		return view{}, err
	}
	var stops stopList
	if err := v.api.get(v.Context(), "/agent/ops/stops", nil, &stops); err != nil {
		return view{}, err
	}
	out := actionsPage{Items: page.Items}
	for _, s := range stops.Items {
		if s.InForce {
			out.Stops = append(out.Stops, s)
		}
	}
	if page.NextBefore != 0 {
		out.More = v.more("before", strconv.FormatInt(page.NextBefore, 10))
	}
	return view{Template: "actions", Title: "Actions", Tab: "actions", Data: out}, nil
}

func (c *Console) action(v *visit) (view, error) {
	var out plan
	if err := v.api.get(v.Context(), "/agent/ops/actions/"+url.PathEscape(v.PathValue("id")), nil, &out); err != nil {
		return view{}, err
	}
	return view{Template: "action", Title: "Action " + strconv.FormatInt(out.ID, 10), Tab: "actions", Data: out}, nil
}

// Withdrawable reports whether the action has not begun, so that it can be taken
// back; the API has the last word.
func (p plan) Withdrawable() bool {
	return p.Status == "planned" || p.Status == "pending" || p.Status == "approved"
}

// Unknown reports whether nobody knows what became of the action.
func (p plan) Unknown() bool {
	return p.Status == "unknown" || p.Recovery == "compensation_unknown"
}

func (v *visit) actionPath(verb string) string {
	return "/agent/ops/actions/" + url.PathEscape(v.PathValue("id")) + "/" + verb
}

func (c *Console) resolve(v *visit) (next, error) {
	return v.send(v.actionPath("resolve"), map[string]string{"outcome": v.text("outcome"), "reason": v.text("text")}, "resolved")
}

func (c *Console) withdraw(v *visit) (next, error) {
	return v.send(v.actionPath("withdraw"), map[string]string{"reason": v.text("text")}, "withdrawn")
}

// stop lets no action begin, of one desk or of all.
func (c *Console) stop(v *visit) (next, error) {
	body := map[string]string{"reason": v.text("text")}
	if desk := v.text("desk"); desk != "" {
		body["desk"] = desk
	}
	return v.send("/agent/ops/stops", body, "stopped")
}

// resume asks for approval of lifting a stop.
func (c *Console) resume(v *visit) (next, error) {
	return v.ask("/agent/ops/stops/"+url.PathEscape(v.text("stop"))+"/resume", map[string]string{"reason": v.text("text")})
}

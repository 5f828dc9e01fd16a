package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

func (c *Console) registerExports() {
	c.get("/console/exports", c.exports)
	c.form("/console/exports", "new", c.exports, c.askExport)
	c.form("/console/exports", "check", c.exports, c.verifyExports)
	const one = "/console/exports/{id}"
	c.get(one, c.export)
	c.form(one, "verify", c.export, c.verifyExport)
	c.form(one, "redeliver", c.export, c.redeliver)
	c.get("/console/verifications/{id}", c.verification)
}

// datasets are what can be exported, with the filters that the form offers.
var datasets = []string{"incidents", "transactions", "users", "compliance_logs", "audit"}

type exportsPage struct {
	Items        []export
	More         string
	Destinations []destination
	Datasets     []string
}

// exports lists them, the newest first.
func (c *Console) exports(v *visit) (view, error) {
	query := v.asked("dataset", "format", "status", "delivery_status", "verification_status", "destination", "schedule_id", "before")
	if v.Asked("whose") == "asked_by_me" {
		query.Set("requester", v.Me())
	}
	query.Set("limit", onPage)
	var page exportPage
	if err := v.api.get(v.Context(), "/exports/", query, &page); err != nil {
		return view{}, err
	}
	out := exportsPage{Items: page.Items, Datasets: datasets}
	if page.NextBefore != 0 {
		out.More = v.more("before", strconv.FormatInt(page.NextBefore, 10))
	}
	out.Destinations = v.destinations()
	return view{Template: "exports", Title: "Exports", Tab: "exports", Data: out}, nil
}

// destinations are where exports can go, to choose from; none when the visitor may
// not ask for exports.
func (v *visit) destinations() []destination {
	if !v.May("export.ask") {
		return nil
	}
	var page destinationPage
	if err := v.api.get(v.Context(), "/exports/destinations", nil, &page); err != nil {
		return nil
	}
	return page.Items
}

// filters are the filters of a form: lines of NAME=VALUE.
func (v *visit) filters(field string) (map[string]string, error) {
	out := map[string]string{}
	for line := range strings.Lines(v.text(field)) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		name, value, found := strings.Cut(line, "=")
		if !found {
			return nil, formError("the filter " + strconv.Quote(line) + " is not of the form NAME=VALUE, such as desk=EQ")
		}
		out[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return out, nil
}

func (c *Console) askExport(v *visit) (next, error) {
	filters, err := v.filters("filters")
	if err != nil {
		return next{}, err
	}
	return v.ask("/exports/", map[string]any{
		"dataset": v.text("dataset"), "format": v.text("format"), "compression": v.text("compression"), "destination": v.text("destination"),
		"filters": filters, "reason": v.text("text"), "renew": v.text("renew") == "yes",
	})
}

// verifyExports reads those that were chosen back.
func (c *Console) verifyExports(v *visit) (next, error) {
	var ids []int64
	for _, text := range v.PostForm["item"] {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return next{}, formError(strconv.Quote(text) + " is no number of an export")
		}
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return next{}, formError("choose the exports to verify")
	}
	return v.verify("/exports/batch_verify", map[string]any{"ids": ids})
}

func (c *Console) verifyExport(v *visit) (next, error) {
	return v.verify("/exports/"+url.PathEscape(v.PathValue("id"))+"/verify", nil)
}

// verify begins a verification and goes to its page.
func (v *visit) verify(path string, body any) (next, error) {
	var got verification
	if _, err := v.api.post(v.Context(), path, body, &got); err != nil {
		return next{}, err
	}
	return next{path: "/console/verifications/" + url.PathEscape(got.ID), done: "verifying"}, nil
}

// redeliver takes the same bytes to a destination again; another one than before
// needs an approval, whose page comes next.
func (c *Console) redeliver(v *visit) (next, error) {
	var got redelivered
	path := "/exports/" + url.PathEscape(v.PathValue("id")) + "/redeliver"
	status, err := v.api.post(v.Context(), path, map[string]any{"destination": v.text("destination"), "reason": v.text("text")}, &got)
	switch {
	case err != nil:
		return next{}, err
	case got.ApprovalID != 0:
		return next{path: "/console/approvals/" + strconv.FormatInt(got.ApprovalID, 10), done: "asked"}, nil
	case status == http.StatusAccepted:
		return next{done: "accepted"}, nil
	case got.Delivery != "delivered":
		return next{done: "undelivered"}, nil
	}
	return next{done: "delivered"}, nil
}

type exportDetail struct {
	export
	Progress     exportProgress
	History      []entry
	Destinations []destination
	Readable     bool // the visitor may have the content
}

// Running reports whether the export still moves.
func (d exportDetail) Running() bool {
	return !slices.Contains([]string{"done", "failed", ""}, d.Progress.Phase)
}

// Percent is how much of the rows is written, -1 while that is not known.
func (d exportDetail) Percent() int64 {
	if d.Progress.Total <= 0 {
		return -1
	}
	return min(100, d.Progress.Rows*100/d.Progress.Total)
}

func (c *Console) export(v *visit) (view, error) {
	ctx := v.Context()
	path := "/exports/" + url.PathEscape(v.PathValue("id"))
	var out exportDetail
	if err := v.api.get(ctx, path, nil, &out.export); err != nil {
		return view{}, err
	}
	if err := v.api.get(ctx, path+"/progress", nil, &out.Progress); err != nil {
		return view{}, err
	}
	var h history
	if err := v.api.get(ctx, path+"/history", nil, &h); err != nil {
		return view{}, err
	}
	out.History = h.Entries
	if v.May("export.redeliver") {
		out.Destinations = v.destinations()
	}
	mine := out.Requester != nil && out.Requester.Subject == v.Me() && out.Requester.Issuer == v.Visitor.Principal.Issuer
	out.Readable = out.Seal != nil && (mine || v.May("export.read_all"))
	return view{Template: "export", Title: "Export " + strconv.FormatInt(out.ID, 10), Tab: "exports", Data: out}, nil
}

func (c *Console) verification(v *visit) (view, error) {
	var out verification
	if err := v.api.get(v.Context(), "/exports/batch_verify/"+url.PathEscape(v.PathValue("id")), nil, &out); err != nil {
		return view{}, err
	}
	return view{Template: "verification", Title: "Verification", Tab: "exports", Data: out}, nil
}

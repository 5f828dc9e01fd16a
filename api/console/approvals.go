package console

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
)

func (c *Console) registerApprovals() {
	c.get("/console/approvals", c.inbox)
	c.form("/console/approvals", "batch", c.inbox, c.decideBatch)
	const one = "/console/approvals/{id}"
	c.get(one, c.request)
	c.form(one, "decision", c.request, c.decide)
	c.form(one, "delegate", c.request, c.delegate)
	c.form(one, "assign", c.request, c.assign)
	c.form(one, "comment", c.request, c.act("comment", "text", "commented"))
	c.form(one, "escalate", c.request, c.act("escalate", "reason", "escalated"))
	c.form(one, "cancel", c.request, c.act("cancel", "reason", "cancelled"))
	c.form(one, "revoke", c.request, c.act("revoke", "reason", "revoked"))
	c.form(one, "edit", c.request, c.edit)
	c.form(one, "reopen", c.request, c.reopen)
}

// onPage is how many lines a list has.
const onPage = "50"

// inboxPage is the list of requests.
type inboxPage struct {
	Items     []approval
	More      string
	Status    string // that is shown; empty: all
	CanDecide bool   // on at least one of them
}

// About is what is asked for, read out of the canonical action.
func (a approval) About() action {
	var out action
	if err := json.Unmarshal(a.Action, &out); err != nil {
		return action{Kind: a.Kind} // the canonical text is shown beside it
	}
	return out
}

// inbox lists requests, those first whose deadline is next.
func (c *Console) inbox(v *visit) (view, error) {
	query := v.asked("kind", "desk", "risk_tier", "escalated", "is_simulation", "after_deadline", "before")
	out := inboxPage{Status: "pending"}
	if v.Asked("status") == "any" {
		out.Status = ""
	} else if status := v.Asked("status"); status != "" {
		out.Status = status
	}
	if out.Status != "" {
		query.Set("status", out.Status)
	}
	switch v.Asked("whose") {
	case "assigned_to_me":
		query.Set("assignee", v.Me())
	case "asked_by_me":
		query.Set("requester", v.Me())
	}
	query.Set("sort", "deadline")
	if out.Status != "pending" { // deadlines that are past say little
		query.Set("sort", "newest")
		query.Del("after_deadline")
	}
	query.Set("limit", onPage)
	var page approvalPage
	if err := v.api.get(v.Context(), "/approval/", query, &page); err != nil {
		return view{}, err
	}
	out.Items = page.Items
	for _, a := range page.Items {
		out.CanDecide = out.CanDecide || a.Can("approve") || a.Can("reject")
	}
	if page.NextBefore != 0 {
		out.More = v.more("before", strconv.FormatInt(page.NextBefore, 10), "after_deadline", page.NextAfter)
	}
	return view{Template: "approvals", Title: "Approvals", Tab: "approvals", Data: out}, nil
}

// requestPage is a request with what it is about.
type requestPage struct {
	approval
	Action  action
	Plan    *plan // of an agent, when that is what is asked for
	Run     *run  // that made the plan
	Hidden  []*problem
	History []entry
	People  []user
}

func (c *Console) request(v *visit) (view, error) {
	id := url.PathEscape(v.PathValue("id"))
	ctx := v.Context()
	var out requestPage
	if err := v.api.get(ctx, "/approval/"+id, nil, &out.approval); err != nil {
		return view{}, err
	}
	out.Action = out.About()
	var h history
	if err := v.api.get(ctx, "/approval/"+id+"/history", nil, &h); err != nil {
		return view{}, err
	}
	out.History = h.Entries
	// What cannot be read is said on the page; the request itself is shown.
	hide := func(err error) bool {
		if err != nil {
			out.Hidden = append(out.Hidden, c.problemOf(ctx, err, v.api.requestID))
		}
		return err != nil
	}
	if strings.HasPrefix(out.Kind, "remediation.") {
		var p plan
		if !hide(v.api.get(ctx, "/agent/ops/actions/"+id, nil, &p)) {
			var r run
			out.Plan = &p
			if !hide(v.api.get(ctx, "/agent/runs/"+strconv.FormatInt(p.RunID, 10), nil, &r)) {
				out.Run = &r
			}
		}
	}
	if out.Can("assign") || out.Can("delegate") {
		out.People = v.people()
	}
	return view{Template: "approval", Title: "Approval " + strconv.FormatInt(out.ID, 10), Tab: "approvals", Data: out}, nil
}

// people are those on the roster, to choose from; nobody when the visitor may not
// read it, since names can be typed as well.
func (v *visit) people() []user {
	if !v.May("user.read") {
		return nil
	}
	var page userPage
	if err := v.api.get(v.Context(), "/users", url.Values{"active": {"true"}, "limit": {"200"}}, &page); err != nil {
		return nil
	}
	return page.Items
}

// Incident is the incident that the request is about; empty when it is about none.
func (p requestPage) Incident() string {
	if p.Plan != nil {
		return strconv.FormatInt(p.Plan.IncidentID, 10)
	}
	for _, t := range p.Action.Targets {
		if t.Kind == "incident" {
			return t.ID
		}
	}
	return ""
}

// decide sends one decision with the digest of the action that was shown, so that
// it is refused when the request is about another one.
func (c *Console) decide(v *visit) (next, error) {
	verdict, err := v.verdict()
	if err != nil {
		return next{}, err
	}
	digest := v.text("action_digest")
	if digest == "" { // the API would take the decision without one
		return next{}, formError("the form does not say which action was shown; open the page again")
	}
	done := "approved"
	if verdict == "reject" {
		done = "rejected"
	}
	return v.send(v.approvalPath("decision"), map[string]string{
		"decision": verdict, "reason": v.text("reason"), "action_digest": digest,
	}, done)
}

// verdict is what a form decides. None is chosen before somebody chooses.
func (v *visit) verdict() (string, error) {
	verdict := v.text("decision")
	if verdict != "approve" && verdict != "reject" {
		return "", formError("choose approve or reject")
	}
	return verdict, nil
}

type batchItem struct {
	ID     int64  `json:"approval_request_id"`
	Digest string `json:"action_digest"`
}

// decideBatch decides on several requests. What became of each is shown at once and
// not after a redirect; sending the form again is answered with the first decisions.
func (c *Console) decideBatch(v *visit) (next, error) {
	var items []batchItem
	for _, chosen := range v.PostForm["item"] {
		id, digest, _ := strings.Cut(chosen, ":")
		number, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			return next{}, formError("the form names a request " + strconv.Quote(id) + ", which is no number")
		}
		items = append(items, batchItem{number, digest})
	}
	if len(items) == 0 {
		return next{}, formError("choose at least one request")
	}
	verdict, err := v.verdict()
	if err != nil {
		return next{}, err
	}
	var got batchAnswer
	if _, err := v.api.post(v.Context(), "/approval/batch_decision", map[string]any{
		"decision": verdict, "reason": v.text("reason"), "items": items,
	}, &got); err != nil {
		return next{}, err
	}
	return next{view: &view{Template: "batch", Title: "Decisions", Tab: "approvals", Data: got}}, nil
}

// Canonical is the action as it is hashed.
func (a approval) Canonical() string { return string(a.Action) }

// PolicyWords are what the policy asks for: the lines below its name in the summary
// that approvers are shown, in which no value of others adds a line.
func (a approval) PolicyWords() []string {
	_, below, found := strings.Cut(a.Summary, "\npolicy: ")
	if !found {
		return nil
	}
	var out []string
	for line := range strings.Lines(below) {
		if words, is := strings.CutPrefix(line, "  "); is {
			out = append(out, strings.TrimSpace(words))
		}
	}
	return out
}

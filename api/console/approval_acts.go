package console

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// formError is a form that cannot be sent to the API as it is.
func formError(detail string) error {
	return &problem{
		Type: "urn:finobs:problem:invalid-form", Title: http.StatusText(http.StatusUnprocessableEntity),
		Status: http.StatusUnprocessableEntity, Detail: detail,
	}
}

// text is a field of a form; lines end as JSON's readers expect them.
func (v *visit) text(field string) string {
	return strings.TrimSpace(strings.ReplaceAll(v.PostForm.Get(field), "\r\n", "\n"))
}

// send makes the one call of a form, and says in which words that is told.
func (v *visit) send(path string, body any, done string) (next, error) {
	var got acted
	status, err := v.api.post(v.Context(), path, body, &got)
	if err == nil && status == http.StatusAccepted {
		done = "accepted"
	}
	return next{done: done}, err
}

// approvalPath is a route of the API about the request of the page.
func (v *visit) approvalPath(verb string) string {
	return "/approval/" + url.PathEscape(v.PathValue("id")) + "/" + verb
}

// act makes a form of words alone.
func (c *Console) act(verb, field, done string) doer {
	return func(v *visit) (next, error) {
		return v.send(v.approvalPath(verb), map[string]string{field: v.text("text")}, done)
	}
}

// somebody is a person that a form names; nil for nobody.
func (v *visit) somebody() map[string]string {
	if sub := v.text("to"); sub != "" {
		return map[string]string{"sub": sub}
	}
	return nil
}

// withPerson adds the person of the form to a body, unless it names nobody.
func (v *visit) withPerson(body map[string]any) map[string]any {
	if to := v.somebody(); to != nil {
		body["to"] = to
	}
	return body
}

func (c *Console) assign(v *visit) (next, error) {
	return v.send(v.approvalPath("assign"), v.withPerson(map[string]any{"reason": v.text("text")}), "assigned")
}

// formTime is what browsers send for a day and a time; pages say that it is in UTC.
const formTime = "2006-01-02T15:04"

func (c *Console) delegate(v *visit) (next, error) {
	until, err := time.Parse(formTime, v.text("ends_at"))
	if err != nil {
		return next{}, formError("say until when, in UTC, such as " + c.Now().UTC().Add(24*time.Hour).Format(formTime))
	}
	return v.send(v.approvalPath("delegate"), v.withPerson(map[string]any{"ends_at": until.UTC(), "reason": v.text("text")}), "delegated")
}

// edit replaces the request by one with other parameters, and goes there.
func (c *Console) edit(v *visit) (next, error) {
	parameters := map[string]string{}
	names, values := v.PostForm["name"], v.PostForm["value"]
	for i, name := range names {
		if name = strings.TrimSpace(name); name == "" {
			continue // its line was left empty
		}
		if i >= len(values) {
			return next{}, formError("parameter " + strconv.Quote(name) + " has no value")
		}
		if _, twice := parameters[name]; twice {
			return next{}, formError("parameter " + strconv.Quote(name) + " is there twice")
		}
		parameters[name] = strings.ReplaceAll(values[i], "\r\n", "\n")
	}
	return v.ask(v.approvalPath("edit"), map[string]any{"parameters": parameters, "reason": v.text("text")})
}

func (c *Console) reopen(v *visit) (next, error) {
	return v.ask(v.approvalPath("reopen"), map[string]any{"reason": v.text("text")})
}

// ask makes a call that needs approval and goes to its request.
func (v *visit) ask(path string, body any) (next, error) {
	var got asked
	if _, err := v.api.post(v.Context(), path, body, &got); err != nil {
		return next{}, err
	}
	return next{path: "/console/approvals/" + strconv.FormatInt(got.ID, 10), done: "asked"}, nil
}

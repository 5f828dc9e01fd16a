package console

import (
	"net/http"
	"net/url"
	"strconv"
)

func (v *visit) incidentPath(verb string) string {
	return "/incidents/" + url.PathEscape(v.PathValue("id")) + "/" + verb
}

// seen is the version of the incident that was shown, in a body; the API refuses an
// act on one that has moved since.
func (v *visit) seen(body map[string]any) (map[string]any, error) {
	if text := v.text("version"); text != "" {
		version, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, formError("the form has no version of the incident; open the page again")
		}
		body["version"] = version
	}
	return body, nil
}

// incidentAct makes a form of words, and of one more field where one is named.
func (c *Console) incidentAct(verb, words string, field ...string) doer {
	return func(v *visit) (next, error) {
		body, err := v.seen(map[string]any{})
		if err != nil {
			return next{}, err
		}
		if text := v.text("text"); text != "" || words != "note" {
			body[words] = text
		}
		for _, name := range field {
			body[name] = v.text(name)
		}
		return v.send(v.incidentPath(verb), body, "recorded")
	}
}

// incidentRelate makes a form that names another thing by its number; without one
// the relation ends.
func (c *Console) incidentRelate(verb, field string) doer {
	return func(v *visit) (next, error) {
		body, err := v.seen(map[string]any{"reason": v.text("text")})
		if err != nil {
			return next{}, err
		}
		if text := v.text(field); text != "" {
			other, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return next{}, formError(strconv.Quote(text) + " is no number of another one")
			}
			body[field] = other
		}
		return v.send(v.incidentPath(verb), body, "recorded")
	}
}

func (c *Console) assignIncident(v *visit) (next, error) {
	body, err := v.seen(v.withPerson(map[string]any{"reason": v.text("text")}))
	if err != nil {
		return next{}, err
	}
	return v.send(v.incidentPath("assign"), body, "assigned")
}

func (c *Console) commentIncident(v *visit) (next, error) {
	return v.send(v.incidentPath("comment"), map[string]any{"text": v.text("text")}, "commented")
}

// askAgent makes a form that asks for a run of an agent, and goes to its request.
func (c *Console) askAgent(kind string) doer {
	return func(v *visit) (next, error) {
		id, err := strconv.ParseInt(v.PathValue("id"), 10, 64)
		if err != nil {
			return next{}, formError("there is no incident " + strconv.Quote(v.PathValue("id")))
		}
		return v.ask("/agent/"+kind, map[string]any{
			"incident_id": id, "reason": v.text("text"), "is_simulation": v.text("simulation") == "yes", "renew": v.text("renew") == "yes",
		})
	}
}

// override says what is right instead of what an agent said.
func (c *Console) override(v *visit) (next, error) {
	id, err := strconv.ParseInt(v.text("run"), 10, 64)
	if err != nil {
		return next{}, formError("the form names no run; open the page again")
	}
	field := v.text("field")
	var got acted
	status, err := v.api.post(v.Context(), "/agent/runs/"+strconv.FormatInt(id, 10)+"/override", map[string]any{
		"field": field, "chosen": v.text(field), "reason": v.text("text"),
	}, &got)
	done := "overridden"
	switch {
	case err == nil && status == http.StatusAccepted:
		done = "accepted"
	case got.Override == "":
		done = "agreed"
	}
	return next{done: done}, err
}

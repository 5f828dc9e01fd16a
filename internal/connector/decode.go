package connector

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"finobs/internal/action"
	"finobs/internal/approval"
	"finobs/internal/plaintext"

	jsonv2 "github.com/go-json-experiment/json"
)

// Answers are other people's text. Members that the protocol does not have are
// passed over, so that a system may say more; what it must say is checked, and
// duplicate members and invalid UTF-8 are refused.

// maxReason bounds what is kept of a system's words, in characters.
const maxReason = 300

var (
	effectIDPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$`)
	codePattern     = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)
)

func decodeObject(body []byte, kind, id string) (action.Object, error) {
	var o action.Object
	if err := jsonv2.Unmarshal(body, &o); err != nil {
		return action.Object{}, err
	}
	if err := o.Validate(); err != nil {
		return action.Object{}, err
	}
	if o.Kind != kind || o.ID != id {
		return action.Object{}, fmt.Errorf("asked for %s %s and got %s %s", kind, id, o.Kind, o.ID)
	}
	return o, nil
}

// page is a part of a list.
type page struct {
	Objects []action.Object `json:"objects"`
	Next    string          `json:"next"` // id after which to go on; "" at the end
}

// decodePage reads a part of a list of a kind, whose ids must rise from after, so
// that a list has an end.
func decodePage(body []byte, kind, after string) (page, error) {
	var p page
	if err := jsonv2.Unmarshal(body, &p); err != nil {
		return page{}, err
	}
	last := after
	for _, o := range p.Objects {
		switch err := o.Validate(); {
		case err != nil:
			return page{}, err
		case o.Kind != kind:
			return page{}, fmt.Errorf("asked for objects of kind %s and got %s %s", kind, o.Kind, o.ID)
		case o.ID <= last:
			return page{}, fmt.Errorf("%s comes after %s, but ids must rise byte by byte", o.ID, last)
		}
		last = o.ID
	}
	if p.Next != "" && (p.Next != last || p.Next == after) {
		return page{}, errors.New("next is not the id of the last object")
	}
	return p, nil
}

// result is the answer to a command, or the state of an effect.
type result struct {
	Key      string         `json:"key"`
	Status   string         `json:"status"`
	EffectID string         `json:"effect_id"`
	Code     string         `json:"code"`
	Reason   string         `json:"reason"`
	Object   *action.Object `json:"object"`
}

// decodeApplied reads the answer that a command over a target was applied.
func decodeApplied(body []byte, target approval.Target) (Outcome, error) {
	var r result
	if err := jsonv2.Unmarshal(body, &r); err != nil {
		return Outcome{}, err
	}
	if r.Status != "applied" {
		return Outcome{}, fmt.Errorf("status is %q and not applied", r.Status)
	}
	done, err := r.done(target.Kind)
	switch {
	case err != nil:
		return Outcome{}, err
	case done.Object.ID != target.ID:
		return Outcome{}, fmt.Errorf("the object is %s and not the target %s", done.Object.ID, target.ID)
	case !newer(done.Object.Version, target.Version):
		return Outcome{}, fmt.Errorf("the object is at version %s, which does not follow %s", done.Object.Version, target.Version)
	}
	return done, nil
}

// newer compares versions, which are integers without leading zeros.
func newer(a, b string) bool {
	return len(a) > len(b) || len(a) == len(b) && a > b
}

func (r result) done(kind string) (Outcome, error) {
	switch {
	case !effectIDPattern.MatchString(r.EffectID):
		return Outcome{}, errors.New("effect_id is missing or no id")
	case r.Object == nil:
		return Outcome{}, errors.New("the object is missing")
	}
	if err := r.Object.Validate(); err != nil {
		return Outcome{}, err
	}
	if r.Object.Kind != kind {
		return Outcome{}, fmt.Errorf("the object is a %s and not a %s", r.Object.Kind, kind)
	}
	return Outcome{Status: Done, EffectID: r.EffectID, Object: r.Object}, nil
}

// decodeEffect reads what a system knows of a key.
func decodeEffect(body []byte, kind, key string) (Outcome, error) {
	var r result
	if err := jsonv2.Unmarshal(body, &r); err != nil {
		return Outcome{}, err
	}
	if r.Key != key {
		return Outcome{}, errors.New("the answer is about another key")
	}
	switch r.Status {
	case "applied":
		return r.done(kind)
	case "refused":
		return Outcome{Status: Failed, Code: code(r.Code), Reason: reason(r.Reason)}, nil
	case "pending":
		return Outcome{Status: Unknown, Code: CodePending, Reason: "the system has the command and has not decided"}, nil
	case "absent":
		return Outcome{Status: Absent, Code: CodeAbsent, Reason: "the system has no effect under this key"}, nil
	}
	return Outcome{}, fmt.Errorf("status %q is none of applied, refused, pending, absent", plaintext.Line(r.Status, 32))
}

// problem is a refusal (RFC 9457) with the members of the protocol.
type problem struct {
	Status  int    `json:"status"`
	Code    string `json:"code"`
	Detail  string `json:"detail"`
	Current string `json:"current_version"`
}

// decodeProblem reads a refusal that came with a status.
func decodeProblem(contentType string, body []byte, status int) (problem, error) {
	if media, _, _ := strings.Cut(contentType, ";"); !strings.EqualFold(strings.TrimSpace(media), "application/problem+json") {
		return problem{}, errors.New("its refusal is no application/problem+json")
	}
	var p problem
	if err := jsonv2.Unmarshal(body, &p); err != nil {
		return problem{}, err
	}
	if p.Status != status || !codePattern.MatchString(p.Code) {
		return problem{}, errors.New("its refusal has no code, or another status than the answer")
	}
	p.Detail = reason(p.Detail)
	if p.Current != "" {
		p.Detail += "; it is at version " + plaintext.Line(p.Current, 20)
	}
	return p, nil
}

// code is a system's code, or one that stands for those of another form.
func code(s string) string {
	if codePattern.MatchString(s) {
		return s
	}
	return "refused"
}

func reason(s string) string {
	if s = plaintext.Line(s, maxReason); s != "" {
		return s
	}
	return "the system gave no reason"
}

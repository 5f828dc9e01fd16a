package llm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"

	"finobs/internal/agent"
	"finobs/internal/desk"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Limits of an answer.
const (
	maxAnswer     = 64 << 10 // bytes of the JSON object
	maxDepth      = 8        // nested objects and arrays; the schema needs 6
	maxWireDepth  = 24       // dito of what a provider wraps around it
	maxParameters = 20       // of a proposal
)

// wireOutput is an answer as the schema wants it. It has no field in which a model
// could approve anything or strike a claim.
type wireOutput struct {
	Category      agent.Category `json:"category"`
	Severity      desk.Severity  `json:"severity"`
	Inconclusive  *bool          `json:"inconclusive"`
	Summary       *string        `json:"summary"`
	ProbableCause *string        `json:"probable_cause"`
	Confidence    string         `json:"confidence"`
	Claims        []wireClaim    `json:"claims"`
	Proposals     []wireProposal `json:"proposals"`
}

type wireClaim struct {
	Text  string       `json:"text"`
	Cites []agent.Cite `json:"cites"`
}

type wireProposal struct {
	Action     string          `json:"action"`
	Target     string          `json:"target"`
	Parameters []wireParameter `json:"parameters"`
	Reason     string          `json:"reason"`
}

type wireParameter struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

var confidenceForm = regexp.MustCompile(`^(0\.[0-9]{2}|1\.00)$`)

// decode reads an answer strictly. Problems say what is wrong in words of our own:
// they go into a repair, where the model's would speak again.
func decode(text string) (agent.Output, []string) {
	if len(text) > maxAnswer {
		return agent.Output{}, []string{fmt.Sprintf("the answer has more than %d bytes", maxAnswer)}
	}
	if err := strict([]byte(text), maxDepth, Secret{}, false); err != nil {
		return agent.Output{}, []string{"the answer is not one strict JSON object: " + err.Error()}
	}
	var w wireOutput
	if err := json.Unmarshal([]byte(text), &w, json.RejectUnknownMembers(true)); err != nil {
		return agent.Output{}, []string{inOurWords(err)}
	}
	if problems := w.problems(); len(problems) > 0 {
		return agent.Output{}, problems
	}
	return w.output()
}

// strict refuses JSON that two parsers could read differently: duplicate keys,
// invalid UTF-8, trailing data, and nesting beyond depth. Many values one after
// the other are allowed where a provider streams lines.
func strict(b []byte, depth int, key Secret, many bool) error {
	dec := jsontext.NewDecoder(bytes.NewReader(b))
	values := 0
	for {
		token, err := dec.ReadToken()
		if errors.Is(err, io.EOF) && values > 0 && dec.StackDepth() == 0 {
			return nil
		}
		if err != nil {
			return jsonWords(err)
		}
		if token.Kind() == '"' && key.in(token.String()) {
			return errSecret
		}
		if dec.StackDepth() > depth {
			return fmt.Errorf("it is nested more than %d deep", depth)
		}
		if dec.StackDepth() == 0 {
			if values++; values > 1 && !many {
				return errors.New("something follows it")
			}
		}
	}
}

// jsonWords says what is wrong with JSON without a word of it.
func jsonWords(err error) error {
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return errors.New("an object has a field twice")
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return errors.New("it ends before its end")
	}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		return fmt.Errorf("it is not valid JSON at byte %d", syntactic.ByteOffset)
	}
	return errors.New("it is not valid JSON")
}

// inOurWords says where an answer leaves the schema. The name of an unknown field
// is the model's, so it is not repeated.
func inOurWords(err error) string {
	var semantic *json.SemanticError
	if !errors.As(err, &semantic) {
		return "the answer does not have the form of the schema"
	}
	if errors.Is(err, json.ErrUnknownName) {
		return fmt.Sprintf("the object at %q has a field that is not in the schema", string(semantic.JSONPointer.Parent()))
	}
	return fmt.Sprintf("the value at %q is not of the type in the schema", string(semantic.JSONPointer))
}

// problems are the ways in which w leaves what a schema cannot say everywhere.
func (w wireOutput) problems() []string {
	var out []string
	wrong := func(is bool, what string, args ...any) {
		if is {
			out = append(out, fmt.Sprintf(what, args...))
		}
	}
	wrong(!slices.Contains(agent.Categories(), w.Category), "category is none of the schema's")
	wrong(!w.Severity.Valid(), "severity is none of the schema's")
	wrong(!confidenceForm.MatchString(w.Confidence), `confidence must be a string from "0.00" to "1.00" with two decimals`)
	wrong(w.Inconclusive == nil || w.Summary == nil || w.ProbableCause == nil || w.Claims == nil || w.Proposals == nil, "a required field is missing or null")
	wrong(len(w.Claims) > agent.MaxClaims, "there are more than %d claims", agent.MaxClaims)
	wrong(len(w.Proposals) > agent.MaxProposals, "there are more than %d proposals", agent.MaxProposals)
	long := func(s *string) bool { return s != nil && len(*s) > agent.MaxProse }
	wrong(long(w.Summary) || long(w.ProbableCause), "summary or probable_cause has more than %d bytes", agent.MaxProse)
	for i, c := range w.Claims[:min(len(w.Claims), agent.MaxClaims)] {
		wrong(c.Cites == nil, "claims[%d] has no list of cites", i)
		wrong(len(c.Cites) > agent.MaxCites, "claims[%d] has more than %d cites", i, agent.MaxCites)
		wrong(long(&c.Text), "the text of claims[%d] has more than %d bytes", i, agent.MaxProse)
	}
	for i, p := range w.Proposals[:min(len(w.Proposals), agent.MaxProposals)] {
		wrong(p.Parameters == nil || len(p.Parameters) > maxParameters, "proposals[%d] has no list of parameters, or more than %d", i, maxParameters)
		wrong(long(&p.Reason), "the reason of proposals[%d] has more than %d bytes", i, agent.MaxProse)
	}
	return out
}

func (w wireOutput) output() (agent.Output, []string) {
	o := agent.Output{
		Category: w.Category, Severity: w.Severity, Inconclusive: *w.Inconclusive, Summary: *w.Summary, ProbableCause: *w.ProbableCause,
		Confidence: w.Confidence, Claims: []agent.Claim{}, Proposals: []agent.Proposal{},
	}
	for _, c := range w.Claims {
		o.Claims = append(o.Claims, agent.Claim{Text: c.Text, Cites: c.Cites})
	}
	for i, p := range w.Proposals {
		parameters := map[string]string{}
		for _, q := range p.Parameters {
			if _, twice := parameters[q.Name]; twice {
				return agent.Output{}, []string{fmt.Sprintf("proposals[%d] gives a parameter twice", i)}
			}
			parameters[q.Name] = q.Value
		}
		o.Proposals = append(o.Proposals, agent.Proposal{Action: p.Action, Target: p.Target, Parameters: parameters, Reason: p.Reason})
	}
	return o, nil
}

package rulebook

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"finobs/internal/agent"
	"finobs/internal/fault"
)

// maxText is how many bytes of an incident's words rules look at.
const maxText = 64 << 10

// view is a bundle as the rules see it.
type view struct {
	incident agent.Evidence
	first    map[agent.EvidenceKind]agent.Evidence
	related  []agent.Evidence
	targets  []agent.Evidence
	words    []token
	reading  map[string]any // variables by what may be read, see environments
	stating  map[string]any
}

// look makes a view of a bundle, which must hold the incident.
func look(bundle []agent.Evidence) (*view, error) {
	v := &view{first: map[agent.EvidenceKind]agent.Evidence{}, reading: map[string]any{}, stating: map[string]any{}}
	var all, facts []any
	for _, e := range bundle {
		if !utf8.ValidString(e.Text) {
			return nil, fault.New(fault.Invalid, "invalid-evidence", "the text of evidence %q is not valid UTF-8; make it so when it is gathered", e.ID)
		}
		if _, twice := v.first[e.Kind]; !twice {
			v.first[e.Kind] = e
		}
		switch e.Kind {
		case agent.OfRelated:
			v.related = append(v.related, e)
		case agent.OfTarget:
			v.targets = append(v.targets, e)
		default: // read through its facts, and through evidence
		}
		all = append(all, map[string]any{"id": e.ID, "kind": string(e.Kind), "source": e.Source, "facts": orEmpty(e.Facts), "text": e.Text})
		facts = append(facts, map[string]any{"id": e.ID, "kind": string(e.Kind), "source": e.Source, "facts": withoutDetails(e.Facts)})
	}
	var found bool
	if v.incident, found = v.first[agent.OfIncident]; !found {
		return nil, fault.New(fault.Invalid, "no-incident", "the bundle has no evidence of kind incident; gather it first")
	}
	for _, kind := range shownKinds {
		for _, key := range agent.FactsOf(kind) {
			v.reading[string(kind)+"."+key] = v.first[kind].Facts[key]
			v.stating[string(kind)+"."+key] = v.first[kind].Facts[key]
		}
	}
	from := agent.Words(v.incident)
	words := v.incident.Text[from:]
	if len(words) > maxText {
		words = strings.ToValidUTF8(words[:maxText], "")
	}
	v.words = tokens(words, from)
	v.reading["text"], v.reading["incident.details"] = strings.ToLower(words), details(v.incident.Facts)
	v.reading["related"], v.stating["related"] = len(v.related), len(v.related)
	v.reading["evidence"], v.stating["evidence"] = all, facts
	return v, nil
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func withoutDetails(facts map[string]string) map[string]string {
	out := map[string]string{}
	for key, value := range facts {
		if !strings.HasPrefix(key, agent.DetailPrefix) {
			out[key] = value
		}
	}
	return out
}

func details(facts map[string]string) map[string]string {
	out := map[string]string{}
	for key, value := range facts {
		if name, is := strings.CutPrefix(key, agent.DetailPrefix); is {
			out[name] = value
		}
	}
	return out
}

// hit is a rule that fired.
type hit struct {
	rule  string
	score int
	text  string // what it says
	cites []agent.Cite
}

func (h hit) claim() agent.Claim { return agent.Claim{Text: h.text, Cites: h.cites} }

// objects are what a proposal is tried on; both are zero for other rules.
type objects struct{ target, with agent.Evidence }

func (o objects) of(f fact, first map[agent.EvidenceKind]agent.Evidence) agent.Evidence {
	switch f.kind {
	case agent.OfTarget:
		return o.target
	case withObject:
		return o.with
	default:
		return first[f.kind]
	}
}

// fire tries a rule. The variables are those that its condition may read; those of
// its sentence have no words in them.
func (v *view) fire(r rule, when, say map[string]any, on objects) (hit, bool, error) {
	h := hit{rule: r.name, score: r.weight}
	var said []string
	for _, p := range r.words {
		if start, end, found := p.find(v.words); found {
			said = append(said, p.text)
			h.cites = append(h.cites, agent.Cite{Evidence: v.incident.ID, Start: start, End: end, Quote: v.incident.Text[start:end]})
		}
	}
	if len(r.words) > 0 {
		if len(said) == 0 {
			return h, false, nil
		}
		h.score = r.weight * min(len(said), r.most)
	}
	if r.when != nil {
		holds, err := r.when.holds(when)
		if err != nil {
			return h, false, fault.Wrap(err, fault.Invalid, "rulebook-condition", "rule %s cannot be evaluated; mend its when", r.name)
		}
		if !holds {
			return h, false, nil
		}
		h.cites = append(h.cites, v.cites(r.when, on)...)
	}
	if len(h.cites) == 0 {
		h.cites = v.incidentCite()
	}
	h.cites = h.cites[:min(len(h.cites), agent.MaxCites)]
	sentence, err := v.sentence(r, said, say)
	if err != nil {
		return h, false, err
	}
	h.text = agent.Clean(r.name + ": " + sentence)
	return h, true, nil
}

func (v *view) sentence(r rule, said []string, vars map[string]any) (string, error) {
	switch {
	case r.say != nil:
		text, err := r.say.text(vars)
		if err != nil {
			return "", fault.Wrap(err, fault.Invalid, "rulebook-sentence", "the sentence of rule %s cannot be made; mend its say", r.name)
		}
		return text, nil
	case len(said) > 0:
		return fmt.Sprintf("the text has the words %q", said[:min(len(said), agent.MaxCites)]), nil
	}
	return "the facts that are cited meet its condition", nil
}

// cites are the spans in which what a condition read is shown.
func (v *view) cites(x *expression, on objects) []agent.Cite {
	var out []agent.Cite
	for _, f := range x.facts {
		if c, found := agent.FactSpan(on.of(f, v.first), f.key); found {
			out = append(out, c)
		}
	}
	for _, p := range x.phrases {
		if start, end, found := p.find(v.words); found {
			out = append(out, agent.Cite{Evidence: v.incident.ID, Start: start, End: end, Quote: v.incident.Text[start:end]})
		}
	}
	if x.related {
		for _, e := range v.related {
			out = append(out, firstLine(e)...)
		}
	}
	return out
}

// incidentCite is what a rule cites that fired because something is not there.
func (v *view) incidentCite() []agent.Cite {
	if c, found := agent.FactSpan(v.incident, agent.FactKind); found {
		return []agent.Cite{c}
	}
	return firstLine(v.incident)
}

func firstLine(e agent.Evidence) []agent.Cite {
	line, _, _ := strings.Cut(e.Text, "\n")
	if len(line) > agent.MaxProse {
		line = strings.ToValidUTF8(line[:agent.MaxProse], "")
	}
	if line == "" {
		return nil
	}
	return []agent.Cite{{Evidence: e.ID, Start: 0, End: len(line), Quote: line}}
}

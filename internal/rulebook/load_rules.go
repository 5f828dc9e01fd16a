package rulebook

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"finobs/internal/action"
	"finobs/internal/agent"
	"finobs/internal/desk"
	"finobs/internal/fault"
)

// typedKinds are the kinds of evidence of which a parameter may be taken: finobs
// read their facts from typed columns or through a connector.
var typedKinds = []agent.EvidenceKind{agent.OfTarget, agent.OfSettlement, agent.OfSystem, agent.OfTrade, agent.OfOtherSide}

var (
	kindPattern  = regexp.MustCompile(`^[a-z][a-z_]{0,31}$`)
	valuePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._:+-]{0,99}$`)
)

func (l *loader) grades(f form, b *Rulebook) error {
	for n, g := range f.Severity {
		if !g.Then.Valid() {
			return l.at(fmt.Errorf("%q must be low, medium, high or critical", g.Then), "severity", n, "then")
		}
		if err := l.unweighed(g.ruleForm, "severity", n); err != nil {
			return err
		}
		r, err := l.rule(g.ruleForm, l.env.reading, l.env.stating, []any{"severity", n})
		if err != nil {
			return err
		}
		b.severity = append(b.severity, grade{r, g.Then})
	}
	return nil
}

func (l *loader) causes(f form, b *Rulebook) error {
	for n, c := range f.Causes {
		if c.Say == "" {
			return l.at(errors.New("it has no say; write the sentence that names the cause"), "causes", n)
		}
		if err := l.unweighed(c, "causes", n); err != nil {
			return err
		}
		r, err := l.rule(c, l.env.reading, l.env.stating, []any{"causes", n})
		if err != nil {
			return err
		}
		b.causes = append(b.causes, r)
	}
	return nil
}

// unweighed refuses what has no meaning outside of categories.
func (l *loader) unweighed(f ruleForm, path ...any) error {
	if f.Weight != 0 || f.Most != 0 {
		return l.at(errors.New("weight and most belong to rules of categories; leave them out"), path...)
	}
	return nil
}

func (l *loader) actions(f form, b *Rulebook) error {
	for n, p := range f.Proposals {
		path := []any{"proposals", n}
		if err := l.ofCatalogue(p, path); err != nil {
			return err
		}
		switch {
		case p.With != "" && !kindPattern.MatchString(p.With):
			return l.at(fmt.Errorf("%q must be the kind of another object, such as ssi", p.With), append(path, "with")...)
		case len(p.Words) > 0:
			return l.at(errors.New("words steer what is said, never what is done; write a when over facts"), append(path, "words")...)
		case p.When == "" || p.Say == "":
			return l.at(errors.New("it needs a when and a say"), path...)
		}
		if err := l.unweighed(p.ruleForm, path...); err != nil {
			return err
		}
		r, err := l.rule(p.ruleForm, l.env.acting, l.env.acting, path)
		if err != nil {
			return err
		}
		if p.With == "" && slices.ContainsFunc(append(slices.Clone(r.when.facts), r.say.facts...), func(f fact) bool { return f.kind == withObject }) {
			return l.at(errors.New("it reads another object, and with does not say of which kind"), path...)
		}
		made := proposal{rule: r, action: p.Action, target: p.Target, with: p.With, facts: map[string]fact{}, values: p.Values}
		for _, name := range slices.Sorted(maps.Keys(p.Facts)) {
			if made.facts[name], err = parameterFact(p.Facts[name], p.With != ""); err != nil {
				return l.at(err, append(path, "facts", name)...)
			}
			if _, twice := p.Values[name]; twice {
				return l.at(errors.New("it is under values as well"), append(path, "facts", name)...)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(p.Values)) {
			if !valuePattern.MatchString(p.Values[name]) {
				return l.at(errors.New("it must be a word, an identifier, a number or a date"), append(path, "values", name)...)
			}
		}
		b.proposals = append(b.proposals, made)
	}
	return nil
}

// ofCatalogue refuses a proposal that the catalogue of actions does not have so: what
// it proposes would be refused in every run.
func (l *loader) ofCatalogue(p proposalForm, path []any) error {
	known, err := action.Find(p.Action)
	if err != nil {
		return l.at(errors.New(fault.MessageOf(err)), append(path, "action")...)
	}
	if p.Target != known.TargetKind {
		return l.at(fmt.Errorf("%q must be %s, the kind of what %s works on", p.Target, known.TargetKind, p.Action), append(path, "target")...)
	}
	parameters := map[string]bool{}
	for _, parameter := range known.Parameters {
		parameters[parameter.Name] = true
		if p.Facts[parameter.Name] == "" && p.Values[parameter.Name] == "" && parameter.Required {
			return l.at(fmt.Errorf("%s needs the parameter %s; give it under facts or values", p.Action, parameter.Name), path...)
		}
	}
	for part, given := range map[string]map[string]string{"facts": p.Facts, "values": p.Values} {
		for _, name := range slices.Sorted(maps.Keys(given)) {
			if !parameters[name] {
				return l.at(fmt.Errorf("%s has no parameter of this name; it has %v", p.Action, slices.Sorted(maps.Keys(parameters))), append(path, part, name)...)
			}
		}
	}
	return nil
}

// parameterFact reads where a parameter is taken from, such as target.backup or
// settlement.fails_quantity; with.id when the proposal is tried with another object.
func parameterFact(text string, paired bool) (fact, error) {
	kind, key, _ := strings.Cut(text, ".")
	f := fact{agent.EvidenceKind(kind), key}
	switch {
	case f.kind == withObject && paired && kindPattern.MatchString(key):
		return f, nil
	case !slices.Contains(typedKinds, f.kind):
		return f, fmt.Errorf("%q must be a fact of one of %v, since senders may write what others say", text, typedKinds)
	case f.kind == agent.OfTarget && !kindPattern.MatchString(key):
		return f, fmt.Errorf("%q names no field of the target", text)
	case f.kind != agent.OfTarget && !slices.Contains(agent.FactsOf(f.kind), key):
		return f, fmt.Errorf("%q names none of %v", text, agent.FactsOf(f.kind))
	}
	return f, nil
}

// priorityForm is the YAML form of priority.
type priorityForm struct {
	Severities map[int]desk.Severity `yaml:"severities"` // of each priority
	Scales     map[int]scaleForm     `yaml:"scales"`     // by the number of grades
	Missing    string                `yaml:"missing"`    // confidence that none is given when impact or urgency is not
}

type scaleForm struct {
	Confidence string  `yaml:"confidence"`
	Matrix     [][]int `yaml:"matrix"` // rows by impact, columns by urgency
}

func (l *loader) priority(f *priorityForm) (*priority, error) {
	if f == nil {
		return nil, nil
	}
	p := &priority{severities: f.Severities, scales: map[int]scale{}, missing: f.Missing}
	if !confidencePattern.MatchString(f.Missing) {
		return nil, l.at(errors.New(`it must be "0.00" to "1.00"`), "priority", "missing")
	}
	for _, level := range slices.Sorted(maps.Keys(f.Severities)) {
		if !f.Severities[level].Valid() {
			return nil, l.at(fmt.Errorf("%q must be low, medium, high or critical", f.Severities[level]), "priority", "severities", itoa(level))
		}
	}
	for _, grades := range slices.Sorted(maps.Keys(f.Scales)) {
		s, path := f.Scales[grades], []any{"priority", "scales", itoa(grades)}
		if grades < 2 || grades > 9 || len(s.Matrix) != grades {
			return nil, l.at(fmt.Errorf("it has %d rows; a scale has 2 to 9 grades and as many rows", len(s.Matrix)), path...)
		}
		if !confidencePattern.MatchString(s.Confidence) {
			return nil, l.at(errors.New(`the confidence must be "0.00" to "1.00"`), path...)
		}
		for row, columns := range s.Matrix {
			if len(columns) != grades {
				return nil, l.at(fmt.Errorf("row %d has %d columns; it must have %d", row+1, len(columns), grades), path...)
			}
			for _, level := range columns {
				if f.Severities[level] == "" {
					return nil, l.at(fmt.Errorf("row %d: priority %d has no severity", row+1, level), path...)
				}
			}
		}
		p.scales[grades] = scale{s.Confidence, s.Matrix}
	}
	return p, nil
}

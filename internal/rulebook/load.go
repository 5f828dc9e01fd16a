package rulebook

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"

	"finobs/internal/agent"
	"finobs/internal/desk"
	"finobs/internal/yamldoc"

	"cel.dev/cel-go/cel"
	"go.yaml.in/yaml/v3"
)

// form is the YAML form of a Rulebook.
type form struct {
	Version     int            `yaml:"version"`
	Name        string         `yaml:"name"`
	Revision    int            `yaml:"revision"`
	Kinds       []agent.Kind   `yaml:"kinds"`
	Otherwise   otherwiseForm  `yaml:"otherwise"`
	Calibration []pointForm    `yaml:"calibration"`
	Categories  []classForm    `yaml:"categories"`
	Severity    []gradeForm    `yaml:"severity"`
	Causes      []ruleForm     `yaml:"causes"`
	Proposals   []proposalForm `yaml:"proposals"`
	Priority    *priorityForm  `yaml:"priority"`
}

type otherwiseForm struct {
	Category   agent.Category `yaml:"category"`
	Label      string         `yaml:"label"`
	Confidence string         `yaml:"confidence"`
}

type pointForm struct {
	Margin     int    `yaml:"margin"`
	Confidence string `yaml:"confidence"`
}

type classForm struct {
	Category agent.Category `yaml:"category"`
	Label    string         `yaml:"label"`
	Rules    []ruleForm     `yaml:"rules"`
}

type ruleForm struct {
	Name   string   `yaml:"name"`
	Weight int      `yaml:"weight"`
	Most   int      `yaml:"most"`
	Words  []string `yaml:"words"`
	When   string   `yaml:"when"`
	Say    string   `yaml:"say"`
}

type gradeForm struct {
	ruleForm `yaml:",inline"`
	Then     desk.Severity `yaml:"then"`
}

type proposalForm struct {
	ruleForm `yaml:",inline"`
	Action   string            `yaml:"action"`
	Target   string            `yaml:"target"`
	With     string            `yaml:"with"`
	Facts    map[string]string `yaml:"facts"`
	Values   map[string]string `yaml:"values"`
}

// Limits of a file.
const (
	maxFile   = 1 << 20 // bytes
	maxRules  = 500
	maxWords  = 500 // of a rule
	maxWeight = 100
	maxMargin = 10_000
	maxLabel  = 100 // bytes
)

var (
	namePattern       = regexp.MustCompile(`^[a-z][a-z0-9_.-]{0,63}$`)
	confidencePattern = regexp.MustCompile(`^(0\.[0-9]{2}|1\.00)$`)
)

// Load reads a rulebook, type-checks every condition and refuses unknown fields.
// Errors name the line and the element. docs/rulebook.md explains the format.
func Load(r io.Reader) (*Rulebook, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("it is over %d bytes", maxFile)
	}
	var f form
	if err == nil {
		err = yamldoc.Read(bytes.NewReader(text), &f)
	}
	l := loader{names: map[string]bool{}}
	if err == nil {
		err = yaml.Unmarshal(text, &l.root)
	}
	if err == nil {
		l.env, err = makeEnvironments()
	}
	var book *Rulebook
	if err == nil {
		book, err = l.book(f)
	}
	if err != nil {
		return nil, fmt.Errorf("reading rulebook: %w", err)
	}
	sum := sha256.Sum256(text)
	book.SHA256 = hex.EncodeToString(sum[:])
	return book, nil
}

// LoadBytes is Load of a file that is in memory.
func LoadBytes(text []byte) (*Rulebook, error) { return Load(bytes.NewReader(text)) }

// loader knows the lines of the file that it makes a Rulebook of.
type loader struct {
	root  yaml.Node
	env   environments
	names map[string]bool // of rules, so that none is given twice
}

// at wraps what is wrong with an element in its line and its path.
func (l *loader) at(why error, path ...any) error {
	node, name := &l.root, ""
	if node.Kind == yaml.DocumentNode && len(node.Content) == 1 {
		node = node.Content[0]
	}
	for _, step := range path {
		switch step := step.(type) {
		case int:
			name += "[" + strconv.Itoa(step) + "]"
			if node.Kind == yaml.SequenceNode && step < len(node.Content) {
				node = node.Content[step]
			}
		case string:
			if name != "" {
				name += "."
			}
			name += step
			for k := 0; node.Kind == yaml.MappingNode && k+1 < len(node.Content); k += 2 {
				if node.Content[k].Value == step {
					node = node.Content[k+1]
					break
				}
			}
		}
	}
	return fmt.Errorf("line %d: %s: %w", node.Line, name, why)
}

func (l *loader) book(f form) (*Rulebook, error) {
	switch {
	case f.Version != 1:
		return nil, l.at(fmt.Errorf("it is %d; this program reads version 1", f.Version), "version")
	case !namePattern.MatchString(f.Name):
		return nil, l.at(errors.New("it must be a letter and letters, digits, '.', '_' and '-', in lower case"), "name")
	case f.Revision < 1:
		return nil, l.at(errors.New("it must be 1 or more, and rise with each change"), "revision")
	case len(f.Kinds) == 0:
		return nil, l.at(errors.New("it is empty; say for which runs the rulebook answers, such as [triage]"), "kinds")
	case len(f.Categories) == 0:
		return nil, l.at(errors.New("there are none"), "categories")
	}
	for n, k := range f.Kinds {
		if !k.Valid() {
			return nil, l.at(fmt.Errorf("%q is no kind of run", k), "kinds", n)
		}
	}
	b := &Rulebook{Name: f.Name, Revision: f.Revision, kinds: f.Kinds}
	var err error
	for _, step := range []func(form, *Rulebook) error{l.otherwise, l.calibration, l.classes, l.grades, l.causes, l.actions} {
		if err = step(f, b); err != nil {
			return nil, err
		}
	}
	if len(l.names) > maxRules {
		return nil, fmt.Errorf("it has %d rules; the limit is %d", len(l.names), maxRules)
	}
	b.priority, err = l.priority(f.Priority)
	return b, err
}

func (l *loader) otherwise(f form, b *Rulebook) error {
	o := f.Otherwise
	b.otherwise = Class{Label: o.Label, Category: o.Category, Confidence: o.Confidence}
	if b.otherwise.Label == "" {
		b.otherwise.Label = string(o.Category)
	}
	switch {
	case !slices.Contains(agent.Categories(), o.Category):
		return l.at(fmt.Errorf("%q is none of %v", o.Category, agent.Categories()), "otherwise", "category")
	case !confidencePattern.MatchString(o.Confidence) || o.Confidence > "0.20":
		return l.at(errors.New(`it must be "0.00" to "0.20", since no rule speaks for the answer`), "otherwise", "confidence")
	case len(b.otherwise.Label) > maxLabel:
		return l.at(fmt.Errorf("it is over %d bytes", maxLabel), "otherwise", "label")
	}
	return nil
}

func (l *loader) calibration(f form, b *Rulebook) error {
	if len(f.Calibration) == 0 {
		return l.at(errors.New("it is empty; say what confidence a margin gives"), "calibration")
	}
	for n, p := range f.Calibration {
		if !confidencePattern.MatchString(p.Confidence) {
			return l.at(errors.New(`it must be "0.00" to "1.00", in quotes, with two decimals`), "calibration", n, "confidence")
		}
		if n > 0 && p.Margin <= f.Calibration[n-1].Margin || p.Margin < 0 || p.Margin > maxMargin {
			return l.at(fmt.Errorf("margins must be 0 to %d and rise", maxMargin), "calibration", n, "margin")
		}
		b.calibration = append(b.calibration, point{p.Margin, hundredths(p.Confidence)})
	}
	return nil
}

func (l *loader) classes(f form, b *Rulebook) error {
	for n, c := range f.Categories {
		out := class{label: c.Label, category: c.Category}
		if out.label == "" {
			out.label = string(c.Category)
		}
		switch {
		case !slices.Contains(agent.Categories(), c.Category):
			return l.at(fmt.Errorf("%q is none of %v", c.Category, agent.Categories()), "categories", n, "category")
		case slices.ContainsFunc(b.classes, func(o class) bool { return o.label == out.label }):
			return l.at(fmt.Errorf("%q is there twice", out.label), "categories", n)
		case len(out.label) > maxLabel:
			return l.at(fmt.Errorf("it is over %d bytes", maxLabel), "categories", n, "label")
		case len(c.Rules) == 0:
			return l.at(errors.New("it has no rules"), "categories", n)
		}
		for k, r := range c.Rules {
			path := []any{"categories", n, "rules", k}
			if r.Weight == 0 || r.Weight < -maxWeight || r.Weight > maxWeight {
				return l.at(fmt.Errorf("the weight must be 1 to %d, or negative to speak against", maxWeight), append(path, "weight")...)
			}
			made, err := l.rule(r, l.env.reading, l.env.stating, path)
			if err != nil {
				return err
			}
			out.rules = append(out.rules, made)
		}
		b.classes = append(b.classes, out)
	}
	return nil
}

// rule makes a rule, whose when and say are compiled in environments of their own.
func (l *loader) rule(f ruleForm, when, say *cel.Env, path []any) (rule, error) {
	r := rule{name: f.Name, weight: f.Weight, most: max(f.Most, 1)}
	switch {
	case !namePattern.MatchString(f.Name):
		return r, l.at(fmt.Errorf("%q must be a letter and letters, digits, '.', '_' and '-', in lower case", f.Name), append(path, "name")...)
	case l.names[f.Name]:
		return r, l.at(fmt.Errorf("%q is there twice; names must differ, since they are on record", f.Name), append(path, "name")...)
	case len(f.Words) == 0 && f.When == "":
		return r, l.at(errors.New("it has neither words nor a when, so that it would never fire"), path...)
	case len(f.Words) > maxWords:
		return r, l.at(fmt.Errorf("there are %d; the limit is %d", len(f.Words), maxWords), append(path, "words")...)
	case f.Most < 0:
		return r, l.at(errors.New("it must be 1 or more"), append(path, "most")...)
	}
	l.names[f.Name] = true
	for n, w := range f.Words {
		p, err := parsePhrase(w)
		if err != nil {
			return r, l.at(err, append(path, "words", n)...)
		}
		r.words = append(r.words, p)
	}
	var err error
	if f.When != "" {
		if r.when, err = compile(when, f.When, cel.BoolType); err != nil {
			return r, l.at(err, append(path, "when")...)
		}
	}
	if f.Say != "" {
		if r.say, err = compile(say, f.Say, cel.StringType); err != nil {
			return r, l.at(err, append(path, "say")...)
		}
	}
	return r, nil
}

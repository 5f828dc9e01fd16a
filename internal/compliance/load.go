package compliance

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"regexp"
	"time"

	"finobs/internal/desk"
	"finobs/internal/deskfile"
	"finobs/internal/yamldoc"

	"github.com/shopspring/decimal"
	"go.yaml.in/yaml/v3"
)

// Limits of a file.
const (
	maxFile  = 1 << 20 // bytes
	maxRules = 200
	maxText  = 300 // bytes of a title or source
)

// rulesForm is the YAML form of Rules.
type rulesForm struct {
	Version int                          `yaml:"version"`
	Name    string                       `yaml:"name"`
	Zone    string                       `yaml:"zone"`   // in which days begin
	Limits  map[string]map[string]string `yaml:"limits"` // name, currency, amount
	Rules   []yaml.Node                  `yaml:"rules"`
}

type ruleForm struct {
	Name       string        `yaml:"name"`
	Title      string        `yaml:"title"`
	Source     string        `yaml:"source"`
	Revision   int           `yaml:"revision"`
	Severity   desk.Severity `yaml:"severity"`
	Purpose    Purpose       `yaml:"purpose"`
	Form       Form          `yaml:"form"`
	When       string        `yaml:"when"`
	Parameters yaml.Node     `yaml:"parameters"`
}

var (
	nameForm     = regexp.MustCompile(`^[a-z][a-z0-9-]{0,63}$`)
	limitForm    = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
	currencyForm = regexp.MustCompile(`^[A-Z]{3}$`)
)

// LoadRules reads a file of rules, type-checks every condition and refuses unknown
// fields. Errors name the line at which a rule begins.
func LoadRules(in io.Reader) (*Rules, error) {
	text, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading rules: %w", err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("reading rules: the file is over %d bytes", maxFile)
	}
	var form rulesForm
	if err := yamldoc.Read(bytes.NewReader(text), &form); err != nil {
		return nil, fmt.Errorf("reading rules: %w", err)
	}
	l := &loader{limits: map[string]*limit{}}
	if err := l.head(form); err != nil {
		return nil, fmt.Errorf("reading rules: %w", err)
	}
	sum := sha256.Sum256(text)
	out := &Rules{Name: form.Name, Text: string(text), Digest: hex.EncodeToString(sum[:])}
	names := map[string]bool{}
	for _, node := range form.Rules {
		r, err := l.rule(node)
		if err == nil && names[r.Name] {
			err = fmt.Errorf("line %d: there is a rule %q already", node.Line, r.Name)
		}
		if err != nil {
			return nil, fmt.Errorf("reading rules: %w", err)
		}
		names[r.Name] = true
		out.List = append(out.List, r)
	}
	return out, nil
}

// loader knows what rules refer to.
type loader struct {
	zone   *time.Location
	limits map[string]*limit
}

func (l *loader) head(f rulesForm) error {
	switch {
	case f.Version != 1:
		return fmt.Errorf("version is %d; this program reads version 1", f.Version)
	case !nameForm.MatchString(f.Name):
		return fmt.Errorf("name %q: want a small letter, then up to 63 small letters, digits and -", f.Name)
	case len(f.Rules) < 1 || len(f.Rules) > maxRules:
		return fmt.Errorf("there are %d rules; want 1 to %d", len(f.Rules), maxRules)
	case f.Zone == "" || f.Zone == "Local":
		return fmt.Errorf("zone is %q; it must be an IANA time zone such as America/New_York, in which days begin", f.Zone)
	}
	var err error
	if l.zone, err = time.LoadLocation(f.Zone); err != nil {
		return fmt.Errorf("zone %q is no IANA time zone such as America/New_York", f.Zone)
	}
	for name, amounts := range f.Limits {
		if !limitForm.MatchString(name) {
			return fmt.Errorf("limits: name %q: want a small letter, then up to 63 small letters, digits and _", name)
		}
		one := &limit{name, map[string]decimal.Decimal{}}
		for currency, text := range amounts {
			amount, err := parseDecimal(text)
			if err != nil || !amount.IsPositive() || !currencyForm.MatchString(currency) {
				return fmt.Errorf("limits.%s: %q: %q; want a currency such as USD and an amount above 0", name, currency, text)
			}
			one.of[currency] = amount
		}
		l.limits[name] = one
	}
	return nil
}

// limit finds a limit by its name; nil for "".
func (l *loader) limit(field, name string) (*limit, error) {
	if name == "" {
		return nil, nil
	}
	found := l.limits[name]
	if found == nil {
		return nil, fmt.Errorf("%s: there is no limit %q; add it to limits", field, name)
	}
	return found, nil
}

func (l *loader) rule(node yaml.Node) (*Rule, error) {
	var f ruleForm
	if err := deskfile.Decode(node, &f); err != nil {
		return nil, err
	}
	r := &Rule{
		Name: f.Name, Title: f.Title, Source: f.Source, Revision: f.Revision, Severity: f.Severity, Purpose: f.Purpose, Form: f.Form, When: f.When,
		parameters: newParameters(f.Form),
	}
	wrong := func(err error) error { return fmt.Errorf("line %d: rule %q: %w", node.Line, f.Name, err) }
	if err := r.check(); err != nil {
		return nil, wrong(err)
	}
	var err error
	if r.when, err = compile(f.When); err != nil {
		return nil, wrong(fmt.Errorf("when: %w", err))
	}
	if f.Parameters.Kind != 0 {
		if err := deskfile.Decode(f.Parameters, r.parameters); err != nil {
			return nil, wrong(fmt.Errorf("parameters: %w", err))
		}
	}
	if err := r.parameters.check(l); err != nil {
		return nil, wrong(fmt.Errorf("parameters: %w", err))
	}
	return r, nil
}

func (r *Rule) check() error {
	switch {
	case !nameForm.MatchString(r.Name):
		return fmt.Errorf("the name must be a small letter, then up to 63 small letters, digits and -")
	case r.Title == "" || len(r.Title) > maxText:
		return fmt.Errorf("title must have 1 to %d bytes", maxText)
	case r.Source == "" || len(r.Source) > maxText:
		return fmt.Errorf("source must have 1 to %d bytes: the regulation or guidance that the rule rests on", maxText)
	case r.Revision < 1:
		return fmt.Errorf("revision %d must be 1 or more, and go up whenever the rule's meaning changes", r.Revision)
	case !r.Severity.Valid():
		return fmt.Errorf("severity %q must be low, medium, high or critical", r.Severity)
	case r.Purpose != Report && r.Purpose != Suspicion && r.Purpose != Breach:
		return fmt.Errorf("purpose %q must be report, suspicion or breach", r.Purpose)
	case r.parameters == nil:
		return fmt.Errorf("form %q must be record, aggregate, pass_through, wash, cycle, sanctions, late_settlement or position", r.Form)
	}
	return nil
}

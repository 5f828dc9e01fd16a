package recon

import (
	"fmt"

	"finobs/internal/desk"
	"finobs/internal/intake"

	"go.yaml.in/yaml/v3"
)

// profileForm is the YAML form of a Profile.
type profileForm struct {
	Version    int                    `yaml:"version"`
	Name       string                 `yaml:"name"`
	Title      string                 `yaml:"title"`
	Left       booksForm              `yaml:"left"`
	Right      booksForm              `yaml:"right"`
	Match      matchForm              `yaml:"match"`
	Duplicate  duplicateForm          `yaml:"duplicate"`
	Tolerances map[string]withinForm  `yaml:"tolerances"`
	Compare    []compareForm          `yaml:"compare"`
	Breaks     map[string]*breaksForm `yaml:"breaks"`
	MaxBreaks  int                    `yaml:"max_breaks"`
	Calendar   string                 `yaml:"calendar"`
	Cutoff     *cutoffForm            `yaml:"cutoff"`
	Schedule   *scheduleForm          `yaml:"schedule"`
}

type booksForm struct {
	Label       string           `yaml:"label"`
	Missing     string           `yaml:"missing"`
	Book        string           `yaml:"book"`
	Format      string           `yaml:"format"`
	Separator   string           `yaml:"separator"`
	Columns     intake.Mapping   `yaml:"columns"`
	Allocations *allocationsForm `yaml:"allocations"`
}

type allocationsForm struct {
	Format    string         `yaml:"format"`
	Separator string         `yaml:"separator"`
	Columns   intake.Mapping `yaml:"columns"`
}

type matchForm struct {
	Keys      [][]string          `yaml:"keys"`
	Normalise map[string][]string `yaml:"normalise"`
	Fuzzy     *fuzzyForm          `yaml:"fuzzy"`
}

type fuzzyForm struct {
	Agree          []string              `yaml:"agree"`
	Quantity       *windowForm           `yaml:"quantity"`
	Price          *windowForm           `yaml:"price"`
	SettlementDays *int                  `yaml:"settlement_days"`
	Weights        map[string]numberForm `yaml:"weights"`
	Minimum        numberForm            `yaml:"minimum"`
	Auto           *numberForm           `yaml:"auto_confidence"`
}

type windowForm struct {
	Absolute numberForm `yaml:"absolute"`
	Percent  numberForm `yaml:"percent"`
}

type withinForm struct {
	Absolute    numberForm `yaml:"absolute"`
	BasisPoints numberForm `yaml:"bp"`
}

type duplicateForm struct {
	Economic bool `yaml:"economic"`
}

type breaksForm struct {
	Severity desk.Severity `yaml:"severity"`
	Owner    string        `yaml:"owner"`
	SLAHours int           `yaml:"sla_hours"`
}

type cutoffForm struct {
	Time     string `yaml:"time"`
	Zone     string `yaml:"zone"`
	Calendar string `yaml:"calendar"`
}

type scheduleForm struct {
	Cron string `yaml:"cron"`
	Zone string `yaml:"zone"`
	Days int    `yaml:"days"`
}

// compareForm is a field's name, or a mapping with field and the rule for it.
type compareForm struct {
	Field string
	breaksForm
	line int
}

// UnmarshalYAML reads either form.
func (c *compareForm) UnmarshalYAML(node *yaml.Node) error {
	c.line = node.Line
	if node.Kind == yaml.ScalarNode {
		c.Field = node.Value
		return nil
	}
	var form struct {
		Field      string `yaml:"field"`
		breaksForm `yaml:",inline"`
	}
	if node.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: want the name of a field, or a mapping with field, severity, owner and sla_hours", node.Line)
	}
	for i := 0; i < len(node.Content); i += 2 {
		switch key := node.Content[i]; key.Value {
		case "field", "severity", "owner", "sla_hours":
		default:
			return fmt.Errorf("line %d: there is no %q; known are field, severity, owner, sla_hours", key.Line, key.Value)
		}
	}
	if err := node.Decode(&form); err != nil {
		return err
	}
	c.Field, c.breaksForm = form.Field, form.breaksForm
	return nil
}

// numberForm is a decimal as it was written: no float ever holds it.
type numberForm struct {
	Text string
	line int
}

// UnmarshalYAML keeps the text.
func (n *numberForm) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.ScalarNode {
		return fmt.Errorf("line %d: want a decimal", node.Line)
	}
	n.Text, n.line = node.Value, node.Line
	return nil
}

package intake

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"
	"go.yaml.in/yaml/v3"
)

// Mapping says which columns of a file hold which fields, and how their values are
// written. It is read from YAML with the names of fields as keys; see
// docs/reconciliation.md. The zero Mapping has no fields.
type Mapping struct {
	columns []*mappedColumn // by field, no field twice
}

// mappedColumn is how one field is made from columns.
type mappedColumn struct {
	field Field

	columns   []string          // their values are added, or joined by a space
	constant  string            // of every line, without a column
	fallback  string            // where the value is empty
	words     map[string]string // in lower case, from the file's words to ours
	layouts   []string          // of dates, for package time
	dates     []string          // the same as they were written
	point     string            // decimal separator
	thousands string
	scale     decimal.Decimal // of numbers
	scaled    bool
	strip     *regexp.Regexp // taken out of the value
	upper     bool
	sign      bool // buy above 0, sell below
	absolute  bool // without its sign
}

// columnForm is the long YAML form of a column.
type columnForm struct {
	Column    string            `yaml:"column"`
	Columns   []string          `yaml:"columns"`
	Constant  string            `yaml:"constant"`
	Default   string            `yaml:"default"`
	Map       map[string]string `yaml:"map"`
	Dates     []string          `yaml:"dates"`
	Decimal   string            `yaml:"decimal"`
	Thousands string            `yaml:"thousands"`
	Scale     string            `yaml:"scale"`
	Strip     string            `yaml:"strip"`
	Upper     bool              `yaml:"upper"`
	Sign      bool              `yaml:"sign"`
	Absolute  bool              `yaml:"absolute"`
}

// columnKeys are the keys of the long form.
var columnKeys = []string{
	"column", "columns", "constant", "default", "map", "dates", "decimal", "thousands", "scale", "strip", "upper", "sign", "absolute",
}

const maxMapped = 16 // columns of one field

// UnmarshalYAML reads a mapping strictly; errors name the line.
func (m *Mapping) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: columns must be a mapping from fields to columns", node.Line)
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		f, known := ParseField(key.Value)
		if !known {
			return fmt.Errorf("line %d: there is no field %q; known are %s", key.Line, key.Value, strings.Join(fieldNames[:], ", "))
		}
		if m.Has(f) {
			return fmt.Errorf("line %d: field %s is there twice", key.Line, f)
		}
		c, err := readColumn(f, value)
		if err != nil {
			return fmt.Errorf("line %d: field %s: %w", value.Line, f, err)
		}
		m.columns = append(m.columns, c)
	}
	slices.SortFunc(m.columns, func(a, b *mappedColumn) int { return int(a.field) - int(b.field) })
	return nil
}

// Has reports whether the mapping has a field.
func (m Mapping) Has(f Field) bool {
	return slices.ContainsFunc(m.columns, func(c *mappedColumn) bool { return c.field == f })
}

// Fields lists the fields that the mapping has.
func (m Mapping) Fields() []Field {
	var out []Field
	for _, c := range m.columns {
		out = append(out, c.field)
	}
	return out
}

// Columns lists the columns that a file must have, in the order of their fields.
func (m Mapping) Columns() []string {
	var out []string
	for _, c := range m.columns {
		for _, name := range c.columns {
			if !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// Identity maps every field to a column of its own name.
func Identity() Mapping {
	var m Mapping
	for _, f := range AllFields() {
		m.columns = append(m.columns, &mappedColumn{field: f, columns: []string{f.String()}, point: ".", layouts: []string{time.DateOnly}, dates: []string{"YYYY-MM-DD"}})
	}
	return m
}

func readColumn(f Field, node *yaml.Node) (*mappedColumn, error) {
	var form columnForm
	switch node.Kind {
	case yaml.ScalarNode:
		form.Column = node.Value
	case yaml.SequenceNode:
		if err := node.Decode(&form.Columns); err != nil {
			return nil, err
		}
	case yaml.MappingNode:
		for i := 0; i < len(node.Content); i += 2 {
			if !slices.Contains(columnKeys, node.Content[i].Value) {
				return nil, fmt.Errorf("there is no %q; known are %s", node.Content[i].Value, strings.Join(columnKeys, ", "))
			}
		}
		if err := node.Decode(&form); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("want the name of a column, a list of names, or a mapping with one of them")
	}
	return form.compile(f)
}

func (form columnForm) compile(f Field) (*mappedColumn, error) {
	c := &mappedColumn{field: f, columns: form.Columns, constant: form.Constant, fallback: form.Default, upper: form.Upper, sign: form.Sign, absolute: form.Absolute}
	if form.Column != "" {
		if len(form.Columns) > 0 {
			return nil, fmt.Errorf("it has both column and columns; give one of them")
		}
		c.columns = []string{form.Column}
	}
	switch {
	case len(c.columns) == 0 && form.Constant == "":
		return nil, fmt.Errorf("it names no column; give column, columns or constant")
	case len(c.columns) > 0 && form.Constant != "":
		return nil, fmt.Errorf("it has a constant beside a column; give default for where the column is empty")
	case len(c.columns) > maxMapped:
		return nil, fmt.Errorf("it names %d columns; %d are the limit", len(c.columns), maxMapped)
	case slices.Contains(c.columns, ""):
		return nil, fmt.Errorf("a column's name is empty")
	case len(c.columns) > 1 && f.Form() != Number && f.Form() != Text:
		return nil, fmt.Errorf("a %s is made from one column; numbers of several are added, texts joined", f)
	case form.Sign && f != TradeSide:
		return nil, fmt.Errorf("sign is for side: buy above 0, sell below")
	case form.Absolute && f.Form() != Number:
		return nil, fmt.Errorf("absolute is for numbers")
	}
	if err := c.compileNumber(form); err != nil {
		return nil, err
	}
	if err := c.compileText(form); err != nil {
		return nil, err
	}
	for name, preset := range map[string]*string{"constant": &c.constant, "default": &c.fallback} {
		if *preset == "" {
			continue
		}
		value, problem := c.finish(*preset)
		if problem != "" {
			return nil, fmt.Errorf("%s %q is not %s", name, *preset, problem)
		}
		*preset = value
	}
	return c, nil
}

func (c *mappedColumn) compileNumber(form columnForm) (err error) {
	numeric := c.field.Form() == Number || c.sign
	if !numeric && (form.Decimal != "" || form.Thousands != "" || form.Scale != "") {
		return fmt.Errorf("decimal, thousands and scale are for numbers")
	}
	c.point, c.thousands = ".", form.Thousands
	if form.Decimal != "" {
		c.point = form.Decimal
	}
	if c.point != "." && c.point != "," {
		return fmt.Errorf(`decimal %q must be "." or ","`, form.Decimal)
	}
	if !slices.Contains([]string{"", ",", ".", " ", "'", "_"}, c.thousands) || c.thousands == c.point {
		return fmt.Errorf(`thousands %q must be one of "," "." " " "'" "_", and not the same as decimal`, form.Thousands)
	}
	if form.Scale == "" {
		return nil
	}
	d, ok := parseDecimal(form.Scale)
	if !ok || !d.IsPositive() {
		return fmt.Errorf("scale %q must be a decimal above 0, such as 0.01 for pence", form.Scale)
	}
	c.scale, c.scaled = d, true
	return nil
}

func (c *mappedColumn) compileText(form columnForm) (err error) {
	if form.Strip != "" {
		if c.strip, err = regexp.Compile(form.Strip); err != nil {
			return fmt.Errorf("strip: %w", err)
		}
	}
	if len(form.Map) > 0 {
		c.words = map[string]string{}
		for from, to := range form.Map {
			c.words[strings.ToLower(strings.TrimSpace(from))] = to
		}
	}
	if len(form.Dates) > 0 && c.field.Form() != Date {
		return fmt.Errorf("dates is for trade_date and settlement_date")
	}
	if c.field.Form() != Date {
		return nil
	}
	c.dates = form.Dates
	if len(c.dates) == 0 {
		c.dates = []string{"YYYY-MM-DD"}
	}
	for _, d := range c.dates {
		layout, ok := dateLayout(d)
		if !ok {
			return fmt.Errorf("date format %q: want one made of YYYY or YY, MM or MMM, and DD, perhaps followed by hh:mm:ss, such as DD/MM/YYYY", d)
		}
		c.layouts = append(c.layouts, layout)
	}
	return nil
}

var (
	dateForm  = regexp.MustCompile(`^(YYYY|YY|MMM|MM|DD)([-/. ]?)(YYYY|MMM|MM|DD)([-/. ]?)(YYYY|YY|MMM|MM|DD)([T ]hh:mm(:ss)?(Z)?)?$`)
	dateParts = strings.NewReplacer("YYYY", "2006", "YY", "06", "MMM", "Jan", "MM", "01", "DD", "02", "hh", "15", "mm", "04", "ss", "05", "Z", "Z07:00")
)

// dateLayout turns a format as people write it into one of package time.
func dateLayout(form string) (string, bool) {
	parts := dateForm.FindStringSubmatch(form)
	if parts == nil {
		return "", false
	}
	for _, part := range []string{"Y", "M", "D"} {
		n := 0
		for _, p := range []string{parts[1], parts[3], parts[5]} {
			if strings.HasPrefix(p, part) {
				n++
			}
		}
		if n != 1 {
			return "", false
		}
	}
	return dateParts.Replace(form), true
}

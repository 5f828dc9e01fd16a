package intake

import (
	"fmt"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// read makes the field's value from the values of its columns, or says which is
// wrong with which of them.
func (c *mappedColumn) read(values []string) (string, *LineError) {
	if len(c.columns) == 0 {
		return c.constant, nil
	}
	var out string
	var problem string
	switch {
	case len(values) > 1 && c.field.Form() == Number:
		return c.sum(values)
	case len(values) > 1:
		out, problem = c.finish(c.clean(strings.Join(trimmed(values), " ")))
	default:
		out, problem = c.finish(c.clean(values[0]))
	}
	if problem != "" {
		return "", c.wrong(0, values, problem)
	}
	if out == "" {
		return c.fallback, nil
	}
	return out, nil
}

func trimmed(values []string) []string {
	var out []string
	for _, v := range values {
		if v = strings.TrimSpace(v); v != "" {
			out = append(out, v)
		}
	}
	return out
}

// sum adds the numbers of several columns. Those that are empty count as nothing;
// when all are, there is no value.
func (c *mappedColumn) sum(values []string) (string, *LineError) {
	total, any := decimal.Zero, false
	for i, v := range values {
		if v = c.clean(v); v == "" {
			continue
		}
		d, ok := c.number(v)
		if !ok {
			return "", c.wrong(i, values, expectedOf(c.field))
		}
		total, any = total.Add(d), true
	}
	if !any {
		return c.fallback, nil
	}
	out, ok := canonicalValue(c.field, total.String())
	if !ok {
		return "", c.wrong(0, values, expectedOf(c.field))
	}
	return out, nil
}

func (c *mappedColumn) wrong(i int, values []string, expected string) *LineError {
	i = min(i, len(values)-1)
	return &LineError{
		Column: c.columns[i], Problem: fmt.Sprintf("%q is not %s", shown(values[i]), expected), Value: shown(values[i]), Expected: expected,
	}
}

// clean takes out what is no part of the value.
func (c *mappedColumn) clean(v string) string {
	v = strings.TrimSpace(v)
	if c.strip != nil {
		v = strings.TrimSpace(c.strip.ReplaceAllString(v, ""))
	}
	if c.upper {
		v = strings.ToUpper(v)
	}
	return v
}

// finish maps, parses and checks one value; an empty one stays empty. The problem
// completes "it is not …".
func (c *mappedColumn) finish(v string) (out, problem string) {
	if v == "" {
		return "", ""
	}
	if to, mapped := c.words[strings.ToLower(v)]; mapped {
		v = to
	}
	switch {
	case c.sign:
		d, ok := c.number(v)
		switch {
		case !ok || d.IsZero():
			return "", "a number above or below 0, whose sign is the side"
		case d.IsNegative():
			return "sell", ""
		}
		return "buy", ""
	case c.field.Form() == Number:
		d, ok := c.number(v)
		if !ok {
			return "", c.expected()
		}
		v = d.String()
	case c.field.Form() == Date:
		if v = c.date(v); v == "" {
			return "", "a calendar date from 1900 on, of the form " + strings.Join(c.dates, " or ")
		}
	}
	out, ok := canonicalValue(c.field, v)
	if !ok {
		return "", c.expected()
	}
	return out, ""
}

func (c *mappedColumn) expected() string {
	e := expectedOf(c.field)
	if c.field.Form() == Number && c.thousands != "" {
		e += fmt.Sprintf("; the decimal separator is %q, that of thousands %q", c.point, c.thousands)
	} else if c.field.Form() == Number && c.point != "." {
		e += fmt.Sprintf("; the decimal separator is %q", c.point)
	}
	return e
}

// number reads a number as the file writes it.
func (c *mappedColumn) number(v string) (decimal.Decimal, bool) {
	v = strings.TrimPrefix(v, "+")
	if c.thousands != "" {
		var ok bool
		if v, ok = ungrouped(v, c.point, c.thousands); !ok {
			return decimal.Decimal{}, false
		}
	}
	if c.point != "." {
		if strings.Contains(v, ".") {
			return decimal.Decimal{}, false
		}
		v = strings.Replace(v, c.point, ".", 1)
	}
	d, ok := parseDecimal(v)
	if !ok {
		return d, false
	}
	if c.scaled {
		d = d.Mul(c.scale)
	}
	if c.absolute {
		d = d.Abs()
	}
	return d, true
}

// ungrouped takes the separators of thousands out, which must stand before each
// three digits: 1,00 is not a hundred.
func ungrouped(v, point, thousands string) (string, bool) {
	whole, fraction, hasFraction := strings.Cut(v, point)
	groups := strings.Split(whole, thousands)
	for i, g := range groups {
		if i > 0 && len(g) != 3 || i == 0 && len(groups) > 1 && len(strings.TrimPrefix(g, "-")) > 3 {
			return "", false
		}
	}
	out := strings.Join(groups, "")
	if hasFraction {
		out += point + fraction
	}
	return out, true
}

func (c *mappedColumn) date(v string) string {
	for _, layout := range c.layouts {
		if t, err := time.Parse(layout, v); err == nil && t.Year() >= 1900 && t.Year() <= 9999 {
			return t.Format(time.DateOnly)
		}
	}
	return ""
}

package store

import (
	"strconv"
	"strings"

	"finobs/internal/export"
	"finobs/internal/fault"
)

// conditions is a growing list of conditions with their bound values.
type conditions struct {
	text string
	args []any
}

// add appends a condition; each ? in it stands for the value.
func (c *conditions) add(condition string, value any) {
	c.args = append(c.args, value)
	c.text += " AND " + strings.ReplaceAll(condition, "?", "$"+strconv.Itoa(len(c.args)))
}

// filtered are the conditions of the set filters of a dataset, for its list and
// for its export alike. Names come from the fixed list of the dataset, values are
// bound.
func filtered(d export.Dataset, values map[string]string) conditions {
	var c conditions
	for _, f := range d.Filters {
		value := values[f.Name]
		if value == "" {
			continue
		}
		cast := map[export.Kind]string{export.Integer: "::bigint", export.Time: "::timestamptz", export.Date: "::date", export.Bool: "::boolean"}[f.Kind]
		switch f.Op {
		case export.Equal:
			c.add(f.Column+" = ?"+cast, value)
		case export.From:
			c.add(f.Column+" >= ?"+cast, value)
		case export.Before:
			c.add(f.Column+" < ?"+cast, value)
		case export.Holds:
			c.add("? = ANY ("+f.Column+")", value)
		}
	}
	return c
}

// leafRange is the range of leaves that filters ask for, within a log of size.
func leafRange(filters map[string]string, size int64) (from, to int64, err error) {
	to = size
	if text := filters["after"]; text != "" {
		if from, err = strconv.ParseInt(text, 10, 64); err != nil {
			return 0, 0, fault.Wrap(err, fault.Invalid, "not-an-export", "filter after is no index")
		}
	}
	if text := filters["before"]; text != "" {
		before, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return 0, 0, fault.Wrap(err, fault.Invalid, "not-an-export", "filter before is no index")
		}
		to = min(to, before)
	}
	return min(from, to), to, nil
}

package rulebook

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"

	"finobs/internal/agent"
	"finobs/internal/fault"
)

// Half selects every other ticket, for rules that were made with the rest.
type Half string

// The halves; the first ticket is even. The zero Half is all of them.
const (
	Even Half = "even"
	Odd  Half = "odd"
)

// EvalOptions say what of a file is read.
type EvalOptions struct {
	Text  string // column of the text, of a layout that is not known
	Label string // column of the label
	Half  Half
}

// Cases are labelled tickets.
type Cases struct {
	Layout   string // in words
	Rulebook string // name of the shipped rulebook for them
	Priority bool   // labels are priorities, not classes
	List     []Case
}

// Case is a ticket and what people took it for.
type Case struct {
	Facts map[string]string
	Text  string
	Label string
}

// layout is a form of file, recognised by its header.
type layout struct {
	words, rulebook string
	header          []string // that it must have
	text            []string // columns that make the text
	label           string
	scale           string // of impact and urgency; empty: the label is a class
	ticket          string // column by which rows are one ticket, which its last row shows; empty: each row is one
}

// layouts that are known, the more particular first. Column names differ in case
// between tools, and are compared as they are written.
func layouts() []layout {
	return []layout{
		{words: "topics of an IT service desk", rulebook: "tickets", header: []string{"Document", "Topic_group"}, text: []string{"Document"}, label: "Topic_group"},
		{words: "ServiceNow event log, last row of each number", rulebook: "tickets", header: []string{"number", "impact", "urgency", "priority"},
			label: "priority", scale: "3", ticket: "number"},
		{words: "ITSM incidents, impact and urgency in five grades", rulebook: "tickets", header: []string{"Impact", "Urgency", "Priority"}, label: "Priority", scale: "5"},
		{words: "CFPB complaints, product by issue and narrative", rulebook: "complaints", header: []string{"product", "issue", "complaint_id"},
			text: []string{"issue", "sub_issue", "consumer_complaint_narrative"}, label: "product"},
	}
}

// Limits of a file of tickets.
const (
	maxCases   = 1_000_000
	maxCaseCSV = 1 << 30 // bytes
)

// ReadCases reads labelled tickets from a CSV file, whose header says what layout it
// has. Errors are faults of kind Invalid that name the line.
func ReadCases(r io.Reader, o EvalOptions) (Cases, error) { return readCases(r, o, maxCaseCSV) }

func readCases(r io.Reader, o EvalOptions, most int64) (Cases, error) {
	limited := &io.LimitedReader{R: r, N: most + 1}
	rows := csv.NewReader(limited)
	rows.ReuseRecord = true
	header, err := rows.Read()
	if err != nil {
		return Cases{}, badCSV(err)
	}
	columns := map[string]int{}
	for n, name := range header {
		columns[strings.TrimPrefix(name, "\uFEFF")] = n
	}
	l, err := chooseLayout(columns, o)
	if err != nil {
		return Cases{}, err
	}
	out := Cases{Layout: l.words, Rulebook: l.rulebook, Priority: l.scale != ""}
	place := map[string]int{} // of each ticket
	for {
		row, err := rows.Read()
		if limited.N <= 0 {
			return Cases{}, fault.New(fault.TooLarge, "too-many-tickets", "the file has over %d bytes; measure a part of it", most)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Cases{}, badCSV(err)
		}
		c := l.read(row, columns)
		if l.ticket != "" {
			key := strings.Clone(row[columns[l.ticket]])
			if at, again := place[key]; again {
				out.List[at] = c
				continue
			}
			place[key] = len(out.List)
		}
		out.List = append(out.List, c)
		if len(out.List) > maxCases {
			return Cases{}, fault.New(fault.TooLarge, "too-many-tickets", "the file has over %d tickets; measure a part of it", maxCases)
		}
	}
	out.List = halve(out.List, o.Half)
	if len(out.List) == 0 {
		return Cases{}, fault.New(fault.Invalid, "no-tickets", "the file has a header and no tickets")
	}
	return out, nil
}

func badCSV(err error) error {
	if errors.Is(err, io.EOF) {
		return fault.New(fault.Invalid, "no-tickets", "the file is empty; its first line must name the columns")
	}
	return fault.Wrap(err, fault.Invalid, "invalid-csv", "the file is no valid CSV: %v", err)
}

func chooseLayout(columns map[string]int, o EvalOptions) (layout, error) {
	if o.Text != "" || o.Label != "" {
		for flag, name := range map[string]string{"--text": o.Text, "--label": o.Label} {
			if _, found := columns[name]; !found {
				return layout{}, fault.New(fault.Invalid, "unknown-column", "%s: the file has no column %q", flag, name)
			}
		}
		return layout{words: fmt.Sprintf("column %s by column %s", o.Label, o.Text), rulebook: "triage", text: []string{o.Text}, label: o.Label}, nil
	}
	for _, l := range layouts() {
		all := true
		for _, name := range l.header {
			_, found := columns[name]
			all = all && found
		}
		if all {
			return l, nil
		}
	}
	var known []string
	for _, l := range layouts() {
		known = append(known, strings.Join(l.header, "+"))
	}
	return layout{}, fault.New(fault.Invalid, "unknown-layout",
		"the header fits none of the known layouts (%s); name the columns with --text and --label", strings.Join(known, ", "))
}

// read makes a case of a row; a column that a file of this layout lacks is empty.
func (l layout) read(row []string, columns map[string]int) Case {
	cell := func(name string) string {
		if at, found := columns[name]; found {
			return strings.Clone(row[at])
		}
		return ""
	}
	c := Case{Facts: map[string]string{agent.FactKind: "other"}, Label: strings.TrimSpace(cell(l.label))}
	if l.scale != "" {
		c.Facts[agent.FactScale] = l.scale
		c.Facts[agent.FactImpact] = grade1(cell(l.header[len(l.header)-3]))
		c.Facts[agent.FactUrgency] = grade1(cell(l.header[len(l.header)-2]))
		c.Label = grade1(c.Label)
		return c
	}
	var parts []string
	for _, name := range l.text {
		if text := cell(name); text != "" {
			parts = append(parts, text)
		}
	}
	c.Text = strings.Join(parts, "\n")
	return c
}

// grade1 is the number with which a grade such as "2 - Medium" begins; none is
// "none".
func grade1(text string) string {
	digits := 0
	for digits < len(text) && text[digits] >= '0' && text[digits] <= '9' {
		digits++
	}
	if digits == 0 {
		return noPriority
	}
	return text[:digits]
}

// noPriority is the label of tickets that have none.
const noPriority = "none"

func halve(list []Case, half Half) []Case {
	if half == "" {
		return list
	}
	var out []Case
	for n, c := range list {
		if (n%2 == 0) == (half == Even) {
			out = append(out, c)
		}
	}
	return out
}

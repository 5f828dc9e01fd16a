package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
)

// tolerance is how far a ratio may lie from that of an earlier run: 15 %.
const tolerance = 0.15

// change is one ratio in two runs.
type change struct {
	name          string
	before, after float64
	worse         float64 // by which share; negative: better
}

// against compares the ratios of this run with those of an earlier report.
func (r report) against(path string) ([]change, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the earlier report: %w", err)
	}
	var earlier report
	if err := json.Unmarshal(text, &earlier); err != nil {
		return nil, fmt.Errorf("reading the earlier report %s: %w", path, err)
	}
	var out []change
	for _, now := range r.Results {
		for _, then := range earlier.Results {
			if then.Name != now.Name || then.Ratio == nil || now.Ratio == nil {
				continue
			}
			c := change{name: now.Name, before: *then.Ratio, after: *now.Ratio}
			c.worse = 1 - c.after/c.before
			if now.Better == lower {
				c.worse = c.after/c.before - 1
			}
			out = append(out, c)
		}
	}
	return out, nil
}

// printChanges shows them, and returns how many ratios are worse by more than the
// tolerance.
func printChanges(w io.Writer, changes []change) (worse int) {
	if len(changes) == 0 {
		return 0
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nratio of\tearlier\tnow\tworse by\t")
	for _, c := range changes {
		verdict := ""
		if c.worse > tolerance {
			worse++
			verdict = "worse"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%.0f %%\t%s\n", c.name, figure(c.before), figure(c.after), 100*c.worse, verdict)
	}
	table.Flush() //nolint:errcheck // the terminal's
	return worse
}

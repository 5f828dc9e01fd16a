package main

import (
	"fmt"
	"os"
	"strings"
)

// The tables of a document stand between these lines.
const (
	tableBegins     = "<!-- table: written by make bench -->\n"
	fullTableBegins = "<!-- table: written by go run ./bench -full -->\n"
	tableEnds       = "<!-- end of table -->\n"
)

// document writes the figures into the place that a Markdown file has for them, which
// the line begins opens, and leaves everything else in it as it is.
func (r report) document(path, begins string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("writing figures: %w", err)
	}
	before, rest, found := strings.Cut(string(text), begins)
	_, after, ends := strings.Cut(rest, tableEnds)
	if !found || !ends {
		return fmt.Errorf("writing figures: %s has no lines %q and %q", path, strings.TrimSpace(begins), strings.TrimSpace(tableEnds))
	}
	if err := os.WriteFile(path, []byte(before+begins+r.markdown()+tableEnds+after), 0o644); err != nil {
		return fmt.Errorf("writing figures: %w", err)
	}
	return nil
}

func (r report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%d CPUs, %s/%s, %s.\n", r.Machine.CPUs, r.Machine.OS, r.Machine.Arch, r.Machine.Go)
	last := ""
	for _, v := range r.Results {
		suite, name, _ := strings.Cut(v.Name, "/")
		if suite != last {
			fmt.Fprintf(&b, "\n**%s**\n\n| Figure | finobs | Floor | Unit | Ratio | Spread | Goal |\n|---|---|---|---|---|---|---|\n", suite)
			last = suite
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", name, figure(v.Ours), optional(v.Floor), v.Unit, optional(v.Ratio), v.spread(), v.verdict())
	}
	b.WriteString("\n")
	return b.String()
}

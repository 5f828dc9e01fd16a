package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
)

// report is what a run found; it is written as JSON.
type report struct {
	Machine machine  `json:"machine"`
	Results []result `json:"results"`
}

// machine is what the figures were taken on.
type machine struct {
	CPUs int    `json:"cpus"`
	OS   string `json:"os"`
	Arch string `json:"arch"`
	Go   string `json:"go"`
}

// result is one figure: medians over the rounds, and how far the ratios of single
// rounds lay apart.
type result struct {
	Name   string    `json:"name"`
	Unit   string    `json:"unit"`
	Better better    `json:"better"`
	Ours   float64   `json:"ours"`
	Floor  *float64  `json:"floor,omitempty"`
	What   string    `json:"floor_is,omitempty"`
	Ratio  *float64  `json:"ratio,omitempty"`
	Ratios []float64 `json:"ratios,omitempty"`
	Rounds int       `json:"rounds"`
	Goal   float64   `json:"goal,omitempty"`
	Met    *bool     `json:"met,omitempty"`
}

func newReport() report {
	return report{Machine: machine{runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version()}}
}

func (r *report) add(c comparison, ours, floors []float64) {
	out := result{Name: c.name, Unit: c.unit, Better: c.better, Ours: median(ours), Rounds: len(ours), Goal: c.goal, What: c.floor}
	held := out.Ours
	if floors != nil {
		for i := range ours {
			out.Ratios = append(out.Ratios, ours[i]/floors[i])
		}
		out.Floor, out.Ratio = new(median(floors)), new(median(out.Ratios))
		held = *out.Ratio
	}
	if c.goal != 0 {
		out.Met = new(held >= c.goal)
		if c.better == lower {
			out.Met = new(held <= c.goal)
		}
	}
	r.Results = append(r.Results, out)
}

// print shows the report as a table.
func (r report) print(w io.Writer) {
	fmt.Fprintf(w, "\n%d CPUs, %s/%s, %s; medians; only ratios compare between machines\n\n", r.Machine.CPUs, r.Machine.OS, r.Machine.Arch, r.Machine.Go)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "figure\tours\tfloor\tunit\tratio\tspread\tgoal\t")
	for _, v := range r.Results {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", v.Name, figure(v.Ours), optional(v.Floor), v.Unit, optional(v.Ratio), v.spread(), v.verdict())
	}
	table.Flush() //nolint:errcheck // the terminal's
}

func (v result) suite() string {
	suite, _, _ := strings.Cut(v.Name, "/")
	return suite
}

func (v result) spread() string {
	if len(v.Ratios) < 2 {
		return ""
	}
	return figure(slices.Min(v.Ratios)) + "–" + figure(slices.Max(v.Ratios))
}

func (v result) verdict() string {
	if v.Met == nil {
		return ""
	}
	sign, word := "≥", "missed"
	if v.Better == lower {
		sign = "≤"
	}
	if *v.Met {
		word = "met"
	}
	return fmt.Sprintf("%s %s %s", sign, figure(v.Goal), word)
}

func optional(v *float64) string {
	if v == nil {
		return ""
	}
	return figure(*v)
}

// figure shows three significant digits, without an exponent.
func figure(v float64) string {
	switch {
	case v >= 100 || v <= -100 || v == float64(int64(v)):
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// save writes the report, together with the earlier results of suites that did not
// run.
func (r *report) save(path string) error {
	var earlier report
	if text, err := os.ReadFile(path); err == nil {
		if err := json.Unmarshal(text, &earlier); err != nil {
			return fmt.Errorf("reading the earlier report %s: %w; delete it", path, err)
		}
	}
	for _, old := range earlier.Results {
		if !slices.ContainsFunc(r.Results, func(v result) bool { return v.Name == old.Name }) {
			r.Results = append(r.Results, old)
		}
	}
	slices.SortStableFunc(r.Results, func(a, b result) int { return strings.Compare(a.suite(), b.suite()) })
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("writing report: %w", err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing report: %w", err)
	}
	return nil
}

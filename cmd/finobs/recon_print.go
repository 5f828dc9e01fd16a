package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"finobs/internal/intake"
	"finobs/internal/recon"
)

// phases shows how far a run is: a bar on a terminal, a line for each phase
// elsewhere.
type phases struct {
	out  *os.File
	tty  bool
	last recon.Phase
	open bool // the terminal's line is not ended
}

func newPhases(out *os.File) *phases {
	info, err := out.Stat()
	return &phases{out: out, tty: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

// barWidth is how many characters a whole bar has.
const barWidth = 30

func (p *phases) at(now *recon.Progress) {
	if now == nil {
		return
	}
	what := strings.ReplaceAll(string(now.Phase), "_", " ")
	if !p.tty {
		if now.Phase != p.last {
			fmt.Fprintln(p.out, what)
		}
		p.last = now.Phase
		return
	}
	bar := ""
	if now.Total > 0 {
		filled := int(min(now.Bytes, now.Total) * barWidth / now.Total)
		bar = fmt.Sprintf("[%s%s] %3d %%", strings.Repeat("=", filled), strings.Repeat(" ", barWidth-filled), min(now.Bytes, now.Total)*100/now.Total)
	}
	if now.Rows > 0 {
		bar += fmt.Sprintf(" %d rows", now.Rows)
	}
	fmt.Fprintf(p.out, "\r\x1b[K%-15s %s", what, bar)
	p.open = true
}

// end leaves the terminal's line.
func (p *phases) end() {
	if p.open {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

// shownBreak is a break as the API answers with it.
type shownBreak struct {
	ID          int64    `json:"break_id"`
	Type        string   `json:"type"`
	Key         string   `json:"key"`
	Field       string   `json:"field"`
	Severity    string   `json:"severity"`
	Owner       string   `json:"owner"`
	LeftIDs     []string `json:"left_ids"`
	RightIDs    []string `json:"right_ids"`
	LeftValue   string   `json:"left_value"`
	RightValue  string   `json:"right_value"`
	Difference  *string  `json:"difference"`
	Exposure    *string  `json:"exposure"`
	Currency    string   `json:"currency"`
	NeedsReview bool     `json:"needs_review"`
	AgeHours    int64    `json:"age_hours"`

	raw json.RawMessage
}

// breaksOf reads the first most breaks that a run showed and that no later run has
// shown since.
func (c caller) breaksOf(ctx context.Context, run reconRun, most int) ([]shownBreak, error) {
	var out []shownBreak
	for before := int64(0); len(out) < most; {
		var page struct {
			Items      []json.RawMessage `json:"items"`
			NextBefore int64             `json:"next_before"`
		}
		query := url.Values{"run": {run.ID}, "limit": {fmt.Sprint(min(most-len(out), 500))}, "before": {fmt.Sprint(before)}}
		if err := c.get(ctx, "/recon/breaks?"+query.Encode(), &page); err != nil {
			return nil, err
		}
		for _, raw := range page.Items {
			b := shownBreak{raw: raw}
			if err := json.Unmarshal(raw, &b); err != nil {
				return nil, fmt.Errorf("reading the API's answer: %w", err)
			}
			out = append(out, b)
		}
		if before = page.NextBefore; before == 0 {
			break
		}
	}
	slices.Reverse(out) // in the order in which they were added
	return out, nil
}

func printJSON(out io.Writer, run reconRun, breaks []shownBreak) error {
	list := make([]json.RawMessage, 0, len(breaks))
	for _, b := range breaks {
		list = append(list, b.raw)
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	if err := enc.Encode(map[string]any{"run": run.raw, "breaks": list}); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}

// printRecon prints what a run found: the summary, then breaks.
func printRecon(out io.Writer, run reconRun, breaks []shownBreak) error {
	r := run.Report
	if run.Repeated {
		fmt.Fprintln(out, "the same comparison was made before; this is what it found")
	}
	fmt.Fprintf(out, "run %s, profile %s\n", run.ID, run.Profile)
	for _, side := range []recon.SideReport{r.Left, r.Right} {
		printSide(out, side)
	}
	m := r.Matched
	keyed := m.Exact
	for _, n := range m.ByKey {
		keyed += n
	}
	fmt.Fprintf(out, "matched: %d by key, %d by likeness; %d for a person to look at\n", keyed, m.Fuzzy, m.Review)
	if m.LeftOut > 0 {
		fmt.Fprintf(out, "warning: for %d rows likeness was not tried, too many are alike; make match.fuzzy.agree narrower\n", m.LeftOut)
	}
	fmt.Fprintf(out, "breaks: %d (%d new, %d back, %d changed, %d as before); %d resolved\n", r.Breaks, r.Opened, r.Reopened, r.Changed, r.Same, r.Resolved)
	if r.Breaks == 0 {
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nTYPE\tCOUNT\tSEVERITY\tEXPOSURE\tOWNER")
	for _, t := range recon.Types() {
		if found, there := r.ByType[t]; there {
			fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\n", t, found.Count, found.Severity, exposureText(found.Exposure), found.Owner)
		}
	}
	if len(breaks) > 0 {
		fmt.Fprintln(table, "\nBREAK\tTYPE\tKEY\tFIELD\tLEFT\tRIGHT\tDIFFERENCE\tEXPOSURE")
	}
	for _, b := range breaks {
		review := ""
		if b.NeedsReview {
			review = "  look at it"
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s%s\n", b.ID, b.Type, b.Key, b.Field, valueText(b.LeftValue, b.LeftIDs),
			valueText(b.RightValue, b.RightIDs), orDash(b.Difference), strings.TrimSpace(orDash(b.Exposure)+" "+b.Currency), review)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	if more := r.Breaks - len(breaks); more > 0 {
		fmt.Fprintf(out, "and %d more: --breaks all, or GET /recon/breaks?run=%s\n", more, run.ID)
	}
	return nil
}

func printSide(out io.Writer, s recon.SideReport) {
	fmt.Fprintf(out, "%s: %d rows", s.Label, s.Rows)
	if s.Cancelled > 0 {
		fmt.Fprintf(out, ", %d cancelled", s.Cancelled)
	}
	if s.Outside > 0 {
		fmt.Fprintf(out, ", %d of other days", s.Outside)
	}
	bad := func(r *intake.LineReport) int {
		if r == nil {
			return 0
		}
		return r.BadLines
	}
	fmt.Fprintf(out, ", %d bad lines\n", bad(s.Lines)+bad(s.Allocations))
	for _, report := range []*intake.LineReport{s.Lines, s.Allocations} {
		if report != nil {
			printLines(*report, out)
		}
	}
}

func valueText(value string, ids []string) string {
	switch {
	case len(ids) == 0:
		return "-"
	case value == "":
		return ids[0]
	}
	if len(ids) > 1 {
		return value + ": " + strings.Join(ids, ", ")
	}
	return value
}

func exposureText(by map[string]string) string {
	var parts []string
	for currency, sum := range by {
		parts = append(parts, strings.TrimSpace(sum+" "+currency))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

func orDash(s *string) string {
	if s == nil {
		return "-"
	}
	return *s
}

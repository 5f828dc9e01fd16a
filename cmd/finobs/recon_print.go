package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"finobs/internal/client"
	"finobs/internal/intake"
	"finobs/internal/progress"
	"finobs/internal/recon"
)

// phases shows how far a run is: a bar on a terminal, a line for each phase
// elsewhere.
type phases struct {
	out  io.Writer
	bar  *progress.Bar
	last recon.Phase
}

func newPhases(out io.Writer) *phases { return &phases{out: out, bar: progress.Bytes("")} }

func (p *phases) at(now *recon.Progress) {
	if now == nil {
		return
	}
	what := strings.ReplaceAll(string(now.Phase), "_", " ")
	if now.Phase != p.last {
		p.bar.End()
		p.last = now.Phase
		if !p.bar.Terminal() {
			fmt.Fprintln(p.out, what)
		}
	}
	if now.Rows > 0 {
		what = fmt.Sprintf("%s, %d rows", what, now.Rows)
	}
	p.bar.Describe(what)
	p.bar.Show(now.Bytes, now.Total)
}

// end leaves the terminal's line.
func (p *phases) end() { p.bar.End() }

// breaksOf reads the first most breaks that a run showed and that no later run has
// shown since, and the same as they were sent.
func (c caller) breaksOf(ctx context.Context, run reconRun, most int) (out []client.BreakView, sent []json.RawMessage, err error) {
	for p := (client.GetReconBreaksParams{Run: run.ID}); len(out) < most; {
		p.Limit = int64(min(most-len(out), 500))
		page, err := c.client().GetReconBreaks(ctx, p)
		if err != nil {
			return nil, nil, err
		}
		var raw struct{ Items []json.RawMessage }
		if err := json.Unmarshal(page.JSON, &raw); err != nil {
			return nil, nil, fmt.Errorf("reading the API's answer: %w", err)
		}
		out, sent = append(out, page.Body.Items...), append(sent, raw.Items...)
		if p.Before = page.Body.NextBefore; p.Before == 0 {
			break
		}
	}
	slices.Reverse(out) // in the order in which they were added
	slices.Reverse(sent)
	return out, sent, nil
}

func printJSON(out io.Writer, run reconRun, breaks []json.RawMessage) error {
	if breaks == nil {
		breaks = []json.RawMessage{}
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	if err := enc.Encode(map[string]any{"run": run.raw, "breaks": breaks}); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}

// printRecon prints what a run found: the summary, then breaks.
func printRecon(to screen, run reconRun, breaks []client.BreakView) {
	r := run.Report
	if run.Repeated {
		to.say("the same comparison was made before; this is what it found")
	}
	to.say("run %s, profile %s", run.ID, run.Profile)
	for _, side := range []recon.SideReport{r.Left, r.Right} {
		printSide(to.out, side)
	}
	m := r.Matched
	keyed := m.Exact
	for _, n := range m.ByKey {
		keyed += n
	}
	to.say("matched: %d by key, %d by likeness; %d for a person to look at", keyed, m.Fuzzy, m.Review)
	if m.LeftOut > 0 {
		to.say("warning: for %d rows likeness was not tried, too many are alike; make match.fuzzy.agree narrower", m.LeftOut)
	}
	to.say("breaks: %d (%d new, %d back, %d changed, %d as before); %d resolved", r.Breaks, r.Opened, r.Reopened, r.Changed, r.Same, r.Resolved)
	if r.Breaks > 0 {
		printBreaks(to, run, breaks)
	}
}

func printBreaks(to screen, run reconRun, breaks []client.BreakView) {
	var rows [][]string
	for _, t := range recon.Types() {
		if found, there := run.Report.ByType[t]; there {
			rows = append(rows, []string{string(t), fmt.Sprint(found.Count), found.Severity, exposureText(found.Exposure), found.Owner})
		}
	}
	to.say("")
	to.table([]string{"TYPE", "COUNT", "SEVERITY", "EXPOSURE", "OWNER"}, rows)
	rows = nil
	for _, b := range breaks {
		review := ""
		if b.NeedsReview {
			review = "  look at it"
		}
		rows = append(rows, []string{
			fmt.Sprint(b.BreakID), b.Type, b.Key, b.Field, valueText(b.LeftValue, b.LeftIds), valueText(b.RightValue, b.RightIds),
			orDash(b.Difference), strings.TrimSpace(orDash(b.Exposure)+" "+b.Currency) + review,
		})
	}
	if len(rows) > 0 {
		to.say("")
		to.table([]string{"BREAK", "TYPE", "KEY", "FIELD", "LEFT", "RIGHT", "DIFFERENCE", "EXPOSURE"}, rows)
	}
	if more := run.Report.Breaks - len(breaks); more > 0 {
		to.say("and %d more: --breaks all, or GET /recon/breaks?run=%s", more, run.ID)
	}
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

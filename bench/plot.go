package main

import (
	"fmt"
	"html"
	"os"
	"path/filepath"
	"strings"
)

// Sizes of a plot, in pixels.
const (
	plotWidth  = 760
	labelWidth = 330
	rowHeight  = 26
	topMargin  = 54
)

// plot draws, for each suite, a bar for each ratio to its floor, the goal as a
// mark, into performance-SUITE.svg.
func (r report) plot(folder string) error {
	groups := map[string][]result{}
	for _, v := range r.Results {
		if v.Ratio != nil {
			suite, _, _ := strings.Cut(v.Name, "/")
			groups[suite] = append(groups[suite], v)
		}
	}
	for suite, results := range groups {
		path := filepath.Join(folder, "performance-"+suite+".svg")
		if err := os.WriteFile(path, []byte(bars(suite, results)), 0o644); err != nil {
			return fmt.Errorf("writing plot: %w", err)
		}
	}
	return nil
}

func bars(suite string, results []result) string {
	most := 1.2
	for _, v := range results {
		most = max(most, *v.Ratio*1.1, v.Goal*1.1)
	}
	x := func(ratio float64) float64 { return labelWidth + ratio/most*(plotWidth-labelWidth-70) }
	height := topMargin + rowHeight*len(results) + 16
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="system-ui,sans-serif" font-size="12">`, plotWidth, height, plotWidth, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#fff"/><text x="16" y="22" font-size="15" font-weight="600">%s: ratio to the floor</text>`, html.EscapeString(suite))
	fmt.Fprintf(&b, `<text x="16" y="40" fill="#555">bar: median; thin line: spread of the rounds; mark: goal; dashed: the floor itself</text>`)
	for i, v := range results {
		y := topMargin + i*rowHeight
		colour := "#2b6cb0"
		if v.Met != nil && !*v.Met {
			colour = "#c05621"
		}
		_, name, _ := strings.Cut(v.Name, "/")
		fmt.Fprintf(&b, `<text x="16" y="%d">%s</text>`, y+15, html.EscapeString(name))
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="14" fill="%s"/>`, labelWidth, y+4, x(*v.Ratio)-labelWidth, colour)
		fmt.Fprintf(&b, `<text x="%.1f" y="%d">%s</text>`, x(*v.Ratio)+6, y+15, figure(*v.Ratio))
		low, high := extremes(v.Ratios)
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#1a202c"/>`, x(low), x(high), y+11, y+11)
		if v.Goal != 0 {
			fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#1a202c" stroke-width="3"/>`, x(v.Goal), x(v.Goal), y+1, y+21)
		}
	}
	fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#555" stroke-dasharray="4 3"/></svg>`+"\n", x(1), x(1), topMargin-4, height-12)
	return b.String()
}

func extremes(list []float64) (low, high float64) {
	low, high = list[0], list[0]
	for _, v := range list {
		low, high = min(low, v), max(high, v)
	}
	return low, high
}

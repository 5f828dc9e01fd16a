package console

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// chart is a table whose last column is drawn.
type chart struct {
	Title, Head string
	Parts       []string // what the parts of a bar stand for, in order; none: bars of one part
	Bars        []bar
}

// bar is a row of a chart.
type bar struct {
	Label string
	Value string // in words
	Parts []part
}

// part is a piece of a bar, in thousandths of the widest.
type part struct{ X, Width, Number int }

type metricsPage struct {
	Since     string
	Approvals approvalFigures
	Incidents incidentFigures
	Breaks    breakFigures
	Charts    []chart
}

// metrics shows the figures of approvals, incidents, breaks and agents.
func (c *Console) metrics(v *visit) (view, error) {
	ctx := v.Context()
	out := metricsPage{Since: v.Asked("since_day")}
	approvals, incidents := url.Values{}, url.Values{}
	if out.Since != "" {
		approvals.Set("since", out.Since+"T00:00:00Z")
		incidents.Set("from", out.Since+"T00:00:00Z")
	}
	if err := v.api.get(ctx, "/agent/ops/actions/metrics", approvals, &out.Approvals); err != nil {
		return view{}, err
	}
	if err := v.api.get(ctx, "/incidents/metrics", incidents, &out.Incidents); err != nil {
		return view{}, err
	}
	if err := v.api.get(ctx, "/recon/breaks/metrics", nil, &out.Breaks); err != nil {
		return view{}, err
	}
	out.Charts = []chart{
		latencyChart("Approvals: from request to decision", out.Approvals.Live.Latency),
		spansChart("Incidents: time to acknowledge and to resolve", out.Incidents.Acknowledge, out.Incidents.Resolve),
		volumes("Approvals by kind", "Kind", requestsByKind(out.Approvals.Live)),
		volumes("Approvals by status", "Status", out.Approvals.Live.ByStatus),
		volumes("Incidents by kind", "Kind", out.Incidents.ByKind),
		volumes("Incidents by severity", "Severity", out.Incidents.BySeverity),
		volumes("Incidents by queue", "Queue", out.Incidents.ByOwner),
		breaksChart(out.Breaks),
	}
	return view{Template: "metrics", Title: "Metrics", Tab: "metrics", Data: out}, nil
}

func requestsByKind(f figures) map[string]int64 {
	out := map[string]int64{}
	for kind, statuses := range f.ByKind {
		for _, n := range statuses {
			out[kind] += n
		}
	}
	return out
}

// volumes draws counts, the largest first.
func volumes(title, head string, counts map[string]int64) chart {
	out := chart{Title: title, Head: head}
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	var most int64
	for _, n := range counts {
		most = max(most, n)
	}
	for _, name := range names {
		label := name
		if label == "" {
			label = "none"
		}
		out.Bars = append(out.Bars, bar{label, strconv.FormatInt(counts[name], 10), []part{{0, share(float64(counts[name]), float64(most)), 0}}})
	}
	return out
}

// durations draws spans of time; those that are not known are left out.
func durations(title string, labels []string, seconds []*float64) chart {
	out := chart{Title: title, Head: "Percentile"}
	most := 0.0
	for _, s := range seconds {
		if s != nil {
			most = max(most, *s)
		}
	}
	for i, s := range seconds {
		if s != nil {
			out.Bars = append(out.Bars, bar{labels[i], lasting(*s), []part{{0, share(*s, most), 0}}})
		}
	}
	return out
}

func latencyChart(title string, l latency) chart {
	return durations(title, []string{"half within", "90 % within", "99 % within", "longest"}, []*float64{l.P50, l.P90, l.P99, l.Max})
}

func spansChart(title string, acknowledge, resolve spans) chart {
	return durations(title, []string{"acknowledged, half within", "acknowledged, 95 % within", "resolved, half within", "resolved, 95 % within"},
		[]*float64{acknowledge.P50, acknowledge.P95, resolve.P50, resolve.P95})
}

// ages are the ages of breaks, the youngest first, as the API and as people name
// them.
var ages = []struct{ name, words string }{
	{"under_1d", "under a day"}, {"1d_to_3d", "1 to 3 days"}, {"3d_to_7d", "3 to 7 days"}, {"over_7d", "over 7 days"},
}

func breaksChart(f breakFigures) chart {
	out := chart{Title: "Open trade breaks by type and age", Head: "Type"}
	for _, a := range ages {
		out.Parts = append(out.Parts, a.words)
	}
	var most int64
	for _, b := range f.Items {
		most = max(most, b.Open)
	}
	for _, b := range f.Items {
		row := bar{Label: b.Type, Value: strconv.FormatInt(b.Open, 10)}
		at := int64(0)
		for i, a := range ages {
			n := b.Ages[a.name]
			from, to := share(float64(at), float64(most)), share(float64(at+n), float64(most))
			row.Parts = append(row.Parts, part{from, to - from, i})
			at += n
		}
		out.Bars = append(out.Bars, row)
	}
	return out
}

// share is how much of the whole a part is, in thousandths.
func share(part, whole float64) int {
	if whole <= 0 || part <= 0 {
		return 0
	}
	return max(1, min(1000, int(part/whole*1000)))
}

// lasting says how long something took.
func lasting(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < 48*time.Hour:
		return d.Round(time.Minute).String()
	}
	return fmt.Sprintf("%.1f days", d.Hours()/24)
}

// percent says a rate in words; a rate of nothing is none.
func percent(rate *float64) string {
	if rate == nil {
		return "–"
	}
	return strconv.FormatFloat(*rate*100, 'f', 1, 64) + " %"
}

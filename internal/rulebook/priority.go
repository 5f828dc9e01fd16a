package rulebook

import (
	"strconv"

	"finobs/internal/agent"
	"finobs/internal/desk"
)

// priority is a matrix of impact and urgency, as ITIL's practice guide on incident
// management has it.
type priority struct {
	severities map[int]desk.Severity
	scales     map[int]scale
	missing    string
}

type scale struct {
	confidence string
	matrix     [][]int
}

// Priority is what the rulebook's matrix gives for the impact and the urgency among
// the facts of an incident: 1 is the first to be dealt with. Level is 0 when one of
// them is not given or not on the scale. It reports false when the file has no
// matrix for the scale.
func (r *Rulebook) Priority(facts map[string]string) (level int, confidence string, found bool) {
	if r.priority == nil {
		return 0, "", false
	}
	grades, _ := strconv.Atoi(facts[agent.FactScale])
	s, found := r.priority.scales[grades]
	if !found {
		return 0, "", false
	}
	impact, _ := strconv.Atoi(facts[agent.FactImpact])
	urgency, _ := strconv.Atoi(facts[agent.FactUrgency])
	if impact < 1 || impact > grades || urgency < 1 || urgency > grades {
		return 0, r.priority.missing, true
	}
	return s.matrix[impact-1][urgency-1], s.confidence, true
}

func itoa(n int) string { return strconv.Itoa(n) }

// hundredths reads a confidence that matched its pattern.
func hundredths(confidence string) int {
	whole, _ := strconv.Atoi(confidence[:1])
	part, _ := strconv.Atoi(confidence[2:])
	return whole*100 + part
}

// confidence is that of a margin, by the straight line between the points of the
// file's table beside it.
func (r *Rulebook) confidence(margin int) string {
	points := r.calibration
	if margin <= points[0].margin {
		return decimals(points[0].confidence)
	}
	for n := 1; n < len(points); n++ {
		if a, b := points[n-1], points[n]; margin <= b.margin {
			return decimals(a.confidence + (b.confidence-a.confidence)*(margin-a.margin)/(b.margin-a.margin))
		}
	}
	return decimals(points[len(points)-1].confidence)
}

func decimals(hundredths int) string {
	text := strconv.Itoa(hundredths + 1000) // a leading 1 keeps the zeros
	return text[len(text)-3:len(text)-2] + "." + text[len(text)-2:]
}

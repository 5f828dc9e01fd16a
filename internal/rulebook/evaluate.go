package rulebook

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"finobs/internal/agent"
	"finobs/internal/fault"
)

// Evaluation is how well a rulebook does on labelled cases.
type Evaluation struct {
	Layout        string  `json:"layout"`
	Version       string  `json:"version"`
	Cases         int     `json:"cases"`
	Right         int     `json:"right"`
	Accuracy      float64 `json:"accuracy"`
	Majority      float64 `json:"majority"` // accuracy of always saying the most frequent label
	MajorityLabel string  `json:"majority_label"`
	Inconclusive  int     `json:"inconclusive"` // cases for which no rule spoke

	// Brier is the mean of (confidence - 1 or 0)², whether the answer was right: 0 is
	// perfect, and always saying the accuracy gives accuracy × (1 - accuracy). G. W.
	// Brier, Monthly Weather Review 78 (1950), for the event that the answer is right.
	Brier float64 `json:"brier"`
	// CalibrationError is the expected calibration error: by how much confidence and
	// accuracy differ in each of ten bins, weighted by the cases of the bin. M. P.
	// Naeini et al., AAAI 2015.
	CalibrationError float64         `json:"calibration_error"`
	Classes          []ClassAccuracy `json:"classes"`
	Bins             []Bin           `json:"bins"`
	Unknown          []string        `json:"unknown_labels,omitempty"` // labels of cases that the rulebook does not have
}

// ClassAccuracy is how well one class is told from the others. Precision is 0 when
// it was never found, recall when there are no cases of it.
type ClassAccuracy struct {
	Label     string  `json:"label"`
	Cases     int     `json:"cases"`
	Found     int     `json:"found"`
	Right     int     `json:"right"`
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
}

// Bin is the answers of a range of confidence.
type Bin struct {
	From       float64 `json:"from"`
	To         float64 `json:"to"` // exclusive, but of the last
	Cases      int     `json:"cases"`
	Confidence float64 `json:"confidence"` // mean
	Accuracy   float64 `json:"accuracy"`
}

const bins = 10

// answer is what a rulebook says of a case.
type answer struct {
	label      string
	confidence float64
	spoke      bool // a rule did
}

// Evaluate compares what the rulebook says with the labels of cases. Labels are
// compared without regard to case. It is a fault of kind Invalid when the cases are
// priorities and the rulebook has no matrix for them.
func (r *Rulebook) Evaluate(c Cases) (Evaluation, error) {
	e := Evaluation{Layout: c.Layout, Version: r.Version().String(), Cases: len(c.List), Bins: make([]Bin, bins)}
	classes, known := map[string]*ClassAccuracy{}, map[string]bool{}
	for _, label := range r.Labels() {
		known[strings.ToLower(label)] = true
	}
	of := func(label string) *ClassAccuracy {
		key := strings.ToLower(label)
		if classes[key] == nil {
			classes[key] = &ClassAccuracy{Label: label}
		}
		return classes[key]
	}
	for _, one := range c.List {
		a, err := r.answer(one, c.Priority)
		if err != nil {
			return Evaluation{}, err
		}
		truth, found := of(one.Label), of(a.label)
		truth.Cases++
		found.Found++
		right := 0.0
		if truth == found {
			right = 1
			truth.Right++
			e.Right++
		}
		if !a.spoke {
			e.Inconclusive++
		}
		e.Brier += (a.confidence - right) * (a.confidence - right)
		b := &e.Bins[min(int(a.confidence*bins+1e-9), bins-1)]
		b.Cases++
		b.Confidence += a.confidence
		b.Accuracy += right
	}
	e.finish(classes)
	for key, class := range classes {
		if class.Cases > 0 && !known[key] && !c.Priority {
			e.Unknown = append(e.Unknown, class.Label)
		}
	}
	slices.Sort(e.Unknown)
	return e, nil
}

// finish makes shares of the sums.
func (e *Evaluation) finish(classes map[string]*ClassAccuracy) {
	n := float64(max(e.Cases, 1))
	e.Accuracy, e.Brier = float64(e.Right)/n, e.Brier/n
	for i := range e.Bins {
		b := &e.Bins[i]
		b.From, b.To = float64(i)/bins, float64(i+1)/bins
		if b.Cases > 0 {
			e.CalibrationError += max(b.Confidence-b.Accuracy, b.Accuracy-b.Confidence) / n
			b.Confidence /= float64(b.Cases)
			b.Accuracy /= float64(b.Cases)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(classes)) {
		class := classes[key]
		class.Precision = float64(class.Right) / float64(max(class.Found, 1))
		class.Recall = float64(class.Right) / float64(max(class.Cases, 1))
		e.Classes = append(e.Classes, *class)
		if share := float64(class.Cases) / n; share > e.Majority {
			e.Majority, e.MajorityLabel = share, class.Label
		}
	}
	slices.SortStableFunc(e.Classes, func(a, b ClassAccuracy) int { return cmp.Compare(b.Cases, a.Cases) })
}

func (r *Rulebook) answer(c Case, isPriority bool) (answer, error) {
	if isPriority {
		level, confidence, found := r.Priority(c.Facts)
		if !found {
			return answer{}, fault.New(fault.Invalid, "no-matrix", "rulebook %s has no matrix for a scale of %s grades; add one under priority.scales",
				r.Name, c.Facts[agent.FactScale])
		}
		a := answer{label: noPriority, confidence: float64(hundredths(confidence)) / 100, spoke: level > 0}
		if level > 0 {
			a.label = itoa(level)
		}
		return a, nil
	}
	class, err := r.Classify([]agent.Evidence{agent.Show("E1", agent.OfIncident, "ticket", c.Facts, c.Text)})
	if err != nil {
		return answer{}, err
	}
	return answer{label: class.Label, confidence: float64(hundredths(class.Confidence)) / 100, spoke: len(class.Rules) > 0}, nil
}

package rulebook_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"finobs/internal/fault"
	"finobs/internal/rulebook"
	"finobs/rulebooks"
)

func cases(t testing.TB, text string, o rulebook.EvalOptions) rulebook.Cases {
	t.Helper()
	c, err := rulebook.ReadCases(strings.NewReader(text), o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLayoutsAreRecognisedByTheirHeader(t *testing.T) {
	for name, tc := range map[string]struct {
		text            string
		options         rulebook.EvalOptions
		book            string
		priority        bool
		labels, impacts string
	}{
		"topics":     {"Document,Topic_group\nreset password,Access\n", rulebook.EvalOptions{}, "tickets", false, "Access", ""},
		"ServiceNow": {"number,x,impact,urgency,priority\nI1,,2 - Medium,2 - Medium,3 - Moderate\nI2,,3 - Low,3 - Low,4 - Low\nI1,,1 - High,1 - High,1 - Critical\n", rulebook.EvalOptions{}, "tickets", true, "1 4", "1/1/3 3/3/3"},
		"ITSM":       {"Impact,Urgency,Priority\n4,4,4\nNS,3,NA\n", rulebook.EvalOptions{}, "tickets", true, "4 none", "4/4/5 none/3/5"},
		"CFPB":       {"product,issue,sub_issue,complaint_id\nMortgage,escrow account,,7\n", rulebook.EvalOptions{}, "complaints", false, "Mortgage", ""},
		"any":        {"\uFEFFa,b\nx,y\n", rulebook.EvalOptions{Text: "a", Label: "b"}, "triage", false, "y", ""},
		"even":       {"a,b\n0,p\n1,q\n2,r\n", rulebook.EvalOptions{Text: "a", Label: "b", Half: rulebook.Even}, "triage", false, "p r", ""},
		"odd":        {"a,b\n0,p\n1,q\n2,r\n", rulebook.EvalOptions{Text: "a", Label: "b", Half: rulebook.Odd}, "triage", false, "q", ""},
	} {
		c := cases(t, tc.text, tc.options)
		var labels, impacts []string
		for _, one := range c.List {
			labels = append(labels, one.Label)
			if tc.priority {
				impacts = append(impacts, one.Facts["impact"]+"/"+one.Facts["urgency"]+"/"+one.Facts["scale"])
			}
		}
		if c.Rulebook != tc.book || c.Priority != tc.priority || strings.Join(labels, " ") != tc.labels || strings.Join(impacts, " ") != tc.impacts {
			t.Errorf("%s: got %s, %v, %v, %v", name, c.Rulebook, c.Priority, labels, impacts)
		}
	}
}

func TestWhatIsNoFileOfTicketsIsRefused(t *testing.T) {
	for _, tc := range []struct {
		text    string
		options rulebook.EvalOptions
		code    string
		want    string
	}{
		{"", rulebook.EvalOptions{}, "no-tickets", "empty"},
		{"Document,Topic_group\n", rulebook.EvalOptions{}, "no-tickets", "no tickets"},
		{"a,b\n1,2\n", rulebook.EvalOptions{}, "unknown-layout", "--text and --label"},
		{"a,b\n1,2\n", rulebook.EvalOptions{Text: "a", Label: "c"}, "unknown-column", `no column "c"`},
		{"a,b\n1,2\n", rulebook.EvalOptions{Text: "a"}, "unknown-column", "--label"},
		{"Document,Topic_group\nx\n", rulebook.EvalOptions{}, "invalid-csv", "line 2"},
	} {
		_, err := rulebook.ReadCases(strings.NewReader(tc.text), tc.options)
		if fault.CodeOf(err) != tc.code || !strings.Contains(fault.MessageOf(err), tc.want) {
			t.Errorf("%q: got %v", tc.text, err)
		}
	}
}

// The sums are done by hand: two of the four answers are right; the confidences are
// 0.70, 0.70 and, where no rule speaks, 0.10 and 0.10.
func TestEvaluate(t *testing.T) {
	r := load(t, minimal)
	e, err := r.Evaluate(cases(t, "text,team\npassword,Access\nlog in,network\nnothing,Other\nnothing,network\n", rulebook.EvalOptions{Text: "text", Label: "team"}))
	if err != nil {
		t.Fatal(err)
	}
	near := func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }
	brier := (0.09 + 0.49 + 0.81 + 0.01) / 4
	ece := (math.Abs(1.4-1) + math.Abs(0.2-1)) / 4
	if e.Cases != 4 || e.Right != 2 || e.Accuracy != 0.5 || e.Majority != 0.5 || e.MajorityLabel != "network" || e.Inconclusive != 2 ||
		!near(e.Brier, brier) || !near(e.CalibrationError, ece) || len(e.Unknown) != 1 || e.Unknown[0] != "network" {
		t.Errorf("got %+v, want Brier %f, ECE %f", e, brier, ece)
	}
	if b := e.Bins[7]; b.Cases != 2 || !near(b.Confidence, 0.7) || b.Accuracy != 0.5 || b.From != 0.7 || b.To != 0.8 {
		t.Errorf("got %+v", e.Bins)
	}
	for _, c := range e.Classes {
		if c.Label == "Access" && (c.Cases != 1 || c.Found != 2 || c.Right != 1 || c.Precision != 0.5 || c.Recall != 1) {
			t.Errorf("got %+v", c)
		}
	}
	priorities := cases(t, "Impact,Urgency,Priority\n1,1,1\n", rulebook.EvalOptions{})
	if _, err := r.Evaluate(priorities); fault.CodeOf(err) != "no-matrix" {
		t.Errorf("got %v", err)
	}
}

// Floors with room: other halves of these files do a little worse or better.
func TestShippedRulebooksOnSamples(t *testing.T) {
	root := os.Getenv("FINOBS_SAMPLE_DATA")
	if root == "" {
		t.Skip("FINOBS_SAMPLE_DATA names no folder of sample data")
	}
	for file, want := range map[string]struct{ margin, brier, ece float64 }{
		"it_service_tickets_topics.part1.csv":        {0.35, 0.20, 0.08},
		"servicenow_incident_event_log.part1.csv":    {0.15, 0.05, 0.05},
		"itsm_incidents_impact_urgency_priority.csv": {0.03, 0.20, 0.15},
		"cfpb_complaints.part1.csv":                  {0.50, 0.12, 0.20},
	} {
		for _, half := range []rulebook.Half{"", rulebook.Even, rulebook.Odd} {
			text, err := os.ReadFile(filepath.Join(root, "tickets", file))
			if err != nil {
				t.Fatal(err)
			}
			c := cases(t, string(text), rulebook.EvalOptions{Half: half})
			r, err := rulebook.LoadBytes(rulebooks.All()[c.Rulebook])
			if err != nil {
				t.Fatal(err)
			}
			e, err := r.Evaluate(c)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s %s: %d tickets, accuracy %.3f, majority %.3f, Brier %.3f, ECE %.3f", file, half, e.Cases, e.Accuracy, e.Majority, e.Brier, e.CalibrationError)
			if e.Accuracy < e.Majority+want.margin || e.Brier > want.brier || e.CalibrationError > want.ece {
				t.Errorf("%s %s: worse than the floors", file, half)
			}
		}
	}
}

func FuzzReadCases(f *testing.F) {
	f.Add("Document,Topic_group\nreset password,Access\n")
	f.Add("number,impact,urgency,priority\nI1,2 - Medium,1,3\n")
	f.Add("product,issue,complaint_id\n\"a\nb\",c,d\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := rulebook.ReadCases(strings.NewReader(text), rulebook.EvalOptions{})
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Errorf("got %v", err)
			}
			return
		}
		r, err := rulebook.LoadBytes(rulebooks.All()[c.Rulebook])
		if err != nil {
			t.Fatal(err)
		}
		e, err := r.Evaluate(c)
		if err != nil || e.Right > e.Cases || e.Brier < 0 || e.Brier > 1 || e.CalibrationError > 1 {
			t.Errorf("got %+v, %v", e, err)
		}
	})
}

package labelled

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"slices"

	"finobs/internal/compliance"
)

// Result is what rules find in a file.
type Result struct {
	File      string           `json:"file"`
	Layout    Layout           `json:"layout"`
	Unit      string           `json:"unit"`
	Rows      int              `json:"rows"`
	Records   int              `json:"records"` // with those of files beside it
	Findings  int              `json:"findings"`
	Suspicion []Score          `json:"suspicion"` // by the rules whose purpose is suspicion: all units, even ones, odd ones
	AllRules  []Score          `json:"all_rules"` // by rules of any purpose
	Trivial   []Score          `json:"trivial"`   // what simple rules get over all units
	Rules     []RuleScore      `json:"rules"`
	Kinds     []KindScore      `json:"kinds"` // recall of the suspicion rules by kind of suspicion
	Stats     compliance.Stats `json:"stats"`
	Caution   string           `json:"caution"`
}

// Score compares what is flagged with the labels. Ratios have four digits after the
// point, and are empty where they would divide by nothing.
type Score struct {
	Name          string `json:"name"`
	Units         int    `json:"units"`
	Positives     int    `json:"positives"`
	Flagged       int    `json:"flagged"`
	TruePositives int    `json:"true_positives"`
	Precision     string `json:"precision"`
	Recall        string `json:"recall"`
	F1            string `json:"f1"`
	BaseRate      string `json:"base_rate"` // positives among units: the precision of flagging everything
}

// RuleScore is the part of one rule.
type RuleScore struct {
	Rule     string             `json:"rule"`
	Version  int                `json:"version"`
	Purpose  compliance.Purpose `json:"purpose"`
	Findings int                `json:"findings"`
	Score
}

// KindScore is how much of one kind of suspicion is found.
type KindScore struct {
	Kind      string `json:"kind"`
	Positives int    `json:"positives"`
	Found     int    `json:"found"`
	Recall    string `json:"recall"`
}

// Measure runs rules over a set. A row is flagged when a finding names its record,
// an account when one names it as a party that it is about: each of a round of
// money, the one at the hub of others.
func Measure(ctx context.Context, file string, s *Set, rules *compliance.Rules) (Result, error) {
	found, stats, err := rules.Run(ctx, s.each(), compliance.Options{MaxRecords: math.MaxInt32, MaxFound: 10 * len(s.Records) * len(rules.List)})
	if err != nil {
		return Result{}, fmt.Errorf("running rules over %s: %w", file, err)
	}
	out := Result{File: file, Layout: s.Layout, Unit: s.Unit, Rows: s.Rows, Records: len(s.Records), Findings: len(found), Stats: stats, Caution: s.Caution}
	suspicion, all := make([]bool, len(s.Units)), make([]bool, len(s.Units))
	for _, rule := range rules.List {
		flagged, count := make([]bool, len(s.Units)), 0
		for _, f := range found {
			if f.Rule == rule.Name {
				count++
				s.flag(flagged, f, rule.Form)
			}
		}
		for i := range flagged {
			all[i] = all[i] || flagged[i]
			suspicion[i] = suspicion[i] || flagged[i] && rule.Purpose == compliance.Suspicion
		}
		out.Rules = append(out.Rules, RuleScore{rule.Name, rule.Revision, rule.Purpose, count, s.score(rule.Name, flagged, every)})
	}
	out.Suspicion = s.parts(suspicion)
	out.AllRules = s.parts(all)
	out.Trivial = s.trivial()
	out.Kinds = s.kinds(suspicion)
	return out, nil
}

func (s *Set) each() iter.Seq2[compliance.Record, error] {
	return func(yield func(compliance.Record, error) bool) {
		for _, r := range s.Records {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (s *Set) flag(flagged []bool, f compliance.Finding, form compliance.Form) {
	ids := f.Records
	if s.Unit == "account" {
		ids = []string{f.Party}
		if form == compliance.OfCycle {
			ids = f.Parties
		}
	}
	for _, id := range ids {
		if i, known := s.byID[id]; known {
			flagged[i] = true
		}
	}
}

func every(int) bool  { return true }
func even(i int) bool { return i%2 == 0 }
func odd(i int) bool  { return i%2 == 1 }

func (s *Set) parts(flagged []bool) []Score {
	return []Score{s.score("all", flagged, every), s.score("even", flagged, even), s.score("odd", flagged, odd)}
}

func (s *Set) score(name string, flagged []bool, takes func(int) bool) Score {
	out := Score{Name: name}
	for i, u := range s.Units {
		if !takes(i) {
			continue
		}
		out.Units++
		if u.Suspicious {
			out.Positives++
		}
		if flagged[i] {
			out.Flagged++
		}
		if flagged[i] && u.Suspicious {
			out.TruePositives++
		}
	}
	out.Precision, out.Recall = ratio(out.TruePositives, out.Flagged), ratio(out.TruePositives, out.Positives)
	out.F1, out.BaseRate = ratio(2*out.TruePositives, out.Flagged+out.Positives), ratio(out.Positives, out.Units)
	return out
}

func ratio(n, of int) string {
	if of == 0 {
		return ""
	}
	return fmt.Sprintf("%.4f", float64(n)/float64(of))
}

func (s *Set) trivial() []Score {
	everything, simple := make([]bool, len(s.Units)), make([]bool, len(s.Units))
	for i, u := range s.Units {
		everything[i], simple[i] = true, u.trivial
	}
	return []Score{s.score("everything", everything, every), s.score(s.Trivial, simple, every)}
}

func (s *Set) kinds(flagged []bool) []KindScore {
	of := map[string]*KindScore{}
	for i, u := range s.Units {
		if !u.Suspicious || u.Kind == "" {
			continue
		}
		if of[u.Kind] == nil {
			of[u.Kind] = &KindScore{Kind: u.Kind}
		}
		of[u.Kind].Positives++
		if flagged[i] {
			of[u.Kind].Found++
		}
	}
	out := []KindScore{}
	for _, k := range of {
		k.Recall = ratio(k.Found, k.Positives)
		out = append(out, *k)
	}
	slices.SortFunc(out, func(a, b KindScore) int { return cmp.Compare(a.Kind, b.Kind) })
	return out
}

package redteam

import (
	"context"
	"fmt"
	"slices"

	"finobs/activities"
	"finobs/internal/agent"
	"finobs/internal/rulebook"
)

// Class counts the cases of one kind of attack.
type Class struct {
	Name      string `json:"class"`
	Cases     int    `json:"cases"`
	Contained int    `json:"contained"`
	Escaped   int    `json:"escaped"`
	// Suspected counts the cases in which agent.Suspect recognised an attempt. Nothing
	// depends on it.
	Suspected int `json:"suspected"`
}

// Escape is a case that was not contained.
type Escape struct {
	Class string `json:"class"`
	Case  string `json:"case"`
	What  string `json:"what"`
}

// Report is what came of an attack. Two runs over the same texts give the same.
type Report struct {
	Texts   int      `json:"texts"`
	Classes []Class  `json:"classes"`
	Escapes []Escape `json:"escapes"` // in the order in which they were found, the first maxEscapes
	Escaped int      `json:"escaped"`
	Cases   int      `json:"cases"`
}

// maxEscapes bounds the escapes that a report names; all are counted.
const maxEscapes = 1000

// count adds a case, which escaped when what is not empty.
func (r *Report) count(class, name, what string, suspected bool) {
	at := -1
	for n := range r.Classes {
		if r.Classes[n].Name == class {
			at = n
		}
	}
	if at < 0 {
		r.Classes = append(r.Classes, Class{Name: class})
		at = len(r.Classes) - 1
	}
	c := &r.Classes[at]
	c.Cases++
	r.Cases++
	if suspected {
		c.Suspected++
	}
	if what == "" {
		c.Contained++
		return
	}
	c.Escaped++
	r.Escaped++
	if len(r.Escapes) < maxEscapes {
		r.Escapes = append(r.Escapes, Escape{class, name, what})
	}
}

// Options say how much is attacked.
type Options struct {
	More []Text // beside the shipped texts
	Full bool   // every text in every wrapping in every place: minutes in the place of seconds
}

// Run attacks with the shipped collection and with more texts. The rulebook is that
// of triage. An error means that the attack itself could not be made, and says
// nothing about what escapes.
func Run(ctx context.Context, book *rulebook.Rulebook, o Options) (Report, error) {
	shipped, err := Corpus()
	if err != nil {
		return Report{}, err
	}
	t, err := newTeam(book)
	if err != nil {
		return Report{}, err
	}
	t.full = o.Full
	return t.attack(ctx, slices.Concat(shipped, o.More))
}

// team is an attack under way, with what it attacks.
type team struct {
	book    *rulebook.Rulebook
	judge   func(kind agent.Kind, rulebook bool, bundle []agent.Evidence, raw agent.Output) (agent.Output, []agent.Problem)
	targets func(ctx context.Context, system activities.System, r agent.Request, found []agent.Found) ([]agent.Found, error)
	desks   *desks
	full    bool
	report  *Report
}

// newTeam attacks what production runs.
func newTeam(book *rulebook.Rulebook) (*team, error) {
	d, err := newDesks()
	return &team{book: book, judge: activities.Judge, targets: activities.Targets, desks: d, report: &Report{Classes: []Class{}, Escapes: []Escape{}}}, err
}

func (t *team) attack(ctx context.Context, texts []Text) (Report, error) {
	t.report.Texts = len(texts)
	for _, attack := range []func(context.Context, []Text) error{t.answers, t.texts, t.obedience, t.prompts, t.secrets} {
		if err := attack(ctx, texts); err != nil {
			return *t.report, err
		}
		if err := ctx.Err(); err != nil {
			return *t.report, err
		}
	}
	if t.desks.touched > 0 {
		t.report.count("effects", "the whole attack", fmt.Sprintf("%d commands were sent to systems", t.desks.touched), false)
	}
	return *t.report, nil
}

// suspected reports whether somebody would be told of an attempt in a text. It looks
// at the beginning of long ones.
func suspected(text string) bool { return len(agent.Suspect("text", text[:min(len(text), 2<<10)])) > 0 }

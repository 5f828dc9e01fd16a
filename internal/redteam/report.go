package redteam

import (
	"context"
	"errors"

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
	Texts    int      `json:"texts"` // that were put into every place in every wrapping
	Classes  []Class  `json:"classes"`
	Escapes  []Escape `json:"escapes"` // in the order in which they were found, the first maxEscapes
	Escaped  int      `json:"escaped"`
	AllCases int      `json:"cases"`
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
	r.AllCases++
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

// Run attacks with the shipped collection and with more texts. The rulebook is that
// of triage. An error means that the attack itself could not be made, and says
// nothing about what escapes.
func Run(ctx context.Context, book *rulebook.Rulebook, more []Text) (Report, error) {
	r := &Report{Classes: []Class{}, Escapes: []Escape{}}
	texts, err := Corpus()
	if err != nil {
		return *r, err
	}
	texts = append(texts, more...)
	r.Texts = len(texts)
	d, err := newDesks()
	if err != nil {
		return *r, err
	}
	t := &team{book: book, desks: d, report: r}
	for _, attack := range []func(context.Context, []Text) error{t.answers, t.texts, t.obedience, t.prompts, t.secrets} {
		if err := attack(ctx, texts); err != nil {
			return *r, err
		}
	}
	if d.touched > 0 {
		return *r, errors.New("a command was sent to a system")
	}
	return *r, nil
}

// team is an attack under way.
type team struct {
	book   *rulebook.Rulebook
	desks  *desks
	report *Report
}

// suspected reports whether somebody would be told of an attempt in a text.
func suspected(text string) bool { return len(agent.Suspect("text", text)) > 0 }

package compliance

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"finobs/internal/sanctions"

	"github.com/shopspring/decimal"
)

// parameters are what a form of rules is told. Shares and percentages are decimals;
// a limit is named.
type parameters interface {
	// check refuses what makes no sense and looks up limits.
	check(*loader) error
	// words say what the rule does, in a sentence.
	words() string
	// start makes what judges the records of a run.
	start(*run, *Rule) (evaluator, error)
}

// newParameters are the parameters of each form, to be read.
func newParameters(f Form) parameters {
	switch f {
	case OfRecord:
		return &recordRule{}
	case OfAggregate:
		return &aggregateRule{}
	case OfPassing:
		return &passingRule{}
	case OfWash:
		return &washRule{}
	case OfCycle:
		return &cycleRule{}
	case OfNames:
		return &namesRule{}
	case OfSettlement:
		return &settlementRule{}
	case OfPosition:
		return &positionRule{}
	}
	return nil
}

// side is which party of a record a rule is about.
type side string

func (s side) check() error {
	if s != "from" && s != "to" {
		return fmt.Errorf("party %q must be from or to", s)
	}
	return nil
}

// of is the party and the other one.
func (s side) of(r *Record) (party, other string) {
	if s == "to" {
		return r.To, r.From
	}
	return r.From, r.To
}

// window is how long records belong together: those whose times are less than
// Length apart, or those of one day of business.
type window struct {
	Day    bool
	Length time.Duration
}

const (
	minWindow = time.Second
	maxWindow = 366 * 24 * time.Hour
)

// readWindow reads "day" or a duration such as 120h.
func readWindow(text string) (window, error) {
	if text == "day" {
		return window{Day: true}, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < minWindow || d > maxWindow {
		return window{}, fmt.Errorf("window %q must be day, or a duration of %s to %s such as 120h", text, minWindow, maxWindow)
	}
	return window{Length: d}, nil
}

func (w window) words() string {
	if w.Day {
		return "in one day of business"
	}
	if w.Length%(24*time.Hour) == 0 {
		return fmt.Sprintf("within less than %d days", w.Length/(24*time.Hour))
	}
	return "within less than " + strings.TrimSuffix(w.Length.String(), "0s")
}

// readShare reads a decimal of 0 to most.
func readShare(name, text string, most int64) (decimal.Decimal, error) {
	d, err := parseDecimal(text)
	if err != nil || d.IsNegative() || d.GreaterThan(decimal.NewFromInt(most)) {
		return d, fmt.Errorf("%s %q must be a decimal of 0 to %d", name, text, most)
	}
	return d, nil
}

// namesRule screens the names of parties.
type namesRule struct {
	Least string           `yaml:"least"` // score
	Types []sanctions.Type `yaml:"types"` // empty: all

	least sanctions.Score
}

func (p *namesRule) check(*loader) error {
	var err error
	if p.least, err = sanctions.ParseScore(p.Least); err != nil {
		return err
	}
	if p.least < 50 {
		return fmt.Errorf("least %s: below 0.50 every name is like some other", p.Least)
	}
	for _, t := range p.Types {
		switch t {
		case sanctions.Entity, sanctions.Individual, sanctions.Vessel, sanctions.Aircraft:
		default:
			return fmt.Errorf("type %q must be entity, individual, vessel or aircraft", t)
		}
	}
	return nil
}

func (p *namesRule) words() string {
	return fmt.Sprintf("A party's name is like one on the list with a score of at least %s.", p.Least)
}

// settlementRule finds trades that settle late.
type settlementRule struct {
	Days     int    `yaml:"days"` // of business after the trade date
	Calendar string `yaml:"calendar"`

	calendar *calendar
}

func (p *settlementRule) check(*loader) error {
	if p.Days < 0 || p.Days > 30 {
		return fmt.Errorf("days %d must be 0 to 30", p.Days)
	}
	var err error
	p.calendar, err = newCalendar(p.Calendar)
	return err
}

func (p *settlementRule) words() string {
	return fmt.Sprintf("A trade settles within %d days of business (%s) after its trade date.", p.Days, p.Calendar)
}

// positionRule watches the units that a party holds of an instrument.
type positionRule struct {
	Units string `yaml:"units"`

	units decimal.Decimal
}

func (p *positionRule) check(*loader) error {
	var err error
	if p.units, err = parseDecimal(p.Units); err != nil {
		return fmt.Errorf("units: %w", err)
	}
	if !p.units.IsPositive() {
		return errors.New("units must be above 0")
	}
	return nil
}

func (p *positionRule) words() string {
	return fmt.Sprintf("An account holds, long or short, more than %s units of an instrument, counted from 0 at the first record.", p.Units)
}

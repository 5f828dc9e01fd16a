package recon

import (
	"time"

	"finobs/internal/fault"
	"finobs/internal/intake"
	"finobs/internal/schedule"

	"github.com/shopspring/decimal"
)

// Profile says how two sides are read, matched and compared. LoadProfile makes it.
type Profile struct {
	Name   string
	Title  string
	Text   string // the file as it was written
	Digest string // SHA-256 of Text in hexadecimal

	Books      [2]Books         // by Hand
	Keys       [][]intake.Field // tried one after the other; the first one tells duplicates
	Normal     map[intake.Field]Normal
	Fuzzy      *Fuzzy // nil: only keys match
	Economic   bool   // look for the same trade under two keys
	Fields     []intake.Field
	Tolerances map[intake.Field]Tolerance
	Rules      map[Type]Rule
	MaxBreaks  int // of one run; more refuse it
	Calendar   string
	Cutoff     *Cutoff
	Schedule   *Schedule // nil: runs when somebody asks
}

// Books is one side.
type Books struct {
	Label       string
	Missing     string         // what people call a trade that is missing here
	Book        string         // source of the transactions on record; empty: a file
	Layout      intake.Layout  // of the file
	Allocations *intake.Layout // of the file of allocations; nil: there is none
}

// Fuzzy says which records may belong together although no key says so.
type Fuzzy struct {
	Agree          []intake.Field // in which they are the same
	Quantity       *Window
	Price          *Window
	SettlementDays *int
	Weights        []Weight
	Minimum        decimal.Decimal  // confidence below which they do not
	Auto           *decimal.Decimal // confidence from which no person need look; nil: one always must
}

// Window is how far apart two numbers may lie: by Absolute or by Percent of the
// larger one, whichever allows more.
type Window struct{ Absolute, Percent decimal.Decimal }

// Weight is the part of a field in the confidence.
type Weight struct {
	Field  intake.Field
	Weight decimal.Decimal
}

// Schedule says when a profile of two books runs by itself.
type Schedule struct {
	Cron, Zone string
	Days       int // of trade dates that a run looks back over; 0 for all of them
	schedule.Schedule
}

// From is the first trade date of a run at a time, YYYY-MM-DD; empty for all of them.
func (s *Schedule) From(at time.Time) string {
	if s.Days == 0 {
		return ""
	}
	if zone, err := time.LoadLocation(s.Zone); err == nil { // it was loaded before
		at = at.In(zone)
	}
	return at.AddDate(0, 0, -s.Days).Format(time.DateOnly)
}

// Files reports whether a side is read from a file.
func (p *Profile) Files(h Hand) bool { return p.Books[h].Book == "" }

// HasAllocations reports whether both sides have allocations to compare.
func (p *Profile) HasAllocations() bool {
	return p.Books[Left].Allocations != nil && p.Books[Right].Allocations != nil
}

// SideNamed is the hand of a name, of which the profile says how files are read.
func (p *Profile) SideNamed(name string) (Hand, error) {
	for _, h := range []Hand{Left, Right} {
		if name != h.String() {
			continue
		}
		if !p.Files(h) {
			return h, fault.New(fault.Invalid, "invalid-profile", "profile %s takes the %s side from the record; it does not say how a file is read", p.Name, h)
		}
		return h, nil
	}
	return 0, fault.New(fault.Invalid, "invalid-profile", "side %q must be left or right", cut(name, 40))
}

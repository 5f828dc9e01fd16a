package compliance

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"finobs/internal/desk"

	"github.com/shopspring/decimal"
)

// Purpose says what a rule's findings are for.
type Purpose string

// The closed set of purposes.
const (
	Report    Purpose = "report"    // a report, a record or information is due, whatever the reason of the transaction
	Suspicion Purpose = "suspicion" // somebody should look at the reason
	Breach    Purpose = "breach"    // a limit or a time was not kept
)

// Form is which arithmetic a rule does.
type Form string

// The closed set of forms. Their parameters are the types in parameters.go.
const (
	OfRecord     Form = "record"          // each record by itself
	OfAggregate  Form = "aggregate"       // sums and counts of a party in a window
	OfPassing    Form = "pass_through"    // what comes in goes out again
	OfWash       Form = "wash"            // one owner buys and sells the same
	OfCycle      Form = "cycle"           // money returns to where it came from
	OfNames      Form = "sanctions"       // names of parties on a sanctions list
	OfSettlement Form = "late_settlement" // trades that settle late, or should have
	OfPosition   Form = "position"        // units held over a limit
)

// Rule is one rule of a file. LoadRules makes it.
type Rule struct {
	Name     string
	Title    string
	Source   string // the regulation or guidance that it rests on
	Revision int    // goes up whenever its meaning changes
	Severity desk.Severity
	Purpose  Purpose
	Form     Form
	When     string // CEL over the record; the others do not take part

	when       condition
	parameters parameters
}

func (r *Rule) why() string {
	return fmt.Sprintf("%s. %s Source: %s. Rule %s, revision %d.", r.Title, r.parameters.words(), r.Source, r.Name, r.Revision)
}

// Rules is a file of rules that was read and checked.
type Rules struct {
	Name   string
	Text   string // the file as it was written
	Digest string // SHA-256 of Text in hexadecimal
	List   []*Rule
}

// limit is an amount by currency. A currency that it does not name has none.
type limit struct {
	name string
	of   map[string]decimal.Decimal
}

func (l *limit) in(currency string) (decimal.Decimal, bool) {
	d, known := l.of[currency]
	return d, known
}

// words names the limit with its amounts, by currency.
func (l *limit) words() string {
	var amounts []string
	for _, currency := range slices.Sorted(maps.Keys(l.of)) {
		amounts = append(amounts, l.of[currency].String()+" "+currency)
	}
	return strings.Join(amounts, " or ")
}

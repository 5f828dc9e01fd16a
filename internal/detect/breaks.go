package detect

import (
	"fmt"
	"strconv"
	"time"

	"finobs/internal/canonical"
	"finobs/internal/desk"
	"finobs/internal/incident"

	"github.com/shopspring/decimal"
)

// Break is an open difference between two books.
type Break struct {
	ID          int64
	Profile     string
	Type        string
	Key         string // of the trade, such as an execution id
	Severity    desk.Severity
	Owner       string
	Left, Right string              // what the two sides say
	Exposure    decimal.NullDecimal // in Currency
	Currency    string
	NeedsReview bool
	FirstSeen   time.Time
	Origin      incident.Origin
}

// Breaks says of each break that it is an incident. When one profile has more
// breaks of one type than Count, they are one incident: a file that did not come
// is one problem, not ten thousand. Each new break is an occurrence of it.
func (s Spec) Breaks(list []Break) []incident.Occurrence {
	groups := map[[2]string][]Break{}
	var order [][2]string
	for _, b := range list {
		group := [2]string{b.Profile, b.Type}
		if groups[group] == nil {
			order = append(order, group)
		}
		groups[group] = append(groups[group], b)
	}
	var out []incident.Occurrence
	for _, group := range order {
		if breaks := groups[group]; len(breaks) > s.Count {
			out = append(out, s.many(breaks))
			continue
		}
		for _, b := range groups[group] {
			out = append(out, s.one(b))
		}
	}
	return out
}

// BreakKeys are the dedup keys of incidents of single breaks that are open. Such an
// incident goes on when there are so many others that they are one.
func BreakKeys(list []Break) []string {
	keys := make([]string, 0, len(list))
	for _, b := range list {
		keys = append(keys, breakKey(b))
	}
	return keys
}

func breakKey(b Break) string { return "break:" + strconv.FormatInt(b.ID, 10) }

func (s Spec) one(b Break) incident.Occurrence {
	review := ""
	if b.NeedsReview {
		review = " The two sides were matched by likeness, so look at whether they are one trade."
	}
	return s.begin(breakKey(b), b.FirstSeen, incident.Incident{
		Kind: incident.TradeBreak, Severity: b.Severity, Owner: b.Owner, Title: fmt.Sprintf("%s break on %s", b.Type, b.Key),
		Description: fmt.Sprintf("Reconciliation %s: %s says %q, %s says %q.%s", b.Profile, "left", b.Left, "right", b.Right, review),
		SubjectKind: "trade_break", SubjectID: strconv.FormatInt(b.ID, 10), ExposureUSD: inUSD(b), Origin: b.Origin,
		Details: map[string]string{"profile": b.Profile, "type": b.Type, "key": b.Key},
	})
}

func (s Spec) many(breaks []Break) incident.Occurrence {
	first := breaks[0]
	worst, newest, exposure := first.Severity, first.FirstSeen, decimal.NullDecimal{Decimal: decimal.Zero, Valid: true}
	for _, b := range breaks {
		if rank(b.Severity) > rank(worst) {
			worst = b.Severity
		}
		if b.FirstSeen.After(newest) {
			newest = b.FirstSeen
		}
		usd := inUSD(b)
		exposure.Valid = exposure.Valid && usd.Valid
		exposure.Decimal = exposure.Decimal.Add(usd.Decimal)
	}
	return s.begin("breaks:"+first.Profile+":"+first.Type, newest, incident.Incident{
		Kind: incident.TradeBreak, Severity: worst, Owner: first.Owner,
		Title: fmt.Sprintf("%d %s breaks in reconciliation %s", len(breaks), first.Type, first.Profile),
		Description: fmt.Sprintf("There are %d open breaks of type %s, over the limit of %d that are an incident each. "+
			"Look at whether one of the two books is incomplete.", len(breaks), first.Type, s.Count),
		SubjectKind: "reconciliation", SubjectID: first.Profile, ExposureUSD: exposure, Origin: first.Origin,
		Details: map[string]string{"profile": first.Profile, "type": first.Type, "breaks": strconv.Itoa(len(breaks))},
	})
}

func rank(s desk.Severity) int {
	for i, other := range desk.Severities() {
		if s == other {
			return i
		}
	}
	return -1
}

// inUSD is the exposure of a break when it is in US dollars; other currencies are
// not converted, as no rate is on record.
func inUSD(b Break) decimal.NullDecimal {
	if b.Currency != "USD" {
		return decimal.NullDecimal{}
	}
	return b.Exposure
}

// Digest is what the API's command to run a detector is bound to.
func Digest(detector string) (string, error) {
	return canonical.Digest("finobs.detect.v1", canonical.Object{"detector": detector})
}

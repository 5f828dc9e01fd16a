package recon

import (
	"time"

	"finobs/internal/canonical"
	"finobs/internal/fault"
	"finobs/internal/intake"

	"github.com/shopspring/decimal"
)

// Phase is what a run is doing.
type Phase string

// The closed set of phases, in their order.
const (
	Waiting       Phase = "waiting" // no worker has begun
	ReadingLeft   Phase = "reading_left"
	ReadingRight  Phase = "reading_right"
	MatchingKeys  Phase = "matching_keys"
	MatchingFuzzy Phase = "matching_fuzzy"
	Comparing     Phase = "comparing"
	Recording     Phase = "recording"
	Done          Phase = "done"
	RunFailed     Phase = "failed"
)

// Progress says how far a run has come. It is for people who watch.
type Progress struct {
	Phase Phase `json:"phase"`
	Rows  int64 `json:"rows"`  // read so far, of the phase's side
	Bytes int64 `json:"bytes"` // read so far, of the phase's file
	Total int64 `json:"total"` // bytes of the phase's file; 0 when not known
}

// Matched counts which records belong together, and how that was found.
type Matched struct {
	Exact   int64   `json:"exact"`            // by the first key
	ByKey   []int64 `json:"by_key,omitempty"` // by each further key
	Fuzzy   int64   `json:"fuzzy"`            // by likeness
	LeftOut int64   `json:"fuzzy_left_out"`   // rows for which likeness was not tried: too many alike
	Review  int64   `json:"review"`           // matches at which a person has to look
	Looks   []Look  `json:"looks,omitempty"`  // the first thousand of them
}

// Look is a match at which a person has to look.
type Look struct {
	LeftID     string `json:"left_id"`
	RightID    string `json:"right_id"`
	Confidence string `json:"confidence"`
}

// maxLooks is how many of them a report lists.
const maxLooks = 1000

// Look counts a match at which a person has to look.
func (m *Matched) Look(p *Pair) {
	m.Review++
	if len(m.Looks) < maxLooks {
		m.Looks = append(m.Looks, Look{p.Left.ID(), p.Right.ID(), p.Confidence.String()})
	}
}

// SideReport is what was read of a side.
type SideReport struct {
	Label       string             `json:"label"`
	Rows        int64              `json:"rows"`      // that took part
	Cancelled   int64              `json:"cancelled"` // left out
	Outside     int64              `json:"outside"`   // left out: not of the days asked for
	Lines       *intake.LineReport `json:"lines,omitempty"`
	Allocations *intake.LineReport `json:"allocations,omitempty"`
}

// TypeReport is what a run found of one type.
type TypeReport struct {
	Count    int               `json:"count"`
	Owner    string            `json:"owner"`
	Severity string            `json:"severity"`
	Exposure map[string]string `json:"exposure"` // by currency, exact decimals
}

// Report is what a run found.
type Report struct {
	Left     SideReport          `json:"left"`
	Right    SideReport          `json:"right"`
	Matched  Matched             `json:"matched"`
	Breaks   int                 `json:"breaks"`
	ByType   map[Type]TypeReport `json:"by_type"`
	Opened   int64               `json:"opened"`   // not on record before
	Reopened int64               `json:"reopened"` // on record as resolved
	Changed  int64               `json:"changed"`  // open before, with other values
	Same     int64               `json:"unchanged"`
	Resolved int64               `json:"resolved"` // open before, no longer there
	Seconds  map[Phase]string    `json:"seconds,omitempty"`
}

// Side is the report of a hand.
func (r *Report) Side(h Hand) *SideReport {
	if h == Left {
		return &r.Left
	}
	return &r.Right
}

// Count adds breaks to the report.
func (r *Report) Count(list []Break) {
	r.Breaks, r.ByType = len(list), map[Type]TypeReport{}
	total := map[Type]map[string]decimal.Decimal{}
	for i := range list {
		b := &list[i]
		t := r.ByType[b.Type]
		t.Count, t.Owner, t.Severity = t.Count+1, b.Owner, string(b.Severity)
		r.ByType[b.Type] = t
		if total[b.Type] == nil {
			total[b.Type] = map[string]decimal.Decimal{}
		}
		if b.Exposure.Valid {
			total[b.Type][b.Currency] = total[b.Type][b.Currency].Add(b.Exposure.Decimal)
		}
	}
	for t, sums := range total {
		report := r.ByType[t]
		report.Exposure = map[string]string{}
		for currency, sum := range sums {
			report.Exposure[currency] = sum.String()
		}
		r.ByType[t] = report
	}
}

// Request asks for a run.
type Request struct {
	Profile          string `json:"profile"`
	ProfileDigest    string `json:"profile_digest"`         // SHA-256 in hexadecimal
	ProfileText      string `json:"profile_text,omitempty"` // of a profile that the worker does not know
	Left             string `json:"left,omitempty"`         // SHA-256 of a spooled file; empty for a book
	Right            string `json:"right,omitempty"`
	LeftAllocations  string `json:"left_allocations,omitempty"`
	RightAllocations string `json:"right_allocations,omitempty"`
	LeftName         string `json:"left_name,omitempty"` // as the sender calls the file
	RightName        string `json:"right_name,omitempty"`
	From             string `json:"from,omitempty"` // first trade date, YYYY-MM-DD
	To               string `json:"to,omitempty"`   // last trade date
	Origin           string `json:"origin"`         // live or demo
	Strict           bool   `json:"strict,omitempty"`
	Again            string `json:"again,omitempty"` // tells runs over books apart
}

// File is the digest of a hand's file.
func (r *Request) File(h Hand) string {
	if h == Left {
		return r.Left
	}
	return r.Right
}

// Allocations is the digest of a hand's file of allocations.
func (r *Request) Allocations(h Hand) string {
	if h == Left {
		return r.LeftAllocations
	}
	return r.RightAllocations
}

// Digest is what the API's command to run is bound to.
func (r *Request) Digest() (string, error) {
	return canonical.Digest("finobs.recon.v1", canonical.Object{
		"profile": r.Profile, "profile_digest": r.ProfileDigest, "profile_text": r.ProfileText, "left": r.Left, "right": r.Right,
		"left_allocations": r.LeftAllocations, "right_allocations": r.RightAllocations, "left_name": r.LeftName, "right_name": r.RightName,
		"from": r.From, "to": r.To, "origin": r.Origin, "strict": r.Strict, "again": r.Again,
	})
}

// Key tells runs apart: requests for the same comparison, whatever the files are
// called and whoever asks, have one key.
func (r *Request) Key() (string, error) {
	same := *r
	same.LeftName, same.RightName, same.ProfileText = "", "", ""
	digest, err := same.Digest()
	if err != nil {
		return "", err
	}
	return digest[len("sha256:"):][:32], nil
}

// Check judges a request by its profile.
func (r *Request) Check(p *Profile) error {
	bad := func(format string, args ...any) error {
		return fault.New(fault.Invalid, "invalid-recon", format, args...)
	}
	for _, h := range []Hand{Left, Right} {
		switch file, allocations := r.File(h), r.Allocations(h); {
		case p.Files(h) && file == "":
			return bad("profile %s reads the %s side (%s) from a file; send one", p.Name, h, p.Books[h].Label)
		case !p.Files(h) && file != "":
			return bad("profile %s takes the %s side from the record (source %s); leave its file out", p.Name, h, p.Books[h].Book)
		case allocations != "" && p.Books[h].Allocations == nil:
			return bad("profile %s knows no allocations; leave their files out", p.Name)
		}
	}
	if (r.LeftAllocations == "") != (r.RightAllocations == "") {
		return bad("there are allocations of one side alone; send both or neither")
	}
	for name, date := range map[string]string{"from": r.From, "to": r.To} {
		if _, err := time.Parse(time.DateOnly, date); date != "" && err != nil {
			return bad("%s %q is not a date of the form YYYY-MM-DD", name, cut(date, 40))
		}
	}
	if r.From != "" && r.To != "" && r.To < r.From {
		return bad("to %s is before from %s", r.To, r.From)
	}
	return nil
}

// Covers reports whether a trade date is one of those asked for. A record without
// one always is.
func (r *Request) Covers(date string) bool {
	return date == "" || (r.From == "" || date >= r.From) && (r.To == "" || date <= r.To)
}

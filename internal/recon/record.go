package recon

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"finobs/internal/approval"
	"finobs/internal/desk"

	"github.com/shopspring/decimal"
)

// State is how a run ended.
type State string

// The closed set of states.
const (
	RunDone State = "done"
	Failed  State = "failed"
)

// Run is a run as it is recorded.
type Run struct {
	ID            int64
	Key           string
	WorkflowID    string
	Profile       string
	ProfileDigest string
	Origin        string
	State         State
	Reason        string // why it failed
	Request       Request
	Report        Report
	BreaksSHA256  string // see BreaksDigest; empty when it failed
	RequestedBy   approval.Person
	TraceID       string
	StartedAt     time.Time
	RecordedAt    time.Time
}

// Recorded is a break as it is on record.
type Recorded struct {
	ID                int64
	Profile, Origin   string
	Type              Type
	Key, Field        string
	Ordinal           int
	Status            string // open or resolved
	Severity          desk.Severity
	Owner             string
	SLAHours          int
	LeftIDs, RightIDs []string
	LeftValue         string
	RightValue        string
	Difference        decimal.NullDecimal
	Currency          string
	Exposure          decimal.NullDecimal
	Confidence        decimal.Decimal
	NeedsReview       bool
	Symbol, Side      string
	Account           string
	TradeDate         time.Time // zero when not known
	SettlementDate    time.Time
	CutoffAt          time.Time
	Calendar          string
	FirstRun, LastRun string // keys
	FirstSeen         time.Time
	LastSeen          time.Time
	ResolvedAt        time.Time // zero while it is open
	Reopened          int
	Version           int64
}

// Due is when the break is to be resolved at the latest.
func (r *Recorded) Due() time.Time { return r.FirstSeen.Add(time.Duration(r.SLAHours) * time.Hour) }

// Age is how old the break is, or how old it was when it was resolved.
func (r *Recorded) Age(now time.Time) Age {
	if !r.ResolvedAt.IsZero() {
		now = r.ResolvedAt
	}
	return AgeOf(r.FirstSeen, now, r.Calendar)
}

// Event is something that a run did to a break.
type Event struct {
	Run                   string // key
	WorkflowID            string
	Event                 string // opened, changed, resolved, reopened
	LeftValue, RightValue string
	Difference, Exposure  decimal.NullDecimal
	At                    time.Time
}

// BreaksDigest is the SHA-256, in hexadecimal, of what a run found: a line for each
// break, sorted, of its type, key, field, values, difference and record ids as
// quoted strings. A ledger entry has it, so that rows can be held against the log.
func BreaksDigest(list []Break) string {
	lines := make([]string, 0, len(list))
	for i := range list {
		b := &list[i]
		difference := ""
		if b.Difference.Valid {
			difference = b.Difference.Decimal.String()
		}
		lines = append(lines, fmt.Sprintf("%q %q %q %q %q %q %q %q\n", string(b.Type), b.Key, b.Field, b.LeftValue, b.RightValue, difference,
			strings.Join(b.LeftIDs, " "), strings.Join(b.RightIDs, " ")))
	}
	slices.Sort(lines)
	sum := sha256.New()
	for _, l := range lines {
		sum.Write([]byte(l))
	}
	return hex.EncodeToString(sum.Sum(nil))
}

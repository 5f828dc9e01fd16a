package agent

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"

	"finobs/internal/approval"
	"finobs/internal/fault"
)

// ActionPrefix begins the kinds of the actions that people approve so that an
// agent may run; the rest is the kind of the run.
const ActionPrefix = "agent."

// MaxLeaves is the longest range of the log that one summary is made of.
const MaxLeaves = 1_000_000

// Request is what a person asks an agent to look at. Which fields are set depends
// on the kind.
type Request struct {
	Kind       Kind
	IncidentID int64    // triage and remediate: the incident
	Start, End string   // compliance: first and last trade date, as 2006-01-02; empty: all
	Source     string   // compliance: only transactions of that source
	Account    string   // compliance: only transactions of that account
	Origin     string   // compliance: live or demo
	From, To   int64    // audit_summary: leaves, the last exclusive
	Newest     bool     // audit_summary: To was left to the newest checkpoint
	Targets    []Target // triage and remediate: objects of desk systems that a person names
	Mode       approval.Mode
}

// Target is an object of a desk's system, such as an order.
type Target struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

// Key is how a target is written: kind:id.
func (t Target) Key() string { return t.Kind + ":" + t.ID }

// targetKey is the form of a target's key.
var targetKey = regexp.MustCompile(`^([a-z][a-z_]{0,31}):([A-Za-z0-9][A-Za-z0-9_.:-]{0,63})$`)

// ParseTarget reads what Key writes; a fault of kind Invalid otherwise.
func ParseTarget(key string) (Target, error) {
	m := targetKey.FindStringSubmatch(key)
	if m == nil {
		return Target{}, fault.New(fault.Invalid, "invalid-target", "target %q must have the form kind:id, such as order:O-1001", key)
	}
	return Target{m[1], m[2]}, nil
}

// MaxTargets is how many targets a person may name.
const MaxTargets = 10

// Simulated reports whether the run may not reach a live system.
func (r Request) Simulated() bool { return r.Mode == approval.Simulation }

// Validate reports the first thing that is wrong with r, as a fault of kind
// Invalid.
func (r Request) Validate() error {
	bad := func(format string, args ...any) error {
		return fault.New(fault.Invalid, "invalid-agent-request", format, args...)
	}
	ofIncident := r.Kind == Triage || r.Kind == Remediate
	switch {
	case !r.Kind.Valid():
		return bad("kind %q must be triage, remediate, compliance or audit_summary", r.Kind)
	case !r.Mode.Valid():
		return bad("mode %q must be live or simulation", r.Mode)
	case ofIncident != (r.IncidentID > 0):
		return bad("an incident is named for triage and remediate, and for nothing else")
	case r.Kind != Compliance && r.Start+r.End+r.Source+r.Account+r.Origin != "":
		return bad("dates, source, account and origin are of compliance runs")
	case r.Kind == Compliance && r.Origin != "live" && r.Origin != "demo":
		return bad("origin %q must be live or demo", r.Origin)
	case r.Kind == AuditSummary && (r.From < 0 || r.To <= r.From || r.To-r.From > MaxLeaves):
		return bad("the range from %d to %d must hold 1 to %d leaves", r.From, r.To, MaxLeaves)
	case len(r.Targets) > MaxTargets || !ofIncident && len(r.Targets) > 0:
		return bad("up to %d targets may be named, for triage and remediate", MaxTargets)
	case r.Kind != AuditSummary && (r.From != 0 || r.To != 0 || r.Newest):
		return bad("a range of leaves is of audit summaries")
	}
	for name, day := range map[string]string{"start": r.Start, "end": r.End} {
		if _, err := time.Parse(time.DateOnly, day); day != "" && err != nil {
			return bad("%s %q must be a date such as 2026-01-31", name, day)
		}
	}
	if r.Start != "" && r.End != "" && r.End < r.Start {
		return bad("the last date %s is before the first, %s", r.End, r.Start)
	}
	return nil
}

// Action is what people approve so that the agent may run.
func (r Request) Action(requester approval.Person, deskName string) approval.Action {
	a := approval.Action{
		Kind: ActionPrefix + string(r.Kind), Parameters: map[string]string{}, Requester: requester, Desk: deskName, Mode: r.Mode,
	}
	if r.IncidentID > 0 {
		a.Targets = []approval.Target{{Kind: "incident", ID: strconv.FormatInt(r.IncidentID, 10)}}
	}
	for name, value := range map[string]string{"start": r.Start, "end": r.End, "source": r.Source, "account": r.Account, "origin": r.Origin} {
		if value != "" {
			a.Parameters[name] = value
		}
	}
	var keys []string
	for _, t := range r.Targets {
		keys = append(keys, t.Key())
	}
	if len(keys) > 0 {
		a.Parameters["targets"] = strings.Join(keys, " ")
	}
	if r.Kind == AuditSummary {
		a.Parameters["from"], a.Parameters["to"] = strconv.FormatInt(r.From, 10), strconv.FormatInt(r.To, 10)
	}
	if r.Newest {
		a.Parameters["until"] = untilNewest
	}
	return a
}

// untilNewest says that the end of a range was left to the newest checkpoint.
const untilNewest = "newest"

// RequestOf reads back what Action wrote. It returns a fault of kind Forbidden
// when a is no action of an agent.
func RequestOf(a approval.Action) (Request, error) {
	kind, ok := strings.CutPrefix(a.Kind, ActionPrefix)
	r := Request{
		Kind: Kind(kind), Start: a.Parameters["start"], End: a.Parameters["end"], Source: a.Parameters["source"],
		Account: a.Parameters["account"], Origin: a.Parameters["origin"], Mode: a.Mode, Newest: a.Parameters["until"] == untilNewest,
	}
	var err error
	for _, t := range a.Targets {
		if t.Kind == "incident" && err == nil {
			r.IncidentID, err = strconv.ParseInt(t.ID, 10, 64)
		}
	}
	for name, into := range map[string]*int64{"from": &r.From, "to": &r.To} {
		if text := a.Parameters[name]; text != "" && err == nil {
			*into, err = strconv.ParseInt(text, 10, 64)
		}
	}
	for _, key := range strings.Fields(a.Parameters["targets"]) {
		t, bad := ParseTarget(key)
		r.Targets, err = append(r.Targets, t), errors.Join(err, bad)
	}
	if err == nil {
		err = r.Validate()
	}
	if !ok || err != nil {
		return r, fault.Wrap(err, fault.Forbidden, "not-an-agent-run", "actions of kind %s with these parameters let no agent run", a.Kind)
	}
	return r, nil
}

// RunStatus is where a run is in its life.
type RunStatus string

// The closed set of statuses.
const (
	Running RunStatus = "running"
	Done    RunStatus = "done"
	Failed  RunStatus = "failed"
)

// Run is one run of an agent. Its moments are the database's.
type Run struct {
	ID         int64
	ApprovalID int64 // what let it run
	Request    Request
	Status     RunStatus
	Failure    string // why it failed
	Requester  approval.Person
	Desk       string
	WorkflowID string
	RequestID  string // of the HTTP request
	TraceID    string
	StartedAt  time.Time
	EndedAt    time.Time // zero: not yet

	EvidenceSHA256 string // of the bundle, in hexadecimal; empty: not gathered yet
	Result         *Result

	Broken string // why the row cannot be read in full, for those who only look
}

// Result is what came of a run.
type Result struct {
	OutputSHA256 string
	Version      string // which analyst spoke, see Version
	Fallback     string // why the rulebook answered in the model's place; empty: it did not
	Output       Output
	Problems     []string    // what was refused or struck, in words
	Suspicions   []Suspicion // what looked like steering
}

// Valid reports whether c is one of the categories.
func (c Category) Valid() bool {
	for _, known := range Categories() {
		if c == known {
			return true
		}
	}
	return false
}

func joined(categories []Category) string {
	var names []string
	for _, c := range categories {
		names = append(names, string(c))
	}
	return strings.Join(names, ", ")
}

// IsModel reports whether a version of an agent is one of a model, whose words are
// labelled as such wherever they are shown.
func IsModel(version string) bool { return strings.HasPrefix(version, "llm/") }

// Explain is an output in words: what the record keeps as ai_explanation.
func (o Output) Explain() string {
	parts := []string{o.Summary}
	if o.ProbableCause != "" {
		parts = append(parts, "Probable cause: "+o.ProbableCause)
	}
	if o.Inconclusive {
		parts = append(parts, "Inconclusive: the evidence does not suffice for a cause.")
	}
	for _, c := range o.Claims {
		if c.Struck {
			continue
		}
		cites := []string{}
		for _, cite := range c.Cites {
			cites = append(cites, cite.Evidence)
		}
		parts = append(parts, "- "+c.Text+" ["+strings.Join(cites, ", ")+"]")
	}
	return strings.Join(parts, "\n")
}

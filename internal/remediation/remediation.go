// Package remediation holds an action of the catalogue that was planned for an
// incident, and its life: planned, approved, carried out once, found out about,
// and, where it did not help, taken back. It is pure.
package remediation

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"finobs/internal/action"
	"finobs/internal/agent"
	"finobs/internal/approval"
	"finobs/internal/fault"
)

// KindPrefix begins the kinds of the actions that people approve; the rest is the
// name of the action in the catalogue.
const KindPrefix = "remediation."

// Status is where an action is in its life. What its approval became is another
// matter, see Standing.
type Status string

// The closed set of statuses.
const (
	Planned    Status = "planned"
	Executing  Status = "executing"  // its approval is spent; the target may have it
	Done       Status = "done"       // applied, by the word of the target's system
	Failed     Status = "failed"     // certainly not applied
	Unknown    Status = "unknown"    // nobody knows; a person finds out
	Superseded Status = "superseded" // the target had moved: nothing was sent
	Withdrawn  Status = "withdrawn"
)

// Statuses lists all of them.
func Statuses() []Status {
	return []Status{Planned, Executing, Done, Failed, Unknown, Superseded, Withdrawn}
}

// Terminal reports whether nothing changes the status any more.
func (s Status) Terminal() bool {
	return s == Done || s == Failed || s == Superseded || s == Withdrawn
}

// Recovery says whether the target got well after an action that was applied.
type Recovery string

// The closed set of recoveries.
const (
	NoRecovery          Recovery = "" // nothing was applied
	Waiting             Recovery = "waiting"
	Recovered           Recovery = "recovered"
	NotRecovered        Recovery = "not_recovered"
	Compensated         Recovery = "compensated"
	CompensationFailed  Recovery = "compensation_failed"
	CompensationUnknown Recovery = "compensation_unknown"
)

// Action is an action that was planned. Its moments are the database's.
type Action struct {
	ID         int64 // and that of its approval
	RunID      int64 // of the agent that proposed it
	Ordinal    int   // in the run, from 1
	IncidentID int64
	Connector  string
	Plan       Plan
	PlanBytes  []byte
	PlanDigest string
	Risk       approval.RiskTier // by the catalogue; policies may raise it
	Mode       approval.Mode
	Requester  approval.Person // who asked for the run
	Desk       string
	Reason     string // why the agent proposes it
	PlannedAt  time.Time

	Status         Status
	StatusReason   string
	Recovery       Recovery
	RecoveryReason string
	Leased         bool // nothing else may act on the target
	Key            string
	SentAt         time.Time // zero: it never left
	EffectID       string    // by the target's system
	BeganAt        time.Time
	EndedAt        time.Time
	ResolvedBy     approval.Person // who found what became of an unknown outcome

	Approval       approval.Status // empty: not asked for yet
	ApprovalReason string

	Broken string // why the recorded plan cannot be read, for those who only look; such an action is never carried out
}

// Approvable is what people approve so that the action is carried out: the target
// and every object on which the plan depends, at the versions that were planned over,
// each change, the command with its parameters, and what would take it back.
func (x Action) Approvable() approval.Action {
	p := map[string]string{
		"action_version": strconv.Itoa(x.Plan.Version), "connector": x.Connector, "plan_digest": x.PlanDigest,
		"incident": strconv.FormatInt(x.IncidentID, 10), "run": strconv.FormatInt(x.RunID, 10), "compensation": "none",
	}
	for _, c := range x.Plan.Changes {
		p["change_"+c.Field] = c.Before + " → " + c.After
	}
	for name, value := range x.Plan.Command.Parameters {
		p["parameter_"+name] = value
	}
	if c := x.Plan.Compensation; c != nil {
		p["compensation"] = commandText(*c)
	}
	// The amount in dollars is what policies compare.
	for name, value := range map[string]string{
		"amount": x.Plan.AmountUSD, "moves": strings.TrimSpace(x.Plan.Amount + " " + x.Plan.Currency), "quantity": x.Plan.Quantity,
		"notes": strings.Join(x.Plan.Notes, "; "),
	} {
		if value != "" {
			p[name] = value
		}
	}
	targets := []approval.Target{{Kind: x.Plan.Target.Kind, ID: x.Connector + "/" + x.Plan.Target.ID, Version: x.Plan.Target.Version}}
	for _, n := range x.Plan.Needs {
		targets = append(targets, approval.Target{Kind: n.Kind, ID: n.Connector + "/" + n.ID, Version: n.Version})
	}
	return approval.Action{
		Kind: KindPrefix + x.Plan.Action, Targets: targets, Parameters: p, Requester: x.Requester, Desk: x.Desk, Mode: x.Mode,
	}
}

func commandText(c action.Command) string {
	parts := []string{c.Action}
	for _, name := range slices.Sorted(maps.Keys(c.Parameters)) {
		parts = append(parts, name+"="+c.Parameters[name])
	}
	return strings.Join(parts, " ")
}

// NeedsPeople refuses, as a fault of kind Forbidden, a policy that approves by
// itself: what an agent planned is carried out by people's word only.
func NeedsPeople(p *approval.Policy) error {
	if p.Auto {
		return fault.New(fault.Forbidden, "people-required",
			"policy %s approves by itself, and no plan of an agent is carried out without people; take auto out of it", p.ID)
	}
	return nil
}

// Matches reports why an approved action is not exactly the one that was planned,
// as a fault of kind Forbidden.
func (x Action) Matches(approved approval.Action) error {
	want := x.Approvable()
	switch {
	case approved.Kind != want.Kind || approved.Mode != want.Mode || approved.Desk != want.Desk || approved.Requester != want.Requester:
		return fault.New(fault.Forbidden, "action-tampered", "approval %d is over another kind, mode, desk or requester than the planned action", x.ID)
	case !slices.Equal(approved.Targets, want.Targets):
		return fault.New(fault.Forbidden, "action-tampered", "approval %d is over another target than the planned action", x.ID)
	case !maps.Equal(approved.Parameters, want.Parameters):
		return fault.New(fault.Forbidden, "action-tampered", "approval %d is over other parameters than the planned action", x.ID)
	}
	return nil
}

// KeyOf is the idempotency key under which the command of an action is sent, and
// its compensation's.
func KeyOf(actionDigest string, compensation bool) string {
	key := "finobs-" + strings.TrimPrefix(actionDigest, "sha256:")[:40]
	if compensation {
		key += "-undo"
	}
	return key
}

// Outcome is what is known of a command that was sent, or asked about.
type Outcome struct {
	Status   OutcomeStatus
	EffectID string
	Why      string
}

// OutcomeStatus says what became of a command.
type OutcomeStatus string

// The closed set of outcomes.
const (
	Applied OutcomeStatus = "applied"
	Refused OutcomeStatus = "refused"  // by the system, which did nothing
	Moved   OutcomeStatus = "moved"    // refused, since the target is at another version
	NotSent OutcomeStatus = "not_sent" // it certainly never left; it may be tried again
	Absent  OutcomeStatus = "absent"   // the system has never seen the key
	Unheard OutcomeStatus = "unheard"  // it may have left, and there is no answer
)

// Standing is how an action stands, its approval included, in one word.
func (x Action) Standing() string {
	if x.Status != Planned {
		return string(x.Status)
	}
	if x.Approval == "" {
		return string(Planned)
	}
	if x.Approval == approval.Consumed {
		return string(Executing)
	}
	return string(x.Approval)
}

// Abandonable reports whether an action needs its workflow still: it holds its
// target, and is not left to a person who finds out what became of it. Without its
// workflow it has to be given up.
func (x Action) Abandonable() bool {
	return x.Leased && x.Status != Unknown && x.Recovery != CompensationUnknown
}

// Object names the target as agents know it.
func (x Action) Object() agent.Target {
	return agent.Target{Kind: x.Plan.Target.Kind, ID: x.Plan.Target.ID}
}

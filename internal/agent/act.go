package agent

import (
	"strconv"
	"strings"
	"time"

	"finobs/internal/approval"
	"finobs/internal/canonical"
	"finobs/internal/desk"
	"finobs/internal/fault"
)

// Verb is what a person does about agents and what they planned.
type Verb string

// The closed set of verbs. Lifting a stop is not among them: it needs approval,
// see ResumeAction.
const (
	Override Verb = "override" // say which value of a field is right
	Stop     Verb = "stop"     // let no action begin, of one desk or of all
	Resolve  Verb = "resolve"  // say what became of an action whose outcome nobody knows
	Withdraw Verb = "withdraw" // take back a planned action that nobody decided on
)

// Field is a field of an output that a person may judge.
type Field string

// The closed set of fields.
const (
	FieldSeverity Field = "severity"
	FieldCategory Field = "category"
	FieldAction   Field = "action"
)

// Outcomes that a person may find of an action whose outcome is unknown.
const (
	FoundDone   = "done"
	FoundFailed = "failed"
)

// maxReason bounds a reason, in bytes.
const maxReason = 2000

// Act is something that a person does, bound in full by the API's command. Which
// fields are set depends on the verb.
type Act struct {
	ID       string `json:"id"` // idempotency key, a UUID
	Verb     Verb   `json:"verb"`
	RunID    int64  `json:"run_id,omitempty"`    // override
	Field    Field  `json:"field,omitempty"`     // override
	Chosen   string `json:"chosen,omitempty"`    // override: what the person says
	ActionID int64  `json:"action_id,omitempty"` // resolve, withdraw
	Found    string `json:"found,omitempty"`     // resolve: done or failed
	Desk     string `json:"desk,omitempty"`      // stop; empty: all desks
	Reason   string `json:"reason"`
}

// Digest is what the API's command is bound to.
func (a Act) Digest() (string, error) {
	return canonical.Digest("finobs.agent-act.v1", canonical.Object{
		"id": a.ID, "verb": string(a.Verb), "run_id": strconv.FormatInt(a.RunID, 10), "field": string(a.Field), "chosen": a.Chosen,
		"action_id": strconv.FormatInt(a.ActionID, 10), "found": a.Found, "desk": a.Desk, "reason": a.Reason,
	})
}

// Validate reports the first thing that is wrong with an act by itself, as a fault
// of kind Invalid. Which actions there are is for the caller to check.
func (a Act) Validate() error {
	bad := func(format string, args ...any) error {
		return fault.New(fault.Invalid, "invalid-agent-act", format, args...)
	}
	if a.ID == "" {
		return bad("the act has no id")
	}
	if strings.TrimSpace(a.Reason) == "" || len(a.Reason) > maxReason {
		return bad("the reason must have 1 to %d bytes", maxReason)
	}
	switch a.Verb {
	case Override:
		return a.validateOverride()
	case Stop:
		if a.Desk != "" && !approval.ValidDesk(a.Desk) {
			return bad("desk %q is no name of a desk", a.Desk)
		}
	case Resolve:
		if a.ActionID < 1 || a.Found != FoundDone && a.Found != FoundFailed {
			return bad("outcome %q must be done or failed, of an action", a.Found)
		}
	case Withdraw:
		if a.ActionID < 1 {
			return bad("no action is named")
		}
	default:
		return bad("verb %q must be override, stop, resolve or withdraw", a.Verb)
	}
	return nil
}

func (a Act) validateOverride() error {
	bad := func(format string, args ...any) error {
		return fault.New(fault.Invalid, "invalid-override", format, args...)
	}
	switch {
	case a.RunID < 1:
		return bad("no run is named")
	case a.Field == FieldSeverity && !desk.Severity(a.Chosen).Valid():
		return bad("severity %q must be low, medium, high or critical", a.Chosen)
	case a.Field == FieldCategory && !Category(a.Chosen).Valid():
		return bad("category %q is none of %s", a.Chosen, joined(Categories()))
	case a.Field != FieldSeverity && a.Field != FieldCategory && a.Field != FieldAction:
		return bad("field %q must be severity, category or action", a.Field)
	}
	return nil
}

// OverrideType is the override_type of the record: ai_override when a person put
// his own word in the place of the agent's, manual_override when the agent had
// said nothing there, and empty when the person agrees.
func OverrideType(recommended, chosen string) string {
	switch recommended {
	case chosen:
		return ""
	case "":
		return "manual_override"
	}
	return "ai_override"
}

// KindResume is the kind of the action that lifts a stop.
const KindResume = "agent.resume"

// StopTarget is the kind of the target that is a stop, by its number.
const StopTarget = "agent_stop"

// ResumeAction is what people approve so that a stop is lifted.
func ResumeAction(stopID int64, stopDesk string, requester approval.Person, deskName string) approval.Action {
	return approval.Action{
		Kind: KindResume, Targets: []approval.Target{{Kind: StopTarget, ID: strconv.FormatInt(stopID, 10)}},
		Parameters: map[string]string{"stopped_desk": stopDesk}, Requester: requester, Desk: deskName, Mode: approval.Live,
	}
}

// Verdict is what a person thinks of one field of a run's output.
type Verdict struct {
	ID          string // of the act, a UUID
	RunID       int64
	Field       Field
	Recommended string // by the agent; empty: it said nothing
	Chosen      string // by the person
	Override    string // see OverrideType
	Reason      string
	By          approval.Person
	At          time.Time
}

// StopOrder lets no action begin, of a desk or of all.
type StopOrder struct {
	ID       int64
	Desk     string // empty: all
	Reason   string
	By       approval.Person
	At       time.Time
	LiftedAt time.Time // zero: in force
	LiftedBy int64     // approval
}

// Finding is what a rule of compliance found, as a run keeps it.
type Finding struct {
	ID       string
	Rule     string
	Version  string // of the rules
	Severity desk.Severity
	Party    string
	Records  []string // ids of transactions, the first ones
	Facts    map[string]string
	Text     string
}

// StopOf reads back which stop an action lifts; a fault of kind Forbidden when it
// lifts none.
func StopOf(a approval.Action) (int64, error) {
	if a.Kind == KindResume && len(a.Targets) == 1 && a.Targets[0].Kind == StopTarget {
		if id, err := strconv.ParseInt(a.Targets[0].ID, 10, 64); err == nil {
			return id, nil
		}
	}
	return 0, fault.New(fault.Forbidden, "not-a-resume", "actions of kind %s lift no stop", a.Kind)
}

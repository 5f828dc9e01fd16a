package deskfile

import (
	"sync"

	"finobs/internal/approval"
	celcondition "finobs/internal/condition"
	"finobs/internal/incident"

	"cel.dev/cel-go/cel"
)

// condition is a compiled CEL expression over an incident and a member of the
// roster.
type condition struct{ celcondition.Condition }

// environment declares what a to may speak of. Each field is a variable of its
// own, so that a misspelt field is an error when the file is loaded.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable("incident.kind", cel.StringType),
		cel.Variable("incident.severity", cel.StringType),
		cel.Variable("incident.priority", cel.StringType),
		cel.Variable("incident.desk", cel.StringType),
		cel.Variable("incident.owner", cel.StringType),
		cel.Variable("incident.system", cel.StringType),
		cel.Variable("incident.source", cel.StringType),
		cel.Variable("incident.origin", cel.StringType),
		cel.Variable("incident.assignee", cel.StringType),
		cel.Variable("incident.occurrences", cel.IntType),
		cel.Variable("incident.details", cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable("member.id", cel.StringType),
		cel.Variable("member.desk", cel.StringType),
		cel.Variable("member.roles", cel.ListType(cel.StringType)),
	)
})

func compile(expr string) (condition, error) {
	c, err := celcondition.Compile(environment, expr)
	return condition{c}, err
}

func (c condition) eval(i incident.Incident, m approval.Member) (bool, error) {
	details, roles := i.Details, m.Roles
	if details == nil {
		details = map[string]string{}
	}
	if roles == nil {
		roles = []string{}
	}
	return c.Holds(map[string]any{
		"incident.kind": string(i.Kind), "incident.severity": string(i.Severity), "incident.priority": string(i.Priority),
		"incident.desk": i.Desk, "incident.owner": i.Owner, "incident.system": i.System, "incident.source": i.Source,
		"incident.origin": string(i.Origin), "incident.assignee": i.Assignee.Subject, "incident.occurrences": i.Occurrences,
		"incident.details": details, "member.id": m.Subject, "member.desk": m.Desk, "member.roles": roles,
	})
}

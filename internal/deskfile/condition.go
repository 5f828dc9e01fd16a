package deskfile

import (
	"errors"
	"fmt"
	"sync"

	"finobs/internal/approval"
	"finobs/internal/incident"

	"cel.dev/cel-go/cel"
)

const (
	maxConditionLength = 1024
	// maxConditionCost bounds one evaluation, in CEL's own cost units; the shipped
	// file needs fewer than 50.
	maxConditionCost = 10_000
)

// condition is a compiled CEL expression over an incident and a member of the
// roster.
type condition struct{ program cel.Program }

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
	switch {
	case expr == "":
		return condition{}, errors.New("it is empty; write true to tell everybody")
	case len(expr) > maxConditionLength:
		return condition{}, fmt.Errorf("it is over %d characters", maxConditionLength)
	}
	env, err := environment()
	if err != nil {
		return condition{}, fmt.Errorf("making the condition environment: %w", err)
	}
	compiled, issues := env.Compile(expr)
	if issues.Err() != nil {
		return condition{}, fmt.Errorf("%q: %w", expr, issues.Err())
	}
	if compiled.OutputType() != cel.BoolType {
		return condition{}, fmt.Errorf("%q is of type %s; it must be bool", expr, compiled.OutputType())
	}
	program, err := env.Program(compiled, cel.CostLimit(maxConditionCost), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return condition{}, fmt.Errorf("%q: %w", expr, err)
	}
	return condition{program}, nil
}

func (c condition) eval(i incident.Incident, m approval.Member) (bool, error) {
	if c.program == nil {
		return false, errors.New("the condition is not compiled; load the file")
	}
	details, roles := i.Details, m.Roles
	if details == nil {
		details = map[string]string{}
	}
	if roles == nil {
		roles = []string{}
	}
	out, _, err := c.program.Eval(map[string]any{
		"incident.kind": string(i.Kind), "incident.severity": string(i.Severity), "incident.priority": string(i.Priority),
		"incident.desk": i.Desk, "incident.owner": i.Owner, "incident.system": i.System, "incident.source": i.Source,
		"incident.origin": string(i.Origin), "incident.assignee": i.Assignee.Subject, "incident.occurrences": i.Occurrences,
		"incident.details": details, "member.id": m.Subject, "member.desk": m.Desk, "member.roles": roles,
	})
	if err != nil {
		return false, fmt.Errorf("evaluating condition: %w", err)
	}
	return out.Value() == true, nil
}

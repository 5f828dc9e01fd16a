package approval

import (
	"fmt"
	"sync"

	"cel.dev/cel-go/cel"
)

const (
	maxConditionLength = 1024
	// maxConditionCost bounds one evaluation, in CEL's own cost units; the
	// shipped policies need fewer than 20.
	maxConditionCost = 10_000
)

// condition is a compiled CEL expression over action and reviewer.
type condition struct{ program cel.Program }

// conditionEnv declares what a condition may speak of. Each field is a variable
// of its own, so that a misspelt field is an error when the file is loaded.
var conditionEnv = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable("action.kind", cel.StringType),
		cel.Variable("action.desk", cel.StringType),
		cel.Variable("action.mode", cel.StringType),
		cel.Variable("action.requester", cel.StringType),
		cel.Variable("action.parameters", cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable("reviewer.id", cel.StringType),
		cel.Variable("reviewer.desk", cel.StringType),
		cel.Variable("reviewer.roles", cel.ListType(cel.StringType)),
	)
})

func compileCondition(expr string) (condition, error) {
	if expr == "" {
		return condition{}, fmt.Errorf("the condition is empty; write true to match everything")
	}
	if len(expr) > maxConditionLength {
		return condition{}, fmt.Errorf("the condition is over %d characters", maxConditionLength)
	}
	env, err := conditionEnv()
	if err != nil {
		return condition{}, fmt.Errorf("making the condition environment: %w", err)
	}
	ast, issues := env.Compile(expr)
	if issues.Err() != nil {
		return condition{}, fmt.Errorf("%q: %w", expr, issues.Err())
	}
	if ast.OutputType() != cel.BoolType {
		return condition{}, fmt.Errorf("%q is of type %s; it must be bool", expr, ast.OutputType())
	}
	program, err := env.Program(ast, cel.CostLimit(maxConditionCost), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return condition{}, fmt.Errorf("%q: %w", expr, err)
	}
	return condition{program}, nil
}

func (c condition) eval(a Action, r Principal) (bool, error) {
	parameters, roles := a.Parameters, r.Roles
	if parameters == nil {
		parameters = map[string]string{}
	}
	if roles == nil {
		roles = []string{}
	}
	out, _, err := c.program.Eval(map[string]any{
		"action.kind":       a.Kind,
		"action.desk":       a.Desk,
		"action.mode":       string(a.Mode),
		"action.requester":  a.Requester.Subject,
		"action.parameters": parameters,
		"reviewer.id":       r.Subject,
		"reviewer.desk":     r.Desk,
		"reviewer.roles":    roles,
	})
	if err != nil {
		return false, fmt.Errorf("evaluating condition: %w", err)
	}
	return out.Value() == true, nil
}

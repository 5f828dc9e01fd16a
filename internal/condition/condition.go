// Package condition compiles the conditions of the files that a desk writes: CEL
// expressions that hold or do not. It is pure.
package condition

import (
	"errors"
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
)

const (
	maxLength = 1024 // bytes
	// maxCost bounds one evaluation, in CEL's own cost units; the shipped files need
	// fewer than 100.
	maxCost = 10_000
)

// Condition is a CEL expression that was type-checked. The zero Condition holds of
// nothing: evaluating it is an error.
type Condition struct{ program cel.Program }

// Compile type-checks an expression over an environment, which says what it may speak
// of, and bounds its length and cost. Checks see the expression as it was understood.
// Errors say what is wrong with it; callers say where it stands.
func Compile(environment func() (*cel.Env, error), expr string, checks ...func(*ast.AST) error) (Condition, error) {
	switch {
	case expr == "":
		return Condition{}, errors.New("the condition is empty; write true to match everything")
	case len(expr) > maxLength:
		return Condition{}, fmt.Errorf("the condition is over %d characters", maxLength)
	}
	env, err := environment()
	if err != nil {
		return Condition{}, fmt.Errorf("making the condition environment: %w", err)
	}
	compiled, issues := env.Compile(expr)
	if issues.Err() != nil {
		return Condition{}, fmt.Errorf("%q: %w", expr, issues.Err())
	}
	if compiled.OutputType() != cel.BoolType {
		return Condition{}, fmt.Errorf("%q is of type %s; it must be bool", expr, compiled.OutputType())
	}
	for _, check := range checks {
		if err := check(compiled.NativeRep()); err != nil {
			return Condition{}, fmt.Errorf("%q: %w", expr, err)
		}
	}
	program, err := env.Program(compiled, cel.CostLimit(maxCost), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return Condition{}, fmt.Errorf("%q: %w", expr, err)
	}
	return Condition{program}, nil
}

// Holds evaluates the condition over variables: a map of them by name, or a
// cel.Activation.
func (c Condition) Holds(variables any) (bool, error) {
	if c.program == nil {
		return false, errors.New("the condition is not compiled; load the file that it stands in")
	}
	out, _, err := c.program.Eval(variables)
	if err != nil {
		return false, fmt.Errorf("evaluating condition: %w", err)
	}
	return out.Value() == true, nil
}

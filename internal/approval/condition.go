package approval

import (
	"fmt"
	"regexp"
	"sync"

	celcondition "finobs/internal/condition"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"github.com/shopspring/decimal"
)

const maxDecimalLength = 64

// condition is a compiled CEL expression over an action and, in a who or a to,
// over a reviewer.
type condition struct {
	celcondition.Condition
	judged judged
}

// actionEnv declares what a match may speak of: the action alone, so that which
// policy governs never depends on who looks. Each field is a variable of its
// own, so that a misspelt field is an error when the file is loaded.
var actionEnv = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable("action.kind", cel.StringType),
		cel.Variable("action.dataset", cel.StringType),
		cel.Variable("action.desk", cel.StringType),
		cel.Variable("action.mode", cel.StringType),
		cel.Variable("action.risk_tier", cel.StringType),
		cel.Variable("action.amount", cel.StringType),
		cel.Variable("action.requester", cel.StringType),
		cel.Variable("action.targets", cel.ListType(cel.StringType)),
		cel.Variable("action.parameters", cel.MapType(cel.StringType, cel.StringType)),
		cel.Function("exceeds", cel.MemberOverload("string_exceeds_string",
			[]*cel.Type{cel.StringType, cel.StringType}, cel.BoolType, cel.BinaryBinding(exceeds))),
	)
})

// reviewerEnv declares what a who, a to and a fallback may speak of.
var reviewerEnv = sync.OnceValues(func() (*cel.Env, error) {
	env, err := actionEnv()
	if err != nil {
		return nil, err
	}
	return env.Extend(
		cel.Variable("reviewer.id", cel.StringType),
		cel.Variable("reviewer.desk", cel.StringType),
		cel.Variable("reviewer.roles", cel.ListType(cel.StringType)),
	)
})

func compileMatch(expr string) (condition, error) { return compileCondition(actionEnv, expr) }

func compileWho(expr string) (condition, error) { return compileCondition(reviewerEnv, expr) }

func compileCondition(environment func() (*cel.Env, error), expr string) (condition, error) {
	var out condition
	var err error
	out.Condition, err = celcondition.Compile(environment, expr, checkLimits, func(a *ast.AST) error {
		if ofReviewerAlone(a) {
			out.judged = judged{remember[bool](maxJudged)}
		}
		return nil
	})
	return out, err
}

// checkLimits finds limits written in the file that are no decimal numbers: with
// one, the condition could never be evaluated.
func checkLimits(a *ast.AST) error {
	for _, call := range ast.MatchDescendants(ast.NavigateAST(a), ast.FunctionMatcher("exceeds")) {
		for _, arg := range call.AsCall().Args() {
			if arg.Kind() != ast.LiteralKind {
				continue
			}
			if text, ok := arg.AsLiteral().(types.String); ok {
				if _, err := parseDecimal(string(text)); err != nil {
					return fmt.Errorf("exceeds: %w", err)
				}
			}
		}
	}
	return nil
}

func (c condition) eval(a Action, r Principal) (bool, error) {
	if c.judged.remembered == nil {
		return c.holds(a, r)
	}
	asked := question(r)
	if holds, known := c.judged.get(asked); known {
		return holds, nil
	}
	holds, err := c.holds(a, r)
	if err == nil {
		c.judged.put(asked, holds)
	}
	return holds, err
}

func (c condition) holds(a Action, r Principal) (bool, error) {
	parameters, roles := a.Parameters, r.Roles
	if parameters == nil {
		parameters = map[string]string{}
	}
	if roles == nil {
		roles = []string{}
	}
	targets := make([]string, 0, len(a.Targets))
	for _, t := range a.Targets {
		targets = append(targets, t.Kind+":"+t.ID)
	}
	return c.Holds(map[string]any{
		"action.kind":       a.Kind,
		"action.dataset":    a.Dataset(),
		"action.desk":       a.Desk,
		"action.mode":       string(a.Mode),
		"action.risk_tier":  string(a.RiskTier),
		"action.amount":     a.Amount(),
		"action.requester":  a.Requester.Subject,
		"action.targets":    targets,
		"action.parameters": parameters,
		"reviewer.id":       r.Subject,
		"reviewer.desk":     r.Desk,
		"reviewer.roles":    roles,
	})
}

// exceeds compares two amounts exactly. An argument that is no decimal number is
// an error: a limit on amounts must not let through what has no amount.
func exceeds(amount, limit ref.Val) ref.Val {
	l, ok := amount.Value().(string)
	r, also := limit.Value().(string)
	if !ok || !also {
		return types.MaybeNoSuchOverloadErr(amount)
	}
	a, err := parseDecimal(l)
	if err != nil {
		return types.WrapErr(err)
	}
	b, err := parseDecimal(r)
	if err != nil {
		return types.WrapErr(err)
	}
	return types.Bool(a.GreaterThan(b))
}

// decimalPattern has no exponent: comparing 1e999999999 would write out a
// thousand million digits.
var decimalPattern = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

func parseDecimal(text string) (decimal.Decimal, error) {
	if len(text) > maxDecimalLength {
		return decimal.Decimal{}, fmt.Errorf("the amount has %d characters; a decimal number may have %d", len(text), maxDecimalLength)
	}
	if !decimalPattern.MatchString(text) {
		return decimal.Decimal{}, fmt.Errorf("the amount %q is not a decimal number such as 1250000.50", text)
	}
	d, err := decimal.NewFromString(text)
	if err != nil {
		return decimal.Decimal{}, fmt.Errorf("reading amount %q: %w", text, err)
	}
	return d, nil
}

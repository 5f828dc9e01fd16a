package rulebook

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"finobs/internal/agent"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"github.com/shopspring/decimal"
)

const (
	maxExpression = 1024 // bytes
	// maxCost bounds one evaluation, in CEL's own cost units; the shipped files need
	// fewer than 100.
	maxCost = 20_000
)

// shownKinds are the kinds of evidence whose facts are variables. Each fact is a
// variable of its own, so that a misspelt one is an error when the file is loaded. A
// fact that is not in evidence is the empty text.
var shownKinds = []agent.EvidenceKind{agent.OfIncident, agent.OfSettlement, agent.OfSystem, agent.OfTrade, agent.OfOtherSide}

// environments of expressions, by what they may read.
type environments struct {
	reading *cel.Env // facts, details of the incident, and the words of texts
	stating *cel.Env // facts alone
	acting  *cel.Env // facts alone, one target, and another object with it
}

var makeEnvironments = sync.OnceValues(func() (environments, error) {
	facts := []cel.EnvOption{
		cel.Variable("related", cel.IntType),
		cel.Variable("evidence", cel.ListType(cel.MapType(cel.StringType, cel.DynType))),
		compares("atLeast", func(a, b decimal.Decimal) bool { return a.GreaterThanOrEqual(b) }),
		compares("below", decimal.Decimal.LessThan),
		cel.Function("conflict", cel.Overload("conflict_string_string", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType, cel.BinaryBinding(conflict))),
		cel.Function("get", cel.MemberOverload("map_get_string", []*cel.Type{cel.MapType(cel.StringType, cel.StringType), cel.StringType}, cel.StringType,
			cel.BinaryBinding(get))),
	}
	for _, kind := range shownKinds {
		for _, key := range agent.FactsOf(kind) {
			facts = append(facts, cel.Variable(string(kind)+"."+key, cel.StringType))
		}
	}
	var out environments
	var err error
	if out.stating, err = cel.NewEnv(facts...); err != nil {
		return out, err
	}
	if out.acting, err = out.stating.Extend(cel.Variable("target", cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable("with", cel.MapType(cel.StringType, cel.StringType)),
		cel.Function("lists", cel.MemberOverload("string_lists_string", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType, cel.BinaryBinding(lists)))); err != nil {
		return out, err
	}
	out.reading, err = out.stating.Extend(
		cel.Variable("text", cel.StringType),
		cel.Variable("incident.details", cel.MapType(cel.StringType, cel.StringType)),
		cel.Function("says", cel.MemberOverload("string_says_string", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType, cel.BinaryBinding(says))),
	)
	return out, err
})

// compares declares a comparison of two texts as exact decimals; a text that is no
// number compares as false.
func compares(name string, holds func(a, b decimal.Decimal) bool) cel.EnvOption {
	return cel.Function(name, cel.Overload(strings.ToLower(name)+"_string_string", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType,
		cel.BinaryBinding(func(l, r ref.Val) ref.Val {
			a, okA := number(l)
			b, okB := number(r)
			return types.Bool(okA && okB && holds(a, b))
		})))
}

func number(v ref.Val) (decimal.Decimal, bool) {
	text, isText := v.Value().(string)
	if !isText || len(text) > 40 || strings.ContainsAny(text, "eE") { // an exponent could make a number of any length
		return decimal.Decimal{}, false
	}
	d, err := decimal.NewFromString(text)
	return d, err == nil
}

// conflict reports whether two facts are both given and differ, as decimals if both
// are numbers, otherwise as texts without regard to case and outer blanks.
func conflict(l, r ref.Val) ref.Val {
	a, okA := number(l)
	b, okB := number(r)
	if okA && okB {
		return types.Bool(!a.Equal(b))
	}
	left, _ := l.Value().(string)
	right, _ := r.Value().(string)
	left, right = strings.TrimSpace(left), strings.TrimSpace(right)
	return types.Bool(left != "" && right != "" && !strings.EqualFold(left, right))
}

// get is an entry of a map, or the empty text.
func get(m, key ref.Val) ref.Val {
	if mapper, isMap := m.(traits.Mapper); isMap {
		if v, found := mapper.Find(key); found {
			return v
		}
	}
	return types.String("")
}

// lists reports whether a text, cut at commas, has an item.
func lists(text, item ref.Val) ref.Val {
	t, _ := text.Value().(string)
	i, _ := item.Value().(string)
	for part := range strings.SplitSeq(t, ",") {
		if i != "" && strings.TrimSpace(part) == i {
			return types.True
		}
	}
	return types.False
}

// says reports whether words stand in a text, on the boundaries of words.
func says(text, words ref.Val) ref.Val {
	t, _ := text.Value().(string)
	w, _ := words.Value().(string)
	p, err := parsePhrase(w)
	if err != nil {
		return types.NewErr("says: %v", err)
	}
	_, _, found := p.find(tokens(t, 0))
	return types.Bool(found)
}

// expression is a compiled CEL expression, and what of the evidence it reads.
type expression struct {
	program cel.Program
	facts   []fact
	phrases []phrase // whose presence in the incident's words it asks for
	related bool
}

// compile type-checks an expression that is to give a value of a type.
func compile(env *cel.Env, text string, result *cel.Type) (*expression, error) {
	switch {
	case strings.TrimSpace(text) == "":
		return nil, errors.New("it is empty")
	case len(text) > maxExpression:
		return nil, fmt.Errorf("it is over %d bytes", maxExpression)
	}
	checked, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, fmt.Errorf("%q: %w", text, issues.Err())
	}
	if !checked.OutputType().IsExactType(result) {
		return nil, fmt.Errorf("%q is of type %s; it must be %s", text, checked.OutputType(), result)
	}
	program, err := env.Program(checked, cel.CostLimit(maxCost), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, fmt.Errorf("%q: %w", text, err)
	}
	x := &expression{program: program}
	return x, x.reads(checked.NativeRep())
}

// reads collects what an expression reads, in the order of its text.
func (x *expression) reads(tree *celast.AST) error {
	var wrong error
	names := tree.ReferenceMap()
	visit := func(e celast.Expr) {
		if r, found := names[e.ID()]; found && r.Name != "" {
			x.named(r.Name)
		}
		if e.Kind() != celast.CallKind || !e.AsCall().IsMemberFunction() || len(e.AsCall().Args()) != 1 {
			return
		}
		arg, call := e.AsCall().Args()[0], e.AsCall()
		if arg.Kind() != celast.LiteralKind {
			return
		}
		literal, _ := arg.AsLiteral().Value().(string)
		switch of := names[call.Target().ID()]; {
		case call.FunctionName() == "says":
			p, err := parsePhrase(literal)
			if err != nil {
				wrong = fmt.Errorf("says(%q): %w", literal, err)
			}
			x.phrases = append(x.phrases, p)
		case call.FunctionName() == "get" && of != nil && of.Name == "target":
			x.add(fact{agent.OfTarget, literal})
		case call.FunctionName() == "get" && of != nil && of.Name == "with":
			x.add(fact{withObject, literal})
		case call.FunctionName() == "get" && of != nil && of.Name == "incident.details":
			x.add(fact{agent.OfIncident, agent.DetailPrefix + literal})
		}
	}
	celast.PostOrderVisit(tree.Expr(), celast.NewExprVisitor(visit))
	return wrong
}

func (x *expression) named(variable string) {
	if variable == "related" {
		x.related = true
		return
	}
	kind, key, found := strings.Cut(variable, ".")
	if found && slices.Contains(agent.FactsOf(agent.EvidenceKind(kind)), key) {
		x.add(fact{agent.EvidenceKind(kind), key})
	}
}

func (x *expression) add(f fact) {
	if !slices.Contains(x.facts, f) {
		x.facts = append(x.facts, f)
	}
}

func (x *expression) holds(vars map[string]any) (bool, error) {
	out, _, err := x.program.Eval(vars)
	if err != nil {
		return false, err
	}
	return out.Value() == true, nil
}

func (x *expression) text(vars map[string]any) (string, error) {
	out, _, err := x.program.Eval(vars)
	if err != nil {
		return "", err
	}
	s, _ := out.Value().(string)
	return s, nil
}

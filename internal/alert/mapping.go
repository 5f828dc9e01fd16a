package alert

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"finobs/internal/yamldoc"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

const (
	maxExpression = 2048 // bytes
	// maxCost bounds one evaluation, in CEL's own cost units; the mappings of the
	// documentation need fewer than 1,000.
	maxCost = 100_000
	// maxBodyCost bounds all evaluations of one body, to a few seconds.
	maxBodyCost = 5_000_000
)

// Expressions are a mapping as it is written in YAML: CEL expressions over body,
// the whole body, and item, the element that is read. All but state and title may
// be left out.
type Expressions struct {
	Items       string `yaml:"items"`       // a list over body alone; [body] when empty
	Where       string `yaml:"where"`       // a bool: which items are alerts
	Key         string `yaml:"key"`         // the sender's id of the notification
	Fingerprint string `yaml:"fingerprint"` // the identity of the condition; title and system when empty
	State       string `yaml:"state"`       // a word, a number or a bool
	Severity    string `yaml:"severity"`    // a word
	Title       string `yaml:"title"`
	Description string `yaml:"description"`
	System      string `yaml:"system"`
	URL         string `yaml:"url"`
	At          string `yaml:"at"` // times: a timestamp, a text, or a number of seconds or milliseconds since 1970
	StartsAt    string `yaml:"starts_at"`
	EndsAt      string `yaml:"ends_at"`
	Labels      string `yaml:"labels"` // a map
}

// Mapping reads bodies of kind Generic. It may be used by many goroutines.
type Mapping struct {
	items    cel.Program // nil: the body is the item
	elements map[string]cel.Program
}

// LoadMapping reads a mapping from YAML and compiles it. Fields that are not known
// and expressions of a wrong type are errors that name the element.
func LoadMapping(r io.Reader) (*Mapping, error) {
	var e Expressions
	if err := yamldoc.Read(r, &e); err != nil {
		return nil, fmt.Errorf("reading mapping: %w", err)
	}
	return e.Compile()
}

// Compile type-checks the expressions. Their cost is limited when they are
// evaluated: it depends on the body.
func (e Expressions) Compile() (*Mapping, error) {
	if strings.TrimSpace(e.State) == "" || strings.TrimSpace(e.Title) == "" {
		return nil, errors.New("the mapping lacks state or title; both are required")
	}
	env, err := mappingEnv()
	if err != nil {
		return nil, fmt.Errorf("making the mapping environment: %w", err)
	}
	itemEnv, err := env.Extend(cel.Variable("item", cel.DynType))
	if err != nil {
		return nil, fmt.Errorf("making the mapping environment: %w", err)
	}
	m := &Mapping{elements: map[string]cel.Program{}}
	if m.items, err = compile(env, "items", e.Items, cel.ListKind); err != nil {
		return nil, err
	}
	for _, element := range []struct {
		name, expr string
		kinds      []cel.Kind
	}{
		{"where", e.Where, []cel.Kind{cel.BoolKind}},
		{"key", e.Key, textKinds}, {"fingerprint", e.Fingerprint, textKinds},
		{"state", e.State, append([]cel.Kind{cel.BoolKind}, textKinds...)}, {"severity", e.Severity, textKinds},
		{"title", e.Title, textKinds}, {"description", e.Description, textKinds}, {"system", e.System, textKinds}, {"url", e.URL, textKinds},
		{"at", e.At, timeKinds}, {"starts_at", e.StartsAt, timeKinds}, {"ends_at", e.EndsAt, timeKinds},
		{"labels", e.Labels, []cel.Kind{cel.MapKind}},
	} {
		program, err := compile(itemEnv, element.name, element.expr, element.kinds...)
		if err != nil {
			return nil, err
		}
		if program != nil {
			m.elements[element.name] = program
		}
	}
	return m, nil
}

var (
	textKinds = []cel.Kind{cel.StringKind, cel.IntKind, cel.UintKind, cel.DoubleKind, cel.NullTypeKind}
	timeKinds = []cel.Kind{cel.TimestampKind, cel.StringKind, cel.IntKind, cel.UintKind, cel.DoubleKind, cel.NullTypeKind}
)

// compile returns nil for an element that is left out.
func compile(env *cel.Env, name, expr string, kinds ...cel.Kind) (cel.Program, error) {
	if strings.TrimSpace(expr) == "" {
		return nil, nil
	}
	if len(expr) > maxExpression {
		return nil, fmt.Errorf("mapping element %s is over %d bytes", name, maxExpression)
	}
	compiled, issues := env.Compile(expr)
	if issues.Err() != nil {
		return nil, fmt.Errorf("mapping element %s: %q: %w", name, expr, issues.Err())
	}
	output := compiled.OutputType()
	if output.TypeName() == "optional_type" { // what is not there reads as nothing
		output = output.Parameters()[0]
	}
	fits := output.Kind() == cel.DynKind
	names := make([]string, 0, len(kinds))
	for _, kind := range kinds {
		fits = fits || output.Kind() == kind
		names = append(names, kindNames[kind])
	}
	if !fits {
		return nil, fmt.Errorf("mapping element %s: %q is of type %s; it must be %s", name, expr, compiled.OutputType(), strings.Join(names, ", "))
	}
	program, err := env.Program(compiled, cel.CostLimit(maxCost), cel.EvalOptions(cel.OptOptimize, cel.OptTrackCost))
	if err != nil {
		return nil, fmt.Errorf("mapping element %s: %q: %w", name, expr, err)
	}
	return program, nil
}

var kindNames = map[cel.Kind]string{
	cel.BoolKind: "bool", cel.StringKind: "string", cel.IntKind: "int", cel.UintKind: "uint", cel.DoubleKind: "double",
	cel.NullTypeKind: "null", cel.TimestampKind: "timestamp", cel.ListKind: "list", cel.MapKind: "map",
}

// mappingEnv declares what every expression may use: CEL's standard functions, the
// optional values (item.?name.orValue("")), and three functions on texts of fixed
// cost in what they make: lowerAscii, trim and split, named as in CEL's own
// extension of strings.
var mappingEnv = sync.OnceValues(func() (*cel.Env, error) {
	text := []*cel.Type{cel.StringType}
	return cel.NewEnv(
		cel.OptionalTypes(),
		cel.Variable("body", cel.DynType),
		cel.Function("lowerAscii", cel.MemberOverload("string_lower", text, cel.StringType, cel.UnaryBinding(onText(strings.ToLower)))),
		cel.Function("trim", cel.MemberOverload("string_trim", text, cel.StringType, cel.UnaryBinding(onText(strings.TrimSpace)))),
		cel.Function("split", cel.MemberOverload("string_split_string", []*cel.Type{cel.StringType, cel.StringType},
			cel.ListType(cel.StringType), cel.BinaryBinding(split))),
	)
})

func onText(f func(string) string) func(ref.Val) ref.Val {
	return func(v ref.Val) ref.Val {
		text, is := v.Value().(string)
		if !is {
			return types.MaybeNoSuchOverloadErr(v)
		}
		return types.String(f(text))
	}
}

func split(v, by ref.Val) ref.Val {
	text, is := v.Value().(string)
	between, also := by.Value().(string)
	if !is || !also {
		return types.MaybeNoSuchOverloadErr(v)
	}
	return types.NewStringList(types.DefaultTypeAdapter, strings.Split(text, between))
}

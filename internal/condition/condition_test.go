package condition_test

import (
	"errors"
	"strings"
	"testing"

	"finobs/internal/condition"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
)

func environment() (*cel.Env, error) {
	return cel.NewEnv(cel.Variable("n", cel.IntType), cel.Variable("list", cel.ListType(cel.IntType)))
}

func TestConditionsThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ expr, want string }{
		"empty":        {"", "is empty; write true"},
		"endless":      {strings.Repeat("true || ", 200) + "true", "over 1024 characters"},
		"no CEL":       {"n >", "Syntax error"},
		"a wrong name": {"m == 1", "undeclared reference"},
		"a number":     {"n + 1", "is of type int; it must be bool"},
	} {
		if _, err := condition.Compile(environment, c.expr); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	no := errors.New("not this one")
	if _, err := condition.Compile(environment, "n == 1", func(*ast.AST) error { return no }); !errors.Is(err, no) {
		t.Errorf("got %v", err)
	}
	if _, err := condition.Compile(func() (*cel.Env, error) { return nil, no }, "true"); !errors.Is(err, no) {
		t.Errorf("got %v", err)
	}
}

func TestHolds(t *testing.T) {
	t.Parallel()
	c, err := condition.Compile(environment, "n == 1 || list.all(x, list.all(y, list.all(z, x + y + z > 0)))")
	if err != nil {
		t.Fatal(err)
	}
	long := make([]int, 100) // a million steps
	for i := range long {
		long[i] = 1
	}
	for name, v := range map[string]struct {
		n     int
		list  []int
		holds bool
		fails string
	}{
		"it holds":     {1, nil, true, ""},
		"it does not":  {2, []int{-1}, false, ""},
		"it costs":     {2, long, false, "cost limit"},
		"all of empty": {2, nil, true, ""},
	} {
		holds, err := c.Holds(map[string]any{"n": v.n, "list": v.list})
		if holds != v.holds || (err != nil) != (v.fails != "") || err != nil && !strings.Contains(err.Error(), v.fails) {
			t.Errorf("%s: %t, %v", name, holds, err)
		}
	}
	if _, err := c.Holds(map[string]any{}); err == nil {
		t.Error("it holds of nothing at all")
	}
	if _, err := (condition.Condition{}).Holds(nil); err == nil || !strings.Contains(err.Error(), "not compiled") {
		t.Errorf("got %v", err)
	}
}

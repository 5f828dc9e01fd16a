package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// sameShape finds where the floor does not do what the API does: an answer that has
// other members, or that shows other rows, is no floor.
func sameShape(ctx context.Context, ours, plain *hit) error {
	var answers [2]any
	for i, h := range []*hit{ours, plain} {
		var text bytes.Buffer
		if err := h.read(ctx, &text); err != nil {
			return err
		}
		if err := json.Unmarshal(text.Bytes(), &answers[i]); err != nil {
			return fmt.Errorf("%s: %w", h.url, err)
		}
	}
	if err := differs("", answers[0], answers[1]); err != nil {
		return fmt.Errorf("%s against %s: %w", ours.url, plain.url, err)
	}
	return nil
}

// computed are members that the API works out by rules of finobs; the floor has them
// and leaves them empty.
var computed = []string{"stage", "missing", "allowed_actions", "explanation", "signature"}

// differs compares two values of JSON: members, lengths of lists, and everything
// that stands in the database.
func differs(at string, a, b any) error {
	switch x := a.(type) {
	case map[string]any:
		y, _ := b.(map[string]any)
		if names := slices.Sorted(maps.Keys(x)); !slices.Equal(names, slices.Sorted(maps.Keys(y))) {
			return fmt.Errorf("%s has members %v in the API, %v in the floor", at, names, slices.Sorted(maps.Keys(y)))
		}
		var errs []error
		for name, value := range x {
			if !slices.Contains(computed, name) {
				errs = append(errs, differs(at+"."+name, value, y[name]))
			}
		}
		return errors.Join(errs...)
	case []any:
		y, _ := b.([]any)
		if len(x) != len(y) {
			return fmt.Errorf("%s has %d elements in the API, %d in the floor", at, len(x), len(y))
		}
		for i := range x {
			if err := differs(fmt.Sprintf("%s[%d]", at, i), x[i], y[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if a != b {
		return fmt.Errorf("%s is %v in the API, %v in the floor", at, a, b)
	}
	return nil
}

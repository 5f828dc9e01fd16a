package alert

import (
	"strconv"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// sortedMap is a CEL map of texts to values that is gone through by name. CEL's
// own is gone through as Go's maps are, which is another order every time.
type sortedMap struct {
	traits.Mapper
	names []string
}

// Iterator implements traits.Iterable.
func (m sortedMap) Iterator() traits.Iterator {
	return types.NewStringList(types.DefaultTypeAdapter, m.names).Iterator()
}

// celValue turns what parse reads into a CEL value. A number is an int where it is
// written without fraction and fits, else a double.
func celValue(v any) ref.Val {
	switch v := v.(type) {
	case string:
		return types.String(v)
	case bool:
		return types.Bool(v)
	case number:
		return celNumber(string(v))
	case []any:
		elements := make([]ref.Val, 0, len(v))
		for _, e := range v {
			elements = append(elements, celValue(e))
		}
		return types.NewRefValList(types.DefaultTypeAdapter, elements)
	case map[string]any:
		members := make(map[ref.Val]ref.Val, len(v))
		for name, member := range v {
			members[types.String(name)] = celValue(member)
		}
		return sortedMap{types.NewRefValMap(types.DefaultTypeAdapter, members), sortedNames(v)}
	}
	return types.NullValue
}

func celNumber(text string) ref.Val {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return types.Int(n)
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return types.Uint(n)
	}
	f, _ := strconv.ParseFloat(text, 64) // out of range is infinite
	return types.Double(f)
}

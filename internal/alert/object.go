package alert

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"finobs/internal/fault"
)

// first keeps the first thing that is wrong with a body. Readers go on with zero
// values after it, and it is looked at once, at the end.
type first struct{ err error }

func (f *first) fail(at, format string, args ...any) {
	if f.err == nil {
		f.err = fault.New(fault.Invalid, "invalid-alert", "%s %s", pointerShown(at), fmt.Sprintf(format, args...))
	}
}

// object is a value of a body that ought to be an object, and where it stands.
// One that is not there has no members, and reads as nothing.
type object struct {
	at    string // JSON pointer, "" for the body
	value any    // as it was read
	first *first
}

func document(root any) object { return object{value: root, first: &first{}} }

func (o object) members() map[string]any {
	members, _ := o.value.(map[string]any)
	return members
}

func (o object) fail(name, format string, args ...any) {
	o.first.fail(o.pointer(name), format, args...)
}

// pointer is the JSON pointer (RFC 6901) of a member.
func (o object) pointer(name string) string {
	return o.at + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// has reports whether a member is there and says something.
func (o object) has(name string) bool {
	switch v := o.members()[name].(type) {
	case nil:
		return false
	case string:
		return v != ""
	}
	return true
}

// hasAny reports whether one of the members is there.
func (o object) hasAny(names ...string) bool { return slices.ContainsFunc(names, o.has) }

// holdsObject and holdsList tell types where the body is told, not read.
func (o object) holdsObject(name string) bool {
	_, is := o.members()[name].(map[string]any)
	return is
}

func (o object) holdsList(name string) bool {
	_, is := o.members()[name].([]any)
	return is
}

// text returns a member that is a text, "" when it is missing or null.
func (o object) text(name string) string {
	switch v := o.members()[name].(type) {
	case nil:
	case string:
		return v
	default:
		o.fail(name, "is %s; expected is a text", describe(v))
	}
	return ""
}

// word returns a member that is a text, a number or a truth value, as text: ids
// and the like come both ways.
func (o object) word(name string) string {
	v := o.members()[name]
	text, is := scalar(v)
	if !is {
		o.fail(name, "is %s; expected is a text or a number", describe(v))
	}
	return text
}

// firstText and firstWord return the first member that says something.
func (o object) firstText(names ...string) string {
	for _, name := range names {
		if text := strings.TrimSpace(o.text(name)); text != "" {
			return text
		}
	}
	return ""
}

func (o object) firstWord(names ...string) string {
	for _, name := range names {
		if text := strings.TrimSpace(o.word(name)); text != "" {
			return text
		}
	}
	return ""
}

// object returns a member that is an object; one that is missing, null or the text
// "null", as PagerDuty once wrote it, reads as nothing.
func (o object) object(name string) object {
	v := o.members()[name]
	child := object{at: o.pointer(name), value: v, first: o.first}
	if _, is := v.(map[string]any); !is && v != nil && v != "null" && v != "" {
		o.fail(name, "is %s; expected is an object", describe(v))
	}
	return child
}

// list returns the elements of a member that is a list.
func (o object) list(name string) []object {
	v := o.members()[name]
	elements, is := v.([]any)
	if !is && v != nil {
		o.fail(name, "is %s; expected is a list", describe(v))
	}
	return elementsOf(o.pointer(name), elements, o.first)
}

func elementsOf(at string, elements []any, f *first) []object {
	out := make([]object, 0, len(elements))
	for i, e := range elements {
		out = append(out, object{at: at + "/" + strconv.Itoa(i), value: e, first: f})
	}
	return out
}

// objects is list, of elements that must be objects.
func (o object) objects(name string) []object {
	elements := o.list(name)
	for _, e := range elements {
		e.mustBeObject()
	}
	return elements
}

func (o object) mustBeObject() {
	if _, is := o.value.(map[string]any); !is {
		o.first.fail(o.at, "is %s; expected is an object", describe(o.value))
	}
}

// labels returns a member that is an object of texts; numbers and truth values are
// taken as texts, and null is left out.
func (o object) labels(name string) map[string]string {
	child := o.object(name)
	out := map[string]string{}
	for _, label := range sortedNames(child.members()) { // in order, so that the same body has the same fault
		v := child.members()[label]
		text, is := scalar(v)
		if !is {
			child.fail(label, "is %s; expected is a text: labels have no structure", describe(v))
		} else if v != nil {
			out[label] = text
		}
	}
	return out
}

// scalar is the text of a value that has no structure; null is "".
func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "", true
	case string:
		return v, true
	case number:
		return string(v), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

// describe says what a value is, for a fault.
func describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return "the text " + shown(v)
	case number:
		return "the number " + clean(cut(string(v), maxShown), false)
	case bool:
		return strconv.FormatBool(v)
	case []any:
		return "a list of " + count(len(v))
	case map[string]any:
		names := sortedNames(v)
		if len(names) == 0 {
			return "an empty object"
		}
		more := ""
		if len(names) > 8 {
			more = " and " + count(len(names)-8) + " more"
			names = names[:8]
		}
		for i := range names {
			names[i] = shown(names[i])
		}
		return "an object with " + strings.Join(names, ", ") + more
	}
	return "something else"
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

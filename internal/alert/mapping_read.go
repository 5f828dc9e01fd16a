package alert

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"finobs/internal/fault"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// Read reads a body of kind Generic. Faults are as those of the function Read, and
// name the element of the mapping and the index of the item.
func (m *Mapping) Read(body []byte) ([]Alert, error) {
	root, err := parse(body)
	if err != nil {
		return nil, err
	}
	e := evaluation{mapping: m, body: celValue(root), index: -1}
	items, err := e.items()
	if err != nil {
		return nil, err
	}
	drafts := make([]draft, 0, len(items))
	for i, item := range items {
		e.index, e.item = i, item
		d, is, err := e.draft()
		if err != nil {
			return nil, err
		}
		if is {
			drafts = append(drafts, d)
		}
	}
	return finish(Generic, drafts)
}

// evaluation is of one mapping over one body.
type evaluation struct {
	mapping *Mapping
	body    ref.Val
	item    ref.Val
	index   int // of the item, from 0; -1 before there are items
	cost    uint64
}

// fail words what is wrong with an element of the mapping.
func (e *evaluation) fail(element, format string, args ...any) error {
	where := "mapping element " + element
	if e.index >= 0 {
		where += ", item " + count(e.index)
	}
	return fault.New(fault.Invalid, "invalid-alert", "%s: %s", where, fmt.Sprintf(format, args...))
}

// eval returns nil for an element that is left out, and for null and an optional
// value that is not there.
func (e *evaluation) eval(element string, program cel.Program) (ref.Val, error) {
	if program == nil {
		return nil, nil
	}
	out, details, err := program.Eval(map[string]any{"body": e.body, "item": e.item})
	if details != nil && details.ActualCost() != nil {
		e.cost += *details.ActualCost()
	}
	if err != nil {
		return nil, e.fail(element, "evaluating: %s", clean(cut(err.Error(), 3*maxShown), false))
	}
	if e.cost > maxBodyCost {
		return nil, e.fail(element, "the body costs more than %d to read; let the sender split it", maxBodyCost)
	}
	if optional, is := out.(*types.Optional); is {
		if !optional.HasValue() {
			return nil, nil
		}
		out = optional.GetValue()
	}
	if out == types.NullValue {
		return nil, nil
	}
	return out, nil
}

func (e *evaluation) items() ([]ref.Val, error) {
	if e.mapping.items == nil {
		return []ref.Val{e.body}, nil
	}
	out, err := e.eval("items", e.mapping.items)
	if err != nil {
		return nil, err
	}
	elements, is := out.(traits.Lister)
	if !is {
		return nil, e.fail("items", "the result is %s; expected is a list", described(out))
	}
	n, _ := elements.Size().(types.Int)
	if n > MaxAlerts {
		return nil, e.fail("items", "the list holds %d items, over the limit of %d; let the sender split it", n, MaxAlerts)
	}
	items := make([]ref.Val, 0, n)
	for i := range n {
		items = append(items, elements.Get(i))
	}
	return items, nil
}

// draft reads one item; it is none where the mapping says so.
func (e *evaluation) draft() (draft, bool, error) {
	where, err := e.eval("where", e.mapping.elements["where"])
	if err != nil {
		return draft{}, false, err
	}
	if where != nil {
		is, isBool := where.(types.Bool)
		if !isBool {
			return draft{}, false, e.fail("where", "the result is %s; expected is a bool", described(where))
		}
		if !is {
			return draft{}, false, nil
		}
	}
	var d draft
	fingerprint := ""
	for _, element := range []struct {
		name string
		into *string
	}{
		{"key", &d.id}, {"fingerprint", &fingerprint}, {"severity", &d.severity}, {"title", &d.title},
		{"description", &d.description}, {"system", &d.system}, {"url", &d.url},
	} {
		if *element.into, err = e.text(element.name); err != nil {
			return draft{}, false, err
		}
	}
	if strings.TrimSpace(d.title) == "" {
		return draft{}, false, e.fail("title", "the result is empty; expected is a text")
	}
	if d.identity = []string{fingerprint}; fingerprint == "" {
		d.identity = []string{"title", d.title, d.system}
	}
	if err := e.rest(&d); err != nil {
		return draft{}, false, err
	}
	return d, true, nil
}

// rest reads what is no text.
func (e *evaluation) rest(d *draft) error {
	said, err := e.text("state")
	if err != nil {
		return err
	}
	var known bool
	if d.state, known = stateWords[word(said)]; !known {
		return e.fail("state", "the result is %s; expected is firing, acknowledged or resolved, or one of %s", shown(said), strings.Join(sortedNames(stateWords), ", "))
	}
	for _, element := range []struct {
		name string
		into *time.Time
	}{{"at", &d.at}, {"starts_at", &d.startsAt}, {"ends_at", &d.endsAt}} {
		if *element.into, err = e.time(element.name); err != nil {
			return err
		}
	}
	d.labels, err = e.labels()
	return err
}

// text returns the result of an element that has no structure.
func (e *evaluation) text(element string) (string, error) {
	out, err := e.eval(element, e.mapping.elements[element])
	if err != nil || out == nil {
		return "", err
	}
	text, is := textOf(out)
	if !is {
		return "", e.fail(element, "the result is %s; expected is a text", described(out))
	}
	return text, nil
}

var errNoTime = errors.New("no time")

func (e *evaluation) time(element string) (time.Time, error) {
	out, err := e.eval(element, e.mapping.elements[element])
	if err != nil || out == nil {
		return time.Time{}, err
	}
	t, err := timeOf(out)
	if err != nil {
		return time.Time{}, e.fail(element, "the result is %s; expected is a time: a timestamp, a text such as 2026-06-12T09:30:00Z, or seconds or milliseconds since 1970", described(out))
	}
	return t, nil
}

func timeOf(v ref.Val) (time.Time, error) {
	if stamp, is := v.(types.Timestamp); is {
		v = types.String(stamp.UTC().Format(time.RFC3339Nano)) // with its bounds
	}
	text, is := textOf(v)
	if !is {
		return time.Time{}, errNoTime
	}
	if t, is := parseTime(text); is {
		return t, nil
	}
	// Numbers of this size are seconds of the year 5138, or milliseconds of 1973.
	unit, milliseconds := time.Second, 1e11
	if f, err := strconv.ParseFloat(text, 64); err == nil && f >= milliseconds {
		unit = time.Millisecond
	}
	if t, is := parseEpoch(text, unit); is {
		return t, nil
	}
	return time.Time{}, errNoTime
}

func (e *evaluation) labels() (map[string]string, error) {
	out, err := e.eval("labels", e.mapping.elements["labels"])
	if err != nil || out == nil {
		return map[string]string{}, err
	}
	m, is := out.(traits.Mapper)
	if !is {
		return nil, e.fail("labels", "the result is %s; expected is a map", described(out))
	}
	labels := map[string]string{}
	bad := map[string]ref.Val{} // the first by name is reported, so that the fault is always the same
	for it := m.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		name, isName := textOf(key)
		value := m.Get(key)
		text, isText := textOf(value)
		switch {
		case !isName || !isText:
			bad[name] = value
		case value != types.NullValue:
			labels[name] = text
		}
	}
	if len(bad) > 0 {
		name := sortedNames(bad)[0]
		return nil, e.fail("labels", "label %s is %s; expected is a text", shown(name), described(bad[name]))
	}
	return labels, nil
}

// textOf is the text of a value without structure.
func textOf(v ref.Val) (string, bool) {
	switch v := v.(type) {
	case types.String:
		return string(v), true
	case types.Int:
		return strconv.FormatInt(int64(v), 10), true
	case types.Uint:
		return strconv.FormatUint(uint64(v), 10), true
	case types.Double:
		return strconv.FormatFloat(float64(v), 'f', -1, 64), true
	case types.Bool:
		return strconv.FormatBool(bool(v)), true
	case types.Null:
		return "", true
	}
	return "", false
}

// described says what a result is, for a fault.
func described(v ref.Val) string {
	if v == nil {
		return "nothing"
	}
	if text, is := textOf(v); is {
		return v.Type().TypeName() + " " + shown(text)
	}
	return "a " + v.Type().TypeName()
}

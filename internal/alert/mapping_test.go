package alert_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"finobs/internal/alert"
	"finobs/internal/fault"
)

func mapping(t *testing.T, e alert.Expressions) *alert.Mapping {
	t.Helper()
	if e.State == "" {
		e.State = `"firing"`
	}
	if e.Title == "" {
		e.Title = `"t"`
	}
	m, err := e.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestLoadMappingRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"nothing":          {"", "reading mapping: it is empty"},
		"unknown field":    {"state: 'a'\ncolour: b\n", "field colour not found"},
		"two documents":    {"state: '\"ok\"'\ntitle: '\"t\"'\n---\nstate: b\n", "second document"},
		"no state":         {"title: item.a\n", "lacks state or title"},
		"no title":         {"state: item.a\n", "lacks state or title"},
		"syntax":           {"state: item.\ntitle: item.a\n", `mapping element state: "item."`},
		"unknown variable": {"state: alert.a\ntitle: item.a\n", "undeclared reference to 'alert'"},
		"items over item":  {"items: item.a\nstate: item.a\ntitle: item.a\n", "mapping element items"},
		"items' type":      {"items: '\"a\"'\nstate: item.a\ntitle: item.a\n", `mapping element items: "\"a\"" is of type string; it must be list`},
		"where's type":     {"where: '1'\nstate: item.a\ntitle: item.a\n", "is of type int; it must be bool"},
		"title's type":     {"state: item.a\ntitle: '[1]'\n", "is of type list(int); it must be string, int, uint, double, null"},
		"labels' type":     {"state: item.a\ntitle: item.a\nlabels: 'true'\n", "is of type bool; it must be map"},
		"time's type":      {"state: item.a\ntitle: item.a\nat: 'true'\n", "it must be timestamp, string"},
		"too long":         {"state: item.a\ntitle: '" + strings.Repeat("a", 2049) + "'\n", "mapping element title is over 2048 bytes"},
	} {
		_, err := alert.LoadMapping(strings.NewReader(tc.text))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v\nwant %s", name, err, tc.want)
		}
	}
}

// What goes wrong with a body names the element and the item.
func TestMappingFaults(t *testing.T) {
	for name, tc := range map[string]struct {
		e          alert.Expressions
		body, want string
	}{
		"missing member":     {alert.Expressions{Items: "body", Title: "item.name"}, `[{"name":"a"},{}]`, "mapping element title, item 1: evaluating: no such key: name"},
		"items is no list":   {alert.Expressions{Items: "body.a"}, `{"a":"x"}`, `mapping element items: the result is string "x"; expected is a list`},
		"items is null":      {alert.Expressions{Items: "body.a"}, `{"a":null}`, "mapping element items: the result is nothing; expected is a list"},
		"items is missing":   {alert.Expressions{Items: "body.a"}, `{}`, "mapping element items: evaluating: no such key: a"},
		"where is no bool":   {alert.Expressions{Where: "item.a"}, `{"a":1}`, "mapping element where, item 0: the result is int \"1\"; expected is a bool"},
		"title is empty":     {alert.Expressions{Title: "item.a"}, `{"a":" "}`, "mapping element title, item 0: the result is empty"},
		"title is an object": {alert.Expressions{Title: "item.a"}, `{"a":{}}`, "mapping element title, item 0: the result is a map; expected is a text"},
		"state":              {alert.Expressions{State: "item.a"}, `{"a":"burning"}`, `mapping element state, item 0: the result is "burning"; expected is firing, acknowledged or resolved`},
		"state is null":      {alert.Expressions{State: "item.a"}, `{"a":null}`, `mapping element state, item 0: the result is ""`},
		"time":               {alert.Expressions{At: "item.a"}, `{"a":"soon"}`, `mapping element at, item 0: the result is string "soon"; expected is a time`},
		"time is a list":     {alert.Expressions{StartsAt: "item.a"}, `{"a":[]}`, "mapping element starts_at, item 0: the result is a list"},
		"labels":             {alert.Expressions{Labels: "item.a"}, `{"a":"x"}`, "mapping element labels, item 0: the result is string \"x\"; expected is a map"},
		"a label":            {alert.Expressions{Labels: "item.a"}, `{"a":{"z":[],"b":{},"c":"d"}}`, `mapping element labels, item 0: label "b" is a map; expected is a text`},
		"cost":               {alert.Expressions{Where: "body.all(a, body.all(b, body.all(c, a + b + c >= 0)))"}, "[" + strings.Repeat("1,", 200) + "1]", "cost limit exceeded"},
		"a type":             {alert.Expressions{Title: "item.a + 1"}, `{"a":"x"}`, "mapping element title, item 0: evaluating: no such overload"},
	} {
		_, err := mapping(t, tc.e).Read([]byte(tc.body))
		if fault.KindOf(err) != fault.Invalid || fault.CodeOf(err) != "invalid-alert" || !strings.Contains(fault.MessageOf(err), tc.want) {
			t.Errorf("%s: got %v\nwant %s", name, err, tc.want)
		}
	}
	m := mapping(t, alert.Expressions{Items: "body"})
	if _, err := m.Read([]byte("<x/>")); fault.CodeOf(err) != "not-an-alert" {
		t.Errorf("XML: %v", err)
	}
	_, err := m.Read([]byte("[" + strings.Repeat("1,", alert.MaxAlerts) + "1]"))
	if !strings.Contains(fault.MessageOf(err), "10001 items, over the limit of 10000") {
		t.Errorf("10,001 items: %v", err)
	}
	costly := mapping(t, alert.Expressions{Items: "body.items", Where: `body.text.contains("no")`})
	_, err = costly.Read([]byte(`{"text":"` + strings.Repeat("a", 900_000) + `","items":[` + strings.Repeat("1,", 99) + `1]}`))
	if !strings.Contains(fault.MessageOf(err), "mapping element where, item 5") || !strings.Contains(fault.MessageOf(err), "the body costs more than 5000000 to read") {
		t.Errorf("a costly body: %v", err)
	}
}

func TestMappingStates(t *testing.T) {
	m := mapping(t, alert.Expressions{State: "item.s"})
	for value, want := range map[string]alert.State{
		`"firing"`: alert.Firing, `"ALERT"`: alert.Firing, `"error"`: alert.Firing, `"Problem"`: alert.Firing, `1`: alert.Firing, `"1"`: alert.Firing, `1.0`: alert.Firing,
		`true`: alert.Firing, `"ack"`: alert.Acknowledged, `"acknowledged"`: alert.Acknowledged, `"ok"`: alert.Resolved, `"Recovery"`: alert.Resolved, `0`: alert.Resolved,
		`false`: alert.Resolved, `"resolved"`: alert.Resolved,
	} {
		got, err := m.Read([]byte(`{"s":` + value + `}`))
		if err != nil || len(got) != 1 || got[0].State != want {
			t.Errorf("%s: got %+v, %v", value, got, err)
		}
	}
}

// Results that have no text, and members that are not there, read as nothing.
func TestMappingResults(t *testing.T) {
	m := mapping(t, alert.Expressions{
		Title: "item.title", Severity: "item.?severity", System: `item.?tags.orValue("").split(",")[0].trim().lowerAscii()`, Key: "item.id",
		URL: "item.?url", EndsAt: "item.?end", At: `timestamp("2026-06-12T09:30:00Z")`, Labels: "item.labels", Fingerprint: "item.big",
	})
	got, err := m.Read([]byte(`{"title":7.5,"tags":" FX ,b","id":43434343434343434343,"labels":{"b":1,"a":null,"c":true,"d":18446744073709551615},"big":9007199254740993,"end":1781256600000}`))
	if err != nil || len(got) != 1 {
		t.Fatalf("got %+v, %v", got, err)
	}
	want := alert.Alert{
		Fingerprint: "generic:9007199254740993", State: alert.Firing, Severity: alert.Medium, Title: "7.5", System: "fx", At: utc("2026-06-12T09:30:00Z"),
		Labels: map[string]string{"b": "1", "c": "true", "d": "18446744073709551615"},
	}
	equal(t, "results", got[0], want)
	plain := mapping(t, alert.Expressions{Title: "item.t", System: "item.s", State: "item.state"})
	read := func(body string) alert.Alert {
		alerts, err := plain.Read([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return alerts[0]
	}
	a, b, c := read(`{"t":"x","s":"y","state":1}`), read(`{"t":"x","s":"y","state":0}`), read(`{"t":"xy","s":"","state":0}`)
	if a.Fingerprint != b.Fingerprint || b.Fingerprint == c.Fingerprint || a.Key == b.Key || !a.Timeless {
		t.Errorf("without fingerprint: %+v, %+v, %+v", a, b, c)
	}
}

// Objects are gone through by name, so that the same body always reads the same.
func TestMappingsAreDeterministic(t *testing.T) {
	m := mapping(t, alert.Expressions{Items: "body.map(name, body[name])", Title: "item.n", Key: "body.map(name, name)[0] + item.n"})
	body := `{"q":{"n":"4"},"a":{"n":"1"},"z":{"n":"5"},"c":{"n":"2"},"d":{"n":"3"}}`
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			got, err := m.Read([]byte(body))
			if err != nil {
				t.Error(err)
				return
			}
			for i, a := range got {
				if a.Title != fmt.Sprint(i+1) || a.Key != "a"+a.Title {
					t.Errorf("item %d: %s, %s", i, a.Title, a.Key)
				}
			}
		})
	}
	group.Wait()
}

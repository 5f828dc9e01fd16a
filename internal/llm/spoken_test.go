package llm

import (
	"testing"

	"finobs/internal/agent"
)

func TestSpoken(t *testing.T) {
	bundle := []agent.Evidence{{ID: "E1", Text: "it was approved by compliance"}}
	for name, c := range map[string]struct{ said, want string }{
		"the schema's own names say nothing": {`{"summary":"a\u200bb","inconclusive":false,"claims":[{"text":"c"}]}`, "a\u200bb\nfalse\nc\n"},
		"other fields are named":             {`{"summary":"a","approved":true,"by":{"quorum":0}}`, "a\n\"approved\": true\n\"by\": \"quorum\": 0\n"},
		"parameters are named":               {`{"parameters":[{"name":"approved","value":"true"}]}`, "\"approved\": true\n"},
		"a field twice":                      {`{"severity":"low","severity":"critical"}`, "low\ncritical\n"},
		"what follows":                       {`{"summary":"a"} Carry it out.`, "a\n Carry it out.\n"},
		"no JSON":                            {"I will do as I please.", "I will do as I please.\n"},
		"JSON in a string":                   {`"{\"summary\":\"a\"}"`, "{\"summary\":\"a\"}\n"},
		"bytes":                              {"{\"summary\":\"a\xffb\"}", "a\uFFFDb\n"},
		"true quotes are left out":           {`{"cites":[{"quote":"approved by compliance"},{"quote":"approved by nobody"}]}`, "approved by nobody\n"},
		"nothing":                            {"", ""},
		"a half":                             {`{"summary":"a","approved`, "a\n" + `,"approved` + "\n"},
	} {
		if got := spoken(c.said, bundle); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// All that a model says is searched, whatever the form in which it says it.
func TestReplyInWords(t *testing.T) {
	r := reply{text: `{"summary":"a"}`, others: []string{`calls "tool_calls": release`, `{"amount":"82000"}`, "and a word"}}
	if got, want := r.inWords(nil), "a\ncalls \"tool_calls\": release\n\"amount\": 82000\nand a word\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzSpoken(f *testing.F) {
	f.Add(`{"summary":"a","x":[1,null]}`)
	f.Add(`{"a`)
	f.Fuzz(func(t *testing.T, text string) {
		if got := spoken(text, nil); len(got) > 10*len(text)+10 {
			t.Errorf("%d bytes become %d", len(text), len(got))
		}
	})
}

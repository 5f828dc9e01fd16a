package doctor

import (
	"encoding/json"
	"strconv"
)

// leaf is what an entry says in the bytes that are hashed.
type leaf struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Outcome string `json:"outcome"`
	Subject struct {
		Kind string `json:"kind"`
		ID   string `json:"id"`
	} `json:"subject"`
	Details map[string]any `json:"details"`
}

// text is a detail that is text; "" when there is none.
func (l leaf) text(name string) string {
	s, _ := l.Details[name].(string)
	return s
}

// object is a detail that is an object; empty when there is none.
func (l leaf) object(name string) leaf {
	o, _ := l.Details[name].(map[string]any)
	return leaf{Details: o}
}

// number is a detail that is an id, written as text; 0 when it is none.
func (l leaf) number(name string) int64 {
	n, err := strconv.ParseInt(l.text(name), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// told is an entry with its leaf read.
type told struct {
	Entry
	leaf leaf
}

// tell reads the leaves of entries. One that cannot be read says nothing; pass
// entries finds it.
func tell(entries []Entry) []told {
	out := make([]told, 0, len(entries))
	for _, e := range entries {
		if t, err := e.tell(); err == nil {
			out = append(out, t)
		}
	}
	return out
}

func (e Entry) tell() (told, error) {
	t := told{Entry: e}
	err := json.Unmarshal([]byte(e.Leaf), &t.leaf)
	return t, err
}

// agrees reports whether the columns of an entry say what its leaf says.
func (t told) agrees() bool {
	return t.leaf.ID == t.ID && t.leaf.Type == t.Type && t.leaf.Outcome == t.Outcome &&
		t.leaf.Subject.Kind == t.SubjectKind && t.leaf.Subject.ID == t.SubjectID
}

func ofType(entries []told, typ string) []told {
	var out []told
	for _, e := range entries {
		if e.Type == typ {
			out = append(out, e)
		}
	}
	return out
}

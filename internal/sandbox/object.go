package sandbox

import (
	"maps"
	"strconv"
	"time"

	"github.com/shopspring/decimal"
)

// Object is a thing of the desk as the protocol shows it.
type Object struct {
	Kind    string            `json:"kind"`
	ID      string            `json:"id"`
	Version string            `json:"version"` // integer as text; moves with every change
	Fields  map[string]string `json:"fields"`
}

// held is an object as it is kept: with what becomes of it, and when.
type held struct {
	Object

	Due time.Time `json:"due,omitzero"` // when what was begun ends; zero when nothing was
}

type ref struct{ kind, id string }

func (h held) ref() ref { return ref{h.Kind, h.ID} }

// changed is a copy that may be changed, one version on.
func (h held) changed() (*held, error) {
	n, err := strconv.ParseInt(h.Version, 10, 64)
	if err != nil {
		return nil, err
	}
	h.Version = strconv.FormatInt(n+1, 10)
	h.Fields = maps.Clone(h.Fields)
	return &h, nil
}

// is reports whether a field has one of the values. An object that is not there has
// none.
func (h *held) is(field string, values ...string) bool {
	if h == nil {
		return false
	}
	for _, v := range values {
		if h.Fields[field] == v {
			return true
		}
	}
	return false
}

// dec reads a field that the seed has checked; what is empty is 0.
func (h *held) dec(field string) decimal.Decimal {
	n, err := decimal.NewFromString(h.Fields[field])
	if err != nil {
		return decimal.Zero
	}
	return n
}

// count adds one to a counter.
func (h *held) count(field string) {
	h.Fields[field] = h.dec(field).Add(decimal.NewFromInt(1)).String()
}

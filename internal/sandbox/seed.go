package sandbox

import (
	"bytes"
	_ "embed" // for the desk of the demonstration
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

//go:embed seed.json
var defaultSeed []byte

// DefaultSeed is a desk on a bad morning: a settlement of 82,000 shares that failed
// on the wrong standing instruction, orders stuck behind a gateway that is down, a
// silent feed with a live backup, and so on.
func DefaultSeed() ([]Object, error) { return LoadSeed(bytes.NewReader(defaultSeed)) }

// Kinds lists the kinds of objects that a sandbox holds.
func Kinds() []string {
	return []string{"order", "position", "settlement", "ssi", "trade", "trader", "strategy", "feed", "gateway", "counterparty"}
}

var (
	idPattern     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$`)
	fieldPattern  = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
	numberPattern = regexp.MustCompile(`^(0|[1-9][0-9]{0,17})(\.[0-9]{1,8})?$`)
)

// LoadSeed reads objects: {"objects": [{"kind", "id", "fields"}]}. Each is at
// version 1 and gets the field origin=demo, since nothing in a sandbox is real.
// Errors name the object; callers name the file.
func LoadSeed(r io.Reader) ([]Object, error) {
	var file struct {
		Objects []struct {
			Kind   string            `json:"kind"`
			ID     string            `json:"id"`
			Fields map[string]string `json:"fields"`
		} `json:"objects"`
	}
	decoder := json.NewDecoder(r)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		return nil, err
	}
	if len(file.Objects) == 0 {
		return nil, errors.New("it has no objects")
	}
	seen := map[ref]bool{}
	out := make([]Object, 0, len(file.Objects))
	for i, e := range file.Objects {
		o := Object{Kind: e.Kind, ID: e.ID, Version: "1", Fields: map[string]string{"origin": "demo"}}
		for name, value := range e.Fields {
			o.Fields[name] = value
		}
		switch {
		case seen[ref{o.Kind, o.ID}]:
			return nil, fmt.Errorf("objects[%d]: %s %s is there twice", i, o.Kind, o.ID)
		case o.Fields["origin"] != "demo":
			return nil, fmt.Errorf("objects[%d] (%s %s): origin is always demo", i, o.Kind, o.ID)
		}
		if err := o.check(); err != nil {
			return nil, fmt.Errorf("objects[%d] (%s %s): %w", i, o.Kind, o.ID, err)
		}
		seen[ref{o.Kind, o.ID}] = true
		out = append(out, o)
	}
	return out, nil
}

func (o Object) check() error {
	switch {
	case !slices.Contains(Kinds(), o.Kind):
		return fmt.Errorf("kind must be one of %s", strings.Join(Kinds(), ", "))
	case !idPattern.MatchString(o.ID):
		return errors.New("id must be 1 to 64 letters, digits, '_', '.', ':' and '-'")
	}
	for name, value := range o.Fields {
		if !fieldPattern.MatchString(name) {
			return fmt.Errorf("field %q must be a lower-case word", name)
		}
		number := strings.HasSuffix(name, "quantity") || strings.HasSuffix(name, "amount") || strings.HasSuffix(name, "price")
		if number && value != "" && !numberPattern.MatchString(value) {
			return fmt.Errorf("field %s: %q is no plain decimal", name, value)
		}
	}
	return nil
}

// Package yamldoc reads the YAML files that people write for finobs.
package yamldoc

import (
	"errors"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Read reads the only document of a file into a struct and refuses fields that it
// does not have. A second document would look like a rule and be none. Errors do
// not name the file; callers do.
func Read(r io.Reader, into any) error {
	dec := yaml.NewDecoder(r)
	dec.KnownFields(true)
	if err := dec.Decode(into); errors.Is(err, io.EOF) {
		return errors.New("it is empty")
	} else if err != nil {
		return readable(err)
	}
	var more yaml.Node
	switch err := dec.Decode(&more); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return readable(err)
	}
	return errors.New("it has a second document after ---; write one document")
}

// readable is an error that can be shown: the library cuts what it quotes in the
// middle of a character.
func readable(err error) error { return errors.New(strings.ToValidUTF8(err.Error(), "\uFFFD")) }

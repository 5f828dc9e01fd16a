// Package canonical turns values into the exact bytes that finobs hashes and
// signs.
//
// The form is RFC 8785 (JSON Canonicalization Scheme) restricted to objects,
// arrays, strings and booleans. Numbers and null are refused: JCS maps
// different integers above 2^53 to one text, so identifiers, amounts and times
// travel as strings. Text is never Unicode-normalised; invalid UTF-8 is refused
// because JSON cannot carry it unchanged.
package canonical

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Object is a JSON object in canonical form: values are string, bool, Object,
// []any, []string or []Object.
type Object map[string]any

// ErrNotCanonical is wrapped by every refusal of a value.
var ErrNotCanonical = errors.New("value has no canonical form")

// JSON returns the canonical bytes of o.
func JSON(o Object) ([]byte, error) {
	out, ok := appendValue(make([]byte, 0, 512), o)
	if ok {
		return out, nil
	}
	if err := check(o, "$"); err != nil {
		return nil, err
	}
	return nil, ErrNotCanonical // check knows of every value that has no text
}

// Parse reads canonical bytes back. It refuses bytes that are not exactly what
// JSON would write, so that one value never has two accepted spellings.
func Parse(b []byte) (Object, error) {
	var o Object
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := dec.Decode(&o); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotCanonical, err)
	}
	again, err := JSON(o)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, b) {
		return nil, fmt.Errorf("%w: the bytes are valid JSON in another spelling", ErrNotCanonical)
	}
	return o, nil
}

// Digest returns the SHA-256 of domain, a zero byte and the canonical bytes of
// o, written as "sha256:" and 64 hexadecimal digits. The domain separates uses,
// so that a digest made for one purpose never answers for another.
func Digest(domain string, o Object) (string, error) {
	b, err := JSON(o)
	if err != nil {
		return "", err
	}
	return DigestBytes(domain, b), nil
}

// DigestBytes is Digest over bytes that are canonical already.
func DigestBytes(domain string, b []byte) string {
	h := sha256.New()
	h.Write([]byte(domain))
	h.Write([]byte{0})
	h.Write(b)
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// check walks v and refuses what has no canonical form, naming the path.
func check(v any, path string) error {
	switch v := v.(type) {
	case string:
		if !utf8.ValidString(v) {
			return fmt.Errorf("%w: %s is not valid UTF-8", ErrNotCanonical, path)
		}
	case bool:
	case Object:
		return checkMap(v, path)
	case map[string]any:
		return checkMap(v, path)
	case []any:
		return checkList(v, path)
	case []string:
		return checkList(v, path)
	case []Object:
		return checkList(v, path)
	default:
		return fmt.Errorf("%w: %s is a %s; write it as a string", ErrNotCanonical, path, kindName(v))
	}
	return nil
}

func checkMap[M ~map[string]any](m M, path string) error {
	for k, v := range m {
		if !utf8.ValidString(k) {
			return fmt.Errorf("%w: a key of %s is not valid UTF-8", ErrNotCanonical, path)
		}
		if err := check(v, path+"."+k); err != nil {
			return err
		}
	}
	return nil
}

func checkList[T any](list []T, path string) error {
	if list == nil { // encoding/json would write null
		return fmt.Errorf("%w: %s is a nil list; use an empty one", ErrNotCanonical, path)
	}
	for i, v := range list {
		if err := check(v, fmt.Sprintf("%s[%d]", path, i)); err != nil {
			return err
		}
	}
	return nil
}

func kindName(v any) string {
	if v == nil {
		return "null"
	}
	name := fmt.Sprintf("%T", v)
	if strings.HasPrefix(name, "json.") || strings.HasPrefix(name, "int") || strings.HasPrefix(name, "float") {
		return "number"
	}
	return name
}

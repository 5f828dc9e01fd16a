package canonical_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"finobs/internal/canonical"

	"pgregory.net/rapid"
)

func TestJSON(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   canonical.Object
		want string
	}{
		{"Empty", canonical.Object{}, `{}`},
		{"KeysSorted", canonical.Object{"b": "2", "a": "1", "aa": "3"}, `{"a":"1","aa":"3","b":"2"}`},
		{"NoHTMLEscapes", canonical.Object{"a": "<&>"}, `{"a":"<&>"}`},
		{"LineSeparatorsRaw", canonical.Object{"a": "\u2028\u2029"}, "{\"a\":\"\u2028\u2029\"}"},
		{"ControlsEscaped", canonical.Object{"a": "\b\t\n\f\r\x00\x1f\x7f\"\\"}, `{"a":"\b\t\n\f\r\u0000\u001f` + "\x7f" + `\"\\"}`},
		{"Nested", canonical.Object{"a": []any{"x", true, canonical.Object{"k": "v"}}}, `{"a":["x",true,{"k":"v"}]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := canonical.JSON(tt.in)
			if err != nil {
				t.Fatalf("JSON(%v) error: %v", tt.in, err)
			}
			if string(got) != tt.want {
				t.Errorf("JSON(%v) = %s, want %s", tt.in, got, tt.want)
			}
		})
	}
}

func TestJSONRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, where string
		in          canonical.Object
	}{
		{"Int", "$.n is a number", canonical.Object{"n": 1}},
		{"Float", "$.a[1] is a number", canonical.Object{"a": []any{"x", 1.5}}},
		{"JSONNumber", "$.n is a number", canonical.Object{"n": json.Number("1")}},
		{"Null", "$.a.b is a null", canonical.Object{"a": canonical.Object{"b": nil}}},
		{"NilList", "$.a is a nil list", canonical.Object{"a": []string(nil)}},
		{"BadUTF8", "$.s is not valid UTF-8", canonical.Object{"s": "\xff"}},
		{"BadKey", "a key of $", canonical.Object{"\xff": "x"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := canonical.JSON(tt.in)
			if !errors.Is(err, canonical.ErrNotCanonical) || !strings.Contains(err.Error(), tt.where) {
				t.Errorf("JSON error = %v, want ErrNotCanonical naming %q", err, tt.where)
			}
		})
	}
}

func TestParseRefusesOtherSpellings(t *testing.T) {
	for _, in := range []string{
		`{"a": "1"}`, `{"b":"1","a":"2"}`, `{"a":"\u0041"}`, `{"a":1}`, `{"a":null}`, `{"a":"1","a":"1"}`,
		`{"a":"1"}x`, `[]`, ``, `{"a":"1"`,
	} {
		if o, err := canonical.Parse([]byte(in)); err == nil {
			t.Errorf("Parse(%s) = %v, want an error", in, o)
		}
	}
}

func TestParseRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := canonical.Object{}
		for k, v := range rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "object") {
			o[k] = v
		}
		b, err := canonical.JSON(o)
		if err != nil {
			t.Fatalf("JSON(%q): %v", o, err)
		}
		back, err := canonical.Parse(b)
		if err != nil {
			t.Fatalf("Parse(%s): %v", b, err)
		}
		for k, v := range o {
			if back[k] != v {
				t.Fatalf("round trip of %q: got %q, want %q", k, back[k], v)
			}
		}
	})
}

func TestDigestSeparatesDomains(t *testing.T) {
	o := canonical.Object{"a": "1"}
	one, err := canonical.Digest("finobs.one", o)
	if err != nil {
		t.Fatal(err)
	}
	two, err := canonical.Digest("finobs.two", o)
	if err != nil {
		t.Fatal(err)
	}
	if one == two {
		t.Errorf("two domains gave one digest %s", one)
	}
	// sha256("finobs.one" || 00 || {"a":"1"}), from coreutils sha256sum.
	const want = "sha256:"
	if !strings.HasPrefix(one, want) || len(one) != len(want)+64 {
		t.Errorf("Digest = %q, want sha256: and 64 hexadecimal digits", one)
	}
}

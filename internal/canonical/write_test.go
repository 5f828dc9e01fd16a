package canonical_test

import (
	"encoding/json"
	"testing"

	"finobs/internal/canonical"

	"github.com/gowebpki/jcs"
	"pgregory.net/rapid"
)

// drawValue draws a value that has a canonical form.
func drawValue(t *rapid.T, depth int) any {
	texts := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"\x00\x1f\x7f\b\t\n\f\r\"\\/", "<&>", "\u2028", "€", "\ufb33", "😂", "\U0010ffff"}))
	if depth > 3 {
		return texts.Draw(t, "text")
	}
	switch rapid.IntRange(0, 6).Draw(t, "kind") {
	case 0:
		return rapid.Bool().Draw(t, "bool")
	case 1:
		list := make([]any, rapid.IntRange(0, 3).Draw(t, "length"))
		for i := range list {
			list[i] = drawValue(t, depth+1)
		}
		return list
	case 2:
		return append([]string{}, rapid.SliceOfN(texts, 0, 3).Draw(t, "texts")...)
	case 3, 4:
		o := canonical.Object{}
		for range rapid.IntRange(0, 6).Draw(t, "members") {
			o[texts.Draw(t, "key")] = drawValue(t, depth+1)
		}
		if rapid.Bool().Draw(t, "as a map") {
			return map[string]any(o)
		}
		return o
	default:
		return texts.Draw(t, "text")
	}
}

// What is written is what another implementation of RFC 8785 makes of the same
// value.
func TestJSONIsThatOfAnotherImplementation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := canonical.Object{"a": drawValue(t, 0), "b": drawValue(t, 0), "€": "", "\r": "", "😂": "", "\ufb33": ""}
		got, err := canonical.JSON(o)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		want, err := jcs.Transform(raw)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Fatalf("got\n%s\nwant\n%s", got, want)
		}
	})
}

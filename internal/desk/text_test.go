package desk_test

import (
	"testing"
	"unicode/utf8"

	"finobs/internal/desk"

	"pgregory.net/rapid"
)

// Titles and descriptions are stored and sent, so they must be valid UTF-8 whatever
// the file said.
func TestTitleIsAlwaysValidAndShort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.Custom(func(t *rapid.T) string { return string(rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "bytes")) })
		f := desk.FailedSecurity{
			CUSIP: text.Draw(t, "cusip"), Symbol: text.Draw(t, "symbol"), Description: text.Draw(t, "description"),
			Streak: desk.Streak{Days: rapid.Int().Draw(t, "days"), LastShares: rapid.Int64().Draw(t, "shares")},
		}
		if title := f.Title(); len(title) > 200 || !utf8.ValidString(title) {
			t.Fatalf("title of %d bytes: %q", len(title), title)
		}
		if d := f.Describe(); !utf8.ValidString(d) {
			t.Fatalf("description %q", d)
		}
	})
}

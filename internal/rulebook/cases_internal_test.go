package rulebook

import (
	"strings"
	"testing"

	"finobs/internal/fault"
)

// A file that is too large is refused, and not measured in part.
func TestAFileThatIsTooLarge(t *testing.T) {
	text := "Document,Topic_group\n" + strings.Repeat("the printer is broken,Hardware\n", 10)
	if got, err := readCases(strings.NewReader(text), EvalOptions{}, int64(len(text))); err != nil || len(got.List) != 10 {
		t.Errorf("%d tickets, %v", len(got.List), err)
	}
	for _, short := range []int{1, 5, 31, 40} {
		if _, err := readCases(strings.NewReader(text), EvalOptions{}, int64(len(text)-short)); fault.KindOf(err) != fault.TooLarge {
			t.Errorf("%d bytes over the limit: %v", short, err)
		}
	}
}

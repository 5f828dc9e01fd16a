package notify

import (
	"errors"
	"fmt"
	"testing"
)

func TestOutcomeOf(t *testing.T) {
	cause := errors.New("cause")
	err := fmt.Errorf("telling: %w", failed(NotSent, cause, "line\r\nend"))
	if OutcomeOf(err) != NotSent || !errors.Is(err, cause) || err.Error() != "telling: not_sent: line end" {
		t.Errorf("got %s, %q", OutcomeOf(err), err)
	}
	if OutcomeOf(nil) != "" || OutcomeOf(cause) != Unknown {
		t.Errorf("got %q, %q", OutcomeOf(nil), OutcomeOf(cause))
	}
	for _, o := range []Outcome{NotSent, Refused, Unknown} {
		if !o.Valid() {
			t.Errorf("%s is not valid", o)
		}
	}
	if Outcome("sent").Valid() {
		t.Error("an outcome outside the set is valid")
	}
}

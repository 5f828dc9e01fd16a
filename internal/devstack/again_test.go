package devstack_test

import (
	"errors"
	"fmt"
	"testing"

	"finobs/internal/devstack"
)

// A server that ends at once is started again, with other ports; whatever else is
// wrong is told at once.
func TestStartAgain(t *testing.T) {
	ended, other := fmt.Errorf("it %w", devstack.ErrEnded), errors.New("no such program")
	for name, tc := range map[string]struct {
		outcomes []error
		starts   int
		err      error
	}{
		"at once":      {[]error{nil}, 1, nil},
		"the third":    {[]error{ended, ended, nil}, 3, nil},
		"never":        {[]error{ended, ended, ended, nil}, 3, ended},
		"another flaw": {[]error{other, nil}, 1, other},
	} {
		starts := 0
		err := devstack.StartAgain(func() error { starts++; return tc.outcomes[starts-1] })
		if starts != tc.starts || !errors.Is(err, tc.err) {
			t.Errorf("%s: %d starts, %v", name, starts, err)
		}
	}
}

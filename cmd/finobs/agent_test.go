package main

import (
	"errors"
	"testing"

	"finobs/internal/fault"
)

// Whatever a replay finds wrong, it says in which run.
func TestAReplayNamesItsRun(t *testing.T) {
	for _, err := range []error{errors.New("it differs"), fault.New(fault.NotFound, "replay-miss", "it differs")} {
		if got := message(ofRun(7, err)); got != "run 7: it differs" {
			t.Errorf("got %q", got)
		}
	}
	if got := fault.CodeOf(ofRun(7, fault.New(fault.NotFound, "replay-miss", "x"))); got != "replay-miss" {
		t.Errorf("the code is %s", got)
	}
}

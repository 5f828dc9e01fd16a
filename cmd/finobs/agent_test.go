package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"finobs/internal/config"
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

func TestTheTimeToGetWellHasBounds(t *testing.T) {
	for _, bad := range []time.Duration{0, -time.Minute, time.Millisecond, 11 * time.Minute} {
		if _, err := loadAgents(config.Agents{Recovery: bad}); err == nil || !strings.Contains(err.Error(), "FINOBS_ACTION_RECOVERY is "+bad.String()+"; it must be 1s to 10m0s") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := loadAgents(config.Agents{Recovery: time.Second}); err != nil {
		t.Error(err)
	}
}

// A model that failed on record and answers in the replay did not make that record.
func TestAReplayThatAnswersIsAnError(t *testing.T) {
	t.Parallel()
	r := runRecord{Fallback: "model.timeout: it was slow", Exchanges: [][]byte{[]byte("{}")}}
	_, err := r.replayRules(nil, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "failed with model.timeout in the record, and answers in the replay") || strings.Contains(err.Error(), "%!") {
		t.Errorf("got %v", err)
	}
}

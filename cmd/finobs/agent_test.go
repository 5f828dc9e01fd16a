package main

import (
	"strings"
	"testing"
)

// A model that failed on record and answers in the replay did not make that record.
func TestAReplayThatAnswersIsAnError(t *testing.T) {
	t.Parallel()
	r := runRecord{Fallback: "model.timeout: it was slow", Exchanges: [][]byte{[]byte("{}")}}
	_, err := r.replayRules(nil, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "failed with model.timeout in the record, and answers in the replay") || strings.Contains(err.Error(), "%!") {
		t.Errorf("got %v", err)
	}
}

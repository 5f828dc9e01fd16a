package workflows_test

import (
	"path/filepath"
	"testing"

	"finobs/workflows"

	"go.temporal.io/sdk/worker"
)

// Histories of real executions, saved with temporal workflow show --output json.
// A change of workflow code that could not go on with them fails here, before it
// meets a running execution. make histories saves new ones.
func TestSavedHistoriesReplay(t *testing.T) {
	files, err := filepath.Glob("testdata/histories/*.json")
	if err != nil || len(files) < 31 {
		t.Fatalf("found %d histories, %v", len(files), err)
	}
	for _, file := range files {
		replayer := worker.NewWorkflowReplayer()
		workflows.Register(replayer)
		if err := replayer.ReplayWorkflowHistoryFromJSONFile(nil, file); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

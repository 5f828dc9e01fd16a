package e2e_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The demonstration holds on a fresh stack, and again on the one it left.
func TestDemoTwice(t *testing.T) {
	t.Parallel()
	state := stateDir(t)
	for range 2 {
		cmd := exec.Command(filepath.Join(bin, "finobs"), "demo", "--state", state)
		cmd.Env = append(os.Environ(), "DEMO_EXIT=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%.5000s", err, out)
		}
		text, err := os.ReadFile(filepath.Join(state, "demo-report.json"))
		if err != nil {
			t.Fatal(err)
		}
		var report []struct {
			Name    string
			OK      bool
			Detail  string
			Seconds float64
		}
		if err := json.Unmarshal(text, &report); err != nil || len(report) != 30 {
			t.Fatalf("the report has %d steps, %v", len(report), err)
		}
		for _, step := range report {
			if step.Name == "" || !step.OK || step.Detail == "" {
				t.Errorf("step %+v", step)
			}
		}
		if err := os.Remove(filepath.Join(state, "demo-report.json")); err != nil {
			t.Fatal(err)
		}
	}
}

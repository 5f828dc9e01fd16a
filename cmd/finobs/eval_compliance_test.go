package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEvalCompliance(t *testing.T) {
	path := filepath.Join(t.TempDir(), "paysim.csv")
	text := `step,type,amount,nameOrig,oldbalanceOrg,newbalanceOrig,nameDest,oldbalanceDest,newbalanceDest,isFraud,isFlaggedFraud
5,TRANSFER,100.50,C1,100.5,0,C2,0,0,1,0
1,PAYMENT,7,C3,70,63,M4,0,0,0,0
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		cmd := evalComplianceCommand()
		cmd.SetArgs(args)
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		err := cmd.Execute()
		return out.String(), err
	}
	table, err := run(path)
	if err != nil || !strings.Contains(table, "account-emptied (suspicion), 1 findings") || !strings.Contains(table, "trivial: everything") || !strings.Contains(table, "caution: ") {
		t.Errorf("%v\n%s", err, table)
	}
	asJSON, err := run(path, "--json")
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Files []struct {
			Layout    string
			Suspicion []struct{ Name, Precision, Recall string }
		}
	}
	if err := json.Unmarshal([]byte(asJSON), &got); err != nil || len(got.Files) != 1 || got.Files[0].Layout != "paysim" || got.Files[0].Suspicion[0].Recall != "1.0000" {
		t.Errorf("%v\n%s", err, asJSON)
	}
	if _, err := run(path, "--rules", path); err == nil || !strings.Contains(err.Error(), "reading rules") {
		t.Errorf("rules that are none: %v", err)
	}
	if _, err := run(filepath.Join(t.TempDir(), "none.csv")); err == nil || !strings.Contains(err.Error(), "none.csv") {
		t.Errorf("no file: %v", err)
	}
}

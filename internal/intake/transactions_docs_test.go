package intake_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"finobs/internal/fault"
	"finobs/internal/intake"
)

// docs/transactions.md has every column, and marks those that are required.
func TestColumnsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/transactions.md")
	if err != nil {
		t.Fatal(err)
	}
	_, err = intake.ReadTransactions(strings.NewReader("colour\n"), intake.CSV, nil)
	_, known, found := strings.Cut(fault.MessageOf(err), "known are ")
	if !found {
		t.Fatalf("got %v", err)
	}
	_, err = intake.ReadTransactions(strings.NewReader("desk\n"), intake.CSV, nil)
	_, required, found := strings.Cut(fault.MessageOf(err), "required are ")
	if !found {
		t.Fatalf("got %v", err)
	}
	for _, name := range strings.Split(known, ", ") {
		row := regexp.MustCompile("(?m)^\\|[^|]*`" + name + "`[^|]*\\| (required)?").FindSubmatch(page)
		if row == nil {
			t.Errorf("the page lacks %s", name)
			continue
		}
		if isRequired := strings.Contains(", "+required+",", ", "+name+","); isRequired != (string(row[1]) == "required") {
			t.Errorf("%s: required is %v", name, isRequired)
		}
	}
}

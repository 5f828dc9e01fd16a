package llm_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"finobs/internal/budget"
	"finobs/internal/llm"
)

func TestDocsNameEverySettingAndCode(t *testing.T) {
	text, err := os.ReadFile("../../docs/models.md")
	if err != nil {
		t.Fatal(err)
	}
	docs := string(text)
	form := reflect.TypeFor[llm.Config]()
	names := []string{
		llm.CodeUnavailable, llm.CodeTimeout, llm.CodeInvalidOutput, llm.CodeOverBudget, llm.CodeTooLarge, llm.CodeCircuitOpen,
		llm.CodeInvalidRequest, llm.CodeReplayMiss,
	}
	for i := range form.NumField() {
		names = append(names, form.Field(i).Tag.Get("env"))
	}
	for _, name := range names {
		if name == "" || !strings.Contains(docs, "`"+name+"`") {
			t.Errorf("docs/models.md does not name %q", name)
		}
	}
	_, after, _ := strings.Cut(docs, "```yaml\n")
	example, _, _ := strings.Cut(after, "```")
	limits, err := budget.Load(strings.NewReader(example))
	if err != nil {
		t.Fatal(err)
	}
	for level, limit := range budget.Default() {
		if got := limits[level]; got.Calls != limit.Calls || got.Tokens != limit.Tokens || got.Wall != limit.Wall || !got.USD.Equal(limit.USD) {
			t.Errorf("docs/models.md shows %+v for the %s; shipped is %+v", got, level, limit)
		}
	}
}

func TestTheBudgetFileIsRead(t *testing.T) {
	path := t.TempDir() + "/budget.yaml"
	if _, err := (llm.Config{Budget: path}).Limits(); err == nil || !strings.Contains(err.Error(), "FINOBS_MODEL_BUDGET") {
		t.Errorf("a missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(budget.DefaultText(), "calls: 3\n", "calls: 1\n", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	limits, err := llm.Config{Budget: path}.Limits()
	if err != nil || limits[budget.Run].Calls != 1 {
		t.Errorf("got %+v, %v", limits[budget.Run], err)
	}
	if shipped, err := (llm.Config{}).Limits(); err != nil || shipped[budget.Run].Calls != 3 {
		t.Errorf("got %+v, %v", shipped[budget.Run], err)
	}
}

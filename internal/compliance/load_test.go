package compliance_test

import (
	"context"
	"strings"
	"testing"

	"finobs/internal/compliance"
	"finobs/internal/fault"
	"finobs/rulebooks"
)

const head = "version: 1\nname: test\nzone: UTC\nlimits: {big: {USD: \"10\"}}\nrules:\n"

// rule is a rule of a form and its parameters.
func rule(form, parameters string) string {
	return head + "  - {name: one, title: T, source: S, revision: 1, severity: low, purpose: report, form: " + form + ", when: 'true', parameters: " + parameters + "}\n"
}

func TestLoadRefuses(t *testing.T) {
	good := rule("record", "{party: from}")
	if _, err := compliance.LoadRules(strings.NewReader(good)); err != nil {
		t.Fatal(err)
	}
	swap := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	for name, step := range map[string]struct{ text, want string }{
		"empty":           {"", "it is empty"},
		"version":         {swap("version: 1", "version: 2"), "version is 2"},
		"name":            {swap("name: test", "name: Test"), "name \"Test\""},
		"zone":            {swap("UTC", "Mars"), "zone \"Mars\""},
		"no zone":         {swap("zone: UTC", "zone: ''"), "zone is \"\""},
		"no rules":        {"version: 1\nname: test\nzone: UTC\n", "there are 0 rules"},
		"a limit of 0":    {swap(`USD: "10"`, `USD: "0"`), "limits.big"},
		"a limit's money": {swap("USD", "usd"), "limits.big"},
		"an exponent":     {swap(`"10"`, `1e5`), "limits.big"},
		"unknown field":   {swap("severity: low", "severity: low, urgency: x"), "line 6"},
		"rule's name":     {swap("name: one", "name: One"), "line 6: rule \"One\""},
		"no title":        {swap("title: T", "title: ''"), "title must have"},
		"no source":       {swap("source: S", "source: ''"), "the regulation or guidance"},
		"revision":        {swap("revision: 1", "revision: 0"), "revision 0"},
		"severity":        {swap("severity: low", "severity: bad"), "severity \"bad\""},
		"purpose":         {swap("purpose: report", "purpose: fun"), "purpose \"fun\""},
		"form":            {swap("form: record", "form: magic"), "form \"magic\""},
		"no when":         {swap("'true'", "''"), "when: the condition is empty"},
		"misspelt when":   {swap("'true'", "'record.amont == \"1\"'"), "undeclared reference"},
		"when is text":    {swap("'true'", "'record.id'"), "it must be bool"},
		"endless when":    {swap("'true'", "'record.id == \""+strings.Repeat("a", 1100)+"\"'"), "over 1024 characters"},
		"twice":           {good + strings.SplitN(good, "rules:\n", 2)[1], "line 7: there is a rule \"one\" already"},
		"two documents":   {good + "---\nversion: 1\n", "second document"},
		"endless":         {good + "#" + strings.Repeat("a", 1<<20), "over 1048576 bytes"},
		"party":           {rule("record", "{party: both}"), "party \"both\""},
		"parameter":       {rule("record", "{party: from, window: day}"), "window"},
		"unknown limit":   {rule("record", "{party: from, over: huge}"), "there is no limit \"huge\""},
		"two limits":      {rule("record", "{party: from, over: big, least: big}"), "not both"},
		"window":          {rule("aggregate", "{party: to, window: 0s, count: 2}"), "window \"0s\""},
		"no condition":    {rule("aggregate", "{party: to, window: day}"), "give count, distinct or over"},
		"calendar":        {rule("aggregate", "{party: to, window: day, count: 2, calendar: mars}"), "calendar \"mars\""},
		"calendar, hours": {rule("aggregate", "{party: to, window: 2h, count: 2, calendar: us}"), "calendar goes with"},
		"share of none":   {rule("aggregate", "{party: to, window: 2h, count: 2, each_share: 0.8}"), "each_share is a share"},
		"share over 1":    {rule("aggregate", "{party: to, window: 2h, count: 2, each_up_to: big, each_share: 1.1}"), "each_share \"1.1\""},
		"negative count":  {rule("aggregate", "{party: to, window: 2h, count: -1}"), "count and distinct"},
		"shares":          {rule("pass_through", "{window: 2h, least_share: 1, most_share: 0.9}"), "is above most_share"},
		"passing a day":   {rule("pass_through", "{window: day, least_share: 1, most_share: 1}"), "must be a duration"},
		"wash":            {rule("wash", "{window: 24h, price_percent: x, quantity_percent: 1}"), "price_percent"},
		"hops":            {rule("cycle", "{window: 24h, least: 3, most: 9, share: 0.5}"), "least 3 and most 9"},
		"score":           {rule("sanctions", "{least: 0.9}"), "score \"0.9\""},
		"low score":       {rule("sanctions", "{least: '0.49'}"), "below 0.50"},
		"type":            {rule("sanctions", "{least: '0.90', types: [ship]}"), "type \"ship\""},
		"days":            {rule("late_settlement", "{days: 99, calendar: us}"), "days 99"},
		"no calendar":     {rule("late_settlement", "{days: 1}"), "calendar \"\""},
		"units":           {rule("position", "{units: 0}"), "units must be above 0"},
		"no units":        {rule("position", "{}"), "units"},
	} {
		_, err := compliance.LoadRules(strings.NewReader(step.text))
		if err == nil || !strings.Contains(err.Error(), step.want) {
			t.Errorf("%s: %v; want %q", name, err, step.want)
		}
	}
}

func TestConditionThatCannotBeEvaluated(t *testing.T) {
	rules, err := compliance.LoadRules(strings.NewReader(strings.Replace(rule("record", "{party: from}"), "'true'", `'compare(record.from_before, "0") > 0'`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = rules.Run(context.Background(), each([]compliance.Record{move("r7", pay, 0, "A", "B", "1")}), compliance.Options{})
	if fault.CodeOf(err) != "rule-cannot-be-evaluated" || !strings.Contains(err.Error(), "rule one cannot judge record r7") {
		t.Errorf("%v", err)
	}
}

func FuzzLoadRules(f *testing.F) {
	f.Add(rulebooks.Compliance)
	f.Add(rule("cycle", "{window: 24h, least: 3, most: 5, share: 0.5}"))
	f.Add(rule("aggregate", "{party: to, window: day, calendar: us, count: 2, over: big}"))
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := compliance.LoadRules(strings.NewReader(text))
		if err != nil {
			return
		}
		list := []compliance.Record{move("1", in, 0, "", "A", "20000"), move("2", pay, h, "A", "B", "20000"), move("3", pay, 2*h, "B", "A", "20000")}
		if _, _, err := rules.Run(context.Background(), each(list), compliance.Options{}); err != nil && fault.KindOf(err) != fault.Invalid {
			t.Fatal(err)
		}
	})
}

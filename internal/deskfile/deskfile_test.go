package deskfile_test

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"finobs/desks"
	"finobs/internal/approval"
	"finobs/internal/desk"
	"finobs/internal/deskfile"
	"finobs/internal/incident"
)

const example = `version: 1
channel: mail
reopen_window: 2h
close_after: 24h
repeat: 10m
severities:
  high:
    acknowledge: 15m
    resolve: 4h
    ladder:
      - {after: 0s, kind: reminder, to: 'member.desk == incident.desk'}
      - {after: 5m, kind: escalation, to: '"admin" in member.roles && incident.occurrences > 1', channel: hook, label: admins}
    overdue:
      - {after: 0s, to: 'member.id == incident.assignee'}
      - {after: 1h, to: 'true'}
owners:
  fix:
    channel: pager
    severities:
      high: {acknowledge: 1m, ladder: [{after: 1m, kind: escalation, to: 'incident.details["venue"] == "XNYS"'}]}
notices:
  raise: {50: high, 10: medium}
detectors:
  silence: {every: 1m}
`

func load(t *testing.T, text string) *deskfile.Desk {
	t.Helper()
	d, err := deskfile.Load(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestPromises(t *testing.T) {
	d := load(t, example)
	for _, step := range []struct {
		owner string
		of    desk.Severity
		want  incident.Terms
	}{
		{"", desk.High, incident.Terms{Acknowledge: 15 * time.Minute, Resolve: 4 * time.Hour}},
		{"fix", desk.High, incident.Terms{Acknowledge: time.Minute}},
		{"other", desk.High, incident.Terms{Acknowledge: 15 * time.Minute, Resolve: 4 * time.Hour}},
		{"", desk.Low, incident.Terms{}},
	} {
		if got := d.Terms(step.owner, step.of); got != step.want {
			t.Errorf("%s of %q: %v", step.of, step.owner, got)
		}
	}
	if d.ReopenWindow() != 2*time.Hour || d.CloseAfter() != 24*time.Hour {
		t.Errorf("reopen window %s, close after %s", d.ReopenWindow(), d.CloseAfter())
	}
	for n, wanted := range map[int64]desk.Severity{1: "", 9: "", 10: desk.Medium, 49: desk.Medium, 50: desk.High, 5000: desk.High} {
		if got := d.RaisedTo(n); got != wanted {
			t.Errorf("%d notices are %q, want %q", n, got, wanted)
		}
	}
	if again := load(t, example); again.Digest != d.Digest || !strings.HasPrefix(d.Digest, "sha256:") || load(t, example+"# more\n").Digest == d.Digest {
		t.Errorf("digest %s", d.Digest)
	}
}

func TestDetectorsAreLeftToWhoeverRunsThem(t *testing.T) {
	d := load(t, example)
	var silence struct {
		Every time.Duration `yaml:"every"`
	}
	if err := deskfile.Decode(d.Detectors["silence"], &silence); err != nil || silence.Every != time.Minute {
		t.Errorf("got %s, %v", silence.Every, err)
	}
	var strict struct{}
	if err := deskfile.Decode(d.Detectors["silence"], &strict); err == nil || !strings.Contains(err.Error(), "line 24") || !strings.Contains(err.Error(), "every") {
		t.Errorf("an unknown field: %v", err)
	}
}

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func open() incident.Incident {
	return incident.Incident{
		Status: incident.Open, Severity: desk.High, Desk: "EQ", Assignee: approval.Person{Subject: "bob"}, Occurrences: 2,
		LadderRun: 1, LadderFrom: noon, ResolveDueAt: noon.Add(4 * time.Hour),
	}
}

// fire lists the rungs that are due, marks them as fired, and says in which minute
// after noon the next one is; -1 for none.
func fire(d *deskfile.Desk, i incident.Incident, fired map[string]bool, minute int) (names string, next int) {
	due, at := d.Due(i, fired, noon.Add(time.Duration(minute)*time.Minute))
	var out []string
	for _, r := range due {
		fired[r.Name] = true
		out = append(out, r.Name)
	}
	if at.IsZero() {
		return strings.Join(out, " "), -1
	}
	return strings.Join(out, " "), int(at.Sub(noon) / time.Minute)
}

func TestTheLadderClimbsAndRepeats(t *testing.T) {
	d, fired := load(t, example), map[string]bool{}
	for _, step := range []struct {
		minute int
		want   string
		next   int
	}{
		{0, "1-reminder-1", 5}, {0, "", 5}, {4, "", 5}, {5, "1-escalation-2", 15}, {14, "", 15}, {15, "1-repeat-1", 25}, {16, "", 25},
		{47, "1-repeat-4", 55}, // nobody could fire two and three in time
		{239, "1-repeat-23", 240}, {240, "1-overdue-1", 245}, {245, "1-repeat-24", 255}, {300, "1-repeat-29 1-overdue-2", 305},
	} {
		if names, next := fire(d, open(), fired, step.minute); names != step.want || next != step.next {
			t.Errorf("minute %d: %q, next in minute %d; want %q, %d", step.minute, names, next, step.want, step.next)
		}
	}
	// After a long night every rung fires once, the top one last, and no repetition with it.
	if names, next := fire(d, open(), map[string]bool{}, 100); names != "1-reminder-1 1-escalation-2" || next != 105 {
		t.Errorf("after a long night: %q, next in minute %d", names, next)
	}
	again := open()
	again.LadderRun, again.LadderFrom = 2, noon.Add(time.Hour)
	if names, _ := fire(d, again, fired, 60); names != "2-reminder-1" {
		t.Errorf("when the ladder begins anew: %q", names)
	}
}

func TestOnlyWhatIsOverdueFiresOnceItIsAcknowledged(t *testing.T) {
	d := load(t, example)
	i := open()
	i.Status = incident.Acknowledged
	if names, next := fire(d, i, map[string]bool{}, 100); names != "" || next != 240 {
		t.Errorf("in time: %q, next in minute %d", names, next)
	}
	if names, next := fire(d, i, map[string]bool{}, 241); names != "1-overdue-1" || next != 300 {
		t.Errorf("too late: %q, next in minute %d", names, next)
	}
	for _, s := range []incident.Status{incident.Resolved, incident.Closed} {
		i.Status = s
		if names, next := fire(d, i, map[string]bool{}, 1000); names != "" || next != -1 {
			t.Errorf("%s: %q, next in minute %d", s, names, next)
		}
	}
	low := open()
	low.Severity = desk.Low
	if names, next := fire(d, low, map[string]bool{}, 1000); names != "" || next != -1 {
		t.Errorf("a severity without a ladder: %q, %d", names, next)
	}
}

func TestAnOwnersLadder(t *testing.T) {
	d := load(t, example)
	i := open()
	i.Owner, i.Details = "fix", map[string]string{"venue": "XNYS"}
	due, _ := d.Due(i, nil, noon.Add(time.Minute))
	if len(due) != 1 || due[0].Channel != "pager" || len(due[0].Told(i, people())) != 3 {
		t.Fatalf("got %+v", due)
	}
	i.Details = nil // the condition cannot be evaluated
	if got := due[0].Told(i, people()); len(got) != 0 {
		t.Errorf("told %v", got)
	}
}

func people() approval.Roster {
	member := func(name, desk string, active bool, kind approval.ActorKind, roles ...string) approval.Member {
		return approval.Member{Person: approval.Person{Issuer: "test", Subject: name}, Desk: desk, Active: active, Kind: kind, Roles: roles}
	}
	return approval.Roster{
		member("alice", "EQ", true, approval.Human, "analyst"), member("bob", "FX", true, approval.Human, "analyst"),
		member("dave", "EQ", true, approval.Human, "admin"), member("dave", "EQ", true, approval.Human, "admin"),
		member("gone", "EQ", false, approval.Human, "admin"), member("bot", "EQ", true, approval.System, "admin"),
	}
}

func TestWhomARungTells(t *testing.T) {
	d := load(t, example)
	i := open()
	due, _ := d.Due(i, nil, noon.Add(5*time.Hour))
	want := map[string]string{"1-reminder-1": "alice dave", "1-escalation-2": "dave", "1-overdue-1": "bob", "1-overdue-2": "alice bob dave"}
	for _, r := range due {
		var names []string
		for _, m := range r.Told(i, people()) {
			names = append(names, m.Subject)
		}
		if got := strings.Join(names, " "); got != want[r.Name] {
			t.Errorf("%s tells %q, want %q", r.Name, got, want[r.Name])
		}
	}
	if len(due) != len(want) {
		t.Errorf("%d rungs are due", len(due))
	}
	i.Occurrences = 1
	if got := due[1].Told(i, people()); len(got) != 0 {
		t.Errorf("reported once, it tells %v", got)
	}
}

func TestWhatTheFileDoesNotSay(t *testing.T) {
	d := load(t, "version: 1\n")
	if d.ReopenWindow() != time.Hour || d.CloseAfter() != 7*24*time.Hour || d.RaisedTo(1000) != "" || d.Terms("", desk.Critical) != (incident.Terms{}) {
		t.Errorf("%s, %s", d.ReopenWindow(), d.CloseAfter())
	}
	never := load(t, "version: 1\nrepeat: 0s\nseverities: {high: {ladder: [{after: 0s, kind: reminder, to: 'true', channel: c}]}}\n")
	fired := map[string]bool{}
	if names, next := fire(never, open(), fired, 0); names != "1-reminder-1" || next != -1 {
		t.Errorf("%q, %d", names, next)
	}
	if names, next := fire(never, open(), fired, 1000); names != "" || next != -1 {
		t.Errorf("it repeats: %q, %d", names, next)
	}
}

func TestTheShippedFileLoads(t *testing.T) {
	d, err := deskfile.Load(bytes.NewReader(desks.Default))
	if err != nil {
		t.Fatal(err)
	}
	if d.Terms("", desk.Critical).Acknowledge != 5*time.Minute || d.RaisedTo(97) != desk.Critical {
		t.Errorf("critical is acknowledged in %s, 97 notices are %s", d.Terms("", desk.Critical).Acknowledge, d.RaisedTo(97))
	}
}

func TestTheExampleOfTheDocsLoads(t *testing.T) {
	text, err := os.ReadFile("../../docs/incidents.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "```yaml\n")
	shown, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("docs/incidents.md has no example")
	}
	if d := load(t, shown); d.Terms("fix-desk", desk.Critical).Acknowledge != 2*time.Minute || d.Terms("", desk.Low).Resolve != 120*time.Hour {
		t.Error("the example says something else")
	}
}

// Errors name the line and the element.
func TestFilesThatAreRefused(t *testing.T) {
	severities := "version: 1\nchannel: mail\nseverities:\n  high:\n"
	for name, step := range map[string]struct{ text, want string }{
		"empty":              {"", "it is empty"},
		"version":            {"version: 2\n", "line 1: version: it is 2"},
		"unknown field":      {"version: 1\nladders: 1\n", "line 2: field ladders not found"},
		"second document":    {"version: 1\n---\nversion: 1\n", "second document"},
		"channel":            {"version: 1\nchannel: 'A b'\n", "line 2: channel: channel \"A b\""},
		"time":               {"version: 1\nreopen_window: soon\n", "line 2"},
		"repeat":             {"version: 1\nrepeat: 10ms\n", "line 2: repeat: 10ms"},
		"negative":           {"version: 1\nreopen_window: -1s\n", "line 2: reopen_window"},
		"close at once":      {"version: 1\nclose_after: 0s\n", "line 2: close_after"},
		"severity":           {"version: 1\nseverities:\n  awful: {}\n", "line 3: severities.awful: it is no severity"},
		"acknowledge":        {severities + "    acknowledge: -5m\n", "line 5: severities.high.acknowledge"},
		"kind":               {severities + "    ladder:\n      - {after: 0s, kind: shout, to: 'true'}\n", "line 6: severities.high.ladder 1: kind \"shout\""},
		"order":              {severities + "    ladder:\n      - {after: 5m, kind: reminder, to: 'true'}\n      - {after: 1m, kind: reminder, to: 'true'}\n", "line 7: severities.high.ladder 2: after is 1m0s, sooner"},
		"condition":          {severities + "    ladder:\n      - {after: 0s, kind: reminder, to: 'member.rolls'}\n", "line 6: severities.high.ladder 1: to: \"member.rolls\""},
		"no condition":       {severities + "    ladder:\n      - {after: 0s, kind: reminder}\n", "line 6: severities.high.ladder 1: to: the condition is empty"},
		"not bool":           {severities + "    ladder:\n      - {after: 0s, kind: reminder, to: 'member.id'}\n", "it must be bool"},
		"rung's channel":     {severities + "    ladder:\n      - {after: 0s, kind: reminder, to: 'true', channel: 'A'}\n", "line 6"},
		"no channel":         {"version: 1\nseverities: {high: {ladder: [{after: 0s, kind: reminder, to: 'true'}]}}\n", "channel is empty"},
		"never overdue":      {severities + "    overdue: [{after: 0s, to: 'true'}]\n", "line 5: severities.high.overdue: there is no resolve"},
		"overdue kind":       {severities + "    resolve: 1h\n    overdue: [{after: 0s, kind: reminder, to: 'true'}]\n", "line 6: severities.high.overdue 1: kind \"reminder\": leave it out"},
		"owner's severity":   {"version: 1\nowners:\n  fix:\n    severities:\n      bad: {}\n", "line 5: owners.fix.severities.bad"},
		"few notices":        {"version: 1\nnotices:\n  raise: {1: high}\n", "line 3: notices.raise.1: a number"},
		"notices' severity":  {"version: 1\nnotices:\n  raise: {10: bad}\n", "line 3: notices.raise.10: severity"},
		"more is less":       {"version: 1\nnotices:\n  raise:\n    10: high\n    50: medium\n", "line 5: notices.raise.50: it is medium, and 10 notices are high"},
		"a field twice":      {"version: 1\nversion: 1\n", "already defined"},
		"too many rungs":     {severities + "    ladder: [" + strings.Repeat("{after: 0s, kind: reminder, to: 'true'}, ", 21) + "]\n", "line 5: severities.high.ladder: it has 21 rungs"},
		"an endless label":   {severities + "    ladder:\n      - {after: 0s, kind: reminder, to: 'true', label: " + strings.Repeat("a", 101) + "}\n", "label is over"},
		"an endless time":    {severities + "    ladder:\n      - {after: 9000h, kind: reminder, to: 'true'}\n", "line 6"},
		"an endless to":      {severities + "    ladder:\n      - {after: 0s, kind: reminder, to: 'member.id == \"" + strings.Repeat("a", 1100) + "\"'}\n", "over 1024 characters"},
		"an endless comment": {"version: 1\n#" + strings.Repeat("a", 1<<20), "over 1048576 bytes"},
	} {
		_, err := deskfile.Load(strings.NewReader(step.text))
		if err == nil || !strings.Contains(err.Error(), step.want) {
			t.Errorf("%s: %v; want %q", name, err, step.want)
		}
	}
}

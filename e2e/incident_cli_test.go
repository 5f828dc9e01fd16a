package e2e_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The commands show what the routes answer, and say why something is refused.
func TestIncidentsOnTheCommandLine(t *testing.T) {
	i := world.opens(t, "alice", "high", `,"owner":"cli","description":"first line\nsecond \u001b[31mline"`)
	finobs := func(args ...string) (string, error) {
		cmd := exec.Command(filepath.Join(bin, "finobs"), append([]string{"incident"}, args...)...)
		cmd.Env = append(cmd.Environ(), "FINOBS_TOKEN="+world.token(t, "bob", "analyst"))
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	at := "--url=http://" + world.APIAddress
	for _, step := range []struct {
		args  []string
		wants []string
		fails bool
	}{
		{[]string{"list", at, "--owner", "cli"}, []string{"PRIORITY", "p2", "high", "is down"}, false},
		{[]string{"ack", at, i.id, "mine"}, []string{"incident " + i.id + ": acknowledged"}, false},
		{[]string{"ack", at, i.id}, []string{"acknowledged already, by bob"}, true},
		{[]string{"comment", at, i.id, "the switch"}, []string{"incident " + i.id}, false},
		{[]string{"assign", at, i.id}, []string{"incident " + i.id}, false},
		{[]string{"assign", at, i.id, "nobody-knows-him"}, []string{"not an active person on the roster"}, true},
		{[]string{"show", at, i.id}, []string{"second [31mline", "queue cli, system -", "said by bob  the switch", "incident.acknowledged by bob  mine", "you may: unacknowledge"}, false},
		{[]string{"resolve", at, i.id, "restarted"}, []string{": resolved"}, false},
		{[]string{"reopen", at, i.id, "it is back"}, []string{": open"}, false},
		{[]string{"close", at, i.id}, []string{"only what is resolved"}, true},
		{[]string{"show", at, "x"}, []string{"no incident id"}, true},
	} {
		out, err := finobs(step.args...)
		if (err != nil) != step.fails {
			t.Errorf("%v: %v", step.args, err)
		}
		for _, part := range step.wants {
			if !strings.Contains(out, part) {
				t.Errorf("%v lacks %q:\n%s", step.args, part, out)
			}
		}
		if strings.Contains(out, "\x1b") {
			t.Errorf("%v lets control characters through", step.args)
		}
	}
}

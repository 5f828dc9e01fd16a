package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"finobs/internal/identity"
)

type taskList struct {
	Total int
	Items []struct {
		Type, ID, Title, Status string
		Mine, Overdue           bool
	}
}

func tasksOf(t testing.TB, who, query string) taskList {
	t.Helper()
	var out taskList
	r := want(t, world.call(t, who, "GET", "/api/tasks?limit=500"+query, ""), http.StatusOK)
	if err := json.Unmarshal(r.Body, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func (l taskList) find(kind, id string) (found, mine, overdue bool) {
	for _, x := range l.Items {
		if x.Type == kind && x.ID == id {
			return true, x.Mine, x.Overdue
		}
	}
	return false, false, false
}

func TestTasksAreWhatWaitsForTheCaller(t *testing.T) {
	e := world.ask(t) // by alice
	if found, _, _ := tasksOf(t, "bob", "&type=approval").find("approval", e.id); !found {
		t.Error("a request that bob may decide on is no task of his")
	}
	for _, who := range []string{"alice", "tim", "victor"} {
		if found, _, _ := tasksOf(t, who, "").find("approval", e.id); found {
			t.Errorf("a request that %s may not decide on is a task of theirs", who)
		}
	}
	name := fmt.Sprintf("task%d", unique.Add(1))
	opened := ingestTo(t, world, "alertmanager", alertBody(name, "firing", "critical", time.Now().Add(-time.Minute)))
	id := fmt.Sprint(opened.incident(t))
	for who, wanted := range map[string]bool{"bob": true, "tim": true, "victor": false, "eve": false} {
		if found, _, _ := tasksOf(t, who, "").find("incident", id); found != wanted {
			t.Errorf("that an open incident waits for %s is %v", who, found)
		}
	}
	act := func(verb, body string) {
		eventually(t, verb, func() bool {
			r := world.call(t, "bob", "POST", "/incidents/"+id+"/"+verb, body)
			if r.Status != http.StatusOK && r.Status != http.StatusAccepted {
				t.Fatalf("%s: answered %d: %s", verb, r.Status, r.Body)
			}
			return r.Status == http.StatusOK
		})
	}
	// The world of these tests has no roster, and people on it alone are assigned to.
	if err := exec1(world, "UPDATE finobs.incident SET assignee_iss = $2, assignee_sub = 'bob' WHERE incident_id = $1", id, identity.DevIssuer); err != nil {
		t.Fatal(err)
	}
	if found, mine, _ := tasksOf(t, "bob", "").find("incident", id); !found || !mine {
		t.Error("an incident that bob has is no task of his")
	}
	if found, _, _ := tasksOf(t, "tim", "").find("incident", id); found {
		t.Error("an incident that bob has is a task of tim")
	}
	if err := exec1(world, "UPDATE finobs.incident SET ack_due_at = now() - interval '1 minute' WHERE incident_id = $1", id); err != nil {
		t.Fatal(err)
	}
	if list := tasksOf(t, "bob", "&overdue=true"); len(list.Items) == 0 {
		t.Error("nothing is overdue")
	} else if found, _, overdue := list.find("incident", id); !found || !overdue {
		t.Error("the incident is not overdue")
	}
	before := want(t, world.call(t, "bob", "GET", "/tasks/count", ""), http.StatusOK)
	act("resolve", `{"resolution":"restarted"}`)
	if found, _, _ := tasksOf(t, "bob", "").find("incident", id); found {
		t.Error("a resolved incident waits for somebody")
	}
	after := want(t, world.call(t, "bob", "GET", "/tasks/count", ""), http.StatusOK)
	var counts [2]struct{ Mine, Overdue int }
	for i, r := range []reply{before, after} {
		if err := json.Unmarshal(r.Body, &counts[i]); err != nil {
			t.Fatal(err)
		}
	}
	if counts[0].Mine < 1 || counts[1].Mine != counts[0].Mine-1 || counts[1].Overdue != counts[0].Overdue-1 {
		t.Errorf("counts went from %s to %s", before.Body, after.Body)
	}
}

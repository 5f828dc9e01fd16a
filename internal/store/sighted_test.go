package store_test

import (
	"fmt"
	"slices"
	"testing"

	"finobs/internal/agent"
	"finobs/internal/approval"
	"finobs/internal/fault"
	"finobs/internal/incident"
	"finobs/internal/store"
)

// What a list shows and what a detail answers is what MaySee says, whoever looks.
func TestSightedReads(t *testing.T) {
	b := openBooks(t)
	type thing struct {
		what, desk string // the desk that counts
		id         int64
	}
	var things []thing
	for _, desk := range []string{"EQ", "FX", ""} {
		id := b.incident(func(i *incident.Incident) { i.Desk = desk })
		things = append(things, thing{"incident", desk, id})
		for _, asker := range []string{"EQ", "FX", ""} { // a run belongs to its incident's desk, whoever asked
			run := b.run(agent.Remediate, id, asker)
			things = append(things, thing{"approval", asker, run.ApprovalID}, thing{"run", desk, run.ID}, thing{"action", desk, b.plan(run, 1).ID})
		}
		run := b.run(agent.Compliance, 0, desk)
		things = append(things, thing{"approval", desk, run.ApprovalID}, thing{"run", desk, run.ID})
	}
	// Actions take ids of approvals, which nobody has recorded.
	for _, p := range []approval.Principal{
		{Roles: []string{"viewer"}, Desk: "EQ"}, {Roles: []string{"trader"}, Desk: "FX"}, {Roles: []string{"viewer"}}, {Roles: []string{"service"}, Desk: "none"},
		{Roles: []string{"analyst"}, Desk: "EQ"}, {Roles: []string{"auditor"}}, {},
	} {
		s := b.r.Within(approval.SightOf(p))
		listed := listedBy(t, s)
		for _, x := range things {
			_, err := map[string]func() (any, error){
				"incident": func() (any, error) { return s.Incident(ctx, x.id) },
				"approval": func() (any, error) { return s.Approval(ctx, x.id) },
				"run":      func() (any, error) { return s.Run(ctx, x.id) },
				"action":   func() (any, error) { return s.Action(ctx, x.id) },
			}[x.what]()
			may := approval.MaySee(p, x.desk)
			if x.what != "approval" || err == nil || may { // the policy of these approvals cannot be read, but by whom it may is asked first
				if (err == nil) != may && (may || fault.KindOf(err) != fault.NotFound) {
					t.Errorf("%v of desk %q reads %s of desk %q: %v", p.Roles, p.Desk, x.what, x.desk, err)
				}
			}
			if got := slices.Contains(listed[x.what], x.id); got != may {
				t.Errorf("%v of desk %q finds %s of desk %q in the list: %v", p.Roles, p.Desk, x.what, x.desk, got)
			}
		}
	}
}

func listedBy(t *testing.T, s store.Sighted) map[string][]int64 {
	t.Helper()
	out := map[string][]int64{}
	page := store.Page{Limit: 500}
	incidents, err := s.Incidents(ctx, store.IncidentFilter{}, page)
	for _, x := range incidents {
		out["incident"] = append(out["incident"], x.ID)
	}
	approvals, err2 := s.Approvals(ctx, store.ApprovalFilter{}, page)
	for _, x := range approvals {
		out["approval"] = append(out["approval"], x.ID)
	}
	runs, err3 := s.Runs(ctx, store.RunFilter{}, page)
	for _, x := range runs {
		out["run"] = append(out["run"], x.ID)
	}
	actions, err4 := s.Actions(ctx, store.ActionFilter{}, page)
	for _, x := range actions {
		out["action"] = append(out["action"], x.ID)
	}
	for _, err := range []error{err, err2, err3, err4} {
		if err != nil {
			t.Fatal(err)
		}
	}
	tasks, err := s.IncidentTasks(ctx, person("alice"), "", "", 500)
	if err != nil {
		t.Fatal(err)
	}
	counts, _, err := s.IncidentMetrics(ctx, store.IncidentWindow{})
	if err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	for _, c := range counts {
		n += c.N
	}
	if len(tasks) != len(incidents) || int(n) != len(incidents) {
		t.Errorf("%d incidents are listed, %d wait, %d are counted", len(incidents), len(tasks), n)
	}
	return out
}

// Windows over all desks belong to none.
func TestSightedWindows(t *testing.T) {
	b := openBooks(t)
	for _, desk := range []string{"EQ", "FX", "*"} {
		b.exec(fmt.Sprintf(`SET session_replication_role = replica; INSERT INTO finobs.maintenance_window (act_id, title, system, source, kind, desk, starts_at, ends_at,
			created_iss, created_sub, created_at) VALUES (gen_random_uuid(), 't', '*', '*', '*', '%s', now(), now() + interval '1 hour', '', '', now())`, desk))
	}
	for desk, wanted := range map[string]int{"EQ": 2, "FX": 2, "": 1} {
		s := b.r.Within(approval.Sight{Desk: desk})
		list, err := s.Windows(ctx, "", store.Page{Limit: 10})
		if err != nil || len(list) != wanted {
			t.Errorf("desk %q sees %d windows: %v", desk, len(list), err)
		}
		read := 0
		for id := range int64(4) {
			if _, err := s.Window(ctx, id); err == nil {
				read++
			}
		}
		if read != wanted {
			t.Errorf("desk %q reads %d windows", desk, read)
		}
	}
}

package approval_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"finobs/internal/approval"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func member(sub string, roles ...string) approval.Member {
	return approval.Member{Person: person(sub), Kind: approval.Human, Roles: roles, Desk: "EQ", Active: true}
}

func delegation(id int64, from approval.Principal, to string) approval.Delegation {
	return approval.Delegation{ID: id, From: from, To: person(to), StartsAt: noon.Add(-time.Hour), EndsAt: noon.Add(time.Hour)}
}

// desk is a roster and its delegations at noon.
func desk() approval.Setting {
	idle := member("idle", "compliance")
	idle.Active = false
	robot := member("robot", "admin")
	robot.Kind = approval.System
	return approval.Setting{
		Roster: approval.Roster{
			member("tom", "trader", "compliance"), member("ed", "compliance"), member("carol", "compliance"), member("cecil", "compliance"),
			member("ann", "admin"), member("tim", "trader"), member("sub", "trader"), idle, robot,
		},
		Delegations: []approval.Delegation{
			delegation(1, reviewer("carol", "compliance"), "tim"),
			delegation(2, reviewer("tim", "trader"), "sub"), // not what carol gave tim
			delegation(3, reviewer("tom", "trader", "compliance"), "cecil"),
			delegation(4, reviewer("idle", "compliance"), "sub"),
		},
		ApprovalID: 7, Now: noon,
	}
}

const oneCompliance = `
version: 1
policies:
  - id: one
    match: 'true'
    all_of: [{n: 1, who: '"compliance" in reviewer.roles', label: compliance}]
    fallback: '"admin" in reviewer.roles'
    veto: 1
    expires: 1h
`

func with(policy, line string) string {
	return strings.Replace(policy, "    veto:", "    "+line+"\n    veto:", 1)
}

func TestStanding(t *testing.T) {
	for name, tt := range map[string]struct {
		policy string
		by     approval.Principal
		place  *approval.Principal
		want   string // "" when it stands
	}{
		"Stands":                    {by: reviewer("carol", "compliance")},
		"OtherLetterCase":           {by: reviewer("CAROL", "compliance")},
		"RoleWasTakenAway":          {by: reviewer("tim", "compliance"), want: "does not admit the roles []"},
		"RoleNotInTheToken":         {by: reviewer("carol", "analyst"), want: "does not admit the roles []"},
		"Inactive":                  {by: reviewer("idle", "compliance"), want: "idle is not active"},
		"NotOnRosterOptional":       {by: reviewer("guest", "compliance")},
		"NotOnRosterRequired":       {policy: with(oneCompliance, "roster: required"), by: reviewer("guest", "compliance"), want: "guest is not on the roster"},
		"Requester":                 {by: reviewer("Tom", "compliance"), want: "the requester of an action never decides"},
		"Editor":                    {by: reviewer("ed", "compliance"), want: "the editor of an action never decides"},
		"DelegateOfRequester":       {by: reviewer("cecil", "compliance"), want: "cecil is a delegate of the requester"},
		"RosterSaysMachine":         {by: reviewer("robot", "compliance"), want: "only people approve; system"},
		"Delegate":                  {by: reviewer("tim", "trader"), place: ptr(reviewer("carol", "compliance"))},
		"DelegatorLostTheRole":      {by: reviewer("carol", "compliance"), place: ptr(reviewer("tim", "compliance")), want: "does not admit the roles []"},
		"DelegatorInactive":         {by: reviewer("tim", "trader"), place: ptr(reviewer("idle", "compliance")), want: "idle is not active"},
		"DelegatorNotOnRoster":      {policy: with(oneCompliance, "roster: required"), by: reviewer("tim"), place: ptr(reviewer("guest", "compliance")), want: "guest is not on the roster"},
		"DelegatorIsRequester":      {by: reviewer("tim"), place: ptr(reviewer("tom", "compliance")), want: "in the place of its requester"},
		"DelegatorIsEditor":         {by: reviewer("tim"), place: ptr(reviewer("ED", "compliance")), want: "in the place of its editor"},
		"DelegatorActsForRequester": {by: reviewer("tim"), place: ptr(reviewer("cecil", "compliance")), want: "cecil is a delegate of the requester"},
		"DelegatorIsMachine":        {by: reviewer("tim"), place: ptr(reviewer("robot", "compliance")), want: "only people approve"},
		"OwnPlace":                  {by: reviewer("carol", "compliance"), place: ptr(reviewer("Carol", "compliance")), want: "in his own place"},
		"DelegationForbidden":       {policy: with(oneCompliance, "delegation: false"), by: reviewer("tim"), place: ptr(reviewer("carol", "compliance")), want: "counts no delegates"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.policy == "" {
				tt.policy = oneCompliance
			}
			given := approval.Decision{Verdict: approval.Approve, Reviewer: tt.by, OnBehalfOf: tt.place}
			got, why := desk().Standing(policyFor(t, tt.policy), editedAction(), given)
			if (tt.want == "") != (why == "") || !strings.Contains(why, tt.want) {
				t.Errorf("Standing = %q, want %q", why, tt.want)
			}
			if again, whyAgain := desk().Standing(policyFor(t, tt.policy), editedAction(), got); whyAgain != why || fmt.Sprint(again.Reviewer) != fmt.Sprint(got.Reviewer) {
				t.Errorf("judged again: %+v, %q", again, whyAgain)
			}
			if stood := desk().Stand(policyFor(t, tt.policy), editedAction(), []approval.Decision{given}); (len(stood) == 1) != (why == "") {
				t.Errorf("Stand = %+v", stood)
			}
		})
	}
}

func ptr[T any](v T) *T { return &v }

func TestAdminIsNoExemption(t *testing.T) {
	p := policyFor(t, strings.Replace(oneCompliance, `'"compliance" in reviewer.roles'`, `'true'`, 1))
	if why := p.Ineligible(action(), approval.Decision{Reviewer: reviewer("tom", "admin", "compliance")}); why == "" {
		t.Error("an admin decides on his own request")
	}
	auto := policyFor(t, "version: 1\npolicies: [{id: p, match: 'true', auto: true, expires: 1h}]")
	if why := auto.Ineligible(action(), approval.Decision{Reviewer: reviewer("ann", "admin")}); !strings.Contains(why, "approves by itself") {
		t.Errorf("Ineligible under auto = %q", why)
	}
	if out := approval.Tally(auto, action(), nil); out.Status != approval.Approved || out.Stage != 0 || len(out.Missing) > 0 {
		t.Errorf("Tally under auto = %+v", out)
	}
	if s := desk(); !s.Satisfiable(auto, action(), nil, false) || len(s.Eligible(auto, action(), nil, false)) != 0 {
		t.Error("auto is not settled")
	}
}

func TestClaim(t *testing.T) {
	carol := approval.Decision{ID: "1", Verdict: approval.Reject, Reviewer: reviewer("carol", "compliance")}
	twoVetoes := strings.Replace(oneCompliance, "veto: 1", "veto: 2", 1)
	for name, tt := range map[string]struct {
		policy   string
		earlier  []approval.Decision
		who      approval.Principal
		fallback bool
		change   func(*approval.Setting)
		place    string // in whose place; "-" for himself
		want     string // why not
	}{
		"ForHimself":              {who: reviewer("carol", "compliance"), place: "-"},
		"ForDelegator":            {who: reviewer("tim", "trader"), place: "carol"},
		"NoRedelegation":          {who: reviewer("sub", "trader"), want: "does not admit the roles [trader]"},
		"OwnReasonFirst":          {who: reviewer("sub", "trader"), policy: with(oneCompliance, "delegation: false"), want: "does not admit"},
		"NobodyGaveHimAnything":   {who: reviewer("ann", "admin"), want: "does not admit"},
		"FallbackAdmits":          {who: reviewer("ann", "admin"), fallback: true, place: "-"},
		"FallbackAddsNoRoles":     {who: reviewer("sub", "trader"), fallback: true, want: "does not admit"},
		"DelegatorDecidedAlready": {policy: twoVetoes, earlier: []approval.Decision{carol}, who: reviewer("tim", "trader"), want: "does not admit"},
		"OwnAndDelegatorUsed":     {policy: twoVetoes, earlier: []approval.Decision{carol}, who: reviewer("carol", "compliance"), want: "has decided already"},
		"Closed":                  {earlier: []approval.Decision{carol}, who: reviewer("ann", "compliance"), change: func(s *approval.Setting) { s.Roster = nil }, want: "rejected already"},
		"EarlierDoesNotStand":     {earlier: []approval.Decision{{ID: "1", Verdict: approval.Reject, Reviewer: reviewer("idle", "compliance")}}, who: reviewer("carol", "compliance"), place: "-"},
		"Requester":               {who: reviewer("tom", "compliance"), want: "the requester of an action"},
		"DelegateOfRequester":     {who: reviewer("cecil", "compliance"), want: "delegate of the requester"},
		"EvenForAnotherApproval": {who: reviewer("cecil", "compliance"), want: "delegate of the requester",
			change: func(s *approval.Setting) { s.Delegations[2].ApprovalID = 99 }},
		"RequesterRevoked": {who: reviewer("cecil", "compliance"), place: "-", change: func(s *approval.Setting) { s.Delegations[2].RevokedAt = &noon }},
		"Over":             {who: reviewer("tim", "trader"), change: func(s *approval.Setting) { s.Now = noon.Add(time.Hour) }, want: "does not admit"},
		"NotYet":           {who: reviewer("tim", "trader"), change: func(s *approval.Setting) { s.Now = noon.Add(-2 * time.Hour) }, want: "does not admit"},
		"Revoked":          {who: reviewer("tim", "trader"), change: func(s *approval.Setting) { s.Delegations[0].RevokedAt = &noon }, want: "does not admit"},
		"ForThisApproval":  {who: reviewer("tim", "trader"), change: func(s *approval.Setting) { s.Delegations[0].ApprovalID = 7 }, place: "carol"},
		"ForAnother":       {who: reviewer("tim", "trader"), change: func(s *approval.Setting) { s.Delegations[0].ApprovalID = 8 }, want: "does not admit"},
		"LowestID": {who: reviewer("tim", "trader"), place: "zoe", change: func(s *approval.Setting) {
			s.Delegations = append(s.Delegations, delegation(9, reviewer("amy", "compliance"), "tim"), delegation(0, reviewer("zoe", "compliance"), "tim"))
		}},
		"FirstThatCounts": {who: reviewer("tim", "trader"), place: "carol", change: func(s *approval.Setting) {
			s.Delegations = append(s.Delegations, delegation(0, reviewer("idle", "compliance"), "tim"))
		}},
		"Agent": {who: approval.Principal{Person: person("gpt"), Kind: approval.Agent, Roles: []string{"compliance"}}, want: "only people approve"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.policy == "" {
				tt.policy = oneCompliance
			}
			s := desk()
			if tt.change != nil {
				tt.change(&s)
			}
			got, why := s.Claim(policyFor(t, tt.policy), action(), tt.earlier, tt.who, approval.Approve, tt.fallback)
			if (tt.want == "") != (why == "") || !strings.Contains(why, tt.want) {
				t.Fatalf("Claim = %+v, %q, want %q", got, why, tt.want)
			}
			in := "-"
			if got.OnBehalfOf != nil {
				in = got.OnBehalfOf.Subject
			}
			if why == "" && (in != tt.place || got.ID != "" || got.Fallback != tt.fallback || got.Verdict != approval.Approve) {
				t.Errorf("Claim = %+v, want a decision for %s", got, tt.place)
			}
		})
	}
}

func TestStagesOpenInOrder(t *testing.T) {
	p := policyFor(t, `
version: 1
policies:
  - id: p
    match: 'true'
    stages:
      - {label: review, all_of: [{n: 1, who: '"compliance" in reviewer.roles', label: compliance}]}
      - {all_of: [{n: 1, who: '"admin" in reviewer.roles', label: admin}], any_of: [{n: 1, who: '"a" in reviewer.roles', label: A}, {n: 2, who: '"b" in reviewer.roles', label: B}]}
    veto: 1
    expires: 1h
`)
	approve := func(id, sub string, roles ...string) approval.Decision {
		return approval.Decision{ID: id, Verdict: approval.Approve, Reviewer: reviewer(sub, roles...)}
	}
	first := approve("1", "carol", "compliance")
	if out := approval.Tally(p, action(), nil); strings.Join(out.Missing, "; ") !=
		"stage 1, review: 1 more of compliance; stage 2: 1 more of admin; stage 2: 1 more of A or 2 more of B" {
		t.Errorf("missing %q", out.Missing)
	}
	for want, tt := range map[string]struct {
		earlier []approval.Decision
		d       approval.Decision
	}{
		"stage 2 is not open yet":                                        {nil, approve("2", "ann", "admin")},
		"the stage that cecil could approve in is complete":              {[]approval.Decision{first}, approve("2", "cecil", "compliance")},
		"carol has decided already, or somebody has in his place":        {[]approval.Decision{first}, approve("2", "carol", "admin")},
		"all places that abe could fill are taken":                       {[]approval.Decision{first, approve("2", "ann", "admin")}, approve("3", "abe", "admin")},
		`verdict "maybe" must be approve or reject`:                      {nil, approval.Decision{Verdict: "maybe", Reviewer: reviewer("ann", "admin")}},
		"policy p does not admit the roles [trader]":                     {nil, approve("2", "tim", "trader")},
		"the request is rejected already":                                {[]approval.Decision{{ID: "0", Verdict: approval.Reject, Reviewer: reviewer("x", "b")}}, first},
		"only people approve; agent principals never do":                 {nil, approval.Decision{Verdict: approval.Approve, Reviewer: approval.Principal{Person: person("g"), Kind: approval.Agent}}},
		`policy p does not admit the roles [\u{202e}nimda compliance\\]`: {nil, approve("2", "x", "\u202enimda", `compliance\`)},
		"": {nil, approval.Decision{ID: "2", Verdict: approval.Reject, Reviewer: reviewer("ann", "admin")}},
	} {
		if got := approval.Judge(p, action(), tt.earlier, tt.d); got != want {
			t.Errorf("Judge = %q, want %q", got, want)
		}
	}
	// Who came too early is free when his stage opens.
	out := approval.Tally(p, action(), []approval.Decision{approve("0", "ann", "admin"), first, approve("2", "ann", "admin"), approve("3", "bea", "b")})
	if strings.Join(out.Counted, " ") != "1 2 3" || out.Stage != 2 || strings.Join(out.Missing, "; ") != "stage 2: 1 more of A or 1 more of B" {
		t.Errorf("Tally = %+v", out)
	}
}

func TestEligible(t *testing.T) {
	names := func(list []approval.Member) string {
		var out []string
		for _, m := range list {
			out = append(out, m.Subject)
		}
		return strings.Join(out, " ")
	}
	s, p := desk(), policyFor(t, oneCompliance)
	if got := names(s.Eligible(p, editedAction(), nil, false)); got != "carol tim" {
		t.Errorf("Eligible = %s", got)
	}
	if got := names(s.Eligible(p, editedAction(), nil, true)); got != "carol ann tim" {
		t.Errorf("Eligible with fallback = %s", got)
	}
	done := []approval.Decision{{ID: "1", Verdict: approval.Approve, Reviewer: reviewer("carol", "compliance")}}
	if got := names(s.Eligible(p, editedAction(), done, true)); got != "" {
		t.Errorf("Eligible when closed = %s", got)
	}
}

// reachable tries every sequence of approvals in every capacity.
func reachable(s approval.Setting, p *approval.Policy, a approval.Action, earlier []approval.Decision, fallback bool) bool {
	out := approval.Tally(p, a, s.Stand(p, a, earlier))
	if out.Status != approval.Pending {
		return out.Status == approval.Approved
	}
	for _, m := range s.Roster {
		capacities := []*approval.Principal{nil}
		for _, d := range s.Delegations {
			if d.To.Same(m.Person) && d.InForce(s.Now, s.ApprovalID) {
				capacities = append(capacities, &d.From)
			}
		}
		for _, c := range capacities {
			d := approval.Decision{ID: fmt.Sprint(len(earlier)), Verdict: approval.Approve, Reviewer: m.Principal(), OnBehalfOf: c, Fallback: fallback}
			d, why := s.Standing(p, a, d)
			if why == "" && approval.Judge(p, a, s.Stand(p, a, earlier), d) == "" &&
				reachable(s, p, a, append(slices.Clone(earlier), d), fallback) {
				return true
			}
		}
	}
	return false
}

func TestSatisfiableAgreesWithSearch(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	d := draw(random.IntN)
	count := map[bool]int{}
	for range 100 {
		p := policyFor(t, d.rules().yaml())
		s := approval.Setting{Now: noon}
		for i, sub := range []string{"p", "q", "r", "s"}[:3+d(2)] {
			m := member(sub, d.roles(0)...)
			m.Active = d(8) > 0
			s.Roster = append(s.Roster, m)
			if d(2) == 0 {
				s.Delegations = append(s.Delegations, delegation(int64(i), reviewer([]string{"v", "w", "p", "tom"}[d(4)], allRoles...), sub))
			}
		}
		for _, fallback := range []bool{false, true} {
			earlier := d.decisions(d(4))
			want := reachable(s, p, editedAction(), earlier, fallback)
			if got := s.Satisfiable(p, editedAction(), earlier, fallback); got != want {
				t.Fatalf("Satisfiable = %t, the search says %t; %+v %+v", got, want, s, earlier)
			}
			count[want]++
			if want && approval.Tally(p, editedAction(), s.Stand(p, editedAction(), earlier)).Status == approval.Pending &&
				len(s.Eligible(p, editedAction(), earlier, fallback)) == 0 {
				t.Fatalf("it can be completed and nobody is eligible")
			}
		}
	}
	t.Log(count)
	if count[true] < 30 || count[false] < 30 {
		t.Errorf("one-sided: %v", count)
	}
}

func TestRoster(t *testing.T) {
	r := desk().Roster
	r = append(r, member("carol", "admin")) // the first entry of a person holds
	if m, ok := r.Member(person("CAROL")); !ok || m.Roles[0] != "compliance" {
		t.Errorf("Member = %+v, %t", m, ok)
	}
	if _, ok := r.Member(approval.Person{Issuer: "other", Subject: "carol"}); ok {
		t.Error("another issuer's carol is on the roster")
	}
	token := approval.Principal{Person: person("carol"), Kind: approval.Human, Roles: []string{"admin", "compliance"}, Desk: "FX"}
	if got := r.Reduce(token); fmt.Sprint(got.Roles) != "[compliance]" || got.Desk != "EQ" || token.Roles[0] != "admin" {
		t.Errorf("Reduce = %+v, token is %+v", got, token)
	}
	if got := r.Reduce(reviewer("guest", "admin")); len(got.Roles) != 1 {
		t.Errorf("Reduce of a guest = %+v", got)
	}
	idle, _ := r.Member(person("idle"))
	if got := r.Reduce(reviewer("idle", "compliance")); len(got.Roles)+len(idle.Principal().Roles) != 0 {
		t.Errorf("an inactive member has roles: %+v", got)
	}
}

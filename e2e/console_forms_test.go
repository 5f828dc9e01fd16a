package e2e_test

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"finobs/internal/identity"
)

// atConsole is somebody who signed in with a token, in a browser without JavaScript.
func (s *stack) atConsole(t *testing.T, who string) visitor {
	t.Helper()
	v := newVisitor(t)
	base := "http://" + s.APIAddress
	form := v.get(base+"/login?next=/console/approvals", nil)
	in := v.get(base+"/login", url.Values{
		"csrf": {hidden(t, form, "csrf")}, "next": {"/console/approvals"}, "with": {identity.TokenSignIn}, "token": {s.token(t, who, strings.Fields(roles[who])...)},
	})
	want(t, in, http.StatusOK)
	return v
}

// formFields are the hidden fields of the form that leads to an address.
func formFields(t *testing.T, page reply, action string) url.Values {
	t.Helper()
	form := regexp.MustCompile(`(?s)<form method="post" action="` + regexp.QuoteMeta(action) + `".*?</form>`).Find(page.Body)
	if form == nil {
		t.Fatalf("the page has no form to %s: %s", action, page.Body)
	}
	out := url.Values{}
	for _, m := range regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`).FindAllSubmatch(form, -1) {
		out.Set(string(m[1]), html.UnescapeString(string(m[2])))
	}
	return out
}

func with(form url.Values, pairs ...string) url.Values {
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return form
}

// asksPlainly asks for an approval of an action of a desk's own.
func (s *stack) asksPlainly(t *testing.T, who, mode, reason string) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"kind": "desk.console", "parameters": map[string]string{"why": reason}, "reason": reason, "mode": mode,
	})
	if err != nil {
		t.Fatal(err)
	}
	return want(t, s.call(t, who, "POST", "/approval/", string(body)), http.StatusAccepted).str("approval_request_id")
}

// People approve and reject with forms alone; the decision is over what they were
// shown, and whoever may not decide has no form.
func TestTheConsoleDecidesWithoutScript(t *testing.T) {
	t.Parallel()
	base := "http://" + world.APIAddress
	bob, victor := world.atConsole(t, "bob"), world.atConsole(t, "victor")
	yes := world.asksPlainly(t, "alice", "live", `<script>alert("yes")</script>`)
	no := world.asksPlainly(t, "alice", "simulation", "console-simulation")
	var page reply
	eventually(t, "the requests are in the list", func() bool {
		page = bob.get(base+"/console/approvals?kind=desk.console", nil)
		return strings.Contains(string(page.Body), `data-id="`+yes+`"`) && strings.Contains(string(page.Body), `data-id="`+no+`"`)
	})
	if strings.Contains(string(page.Body), "<script>alert") {
		t.Error("a reason became a script")
	}
	at := base + "/console/approvals/" + yes
	page = want(t, bob.get(at, nil), http.StatusOK)
	form := formFields(t, page, "/console/approvals/"+yes+"/decision")
	digest := form.Get("action_digest")
	if digest == "" || world.call(t, "bob", "GET", "/approval/"+yes, "").str("action_digest") != digest {
		t.Errorf("the form is over %q", digest)
	}
	other := want(t, bob.get(at+"/decision", with(formFields(t, page, "/console/approvals/"+yes+"/decision"), "decision", "approve",
		"action_digest", "sha256:"+strings.Repeat("0", 64))), http.StatusConflict)
	if !strings.Contains(string(other.Body), "digest-differs") || world.call(t, "bob", "GET", "/approval/"+yes, "").str("status") != "pending" {
		t.Errorf("a decision over another action: %s", other.Body)
	}
	want(t, bob.get(at+"/decision", with(formFields(t, page, "/console/approvals/"+yes+"/decision"), "decision", "approve", "csrf", "guess")), http.StatusForbidden)
	done := want(t, bob.get(at+"/decision", with(form, "decision", "approve", "reason", "by form")), http.StatusOK)
	if !strings.Contains(string(done.Body), "Your approval is recorded.") || world.call(t, "bob", "GET", "/approval/"+yes, "").str("status") != "approved" {
		t.Errorf("after the approval: %s", done.Body)
	}
	if watched := want(t, victor.get(base+"/console/approvals/"+no, nil), http.StatusOK); strings.Contains(string(watched.Body), "/decision") {
		t.Error("a viewer is shown the form to decide")
	}
	at = base + "/console/approvals/" + no
	want(t, bob.get(at+"/decision", with(formFields(t, bob.get(at, nil), "/console/approvals/"+no+"/decision"), "decision", "reject", "reason", "not so")), http.StatusOK)
	if got := world.call(t, "bob", "GET", "/approval/"+no, ""); got.str("status") != "rejected" || !strings.Contains(string(got.Body), "not so") {
		t.Errorf("after the rejection: %s", got.Body)
	}
	// What the record keeps is what the API would have made of it.
	receipt := want(t, bob.get(base+"/approval/"+yes+"/receipt", nil), http.StatusOK)
	if !strings.Contains(string(receipt.Body), "by form") {
		t.Errorf("the receipt: %s", receipt.Body)
	}
}

// Mails lead to pages; whoever is not signed in signs in first and comes back.
func TestLinksOfMailsLeadToTheConsole(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	base := "http://" + world.APIAddress
	page := want(t, v.get(base+"/open/approval/1", nil), http.StatusOK)
	if !strings.Contains(string(page.Body), `value="/console/approvals/1"`) {
		t.Errorf("the way back is lost: %s", page.Body)
	}
}

// The lists that the console filters are those of the API.
func TestListsAreFilteredByModeAndWords(t *testing.T) {
	t.Parallel()
	live, simulated := world.asksPlainly(t, "bob", "live", "filter-by-mode"), world.asksPlainly(t, "bob", "simulation", "filter-by-mode")
	eventually(t, "the requests are recorded", func() bool {
		got := string(world.call(t, "carol", "GET", "/approval/?kind=desk.console&requester=bob&is_simulation=true", "").Body)
		return strings.Contains(got, `"approval_request_id":`+simulated+`,`) && !strings.Contains(got, `"approval_request_id":`+live+`,`)
	})
	title := fmt.Sprintf("100%% of GW_%s is down", simulated)
	body, err := json.Marshal(map[string]string{"kind": "other", "severity": "low", "title": title})
	if err != nil {
		t.Fatal(err)
	}
	want(t, world.call(t, "alice", "POST", "/incidents", string(body)), http.StatusCreated)
	for q, n := range map[string]int{"100% of gw_" + simulated: 1, "100_ of GW": 0, "GW%" + simulated: 0, "no such words": 0} {
		got := want(t, world.call(t, "alice", "GET", "/incidents?q="+url.QueryEscape(q), ""), http.StatusOK)
		if strings.Count(string(got.Body), `"incident_id"`) != n {
			t.Errorf("%q finds %s", q, got.Body)
		}
	}
}

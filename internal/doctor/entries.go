package doctor

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"finobs/internal/approval"
	"finobs/internal/export"
)

// aboutState are the types of entries that state must bear out.
var aboutState = slices.Concat(aboutRequests,
	[]string{"effect.intended", "effect.done", "user.added", "user.changed", "policy.activated"})

// entries looks, for every entry, at the state that it tells of: I6, the other way
// round.
func (x *examination) entries(ctx context.Context, r Record) error {
	return pages(func(last Entry, limit int) ([]Entry, error) {
		return r.EntriesAfter(ctx, last, aboutState, limit)
	}, func(page []Entry) error {
		x.looked("I6", len(page))
		var readable []told
		for _, e := range page {
			t, err := e.tell()
			if err != nil || !t.agrees() {
				x.found("I6", Finding{WorkflowID: e.WorkflowID, Other: "entry " + e.ID}, "its columns do not say what its leaf says")
				continue
			}
			readable = append(readable, t)
		}
		s, err := stateOf(ctx, r, readable)
		if err != nil {
			return err
		}
		for _, e := range readable {
			if why := s.against(e); why != "" {
				f := Finding{WorkflowID: e.WorkflowID, Other: "entry " + e.ID}
				switch e.SubjectKind {
				case "approval":
					f.ApprovalID = e.id()
				case "export":
					f.ExportID, f.ApprovalID = e.id(), e.leaf.number("approval_id")
				}
				x.found("I6", f, "%s: %s", e.Type, why)
			}
		}
		return nil
	})
}

// state is what the entries of a page tell of, as it is.
type state struct {
	requests   map[int64][]approval.Request
	decisions  map[string][]approval.Recorded
	exports    map[int64][]export.Export
	people     map[string][]approval.Member // by key
	policySets map[PolicySet][]PolicySet    // without ids
}

func stateOf(ctx context.Context, r Record, entries []told) (state, error) {
	var s state
	subjects := by(entries, func(e told) string { return e.SubjectKind })
	decided := keys(ofType(entries, "approval.decided"), func(e told) string { return e.leaf.text("decision_id") })
	requests, err := r.RequestsByID(ctx, keys(subjects["approval"], told.id))
	if err != nil {
		return s, err
	}
	decisions, err := r.DecisionsByID(ctx, decided)
	if err != nil {
		return s, err
	}
	exports, err := r.ExportsByID(ctx, keys(subjects["export"], told.id))
	if err != nil {
		return s, err
	}
	people, err := r.PeopleByKey(ctx, keys(subjects["user"], told.personKey))
	if err != nil {
		return s, err
	}
	sets, err := r.PolicySetsOf(ctx, keys(subjects["policy"], func(e told) string { return e.SubjectID }))
	if err != nil {
		return s, err
	}
	return state{
		by(requests, requestID), by(decisions, decisionID), by(exports, exportID), by(people, func(m approval.Member) string { return m.Key() }),
		by(sets, func(p PolicySet) PolicySet { return PolicySet{SHA256: p.SHA256, ApprovalID: p.ApprovalID} }),
	}, nil
}

// id is the number of the subject; 0 when it is none.
func (t told) id() int64 {
	n, err := strconv.ParseInt(t.SubjectID, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func (t told) personKey() string {
	issuer, subject, _ := strings.Cut(t.SubjectID, "|")
	return approval.Person{Issuer: issuer, Subject: subject}.Key()
}

// against says what of an entry the state does not bear out, or returns "".
func (s state) against(e told) string {
	switch e.SubjectKind {
	case "approval":
		return s.request(e)
	case "export":
		return s.effect(e)
	case "user":
		if len(s.people[e.personKey()]) == 0 {
			return e.SubjectID + " is not on the roster"
		}
	case "policy":
		if len(s.policySets[activated(e)]) == 0 {
			return "there is no such policy set"
		}
	}
	return ""
}

func (s state) request(e told) string {
	list := s.requests[e.id()]
	if len(list) == 0 {
		return "there is no approval " + e.SubjectID
	}
	r := list[0]
	if e.leaf.text("action_digest") != r.ActionDigest {
		return "it was written about another action than the approval's"
	}
	if !mayStand(r, e) {
		return "the approval is " + string(r.Status)
	}
	if id := e.leaf.text("decision_id"); e.Type == "approval.decided" && id != "" {
		if d := s.decisions[id]; len(d) == 0 || d[0].ApprovalID != r.ID {
			return "decision " + id + " is not on record"
		}
	}
	return ""
}

func (s state) effect(e told) string {
	list := s.exports[e.id()]
	switch {
	case len(list) == 0:
		return "there is no export " + e.SubjectID
	case e.Type == "effect.done" && list[0].Status != export.Sealed:
		return "the export is " + string(list[0].Status) + ", not sealed"
	}
	return ""
}

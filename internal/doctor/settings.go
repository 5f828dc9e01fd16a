package doctor

import (
	"context"
	"strconv"
	"strings"

	"finobs/internal/approval"
)

func userSubject(m approval.Member) string { return m.Issuer + "|" + m.Subject }

// people looks for the entries of every version of everybody on the roster, the
// last of which must say what the roster says: I6.
func (x *examination) people(ctx context.Context, r Record) error {
	return pages(func(last approval.Member, limit int) ([]approval.Member, error) {
		after := ""
		if last.Subject != "" {
			after = last.Key()
		}
		return r.PeopleAfter(ctx, after, limit)
	}, func(page []approval.Member) error {
		x.looked("I6", len(page))
		entries, err := r.EntriesAbout(ctx, "user", keys(page, userSubject), []string{"user.added", "user.changed"})
		if err != nil {
			return err
		}
		of := by(tell(entries), func(e told) string { return e.SubjectID })
		for _, m := range page {
			f := Finding{Other: "user " + userSubject(m)}
			list := of[userSubject(m)]
			if int64(len(list)) != m.Version {
				x.found("I6", f, "he is at version %d, and the ledger has %d entries user.added and user.changed of him", m.Version, len(list))
				continue
			}
			if !lastOf(m, list) {
				x.found("I6", f, "his roles, desk, kind or state are not those of the entry of version %d", m.Version)
			}
		}
		return nil
	})
}

// lastOf reports whether the entry of m's version says what m is.
func lastOf(m approval.Member, entries []told) bool {
	for _, e := range entries {
		after := e.leaf.object("after")
		if after.number("version") != m.Version {
			continue
		}
		active, _ := after.Details["active"].(bool)
		return after.text("roles") == strings.Join(m.Roles, " ") && after.text("desk") == m.Desk &&
			after.text("kind") == string(m.Kind) && active == m.Active
	}
	return false
}

// policySets looks for the entry of every policy file that came into force: I6.
func (x *examination) policySets(ctx context.Context, r Record) error {
	return pages(func(last PolicySet, limit int) ([]PolicySet, error) {
		return r.PolicySetsAfter(ctx, last.ID, limit)
	}, func(page []PolicySet) error {
		x.looked("I6", len(page))
		entries, err := r.EntriesAbout(ctx, "policy", keys(page, func(s PolicySet) string { return s.SHA256 }), []string{"policy.activated"})
		if err != nil {
			return err
		}
		of := by(tell(entries), activated)
		for _, s := range page {
			if n := len(of[PolicySet{SHA256: s.SHA256, ApprovalID: s.ApprovalID}]); n != 1 {
				f := Finding{ApprovalID: s.ApprovalID, Other: "policy set " + strconv.FormatInt(s.ID, 10)}
				x.found("I6", f, "the ledger has %d entries policy.activated of it, not 1", n)
			}
		}
		return nil
	})
}

// activated is the policy set that an entry policy.activated tells of.
func activated(e told) PolicySet {
	return PolicySet{SHA256: e.SubjectID, ApprovalID: e.leaf.number("approval_id")}
}

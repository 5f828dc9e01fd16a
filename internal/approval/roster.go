package approval

import (
	"slices"
	"time"
)

// Member is a person on the roster: who may have which roles now, whatever an
// older token says.
type Member struct {
	Person
	Kind    ActorKind
	Roles   []string
	Desk    string
	Email   string
	Active  bool
	Version int64
}

// Principal is the member as he could decide now. An inactive member has no
// roles.
func (m Member) Principal() Principal {
	p := Principal{Person: m.Person, Kind: m.Kind, Desk: m.Desk, Roles: []string{}}
	if m.Active {
		p.Roles = append(p.Roles, m.Roles...)
	}
	return p
}

// Roster lists the people that the desk knows. Of several entries for one person
// the first holds.
type Roster []Member

// Member finds a person on the roster, whatever the letter case of his name.
func (r Roster) Member(p Person) (Member, bool) {
	for _, m := range r {
		if m.Same(p) {
			return m, true
		}
	}
	return Member{}, false
}

// Reduce returns p with those of his roles that the roster still gives him, and
// with the desk of the roster. Who is not on the roster stays as he is; who is
// inactive has no roles. A member that the roster calls a machine is one.
func (r Roster) Reduce(p Principal) Principal {
	m, ok := r.Member(p.Person)
	if !ok {
		return p
	}
	roles := []string{}
	for _, role := range p.Roles {
		if m.Active && slices.Contains(m.Roles, role) {
			roles = append(roles, role)
		}
	}
	p.Roles, p.Desk = roles, m.Desk
	if p.Kind == Human {
		p.Kind = m.Kind
	}
	return p
}

// people lists the active humans, each once.
func (r Roster) people() []Member {
	seen := map[string]bool{}
	var out []Member
	for _, m := range r {
		if !seen[m.Key()] && m.Active && m.Kind == Human {
			out = append(out, m)
		}
		seen[m.Key()] = true
	}
	return out
}

// Delegation lets To decide in the place of From for a while. It gives From's own
// right and nothing that was delegated to From.
type Delegation struct {
	ID         int64
	ApprovalID int64     // 0 for all
	From       Principal // as he was when he delegated
	To         Person
	StartsAt   time.Time
	EndsAt     time.Time // the first moment at which it is over
	Reason     string
	RevokedAt  *time.Time
}

// InForce reports whether d holds at now for the approval. A delegation for one
// approval holds for no other.
func (d Delegation) InForce(now time.Time, approvalID int64) bool {
	return d.holds(now) && (d.ApprovalID == 0 || d.ApprovalID == approvalID)
}

func (d Delegation) holds(now time.Time) bool {
	return !now.Before(d.StartsAt) && now.Before(d.EndsAt) && (d.RevokedAt == nil || now.Before(*d.RevokedAt))
}

package approval

import "slices"

// Sight is which desks somebody sees. The zero Sight sees what belongs to no desk,
// and nothing else.
type Sight struct {
	All  bool   // every desk
	Desk string // when not All: this one, and what belongs to none
}

// overDesks are the roles whose work is not bound to one desk: they decide, they
// control, or they audit.
var overDesks = []string{"analyst", "compliance", "admin", "auditor"}

// SightOf says which desks p sees. Viewers, traders and services see their own desk
// and what belongs to none; everybody else sees all desks.
func SightOf(p Principal) Sight {
	if slices.ContainsFunc(p.Roles, func(role string) bool { return slices.Contains(overDesks, role) }) {
		return Sight{All: true}
	}
	return Sight{Desk: p.Desk}
}

// Covers reports whether what belongs to a desk, "" for none, is seen.
func (s Sight) Covers(desk string) bool { return s.All || desk == "" || desk == s.Desk }

// MaySee reports whether p sees what belongs to a desk, "" for none. It is the one
// rule of streams, lists and details alike; what p may do there is another matter.
func MaySee(p Principal, desk string) bool { return SightOf(p).Covers(desk) }

package api

import (
	"context"
	"strings"
	"sync"
	"time"

	"finobs/internal/approval"
	"finobs/internal/fault"
	"finobs/internal/store"
)

// memory is how long the API remembers what the database said about policies and
// people. The worker judges by the database itself.
const memory = time.Second

// policySource reads the policies that are in force.
type policySource struct {
	reader *store.Reader

	mu     sync.Mutex
	readAt time.Time
	set    store.PolicySet
	loaded *approval.Policies
}

func (s *policySource) inForce(ctx context.Context) (*approval.Policies, error) {
	policies, _, err := s.current(ctx)
	return policies, err
}

func (s *policySource) current(ctx context.Context) (*approval.Policies, store.PolicySet, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loaded != nil && time.Since(s.readAt) < memory {
		return s.loaded, s.set, nil
	}
	set, err := s.reader.PolicySetInForce(ctx)
	if err != nil {
		return nil, set, err
	}
	if s.loaded == nil || set.ID != s.set.ID {
		loaded, err := approval.LoadPolicies(strings.NewReader(set.Content))
		if err != nil {
			return nil, set, fault.Wrap(err, fault.Internal, "policy-broken", "the policies in force cannot be read")
		}
		s.loaded, s.set = loaded, set
	}
	s.readAt = time.Now()
	return s.loaded, s.set, nil
}

// maxRemembered bounds how many people the API remembers at once.
const maxRemembered = 10_000

// rosterCache takes from people the roles that the roster does not give them.
type rosterCache struct {
	reader *store.Reader

	mu    sync.Mutex
	known map[string]knownMember
}

type knownMember struct {
	roster approval.Roster // him alone, or nobody
	readAt time.Time
}

func newRosterCache(r *store.Reader) *rosterCache {
	return &rosterCache{reader: r, known: map[string]knownMember{}}
}

func (c *rosterCache) reduce(ctx context.Context, p approval.Principal) (approval.Principal, error) {
	k, err := c.member(ctx, p.Key(), p.Person)
	if err != nil {
		return p, err
	}
	return k.roster.Reduce(p), nil
}

// member is what the roster says of a person, whose key is given; it is read when it
// is not remembered.
func (c *rosterCache) member(ctx context.Context, key string, person approval.Person) (knownMember, error) {
	c.mu.Lock()
	k, known := c.known[key]
	c.mu.Unlock()
	if known && time.Since(k.readAt) <= memory {
		return k, nil
	}
	k = knownMember{readAt: time.Now()}
	member, on, err := c.reader.Member(ctx, person)
	if err != nil {
		return k, err
	}
	if on {
		k.roster = approval.Roster{member}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= maxRemembered {
		clear(c.known)
	}
	c.known[key] = k
	return k, nil
}

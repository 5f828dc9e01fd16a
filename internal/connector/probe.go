package connector

import (
	"context"
	"net/url"

	"finobs/internal/fault"
)

// Probe reads one object of the first kind that a connector serves: the protocol
// has nothing that asks for less. Its errors are faults as those of Read.
func (s *Set) Probe(ctx context.Context, name string) error {
	for _, info := range s.Infos() {
		if info.Name != name {
			continue
		}
		c, err := s.serving(info)
		if err != nil {
			return err
		}
		at := c.base.JoinPath("v1", "objects", info.Kinds[0])
		at.RawQuery = url.Values{"limit": {"1"}, "after": {""}}.Encode()
		r, err := c.read(ctx, at)
		if err != nil {
			return err
		}
		if _, err := decodePage(r.body, info.Kinds[0], ""); err != nil {
			return c.badAnswer(err)
		}
		return nil
	}
	return fault.New(fault.NotFound, "connector.none", "no connector is called %q", name)
}

// serving is the client of a connector.
func (s *Set) serving(info Info) (*client, error) {
	if len(info.Kinds) == 0 {
		return nil, fault.New(fault.NotFound, "connector.none", "connector %s serves no kind of object", info.Name)
	}
	if _, live := s.live.byKind[info.Kinds[0]]; live && s.live.byKind[info.Kinds[0]].name == info.Name {
		return s.live.of(info.Kinds[0])
	}
	return s.simulated.of(info.Kinds[0])
}

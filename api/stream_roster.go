package api

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"finobs/internal/approval"
)

// followRoster keeps the roster cache fresh for all who have a stream open, with
// one query for them all.
func (s *streams) followRoster(ctx context.Context) {
	tick := time.NewTicker(rosterInterval)
	defer tick.Stop()
	var failing onceUntil
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.mu.Lock()
		keys := slices.Collect(maps.Keys(s.readers))
		s.mu.Unlock()
		if len(keys) > 0 {
			failing.log(ctx, "the roster cannot be read for streams; nothing is sent until it can", s.roster.refresh(ctx, keys))
		}
	}
}

// refresh reads what the roster says about people, by approval.Person.Key.
func (c *rosterCache) refresh(ctx context.Context, keys []string) error {
	asked := time.Now()
	members, err := c.reader.Members(ctx, keys)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range keys {
		k := knownMember{readAt: asked}
		if m, on := members[key]; on {
			k.roster = approval.Roster{m}
		}
		c.known[key] = k
	}
	return nil
}

// onceUntil logs the first of several errors in a row.
type onceUntil struct{ failing bool }

func (o *onceUntil) log(ctx context.Context, what string, err error) {
	if err != nil && !o.failing && ctx.Err() == nil {
		slog.WarnContext(ctx, what, "error", err)
	}
	o.failing = err != nil
}

package store

import (
	"context"
	"fmt"
)

// BreakAges are the open breaks of a type, by their age since they were first seen.
type BreakAges struct {
	Type       string `db:"type"`
	Open       int64  `db:"open"`
	UnderDay   int64  `db:"under_day"`   // younger than a day
	UnderThree int64  `db:"under_three"` // from one day to three
	UnderWeek  int64  `db:"under_week"`  // from three days to seven
	Older      int64  `db:"older"`
}

// BreakAges counts open breaks by type and age, those types first of which most are
// open. Of the filter, Profile and Origin count.
func (r *Reader) BreakAges(ctx context.Context, f BreakFilter) ([]BreakAges, error) {
	var rows []BreakAges
	err := r.db.SelectContext(ctx, &rows, `
		SELECT type, count(*) AS open,
		       count(*) FILTER (WHERE age < interval '1 day') AS under_day,
		       count(*) FILTER (WHERE age >= interval '1 day' AND age < interval '3 days') AS under_three,
		       count(*) FILTER (WHERE age >= interval '3 days' AND age < interval '7 days') AS under_week,
		       count(*) FILTER (WHERE age >= interval '7 days') AS older
		FROM (SELECT type, now() - first_seen_at AS age FROM api.trade_break
		      WHERE status = 'open' AND ($1 = '' OR profile = $1) AND ($2 = '' OR origin = $2)) b
		GROUP BY type ORDER BY count(*) DESC, type`, f.Profile, f.Origin)
	if err != nil {
		return nil, fmt.Errorf("counting breaks: %w", classify(err))
	}
	return rows, nil
}

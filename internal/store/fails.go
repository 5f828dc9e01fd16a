package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"finobs/internal/desk"
	"finobs/internal/intake"

	"github.com/lib/pq"
	"github.com/shopspring/decimal"
)

// PutFails writes a batch of balances for an import. Within the batch the last
// line for a date and CUSIP wins.
func (t *Tx) PutFails(ctx context.Context, importID int64, batch []intake.Fail) (intake.Changes, error) {
	dates, cusips, symbols := make([]time.Time, len(batch)), make([]string, len(batch)), make([]string, len(batch))
	quantities, descriptions, prices := make([]int64, len(batch)), make([]string, len(batch)), make([]sql.NullString, len(batch))
	for i, f := range batch {
		dates[i], cusips[i], symbols[i], quantities[i], descriptions[i] = f.SettlementDate, f.CUSIP, f.Symbol, f.Quantity, f.Description
		if f.Price.Valid {
			prices[i] = sql.NullString{String: f.Price.Decimal.String(), Valid: true}
		}
	}
	var c intake.Changes
	err := t.get(ctx, &c, `
		WITH line AS (
			SELECT * FROM unnest($1::date[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::numeric[])
				WITH ORDINALITY AS l (settlement_date, cusip, symbol, quantity, description, price_usd, n)
		), last AS (
			SELECT DISTINCT ON (cusip, settlement_date) * FROM line ORDER BY cusip, settlement_date, n DESC
		), put AS (
			INSERT INTO finobs.settlement_fail AS f (settlement_date, cusip, symbol, quantity, description, price_usd, import_id)
			SELECT settlement_date, cusip, symbol, quantity, description, price_usd, $7 FROM last
			ON CONFLICT (cusip, settlement_date) DO UPDATE
				SET symbol = excluded.symbol, quantity = excluded.quantity, description = excluded.description,
					price_usd = excluded.price_usd, import_id = excluded.import_id
				WHERE (f.symbol, f.quantity, f.description, f.price_usd)
					IS DISTINCT FROM (excluded.symbol, excluded.quantity, excluded.description, excluded.price_usd)
			RETURNING xmax = 0 AS added
		)
		SELECT count(*) FILTER (WHERE added) AS added, count(*) FILTER (WHERE NOT added) AS corrected,
			(SELECT count(*) FROM last) - count(*) AS unchanged,
			(SELECT count(*) FROM line) - (SELECT count(*) FROM last) AS repeated
		FROM put`,
		pq.Array(dates), pq.Array(cusips), pq.Array(symbols), pq.Array(quantities), pq.Array(descriptions), pq.Array(prices), importID)
	if err != nil {
		return c, fmt.Errorf("writing %d balances: %w", len(batch), err)
	}
	return c, nil
}

// FailedSecurities finds every security with at least minShares failing on at least
// minDays consecutive settlement days, the days being those in the data. For
// each it returns the latest such run. Set-based: one pass over the table.
func (t *Tx) FailedSecurities(ctx context.Context, minShares int64, minDays int) ([]desk.FailedSecurity, error) {
	var rows []struct {
		CUSIP       string              `db:"cusip"`
		Symbol      string              `db:"symbol"`
		Description string              `db:"description"`
		First       time.Time           `db:"first_date"`
		Last        time.Time           `db:"last_date"`
		Days        int                 `db:"days"`
		Peak        int64               `db:"peak"`
		LastShares  int64               `db:"last_shares"`
		LastPrice   decimal.NullDecimal `db:"last_price"`
		Origin      string              `db:"origin"`
	}
	err := t.list(ctx, &rows, `
		WITH day AS (
			SELECT settlement_date, row_number() OVER (ORDER BY settlement_date) AS n
			FROM (SELECT DISTINCT settlement_date FROM finobs.settlement_fail) d
		), over AS (
			SELECT f.*, day.n - row_number() OVER (PARTITION BY f.cusip ORDER BY f.settlement_date) AS run
			FROM finobs.settlement_fail f JOIN day USING (settlement_date)
			WHERE f.quantity >= $1
		), run AS (
			SELECT cusip, min(settlement_date) AS first_date, max(settlement_date) AS last_date,
				count(*) AS days, max(quantity) AS peak
			FROM over GROUP BY cusip, run HAVING count(*) >= $2
		), latest AS (
			SELECT DISTINCT ON (cusip) * FROM run ORDER BY cusip, last_date DESC
		)
		SELECT l.cusip, f.symbol, f.description, l.first_date, l.last_date, l.days, l.peak,
			f.quantity AS last_shares, f.price_usd AS last_price, i.origin
		FROM latest l JOIN finobs.settlement_fail f ON f.cusip = l.cusip AND f.settlement_date = l.last_date
		JOIN finobs.import i USING (import_id)
		ORDER BY l.cusip`, minShares, minDays)
	if err != nil {
		return nil, fmt.Errorf("detecting failed settlements: %w", err)
	}
	out := make([]desk.FailedSecurity, 0, len(rows))
	for _, r := range rows {
		out = append(out, desk.FailedSecurity{CUSIP: r.CUSIP, Symbol: r.Symbol, Description: r.Description, Origin: r.Origin, Streak: desk.Streak{
			First: r.First.UTC(), Last: r.Last.UTC(), Days: r.Days, PeakShares: r.Peak, LastShares: r.LastShares, LastPrice: r.LastPrice,
		}})
	}
	return out, nil
}

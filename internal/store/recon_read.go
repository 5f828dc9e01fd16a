package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"finobs/internal/intake"
	"finobs/internal/recon"

	"github.com/lib/pq"
	"github.com/shopspring/decimal"
)

// rowColumns are the columns of a row in a query, for scanRow.
func rowColumns(alias string) string {
	columns := []string{alias + ".n", alias + ".id", alias + ".key0"}
	for _, f := range compared {
		columns = append(columns, alias+"."+f.String()+"::text")
	}
	return strings.Join(columns, ", ")
}

// rowScan takes the columns of a row.
type rowScan struct {
	n      int
	values []sql.NullString // id, key0, and the compared fields
}

func newRowScan() *rowScan { return &rowScan{values: make([]sql.NullString, 2+len(compared))} }

func (s *rowScan) into() []any {
	out := []any{&s.n}
	for i := range s.values {
		out = append(out, &s.values[i])
	}
	return out
}

func (s *rowScan) row() recon.Row {
	var r recon.Row
	r.Line = s.n
	r.Set(intake.TradeID, s.values[0].String)
	r.Keys[0] = s.values[1].String
	for i, f := range compared {
		v := s.values[i+2].String
		if f.Form() == intake.Number && s.values[i+2].Valid {
			v = trimScale(v)
		}
		r.Set(f, v)
	}
	return r
}

// trimScale takes trailing zeros away, as decimals are written everywhere else.
func trimScale(v string) string {
	if strings.Contains(v, ".") {
		v = strings.TrimRight(strings.TrimRight(v, "0"), ".")
	}
	return v
}

// each runs a query of fixed form and calls take for each row.
func (r *Recon) each(ctx context.Context, into []any, take func() error, query string, args ...any) error {
	rows, err := r.conn.QueryxContext(ctx, query, args...)
	if err != nil {
		return classify(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return fmt.Errorf("reading rows: %w", err)
		}
		if err := take(); err != nil {
			return err
		}
	}
	return classify(rows.Err())
}

// pairs calls take for each pair of a query whose columns are those of both rows,
// and then tier, confidence, review and what more has.
func (r *Recon) pairs(ctx context.Context, more []any, take func(*recon.Pair) error, query string, args ...any) error {
	left, right := newRowScan(), newRowScan()
	var tier int
	var confidence decimal.Decimal
	var review bool
	into := append(append(left.into(), right.into()...), &tier, &confidence, &review)
	return r.each(ctx, append(into, more...), func() error {
		return take(&recon.Pair{Left: left.row(), Right: right.row(), Tier: tier, Confidence: confidence, NeedsReview: review})
	}, query, args...)
}

// Differences calls take for every pair that may differ in what the profile
// compares, and for every pair that no first key of one record a side made.
func (r *Recon) Differences(ctx context.Context, take func(*recon.Pair) error) error {
	condition, args := r.differing()
	err := r.pairs(ctx, nil, take, `SELECT `+rowColumns("l")+`, `+rowColumns("r")+`, 0, 1, false
		FROM recon_left l JOIN recon_right r ON r.key0 = l.key0
		WHERE (`+condition+`) AND NOT EXISTS (SELECT FROM recon_twice_left d WHERE d.n = l.n)`, args...)
	if err != nil {
		return fmt.Errorf("comparing what matched by the first key: %w", err)
	}
	err = r.pairs(ctx, nil, take, `SELECT `+rowColumns("l")+`, `+rowColumns("r")+`, p.tier, p.confidence, p.review
		FROM recon_pair p JOIN recon_left l ON l.n = p.l JOIN recon_right r ON r.n = p.r`)
	if err != nil {
		return fmt.Errorf("comparing what matched otherwise: %w", err)
	}
	return nil
}

// differing is true of two rows that the profile tells apart. It may be true of a
// few more: the profile is asked again about each.
func (r *Recon) differing() (string, []any) {
	var args []any
	arg := func(d decimal.Decimal) string {
		args = append(args, d.String())
		return fmt.Sprintf("$%d::numeric", len(args))
	}
	conditions := []string{"false"}
	for _, f := range r.p.Fields {
		if f.Form() != intake.Number {
			conditions = append(conditions, fmt.Sprintf("l.%[1]s <> r.%[1]s", f))
			continue
		}
		t := r.p.Tolerances[f]
		conditions = append(conditions, fmt.Sprintf("abs(l.%[1]s - r.%[1]s) > %[2]s AND abs(l.%[1]s - r.%[1]s) * 10000 > %[3]s * greatest(abs(l.%[1]s), abs(r.%[1]s))",
			f, arg(t.Absolute), arg(t.BasisPoints)))
	}
	return strings.Join(append(conditions, "l.isin <> r.isin", "l.cusip <> r.cusip"), " OR "), args
}

// Unmatched calls take for every row of a side without a counterpart. Twin is the
// id of another row of its side that has one and says the same but for its key;
// empty when there is none or the profile does not ask.
func (r *Recon) Unmatched(ctx context.Context, h recon.Hand, take func(row *recon.Row, twin string) error) error {
	s := newRowScan()
	var twin string
	query := `SELECT ` + rowColumns("t") + `, '' FROM recon_rest_` + h.String() + ` t WHERE NOT taken`
	if r.p.Economic {
		query = fmt.Sprintf(`SELECT DISTINCT ON (t.n) %[1]s, coalesce(o.id, '')
			FROM recon_rest_%[2]s t LEFT JOIN (
				SELECT a.* FROM recon_%[2]s a WHERE NOT EXISTS (SELECT FROM recon_rest_%[2]s b WHERE b.n = a.n AND NOT b.taken)
			) o ON o.symbol = t.symbol AND o.side = t.side AND o.quantity = t.quantity AND o.price = t.price AND o.trade_date = t.trade_date
				AND coalesce(o.account, '') = coalesce(t.account, '') AND o.key0 IS DISTINCT FROM t.key0
			WHERE NOT t.taken ORDER BY t.n, o.id COLLATE "C"`, rowColumns("t"), h)
	}
	err := r.each(ctx, append(s.into(), &twin), func() error {
		row := s.row()
		return take(&row, twin)
	}, query)
	if err != nil {
		return fmt.Errorf("reading what did not match: %w", err)
	}
	return nil
}

// Duplicates calls take for every first key that several rows of a side have.
func (r *Recon) Duplicates(ctx context.Context, h recon.Hand, take func(*recon.Group) error) error {
	s := newRowScan()
	var count int
	var ids []string
	err := r.each(ctx, append(s.into(), &count, pq.Array(&ids)), func() error {
		return take(&recon.Group{First: s.row(), Count: count, IDs: ids})
	}, fmt.Sprintf(`SELECT %s, g.many, g.ids
		FROM (
			SELECT key0, count(*) AS many, (array_agg(a.id ORDER BY d.ord))[1:%d] AS ids, min(d.n) FILTER (WHERE d.ord = 1) AS first
			FROM recon_twice_%[3]s d JOIN recon_%[3]s a USING (n, key0) GROUP BY key0 HAVING count(*) > 1
		) g JOIN recon_%[3]s t ON t.n = g.first`, rowColumns("t"), recon.MaxIDs, h))
	if err != nil {
		return fmt.Errorf("reading duplicates: %w", err)
	}
	return nil
}

// AllocationDifferences calls take for every pair whose allocations are not the
// same. Trades of which a side has several records are left out: theirs only
// follow.
func (r *Recon) AllocationDifferences(ctx context.Context, take func(p *recon.Pair, left, right []recon.Allocation) error) error {
	var left, right string
	var failed error
	each := func(p *recon.Pair) error {
		l, lErr := allocations(left)
		rr, rErr := allocations(right)
		if failed = errors.Join(lErr, rErr); failed != nil {
			return failed
		}
		return take(p, l, rr)
	}
	more := []any{&left, &right}
	const lists = `coalesce(a.list, ''), coalesce(b.list, '')`
	err := r.pairs(ctx, more, each, `SELECT `+rowColumns("l")+`, `+rowColumns("r")+`, 0, 1, false, `+lists+`
		FROM recon_allocated_left a FULL JOIN recon_allocated_right b USING (key0) JOIN recon_left l USING (key0) JOIN recon_right r USING (key0)
		WHERE a.list IS DISTINCT FROM b.list AND NOT EXISTS (SELECT FROM recon_twice_left d WHERE d.key0 = l.key0)`)
	if err != nil {
		return fmt.Errorf("comparing allocations: %w", err)
	}
	err = r.pairs(ctx, more, each, `SELECT `+rowColumns("l")+`, `+rowColumns("r")+`, p.tier, p.confidence, p.review, `+lists+`
		FROM recon_pair p JOIN recon_left l ON l.n = p.l JOIN recon_right r ON r.n = p.r
		LEFT JOIN recon_allocated_left a ON a.key0 = l.key0 LEFT JOIN recon_allocated_right b ON b.key0 = r.key0
		WHERE a.list IS DISTINCT FROM b.list AND p.tier > 0
			AND NOT EXISTS (SELECT FROM recon_twice_left d WHERE d.n = l.n) AND NOT EXISTS (SELECT FROM recon_twice_right d WHERE d.n = r.n)`)
	if err != nil {
		return fmt.Errorf("comparing allocations: %w", err)
	}
	return nil
}

func allocations(list string) ([]recon.Allocation, error) {
	if list == "" {
		return nil, nil
	}
	var out []recon.Allocation
	for _, part := range strings.Split(list, "\x1e") {
		account, quantity, _ := strings.Cut(part, "\x1f")
		d, err := decimal.NewFromString(quantity)
		if err != nil {
			return nil, fmt.Errorf("reading an allocation: %w", err)
		}
		out = append(out, recon.Allocation{Account: account, Quantity: d})
	}
	return out, nil
}

// Days are the first and the last trade date of a side's rows; empty when none has
// one.
func (r *Recon) Days(ctx context.Context, h recon.Hand) (from, to string, err error) {
	var days struct{ From, To string }
	err = r.conn.GetContext(ctx, &days, `SELECT coalesce(min(trade_date)::text, '') AS "from", coalesce(max(trade_date)::text, '') AS "to" FROM recon_`+h.String())
	return days.From, days.To, classify(err)
}

// Covered lists the open breaks of the profile and origin that this run would show
// if they were still there: those about records that are in its input, and those of
// the days that it was asked for. Everything is covered by a run over two books
// without days.
func (r *Recon) Covered(ctx context.Context, origin, from, to string, everything bool) ([]int64, error) {
	ids := []int64{}
	err := r.conn.SelectContext(ctx, &ids, `
		SELECT break_id FROM finobs.trade_break b
		WHERE b.profile = $1 AND b.origin = $2 AND b.status = 'open' AND ($5
			OR ($3 <> '' OR $4 <> '') AND b.trade_date BETWEEN coalesce(nullif($3, '')::date, '-infinity') AND coalesce(nullif($4, '')::date, 'infinity')
			OR b.left_key <> '' AND EXISTS (SELECT FROM recon_left t WHERE t.key0 = b.left_key)
			OR b.right_key <> '' AND EXISTS (SELECT FROM recon_right t WHERE t.key0 = b.right_key)
			OR b.left_key = '' AND b.left_ids <> '{}' AND EXISTS (SELECT FROM recon_left t WHERE t.key0 IS NULL AND t.id = b.left_ids[1])
			OR b.right_key = '' AND b.right_ids <> '{}' AND EXISTS (SELECT FROM recon_right t WHERE t.key0 IS NULL AND t.id = b.right_ids[1]))`,
		r.p.Name, origin, from, to, everything)
	if err != nil {
		return nil, fmt.Errorf("looking for breaks that are gone: %w", classify(err))
	}
	return ids, nil
}

// ReadBook calls take for every transaction of a source and an origin that is not
// cancelled and traded on the given days (of the form YYYY-MM-DD, both inclusive;
// empty: any). It only reads, on a connection of its own.
func (w *Writer) ReadBook(ctx context.Context, source, origin, from, to string, take func(*intake.Record) error) error {
	rows, err := w.db.QueryxContext(ctx, `SELECT `+transactionColumns+` FROM finobs.transaction
		WHERE source = $1 AND origin = $2 AND status <> 'cancelled'
			AND trade_date BETWEEN coalesce(nullif($3, '')::date, '-infinity') AND coalesce(nullif($4, '')::date, 'infinity')`, source, origin, from, to)
	if err != nil {
		return fmt.Errorf("reading the book of %s: %w", source, classify(err))
	}
	defer rows.Close()
	for n := 1; rows.Next(); n++ {
		var row transactionRow
		if err := rows.StructScan(&row); err != nil {
			return fmt.Errorf("reading the book of %s: %w", source, err)
		}
		t, err := row.domain()
		if err != nil {
			return err
		}
		record := intake.RecordOf(&t)
		record.Line = n
		if err := take(&record); err != nil {
			return err
		}
	}
	return classify(rows.Err())
}

// timeOrNull is a time for the database; the zero time is null.
func timeOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}

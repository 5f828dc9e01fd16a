package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"finobs/internal/intake"
	"finobs/internal/recon"

	"github.com/lib/pq"
	"github.com/shopspring/decimal"
)

// mostOfAKey is how many records of one key, the first by their ids, may be the one
// that goes on to matching.
const mostOfAKey = 20

// hashOf tells rows apart by what they say, and not by where in a file they stand.
func hashOf(alias string) string {
	parts := []string{alias + ".id"}
	for _, f := range compared {
		parts = append(parts, alias+"."+f.String())
	}
	return "md5(ROW(" + strings.Join(parts, ", ") + ")::text)"
}

// Match finds which records belong together: by the first key, by the others among
// what is left, and in the end by likeness.
func (r *Recon) Match(ctx context.Context, phase func(recon.Phase)) (recon.Matched, error) {
	var m recon.Matched
	phase(recon.MatchingKeys)
	for _, step := range []func(context.Context, *recon.Matched) error{r.twice, r.pairTwice, r.rest, r.otherKeys} {
		if err := step(ctx, &m); err != nil {
			return m, fmt.Errorf("matching by keys: %w", err)
		}
	}
	phase(recon.MatchingFuzzy)
	if err := r.fuzzy(ctx, &m); err != nil {
		return m, fmt.Errorf("matching by likeness: %w", err)
	}
	return m, r.count(ctx, "recon_pair")
}

// twice lists the rows whose first key several rows of either side have.
func (r *Recon) twice(ctx context.Context, _ *recon.Matched) error {
	for _, h := range []recon.Hand{recon.Left, recon.Right} {
		if _, err := r.exec(ctx, `INSERT INTO recon_twice
			SELECT key0 FROM recon_`+h.String()+` WHERE key0 IS NOT NULL GROUP BY key0 HAVING count(*) > 1 ON CONFLICT DO NOTHING`); err != nil {
			return err
		}
	}
	if err := r.count(ctx, "recon_twice"); err != nil {
		return err
	}
	for _, h := range []recon.Hand{recon.Left, recon.Right} {
		if _, err := r.exec(ctx, `INSERT INTO recon_twice_`+h.String()+` (n, key0, ord)
			SELECT t.n, t.key0, row_number() OVER (PARTITION BY t.key0 ORDER BY t.id COLLATE "C", `+hashOf("t")+`, t.n)
			FROM recon_`+h.String()+` t JOIN recon_twice k USING (key0)`); err != nil {
			return err
		}
		if err := r.count(ctx, "recon_twice_"+h.String()); err != nil {
			return err
		}
	}
	return nil
}

// pairTwice chooses, of the records of a key that comes several times, the two that
// differ least.
func (r *Recon) pairTwice(ctx context.Context, m *recon.Matched) (err error) {
	differing := make([]string, 0, len(compared))
	for _, f := range compared {
		differing = append(differing, fmt.Sprintf("coalesce((a.%[1]s <> b.%[1]s)::integer, 0)", f))
	}
	hashA, hashB := hashOf("a"), hashOf("b")
	m.Exact, err = r.exec(ctx, fmt.Sprintf(`INSERT INTO recon_pair (l, r, tier, confidence, review)
		SELECT DISTINCT ON (l.key0) l.n, r.n, 0, 1, false
		FROM recon_twice_left l JOIN recon_left a USING (n) JOIN recon_twice_right r ON r.key0 = l.key0 JOIN recon_right b ON b.n = r.n
		WHERE l.ord <= %d AND r.ord <= %[1]d
		ORDER BY l.key0, %[2]s, l.ord + r.ord, least(%[3]s, %[4]s), greatest(%[3]s, %[4]s), l.n, r.n`,
		mostOfAKey, strings.Join(differing, " + "), hashA, hashB))
	return err
}

// rest copies the rows whose first key the other side lacks, one a key.
func (r *Recon) rest(ctx context.Context, m *recon.Matched) error {
	for _, h := range []recon.Hand{recon.Left, recon.Right} {
		if _, err := r.exec(ctx, fmt.Sprintf(`INSERT INTO recon_rest_%[1]s
			SELECT t.*, row_number() OVER (ORDER BY t.id COLLATE "C", %[3]s, t.n), false
			FROM recon_%[1]s t
			WHERE NOT EXISTS (SELECT FROM recon_%[2]s o WHERE o.key0 = t.key0)
				AND NOT EXISTS (SELECT FROM recon_twice_%[1]s d WHERE d.n = t.n AND d.ord > 1)`, h, h.Other(), hashOf("t"))); err != nil {
			return err
		}
		if err := r.count(ctx, "recon_rest_"+h.String()); err != nil {
			return err
		}
	}
	// Every row is matched, left, or one of several with a key.
	var clean int64
	err := r.conn.GetContext(ctx, &clean, `SELECT (SELECT count(*) FROM recon_left) - (SELECT count(*) FROM recon_twice_left)
		- (SELECT count(*) FROM recon_rest_left t WHERE NOT EXISTS (SELECT FROM recon_twice_left d WHERE d.n = t.n))`)
	m.Exact += clean
	return classify(err)
}

// passes are the ways in which rows of an equal key are told apart that several
// rows have, such as the fills of an order: those that agree in all of these
// belong together before others do.
var passes = [][]string{
	{"quantity", "price", "coalesce(account, '')", "coalesce(settlement_date, '-infinity')", "coalesce(fees, 0)"},
	{"quantity", "price", "coalesce(account, '')"},
	{"quantity", "price"},
	{},
}

// otherKeys matches what is left by the keys after the first.
func (r *Recon) otherKeys(ctx context.Context, m *recon.Matched) error {
	for tier := 1; tier < len(r.p.Keys); tier++ {
		for _, pass := range passes {
			n, err := r.exec(ctx, passQuery(tier, pass))
			if err != nil {
				return err
			}
			m.ByKey = append(m.ByKey, make([]int64, tier-len(m.ByKey))...)
			m.ByKey[tier-1] += n
			if err := r.take(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// passQuery pairs the first row with the first, the second with the second. Where
// nothing but the key says which of several belong together, a person has to look.
func passQuery(tier int, pass []string) string {
	key := fmt.Sprintf("key%d", tier)
	columns, on, order := "", "l.k = r.k AND l.o = r.o", "quantity, price, ord"
	partition := key
	for i, p := range pass {
		columns += fmt.Sprintf(", %s AS e%d", p, i)
		on += fmt.Sprintf(" AND l.e%[1]d = r.e%[1]d", i)
		partition += ", " + p
		order = "account, settlement_date, fees, ord"
	}
	side := func(h recon.Hand) string {
		return fmt.Sprintf(`(SELECT n, %s AS k%s, row_number() OVER (PARTITION BY %s ORDER BY %s) AS o, count(*) OVER (PARTITION BY %[3]s) AS many
			FROM recon_rest_%[5]s WHERE NOT taken AND %[1]s IS NOT NULL)`, key, columns, partition, order, h)
	}
	unclear := "(l.many > 1 OR r.many > 1)"
	if len(pass) > 0 {
		unclear = "false"
	}
	return fmt.Sprintf(`INSERT INTO recon_pair (l, r, tier, confidence, review)
		SELECT l.n, r.n, %d, CASE WHEN %s THEN 0.5 ELSE 1 END, %[2]s FROM %s l JOIN %s r ON %s`, tier, unclear, side(recon.Left), side(recon.Right), on)
}

// take marks the rows that are matched by now.
func (r *Recon) take(ctx context.Context) error {
	for h, column := range []string{"l", "r"} {
		if _, err := r.exec(ctx, fmt.Sprintf(`UPDATE recon_rest_%s t SET taken = true FROM recon_pair p WHERE p.%s = t.n AND NOT t.taken`, recon.Hand(h), column)); err != nil {
			return err
		}
	}
	return nil
}

// Limits of matching by likeness: rows that agree in all that they must are
// compared each with each.
const (
	mostInBlock    = 250_000    // comparisons of one block
	mostCandidates = 20_000_000 // of all blocks together
)

// fuzzy matches what is left by likeness, the most alike first.
func (r *Recon) fuzzy(ctx context.Context, m *recon.Matched) error {
	if r.p.Fuzzy == nil {
		return nil
	}
	q := newFuzzyQuery(r.p.Fuzzy)
	var size struct {
		Kept, LeftOut, Rows int64
	}
	err := r.conn.GetContext(ctx, &size, q.sizes)
	if err != nil {
		return classify(err)
	}
	m.LeftOut = size.Rows
	if size.Kept > mostCandidates {
		var all int64
		err := r.conn.GetContext(ctx, &all, `SELECT (SELECT count(*) FROM recon_rest_left WHERE NOT taken) + (SELECT count(*) FROM recon_rest_right WHERE NOT taken)`)
		m.LeftOut = all
		return classify(err)
	}
	pairs, err := r.greedy(ctx, q)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(pairs, copyBatch) {
		if err := r.keepPairs(ctx, part); err != nil {
			return err
		}
	}
	m.Fuzzy = int64(len(pairs))
	return r.take(ctx)
}

type scored struct {
	l, r  int32
	score string
}

// greedy takes the most alike pair, and then the next of which neither row is taken.
func (r *Recon) greedy(ctx context.Context, q fuzzyQuery) ([]scored, error) {
	rows, err := r.conn.QueryxContext(ctx, q.candidates, q.args...)
	if err != nil {
		return nil, classify(err)
	}
	defer rows.Close()
	var out []scored
	left, right := map[int32]bool{}, map[int32]bool{}
	for rows.Next() {
		var c scored
		if err := rows.Scan(&c.l, &c.r, &c.score); err != nil {
			return nil, fmt.Errorf("reading candidates: %w", err)
		}
		if left[c.l] || right[c.r] {
			continue
		}
		left[c.l], right[c.r] = true, true
		out = append(out, c)
	}
	return out, classify(rows.Err())
}

func (r *Recon) keepPairs(ctx context.Context, pairs []scored) error {
	ls, rs, scores, reviews := make([]int64, len(pairs)), make([]int64, len(pairs)), make([]string, len(pairs)), make([]bool, len(pairs))
	for i, p := range pairs {
		score, err := decimal.NewFromString(p.score)
		if err != nil {
			return fmt.Errorf("reading a confidence: %w", err)
		}
		ls[i], rs[i], scores[i] = int64(p.l), int64(p.r), p.score
		reviews[i] = r.p.Fuzzy.Auto == nil || score.LessThan(*r.p.Fuzzy.Auto)
	}
	_, err := r.exec(ctx, `INSERT INTO recon_pair (l, r, tier, confidence, review)
		SELECT l, r, $5, score::numeric, review FROM unnest($1::integer[], $2::integer[], $3::text[], $4::boolean[]) AS t (l, r, score, review)`,
		pq.Array(ls), pq.Array(rs), pq.Array(scores), pq.Array(reviews), recon.FuzzyTier)
	return err
}

// fuzzyQuery is the SQL of matching by likeness.
type fuzzyQuery struct {
	sizes, candidates string
	args              []any
}

func newFuzzyQuery(f *recon.Fuzzy) fuzzyQuery {
	var q fuzzyQuery
	arg := func(d decimal.Decimal) string {
		q.args = append(q.args, d.String())
		return fmt.Sprintf("$%d::numeric", len(q.args))
	}
	agree, block := make([]string, 0, len(f.Agree)), make([]string, 0, len(f.Agree))
	for _, field := range f.Agree {
		name := field.String()
		if field == intake.TradeID {
			name = "id"
		}
		agree = append(agree, "l."+name+" = r."+name)
		block = append(block, name)
	}
	blocks := func(h recon.Hand) string {
		return "(SELECT " + strings.Join(block, ", ") + ", count(*) AS many FROM recon_rest_" + h.String() + " WHERE NOT taken GROUP BY " + strings.Join(block, ", ") + ")"
	}
	q.sizes = fmt.Sprintf(`SELECT coalesce(sum(l.many * r.many) FILTER (WHERE l.many * r.many <= %[1]d), 0)::bigint AS kept,
		coalesce(sum(l.many * r.many) FILTER (WHERE l.many * r.many > %[1]d), 0)::bigint AS leftout,
		coalesce(sum(l.many + r.many) FILTER (WHERE l.many * r.many > %[1]d), 0)::bigint AS rows
		FROM %[2]s l JOIN %[3]s r ON %[4]s`, mostInBlock, blocks(recon.Left), blocks(recon.Right), strings.Join(agree, " AND "))
	// The conditions are written for rows l and r, the sizes of their blocks beside
	// them.
	within, share := agree, map[intake.Field]string{}
	for _, w := range []struct {
		field  intake.Field
		window *recon.Window
	}{{intake.Quantity, f.Quantity}, {intake.Price, f.Price}} {
		if w.window == nil {
			continue
		}
		apart := fmt.Sprintf("abs(l.%[1]s - r.%[1]s)", w.field)
		room := fmt.Sprintf("greatest(%s, %s * greatest(abs(l.%[3]s), abs(r.%[3]s)) * 0.01)", arg(w.window.Absolute), arg(w.window.Percent), w.field)
		within = append(within, apart+" <= "+room)
		share[w.field] = fmt.Sprintf("CASE WHEN %[1]s = 0 THEN 1 ELSE 1 - %[1]s / %[2]s END", apart, room)
	}
	if f.SettlementDays != nil {
		within = append(within, fmt.Sprintf("coalesce(abs(l.settlement_date - r.settlement_date) <= %d, true)", *f.SettlementDays))
		share[intake.SettlementDate] = fmt.Sprintf("1 - abs(l.settlement_date - r.settlement_date)::numeric / %d", max(*f.SettlementDays, 1))
	}
	total, parts := decimal.Zero, []string{}
	for _, w := range f.Weights {
		likeness := share[w.Field]
		if likeness == "" {
			likeness = fmt.Sprintf("(l.%[1]s = r.%[1]s)::integer", w.Field)
		}
		parts = append(parts, arg(w.Weight)+" * coalesce("+likeness+", 0)")
		total = total.Add(w.Weight)
	}
	score := "round((" + strings.Join(parts, " + ") + ") / " + arg(total) + ", 4)"
	side := func(h recon.Hand) string {
		return "(SELECT *, count(*) OVER (PARTITION BY " + strings.Join(block, ", ") + ") AS many FROM recon_rest_" + h.String() + " WHERE NOT taken)"
	}
	q.candidates = fmt.Sprintf(`SELECT l, r, score::text FROM (
			SELECT l.n AS l, r.n AS r, l.ord + r.ord AS place, l.ord AS first, %s AS score
			FROM %s l JOIN %s r ON %s WHERE l.many * r.many <= %d
		) c WHERE score >= %s ORDER BY c.score DESC, place, first`, score, side(recon.Left), side(recon.Right), strings.Join(within, " AND "), mostInBlock, arg(f.Minimum))
	return q
}

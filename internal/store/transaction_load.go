package store

import (
	"context"
	"fmt"
	"time"

	"finobs/internal/intake"
	"finobs/internal/transaction"

	"github.com/lib/pq"
	"github.com/shopspring/decimal"
)

// values is what a source states about a trade, and what a later file corrects.
const values = `execution_id, trade_date, settlement_date, side, symbol, isin, cusip, quantity, price, currency, gross_amount, fees,
	account, counterparty, venue, status, desk`

// stage is the temporary table that a file is copied to; it ends with the
// transaction. Statements that name it are not prepared once for all connections,
// as others are: it is there on this one only.
const stage = `CREATE TEMPORARY TABLE transaction_line (
	line integer NOT NULL, trade_id text NOT NULL, execution_id text NOT NULL, trade_date date NOT NULL, settlement_date date,
	side text NOT NULL, symbol text NOT NULL, isin text NOT NULL, cusip text NOT NULL, quantity numeric NOT NULL, price numeric NOT NULL,
	currency text NOT NULL, gross_amount numeric, fees numeric, account text NOT NULL, counterparty text NOT NULL, venue text NOT NULL,
	status text NOT NULL, desk text NOT NULL
) ON COMMIT DROP`

// StageTransactions copies the transactions that read puts, each with its line's
// number, to where MergeTransactions takes them from. Memory does not grow with
// their number. An error of read is returned as it is.
func (t *Tx) StageTransactions(ctx context.Context, read func(put func(line int, x *transaction.Transaction) error) error) error {
	if _, err := t.tx.ExecContext(ctx, stage); err != nil {
		return fmt.Errorf("making the temporary table of a load (finobs migrate bootstrap grants what it takes): %w", classify(err))
	}
	in, err := t.tx.PrepareContext(ctx, "COPY transaction_line (line, trade_id, "+values+") FROM STDIN") //nolint:sqlclosecheck // it is, below
	if err != nil {
		return fmt.Errorf("beginning to copy transactions: %w", classify(err))
	}
	defer in.Close()
	err = read(func(line int, x *transaction.Transaction) error {
		_, err := in.ExecContext(ctx, line, x.TradeID, x.ExecutionID, x.TradeDate.Format(time.DateOnly), dateOrNull(x.SettlementDate),
			string(x.Side), x.Symbol, x.ISIN, x.CUSIP, x.Quantity.String(), x.Price.String(), x.Currency, decimalOrNull(x.GrossAmount), decimalOrNull(x.Fees),
			x.Account, x.Counterparty, x.Venue, string(x.Status), x.Desk)
		if err != nil {
			return fmt.Errorf("copying line %d: %w", line, classify(err))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := in.ExecContext(ctx); err != nil { // sends what is buffered, and ends the copy
		return fmt.Errorf("copying transactions: %w", classify(err))
	}
	// Without figures the planner takes the table for a small one.
	if _, err := t.tx.ExecContext(ctx, "ANALYZE transaction_line"); err != nil { //nolint:misspell // it is SQL
		return fmt.Errorf("counting copied transactions: %w", classify(err))
	}
	return nil
}

func dateOrNull(at time.Time) any {
	if at.IsZero() {
		return nil
	}
	return at.Format(time.DateOnly)
}

func decimalOrNull(d decimal.NullDecimal) any {
	if !d.Valid {
		return nil
	}
	return d.Decimal.String()
}

// DropRepeated takes the lines out of the staged ones whose trade id an earlier
// line has, and returns how many they were and the first most of them.
func (t *Tx) DropRepeated(ctx context.Context, most int) (int64, []intake.RepeatedLine, error) {
	// More memory than a query usually gets: one pass instead of many over files.
	if _, err := t.tx.ExecContext(ctx, "SET LOCAL work_mem = '64MB'"); err != nil {
		return 0, nil, fmt.Errorf("looking for repeated lines: %w", classify(err))
	}
	var rows []struct {
		Line    int    `db:"line"`
		First   int    `db:"first"`
		TradeID string `db:"trade_id"`
		Count   int64  `db:"dropped"`
	}
	err := t.tx.SelectContext(ctx, &rows, `
		WITH twice AS (
			SELECT trade_id, min(line) AS first FROM transaction_line GROUP BY trade_id HAVING count(*) > 1
		), dropped AS (
			DELETE FROM transaction_line l USING twice WHERE l.trade_id = twice.trade_id AND l.line > twice.first
			RETURNING l.line, twice.first, l.trade_id
		)
		SELECT line, first, trade_id, count(*) OVER () AS dropped FROM dropped ORDER BY line LIMIT $1`, most)
	if err != nil {
		return 0, nil, fmt.Errorf("looking for repeated lines: %w", classify(err))
	}
	if len(rows) == 0 {
		return 0, nil, nil
	}
	repeated := make([]intake.RepeatedLine, 0, len(rows))
	for _, r := range rows {
		repeated = append(repeated, intake.RepeatedLine{Line: r.Line, First: r.First, TradeID: r.TradeID})
	}
	return rows[0].Count, repeated, nil
}

// LockSource lets one load of a source go on at a time: two that hold the same
// trades or events would else wait for each other.
func (t *Tx) LockSource(ctx context.Context, source string) error {
	if _, err := t.tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('finobs.transactions/' || $1, 0))`, source); err != nil {
		return fmt.Errorf("waiting for another load of source %s: %w", source, classify(err))
	}
	return nil
}

// MergeTransactions brings the staged lines on record: new ones are added, others
// are corrected where they differ, and what they were is kept as an earlier
// version. Lines that say what is on record change nothing.
func (t *Tx) MergeTransactions(ctx context.Context, importID int64, source, origin, traceID string) (intake.Changes, error) {
	if err := t.LockSource(ctx, source); err != nil {
		return intake.Changes{}, err
	}
	var staged int64
	if err := t.tx.GetContext(ctx, &staged, `SELECT count(*) FROM transaction_line`); err != nil {
		return intake.Changes{}, fmt.Errorf("counting staged lines: %w", classify(err))
	}
	// Lines lie as they were copied, so ids follow the file without a sort.
	added, err := t.changed(ctx, `
		INSERT INTO finobs.transaction (source, trade_id, `+values+`, origin, import_id, created_at, updated_at, trace_id)
		SELECT $1, trade_id, `+values+`, $2, $3, $4, $4, $5 FROM transaction_line
		ON CONFLICT (source, trade_id) DO NOTHING`, source, origin, importID, t.now, traceID)
	if err != nil {
		return intake.Changes{}, fmt.Errorf("adding transactions: %w", err)
	}
	c := intake.Changes{Added: added}
	if added == staged {
		return c, nil
	}
	if c.Corrected, err = t.correct(ctx, importID, source, origin, traceID); err != nil {
		return c, fmt.Errorf("correcting transactions: %w", err)
	}
	c.Unchanged = staged - c.Added - c.Corrected
	return c, nil
}

func (t *Tx) correct(ctx context.Context, importID int64, source, origin, traceID string) (int64, error) {
	return t.changed(ctx, `
		WITH other AS (
			SELECT x.transaction_id, l.line
			FROM transaction_line l JOIN finobs.transaction x ON x.source = $1 AND x.trade_id = l.trade_id AND x.import_id <> $3
			WHERE (x.execution_id, x.trade_date, x.settlement_date, x.side, x.symbol, x.isin, x.cusip, x.quantity, x.price, x.currency,
					x.gross_amount, x.fees, x.account, x.counterparty, x.venue, x.status, x.desk, x.origin)
				IS DISTINCT FROM (l.execution_id, l.trade_date, l.settlement_date, l.side, l.symbol, l.isin, l.cusip, l.quantity, l.price,
					l.currency, l.gross_amount, l.fees, l.account, l.counterparty, l.venue, l.status, l.desk, $2)
		), kept AS (
			INSERT INTO finobs.transaction_version (transaction_id, version, `+values+`, origin, import_id, updated_at, trace_id)
			SELECT transaction_id, version, `+values+`, origin, import_id, updated_at, trace_id
			FROM finobs.transaction WHERE transaction_id IN (SELECT transaction_id FROM other)
		)
		UPDATE finobs.transaction x
		SET execution_id = l.execution_id, trade_date = l.trade_date, settlement_date = l.settlement_date, side = l.side, symbol = l.symbol,
			isin = l.isin, cusip = l.cusip, quantity = l.quantity, price = l.price, currency = l.currency, gross_amount = l.gross_amount,
			fees = l.fees, account = l.account, counterparty = l.counterparty, venue = l.venue, status = l.status, desk = l.desk,
			origin = $2, import_id = $3, version = x.version + 1, updated_at = $4, trace_id = $5
		FROM other JOIN transaction_line l USING (line)
		WHERE x.transaction_id = other.transaction_id`, source, origin, importID, t.now, traceID)
}

func (t *Tx) changed(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := t.tx.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, classify(err)
	}
	return res.RowsAffected()
}

// DropSuperseded takes the staged lines out whose trade an earlier log corrected or
// busted, except the given corrections, and returns how many they were.
func (t *Tx) DropSuperseded(ctx context.Context, source string, corrected []string) (int64, error) {
	n, err := t.changed(ctx, `
		DELETE FROM transaction_line l USING finobs.transaction x
		WHERE x.source = $1 AND x.trade_id = l.trade_id AND EXISTS (SELECT FROM finobs.event e WHERE e.source = $1 AND e.ref = l.trade_id
			AND (e.kind = 'trade_bust' OR e.kind = 'trade_correct' AND NOT l.trade_id = ANY($2::text[])))`, source, pq.Array(corrected))
	if err != nil {
		return 0, fmt.Errorf("dropping superseded lines: %w", err)
	}
	return n, nil
}

// BustTransactions cancels the transactions of a source that a bust on record takes
// back, and keeps what they were as an earlier version, unless it is this import
// that brought them. It returns how many they were.
func (t *Tx) BustTransactions(ctx context.Context, importID int64, source, traceID string) (int64, error) {
	n, err := t.changed(ctx, `
		WITH busted AS (
			SELECT transaction_id FROM finobs.transaction x
			WHERE x.source = $1 AND x.status <> 'cancelled'
				AND EXISTS (SELECT FROM finobs.event e WHERE e.source = $1 AND e.ref = x.trade_id AND e.kind = 'trade_bust')
		), kept AS (
			INSERT INTO finobs.transaction_version (transaction_id, version, `+values+`, origin, import_id, updated_at, trace_id)
			SELECT transaction_id, version, `+values+`, origin, import_id, updated_at, trace_id
			FROM finobs.transaction WHERE transaction_id IN (SELECT transaction_id FROM busted) AND import_id <> $2
		)
		UPDATE finobs.transaction x SET status = 'cancelled', import_id = $2,
			version = x.version + CASE WHEN x.import_id <> $2 THEN 1 ELSE 0 END, updated_at = $3, trace_id = $4
		FROM busted WHERE x.transaction_id = busted.transaction_id`, source, importID, t.now, traceID)
	if err != nil {
		return 0, fmt.Errorf("cancelling busted transactions: %w", err)
	}
	return n, nil
}

package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strings"

	"finobs/internal/intake"
	"finobs/internal/recon"

	"github.com/jmoiron/sqlx"
)

// Recon compares two sides inside Postgres, in temporary tables of one connection
// that it keeps until Close. Rows are copied in batches and each statement is a
// transaction of its own: one that stays open after it wrote would hold up the
// sequencer of the log, which reads below the oldest of them. What only reads has no
// such effect, and so clean matches are never written down.
//
// Its methods are called in the order Load, LoadAllocations, Match, and then those
// that read.
type Recon struct {
	db   *db
	conn *sqlx.Conn
	p    *recon.Profile
}

// compared are the fields that a row keeps, next to its id and keys.
var compared = func() []intake.Field {
	var out []intake.Field
	for _, f := range intake.AllFields() {
		if f != intake.TradeID && f != intake.TradeStatus && f != intake.Desk {
			out = append(out, f)
		}
	}
	return out
}()

// columnTypes are the types of fields in temporary tables.
var columnTypes = map[intake.Form]string{intake.Text: "text", intake.Word: "text", intake.Number: "numeric", intake.Date: "date"}

// copyBatch is how many rows one transaction copies: a tenth of a second.
const copyBatch = 10_000

// reconTables are the temporary tables, for each hand.
func reconTables(h recon.Hand) []string {
	keys, fields := "", ""
	for i := range recon.MaxKeys {
		keys += fmt.Sprintf("key%d text, ", i)
	}
	for _, f := range compared {
		fields += ", " + f.String() + " " + columnTypes[f.Form()]
	}
	row := "n integer NOT NULL, " + keys + "id text NOT NULL" + fields
	return []string{
		"CREATE TEMPORARY TABLE recon_" + h.String() + " (" + row + ")",
		"CREATE TEMPORARY TABLE recon_rest_" + h.String() + " (" + row + ", ord bigint NOT NULL, taken boolean NOT NULL DEFAULT false)",
		"CREATE TEMPORARY TABLE recon_twice_" + h.String() + " (n integer NOT NULL, key0 text NOT NULL, ord bigint NOT NULL)",
		"CREATE TEMPORARY TABLE recon_allocation_" + h.String() + " (key0 text NOT NULL, account text NOT NULL, quantity numeric NOT NULL)",
		"CREATE TEMPORARY TABLE recon_allocated_" + h.String() + " (key0 text NOT NULL, list text NOT NULL)",
	}
}

// Recon takes a connection for one reconciliation. The caller closes it.
func (w *Writer) Recon(ctx context.Context, p *recon.Profile) (*Recon, error) {
	conn, err := w.db.Connx(ctx)
	if err != nil {
		return nil, fmt.Errorf("taking a connection: %w", classify(err))
	}
	r := &Recon{w.db, conn, p}
	statements := append(reconTables(recon.Left), reconTables(recon.Right)...)
	statements = append([]string{"DISCARD TEMPORARY", "SET work_mem = '64MB'"}, statements...)
	statements = append(statements, "CREATE TEMPORARY TABLE recon_twice (key0 text PRIMARY KEY)", `CREATE TEMPORARY TABLE recon_pair (l integer NOT NULL, r integer NOT NULL, tier integer NOT NULL,
		confidence numeric NOT NULL, review boolean NOT NULL)`)
	for _, s := range statements {
		if _, err := r.exec(ctx, s); err != nil {
			r.Close()
			return nil, fmt.Errorf("making the temporary tables of a reconciliation (finobs migrate bootstrap grants what it takes): %w", err)
		}
	}
	return r, nil
}

// Close drops the temporary tables and gives the connection back; one that cannot
// be cleaned is ended.
func (r *Recon) Close() error {
	ctx := context.Background()
	for _, s := range []string{"DISCARD TEMPORARY", "RESET work_mem"} {
		if _, err := r.conn.ExecContext(ctx, s); err != nil {
			// The pool takes this for the word that the connection is no good.
			r.conn.Raw(func(any) error { return driver.ErrBadConn }) //nolint:errcheck // it returns that very error
			break
		}
	}
	return r.conn.Close()
}

func (r *Recon) exec(ctx context.Context, statement string, args ...any) (int64, error) {
	res, err := r.conn.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, classify(err)
	}
	return res.RowsAffected()
}

// Load copies the rows of a side. Memory does not grow with their number. An error
// of read is returned as it is.
func (r *Recon) Load(ctx context.Context, h recon.Hand, read func(put func(*recon.Row) error) error) error {
	fields := r.stated(h)
	columns := []string{"n", "id"}
	for i := range r.p.Keys {
		columns = append(columns, fmt.Sprintf("key%d", i))
	}
	for _, f := range fields {
		columns = append(columns, f.String())
	}
	c := &copier{conn: r.conn, statement: "COPY recon_" + h.String() + " (" + strings.Join(columns, ", ") + ") FROM STDIN"}
	defer c.abort()
	values := make([]any, len(columns))
	err := read(func(row *recon.Row) error {
		values = append(values[:0], row.Line, row.ID())
		for i := range r.p.Keys {
			values = append(values, textOrNull(row.Keys[i]))
		}
		for _, f := range fields {
			values = append(values, textOrNull(row.Get(f)))
		}
		return c.put(ctx, values)
	})
	if err != nil {
		return err
	}
	if err := c.end(ctx); err != nil {
		return err
	}
	return r.count(ctx, "recon_"+h.String())
}

// stated are the fields that the rows of a side may have.
func (r *Recon) stated(h recon.Hand) []intake.Field {
	var out []intake.Field
	for _, f := range compared {
		if !r.p.Files(h) || r.p.Books[h].Layout.Mapping.Has(f) {
			out = append(out, f)
		}
	}
	return out
}

// count gives the planner figures, without which it takes a table for a small one.
func (r *Recon) count(ctx context.Context, table string) error {
	if _, err := r.exec(ctx, "ANALYZE "+table); err != nil { //nolint:misspell // it is SQL
		return fmt.Errorf("counting rows of %s: %w", table, err)
	}
	return nil
}

func textOrNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// LoadAllocations copies what of each trade, by its first key, goes to which
// account.
func (r *Recon) LoadAllocations(ctx context.Context, h recon.Hand, read func(put func(key, account, quantity string) error) error) error {
	c := &copier{conn: r.conn, statement: "COPY recon_allocation_" + h.String() + " (key0, account, quantity) FROM STDIN"}
	defer c.abort()
	err := read(func(key, account, quantity string) error { return c.put(ctx, []any{key, account, quantity}) })
	if err != nil {
		return err
	}
	if err := c.end(ctx); err != nil {
		return err
	}
	if err := r.count(ctx, "recon_allocation_"+h.String()); err != nil {
		return err
	}
	// One text a trade: what differs is found by comparing texts.
	_, err = r.exec(ctx, `INSERT INTO recon_allocated_`+h.String()+`
		SELECT key0, string_agg(account || E'\x1f' || trim_scale(quantity), E'\x1e' ORDER BY account COLLATE "C")
		FROM (SELECT key0, account, sum(quantity) AS quantity FROM recon_allocation_`+h.String()+` GROUP BY key0, account) s
		WHERE quantity <> 0 GROUP BY key0`)
	if err != nil {
		return fmt.Errorf("adding up allocations: %w", err)
	}
	return r.count(ctx, "recon_allocated_"+h.String())
}

// copier copies rows in batches of a transaction each.
type copier struct {
	conn      *sqlx.Conn
	statement string
	tx        *sqlx.Tx
	in        *sql.Stmt
	rows      int
}

func (c *copier) put(ctx context.Context, values []any) (err error) {
	if c.tx == nil {
		if c.tx, err = c.conn.BeginTxx(ctx, nil); err != nil {
			return fmt.Errorf("beginning to copy rows: %w", classify(err))
		}
		if c.in, err = c.tx.PrepareContext(ctx, c.statement); err != nil {
			return fmt.Errorf("beginning to copy rows: %w", classify(err))
		}
	}
	if _, err = c.in.ExecContext(ctx, values...); err != nil {
		return fmt.Errorf("copying rows: %w", classify(err))
	}
	if c.rows++; c.rows == copyBatch {
		return c.end(ctx)
	}
	return nil
}

// end commits the batch that is begun.
func (c *copier) end(ctx context.Context) error {
	if c.tx == nil {
		return nil
	}
	_, err := c.in.ExecContext(ctx) // sends what is buffered, and ends the copy
	if err == nil {
		err = c.in.Close()
	}
	if err == nil {
		err = c.tx.Commit()
	}
	if err != nil {
		return fmt.Errorf("copying rows: %w", classify(err))
	}
	c.tx, c.in, c.rows = nil, nil, 0
	return nil
}

func (c *copier) abort() {
	if c.in != nil {
		c.in.Close()
	}
	if c.tx != nil {
		c.tx.Rollback()
	}
}

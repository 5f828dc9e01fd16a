package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"finobs/internal/export"
	"finobs/internal/fault"
	"finobs/internal/ledger"
	"finobs/internal/pgbinary"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/lib/pq"
)

// cellOf are columns whose text is not simply that of the view's column.
var cellOf = map[string]string{
	"users.roles": "array_to_string(roles, ' ')",
	"audit.leaf":  "convert_from(leaf, 'UTF8')",
}

// cell is the expression that gives a column in the type that textOf reads.
func cell(d export.Dataset, c export.Column) string {
	if expression, special := cellOf[d.Name+"."+c.Name]; special {
		return expression
	}
	switch c.Kind {
	case export.Time:
		return c.Name + "::timestamptz"
	case export.Date:
		return c.Name + "::date"
	case export.Integer:
		return c.Name + "::bigint"
	case export.Decimal:
		return c.Name + "::numeric"
	case export.Bool:
		return c.Name + "::boolean"
	case export.Text, export.Word, export.JSON:
	}
	return c.Name + "::text"
}

// textOf appends to dst the text of a cell that came in its binary form, and gives
// the cell. Text, documents and absent values are left as they come.
func textOf(dst []byte, k export.Kind, b []byte) (grown []byte, c export.Cell, err error) {
	if b == nil {
		return dst, nil, nil
	}
	from, finite := len(dst), true
	switch k {
	case export.Text, export.Word, export.JSON:
		return dst, b, nil
	case export.Time:
		dst, finite, err = pgbinary.AppendTimestamp(dst, b)
	case export.Date:
		dst, finite, err = pgbinary.AppendDate(dst, b)
	case export.Integer:
		dst, err = pgbinary.AppendInteger(dst, b)
	case export.Decimal:
		dst, err = pgbinary.AppendNumeric(dst, b)
	case export.Bool:
		dst, err = pgbinary.AppendBool(dst, b)
	}
	if !finite || err != nil {
		return dst, nil, err
	}
	return dst, dst[from:len(dst):len(dst)], nil
}

// streamConfig says how to connect for a stream: to the same server, as the same
// role and with the same care for TLS as the pool, which is lib/pq's.
func streamConfig(database string) (*pgconn.Config, error) {
	pool, err := pq.NewConfig(database)
	if err != nil {
		return nil, fmt.Errorf("reading database URL: %w", err)
	}
	// Left out, the mode is require for one driver and prefer, which an attacker on
	// the line can turn into none, for the other.
	if mode := string(pool.SSLMode); strings.Contains(database, "://") {
		u, err := url.Parse(database)
		if err != nil {
			return nil, errors.New("reading database URL: it is no URL")
		}
		q := u.Query()
		q.Set("sslmode", mode)
		u.RawQuery = q.Encode()
		database = u.String()
	} else {
		database += " sslmode=" + mode
	}
	c, err := pgconn.ParseConfig(database)
	if err != nil {
		return nil, fmt.Errorf("reading database URL: %w", err)
	}
	c.RuntimeParams["client_encoding"] = "UTF8"
	for _, own := range []string{"binary_parameters", "disable_prepared_binary_result", "sslinline", "fallback_application_name"} {
		delete(c.RuntimeParams, own) // lib/pq's own; the server knows none of them
	}
	return c, nil
}

// StreamDataset calls begin once and then row for every row that matches, in the
// order of the dataset's key, all from one repeatable-read snapshot. Cells are
// valid until row returns. Memory does not grow with the number of rows. It takes a
// connection of its own, beside the pool.
func (w *Writer) StreamDataset(ctx context.Context, s export.Spec, begin func(export.Snapshot) error, row func([]export.Cell) error) error {
	conn, err := pgconn.ConnectConfig(ctx, w.stream)
	if err != nil {
		return fmt.Errorf("connecting to database: %w", classify(err))
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written; what was read is complete or failed before
	if err := conn.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").Close(); err != nil {
		return fmt.Errorf("beginning snapshot: %w", classify(err))
	}
	r := datasetRead{conn, filtered(s.Dataset, s.Filters), export.Snapshot{}}
	if err := r.snapshot(ctx, s); err != nil {
		return err
	}
	if err := begin(r.from); err != nil {
		return err
	}
	return r.rows(ctx, s.Dataset, row)
}

// datasetRead reads a dataset within the transaction of its connection.
type datasetRead struct {
	conn  *pgconn.PgConn
	where conditions
	from  export.Snapshot
}

// snapshot takes the transaction's snapshot, and says what is in it.
func (r *datasetRead) snapshot(ctx context.Context, s export.Spec) error {
	taken, err := r.one(ctx, "SELECT pg_current_snapshot()::text, clock_timestamp()")
	if err != nil {
		return fmt.Errorf("taking snapshot: %w", err)
	}
	r.from.ID = string(taken[0])
	var at pgtype.Timestamptz
	if err := pgtype.NewMap().Scan(pgtype.TimestamptzOID, pgtype.BinaryFormatCode, taken[1], &at); err != nil {
		return fmt.Errorf("taking snapshot: %w", err)
	}
	r.from.At = at.Time.UTC()
	size, err := r.checkpoint(ctx)
	if err != nil {
		return err
	}
	if s.Dataset.Ledger {
		if r.from.Checkpoint == "" {
			return fault.New(fault.Unavailable, "no-checkpoint", "the log has no signed checkpoint yet; trying again")
		}
		if r.from.FromLeaf, r.from.ToLeaf, err = leafRange(s.Filters, size); err != nil {
			return err
		}
		r.where.add(s.Dataset.Key+" >= ?", r.from.FromLeaf)
		r.where.add(s.Dataset.Key+" < ?", r.from.ToLeaf)
	}
	counted, err := r.one(ctx, "SELECT count(*)"+r.rest(s.Dataset), r.where.args...)
	if err != nil {
		return fmt.Errorf("counting rows: %w", err)
	}
	if err := pgtype.NewMap().Scan(pgtype.Int8OID, pgtype.BinaryFormatCode, counted[0], &r.from.Rows); err != nil {
		return fmt.Errorf("counting rows: %w", err)
	}
	return nil
}

// checkpoint reads the newest checkpoint of the snapshot and returns its size.
func (r *datasetRead) checkpoint(ctx context.Context) (int64, error) {
	newest, err := r.one(ctx, `SELECT note FROM api.checkpoint ORDER BY size DESC LIMIT 1`)
	if err != nil {
		return 0, fmt.Errorf("reading checkpoint: %w", err)
	}
	if newest == nil {
		return 0, nil
	}
	r.from.Checkpoint = string(newest[0])
	_, tree, err := ledger.PeekCheckpoint(newest[0])
	return tree.Size, err
}

// rest is what follows the columns in a query for the rows.
func (r *datasetRead) rest(d export.Dataset) string {
	return " FROM " + d.View + " AS d WHERE true" + r.where.text
}

// run begins a query whose columns come in their binary form.
func (r *datasetRead) run(ctx context.Context, query string, args []any) *pgconn.ResultReader {
	values := make([][]byte, 0, len(args))
	for _, arg := range args { // texts and integers
		values = append(values, fmt.Append(nil, arg))
	}
	return r.conn.ExecParams(ctx, query, values, nil, nil, []int16{pgtype.BinaryFormatCode})
}

// one reads the first row; it is nil when there is none.
func (r *datasetRead) one(ctx context.Context, query string, args ...any) ([][]byte, error) {
	result := r.run(ctx, query, args).Read()
	if result.Err != nil || len(result.Rows) == 0 {
		return nil, classify(result.Err)
	}
	return result.Rows[0], nil
}

func (r *datasetRead) rows(ctx context.Context, d export.Dataset, row func([]export.Cell) error) error {
	expressions := make([]string, 0, len(d.Columns))
	for _, c := range d.Columns {
		expressions = append(expressions, cell(d, c))
	}
	// A bare name would be that of the column as it is shown: a text, whose order is
	// another than that of the key, and has no index.
	result := r.run(ctx, "SELECT "+strings.Join(expressions, ", ")+r.rest(d)+" ORDER BY d."+d.Key, r.where.args)
	cells := make([]export.Cell, len(d.Columns))
	var text []byte // of those of the row's cells that do not come as text
	for result.NextRow() {
		text = text[:0]
		for i, b := range result.Values() {
			var err error
			if text, cells[i], err = textOf(text, d.Columns[i].Kind, b); err != nil {
				return fmt.Errorf("reading column %s of dataset %s: %w", d.Columns[i].Name, d.Name, err)
			}
		}
		if err := row(cells); err != nil {
			return err
		}
	}
	if _, err := result.Close(); err != nil {
		return fmt.Errorf("reading dataset: %w", classify(err))
	}
	return nil
}

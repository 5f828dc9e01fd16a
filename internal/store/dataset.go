package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"finobs/internal/export"
	"finobs/internal/fault"
	"finobs/internal/ledger"

	"github.com/jmoiron/sqlx"
)

// conditions is a growing list of conditions with their bound values.
type conditions struct {
	text string
	args []any
}

// add appends a condition; each ? in it stands for the value.
func (c *conditions) add(condition string, value any) {
	c.args = append(c.args, value)
	c.text += " AND " + strings.ReplaceAll(condition, "?", "$"+strconv.Itoa(len(c.args)))
}

// filtered are the conditions of the set filters of a dataset, for its list and
// for its export alike. Names come from the fixed list of the dataset, values are
// bound.
func filtered(d export.Dataset, values map[string]string) conditions {
	var c conditions
	for _, f := range d.Filters {
		value := values[f.Name]
		if value == "" {
			continue
		}
		cast := map[export.Kind]string{export.Integer: "::bigint", export.Time: "::timestamptz", export.Date: "::date", export.Bool: "::boolean"}[f.Kind]
		switch f.Op {
		case export.Equal:
			c.add(f.Column+" = ?"+cast, value)
		case export.From:
			c.add(f.Column+" >= ?"+cast, value)
		case export.Before:
			c.add(f.Column+" < ?"+cast, value)
		case export.Holds:
			c.add("? = ANY ("+f.Column+")", value)
		}
	}
	return c
}

// cellOf are columns whose text is not simply that of the view's column.
var cellOf = map[string]string{
	"users.roles": "array_to_string(roles, ' ')",
	"audit.leaf":  "convert_from(leaf, 'UTF8')",
}

// cell is the expression that gives a column as text. Text goes through the
// driver without being parsed, twice as fast as typed values.
func cell(d export.Dataset, c export.Column) string {
	if expression, special := cellOf[d.Name+"."+c.Name]; special {
		return expression
	}
	switch c.Kind {
	case export.Time:
		return "to_char(" + c.Name + ` AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
	case export.Date:
		return "to_char(" + c.Name + ", 'YYYY-MM-DD')"
	case export.Text, export.Word, export.JSON, export.Integer, export.Decimal, export.Bool:
	}
	return c.Name + "::text"
}

// StreamDataset calls begin once and then row for every row that matches, in the
// order of the dataset's key, all from one repeatable-read snapshot. Cells are
// valid until row returns. Memory does not grow with the number of rows.
func (w *Writer) StreamDataset(ctx context.Context, s export.Spec, begin func(export.Snapshot) error, row func([]export.Cell) error) error {
	tx, err := w.db.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return fmt.Errorf("beginning snapshot: %w", classify(err))
	}
	defer tx.Rollback() // nothing was written
	var snapshot export.Snapshot
	if err := tx.QueryRowxContext(ctx, "SELECT pg_current_snapshot()::text, clock_timestamp()").Scan(&snapshot.ID, &snapshot.At); err != nil {
		return fmt.Errorf("taking snapshot: %w", classify(err))
	}
	snapshot.At = snapshot.At.UTC()
	size, err := checkpointIn(ctx, tx, &snapshot)
	if err != nil {
		return err
	}
	where := filtered(s.Dataset, s.Filters)
	if s.Dataset.Ledger {
		if snapshot.Checkpoint == "" {
			return fault.New(fault.Unavailable, "no-checkpoint", "the log has no signed checkpoint yet; trying again")
		}
		if snapshot.FromLeaf, snapshot.ToLeaf, err = leafRange(s.Filters, size); err != nil {
			return err
		}
		where.add(s.Dataset.Key+" >= ?", snapshot.FromLeaf)
		where.add(s.Dataset.Key+" < ?", snapshot.ToLeaf)
	}
	from := " FROM " + s.Dataset.View + " WHERE true" + where.text
	if err := tx.QueryRowxContext(ctx, "SELECT count(*)"+from, where.args...).Scan(&snapshot.Rows); err != nil {
		return fmt.Errorf("counting rows: %w", classify(err))
	}
	if err := begin(snapshot); err != nil {
		return err
	}
	cells := make([]string, 0, len(s.Dataset.Columns))
	for _, c := range s.Dataset.Columns {
		cells = append(cells, cell(s.Dataset, c))
	}
	return stream(ctx, tx, "SELECT "+strings.Join(cells, ", ")+from+" ORDER BY "+s.Dataset.Key, where.args, len(cells), row)
}

func stream(ctx context.Context, q *sqlx.Tx, query string, args []any, columns int, row func([]export.Cell) error) error {
	rows, err := q.QueryxContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("reading dataset: %w", classify(err))
	}
	defer rows.Close()
	raw := make([]sql.RawBytes, columns)
	into := make([]any, columns)
	for i := range raw {
		into[i] = &raw[i]
	}
	cells := make([]export.Cell, columns)
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return fmt.Errorf("reading dataset: %w", err)
		}
		for i := range raw {
			cells[i] = export.Cell(raw[i])
		}
		if err := row(cells); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading dataset: %w", classify(err))
	}
	return nil
}

// checkpointIn reads the newest checkpoint of a snapshot and returns its size.
func checkpointIn(ctx context.Context, q *sqlx.Tx, into *export.Snapshot) (int64, error) {
	var text []byte
	err := q.QueryRowxContext(ctx, `SELECT note FROM api.checkpoint ORDER BY size DESC LIMIT 1`).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading checkpoint: %w", classify(err))
	}
	into.Checkpoint = string(text)
	_, tree, err := ledger.PeekCheckpoint(text)
	return tree.Size, err
}

// leafRange is the range of leaves that filters ask for, within a log of size.
func leafRange(filters map[string]string, size int64) (from, to int64, err error) {
	to = size
	if text := filters["after"]; text != "" {
		if from, err = strconv.ParseInt(text, 10, 64); err != nil {
			return 0, 0, fault.Wrap(err, fault.Invalid, "not-an-export", "filter after is no index")
		}
	}
	if text := filters["before"]; text != "" {
		before, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return 0, 0, fault.Wrap(err, fault.Invalid, "not-an-export", "filter before is no index")
		}
		to = min(to, before)
	}
	return min(from, to), to, nil
}

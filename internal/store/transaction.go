package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"finobs/internal/export"
	"finobs/internal/fault"
	"finobs/internal/incident"
	"finobs/internal/transaction"

	"github.com/shopspring/decimal"
)

type transactionRow struct {
	TransactionID  int64               `db:"transaction_id"`
	Source         string              `db:"source"`
	TradeID        string              `db:"trade_id"`
	ExecutionID    string              `db:"execution_id"`
	TradeDate      time.Time           `db:"trade_date"`
	SettlementDate sql.NullTime        `db:"settlement_date"`
	Side           string              `db:"side"`
	Symbol         string              `db:"symbol"`
	ISIN           string              `db:"isin"`
	CUSIP          string              `db:"cusip"`
	Quantity       decimal.Decimal     `db:"quantity"`
	Price          decimal.Decimal     `db:"price"`
	Currency       string              `db:"currency"`
	GrossAmount    decimal.NullDecimal `db:"gross_amount"`
	Fees           decimal.NullDecimal `db:"fees"`
	Account        string              `db:"account"`
	Counterparty   string              `db:"counterparty"`
	Venue          string              `db:"venue"`
	Status         string              `db:"status"`
	Desk           string              `db:"desk"`
	Origin         string              `db:"origin"`
	ImportID       int64               `db:"import_id"`
	Version        int64               `db:"version"`
	CreatedAt      time.Time           `db:"created_at"`
	UpdatedAt      time.Time           `db:"updated_at"`
	TraceID        string              `db:"trace_id"`
}

const transactionColumns = `transaction_id, source, trade_id, execution_id, trade_date, settlement_date, side, symbol, isin, cusip,
	quantity, price, currency, gross_amount, fees, account, counterparty, venue, status, desk, origin, import_id, version,
	created_at, updated_at, trace_id`

func (r transactionRow) domain() (transaction.Transaction, error) {
	t := transaction.Transaction{
		ID: r.TransactionID, Source: r.Source, TradeID: r.TradeID, ExecutionID: r.ExecutionID, TradeDate: r.TradeDate.UTC(),
		Side: transaction.Side(r.Side), Symbol: r.Symbol, ISIN: r.ISIN, CUSIP: r.CUSIP, Quantity: r.Quantity, Price: r.Price,
		Currency: r.Currency, GrossAmount: r.GrossAmount, Fees: r.Fees, Account: r.Account, Counterparty: r.Counterparty,
		Venue: r.Venue, Status: transaction.Status(r.Status), Desk: r.Desk, Origin: incident.Origin(r.Origin), ImportID: r.ImportID,
		Version: r.Version, CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(), TraceID: r.TraceID,
	}
	if r.SettlementDate.Valid {
		t.SettlementDate = r.SettlementDate.Time.UTC()
	}
	if !t.Side.Valid() || !t.Status.Valid() {
		return t, fmt.Errorf("reading transaction %d: side %q or status %q is not known", t.ID, r.Side, r.Status)
	}
	return t, nil
}

// transactionQuery is the list as SQL: one page, newest first.
func transactionQuery(filters map[string]string, p Page) (string, []any) {
	c := filtered(export.Transactions, filters)
	if p.Before > 0 {
		c.add("transaction_id < ?", p.Before)
	}
	return `SELECT ` + transactionColumns + ` FROM api.transaction WHERE true` + c.text +
		` ORDER BY transaction_id DESC LIMIT ` + strconv.Itoa(p.Limit), c.args
}

// Transactions lists transactions that match every set filter, newest first.
// Filters are source, trade_id, symbol, side, status, account, counterparty,
// desk, currency, origin, and the trade dates from (inclusive) and to
// (exclusive), of the form YYYY-MM-DD.
func (r *Reader) Transactions(ctx context.Context, filters map[string]string, p Page) ([]transaction.Transaction, error) {
	var rows []transactionRow
	query, args := transactionQuery(filters, p)
	if err := r.db.Filtered(ctx, &rows, query, args...); err != nil {
		return nil, fmt.Errorf("listing transactions: %w", classify(err))
	}
	return collect(rows, transactionRow.domain)
}

// Transaction reads one transaction; a fault of kind NotFound when there is none.
func (r *Reader) Transaction(ctx context.Context, id int64) (transaction.Transaction, error) {
	var row transactionRow
	err := r.db.GetContext(ctx, &row, `SELECT `+transactionColumns+` FROM api.transaction WHERE transaction_id = $1`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return transaction.Transaction{}, fault.New(fault.NotFound, "no-such-transaction", "there is no transaction %d", id)
	}
	if err != nil {
		return transaction.Transaction{}, fmt.Errorf("reading transaction %d: %w", id, classify(err))
	}
	return row.domain()
}

// TransactionVersions lists what a transaction was before it was corrected,
// oldest first: none when it never was.
func (r *Reader) TransactionVersions(ctx context.Context, id int64) ([]transaction.Transaction, error) {
	var rows []transactionRow
	err := r.db.SelectContext(ctx, &rows, `SELECT `+transactionColumns+` FROM api.transaction_version
		WHERE transaction_id = $1 ORDER BY version LIMIT $2`, id, maxHistory)
	if err != nil {
		return nil, fmt.Errorf("reading versions of transaction %d: %w", id, classify(err))
	}
	return collect(rows, transactionRow.domain)
}

// TransactionImports lists the ledger entries of the imports that made a
// transaction what it is, oldest first.
func (r *Reader) TransactionImports(ctx context.Context, id int64) ([]LoggedEntry, error) {
	rows := []LoggedEntry{}
	err := r.db.SelectContext(ctx, &rows, `
		WITH touched AS (
			SELECT import_id FROM api.transaction WHERE transaction_id = $1
			UNION SELECT import_id FROM api.transaction_version WHERE transaction_id = $1
		)
		SELECT e.entry_id, e.recorded_at, e.type, e.action, e.outcome, e.reason, e.actor_type, e.actor_iss, e.actor_sub, e.subject_kind, e.subject_id,
			e.desk, e.request_id, e.trace_id, e.workflow_id, e.ai_explanation, e.agent_input, e.agent_output, e.agent_version, e.override_type,
			e.is_simulation, e.leaf_sha256, e.leaf
		FROM touched JOIN api.import i USING (import_id)
		JOIN api.agent_action_audit_log e ON e.subject_kind = 'import' AND e.subject_id = i.content_sha256 AND e.workflow_id = i.workflow_id
		WHERE e.type = 'import.done' ORDER BY e.recorded_at, e.entry_id LIMIT $2`, id, maxHistory)
	if err != nil {
		return nil, fmt.Errorf("reading history of transaction %d: %w", id, classify(err))
	}
	return rows, nil
}

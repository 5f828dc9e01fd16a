package api

import (
	"context"
	"mime"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"finobs/internal/fault"
	"finobs/internal/intake"
	"finobs/internal/transaction"

	"github.com/gin-gonic/gin"
	"github.com/shopspring/decimal"
)

// TransactionFilters are the filters of the list and of the export.
type TransactionFilters struct {
	Source       string `query:"source" maxLength:"128"`
	TradeID      string `query:"trade_id" maxLength:"128" doc:"the source's own id"`
	Symbol       string `query:"symbol" maxLength:"64"`
	Side         string `query:"side" enum:"buy,sell,sell_short,buy_to_cover"`
	Status       string `query:"status" enum:"new,confirmed,settled,failed,cancelled"`
	Account      string `query:"account" maxLength:"128"`
	Counterparty string `query:"counterparty" maxLength:"128"`
	Desk         string `query:"desk" maxLength:"32"`
	Currency     string `query:"currency" minLength:"3" maxLength:"3"`
	Origin       string `query:"origin" enum:"live,demo" doc:"default: both"`
	From         string `query:"from" format:"date" doc:"first trade date, inclusive"`
	To           string `query:"to" format:"date" doc:"trade date to stop before, exclusive"`
}

// set is the filters that are set, by their names.
func (f TransactionFilters) set() map[string]string {
	filters := map[string]string{}
	for name, value := range map[string]string{
		"source": f.Source, "trade_id": f.TradeID, "symbol": f.Symbol, "side": f.Side, "status": f.Status, "account": f.Account,
		"counterparty": f.Counterparty, "desk": f.Desk, "currency": f.Currency, "origin": f.Origin, "from": f.From, "to": f.To,
	} {
		if value != "" {
			filters[name] = value
		}
	}
	return filters
}

// transactionView is a transaction in answers. Quantities and money are texts:
// exact decimals.
type transactionView struct {
	ID             int64     `json:"transaction_id"`
	Source         string    `json:"source"`
	TradeID        string    `json:"trade_id"`
	ExecutionID    string    `json:"execution_id"`
	TradeDate      string    `json:"trade_date" format:"date"`
	SettlementDate *string   `json:"settlement_date" format:"date" doc:"null when not known"`
	Side           string    `json:"side" enum:"buy,sell,sell_short,buy_to_cover"`
	Symbol         string    `json:"symbol"`
	ISIN           string    `json:"isin"`
	CUSIP          string    `json:"cusip"`
	Quantity       string    `json:"quantity" doc:"units, exact decimal above 0"`
	Price          string    `json:"price" doc:"currency per unit, exact decimal"`
	Currency       string    `json:"currency" doc:"ISO 4217"`
	GrossAmount    *string   `json:"gross_amount" doc:"in currency, exact decimal; null when not stated"`
	Fees           *string   `json:"fees" doc:"in currency, exact decimal; null when not stated"`
	Account        string    `json:"account"`
	Counterparty   string    `json:"counterparty"`
	Venue          string    `json:"venue"`
	Status         string    `json:"status" enum:"new,confirmed,settled,failed,cancelled"`
	Desk           string    `json:"desk"`
	Origin         string    `json:"origin" enum:"live,demo"`
	ImportID       int64     `json:"import_id" doc:"the import that brought these values"`
	Version        int64     `json:"version" doc:"1, and one more for each correction"`
	CreatedAt      time.Time `json:"created_at"`
	UpdatedAt      time.Time `json:"updated_at"`
	TraceID        string    `json:"trace_id"`
}

func viewTransaction(t transaction.Transaction) transactionView {
	v := transactionView{
		ID: t.ID, Source: t.Source, TradeID: t.TradeID, ExecutionID: t.ExecutionID, TradeDate: t.TradeDate.Format(time.DateOnly),
		Side: string(t.Side), Symbol: t.Symbol, ISIN: t.ISIN, CUSIP: t.CUSIP, Quantity: t.Quantity.String(), Price: t.Price.String(),
		Currency: t.Currency, GrossAmount: viewDecimal(t.GrossAmount), Fees: viewDecimal(t.Fees), Account: t.Account,
		Counterparty: t.Counterparty, Venue: t.Venue, Status: string(t.Status), Desk: t.Desk, Origin: string(t.Origin),
		ImportID: t.ImportID, Version: t.Version, CreatedAt: t.CreatedAt, UpdatedAt: t.UpdatedAt, TraceID: t.TraceID,
	}
	if !t.SettlementDate.IsZero() {
		date := t.SettlementDate.Format(time.DateOnly)
		v.SettlementDate = &date
	}
	return v
}

func viewDecimal(d decimal.NullDecimal) *string {
	if !d.Valid {
		return nil
	}
	text := d.Decimal.String()
	return &text
}

type listTransactionsInput struct {
	Paging
	TransactionFilters
}

type transactionPage struct {
	Items      []transactionView `json:"items"`
	NextBefore int64             `json:"next_before" doc:"cursor of the next page; 0 on the last one"`
}

func (s *Server) listTransactions(ctx context.Context, in *listTransactionsInput) (*body[transactionPage], error) {
	list, err := s.Reader.Transactions(ctx, in.set(), in.page())
	if err != nil {
		return nil, err
	}
	out := transactionPage{Items: []transactionView{}}
	for _, t := range list {
		out.Items = append(out.Items, viewTransaction(t))
		out.NextBefore = in.next(len(list), t.ID)
	}
	return &body[transactionPage]{out}, nil
}

func (s *Server) getTransaction(ctx context.Context, in *idInput) (*body[transactionView], error) {
	t, err := s.Reader.Transaction(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &body[transactionView]{viewTransaction(t)}, nil
}

type transactionHistoryView struct {
	Entries  []entryView       `json:"entries" doc:"ledger entries of the imports that brought its values"`
	Versions []transactionView `json:"versions" doc:"what it was, oldest first; the last one is what it is"`
}

func (s *Server) transactionHistory(ctx context.Context, in *idInput) (*body[transactionHistoryView], error) {
	now, err := s.Reader.Transaction(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	s.recordRead(ctx, "GET /transactions/:id/history", "the history of one was read")
	earlier, err := s.Reader.TransactionVersions(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	entries, err := s.Reader.TransactionImports(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := transactionHistoryView{Entries: []entryView{}, Versions: []transactionView{}}
	for _, t := range append(earlier, now) {
		out.Versions = append(out.Versions, viewTransaction(t))
	}
	for _, e := range entries {
		out.Entries = append(out.Entries, viewEntry(e))
	}
	return &body[transactionHistoryView]{out}, nil
}

// formats of transactions by media type.
var formats = map[string]intake.Format{
	"text/csv": intake.CSV, "application/x-ndjson": intake.NDJSON, "application/json": intake.JSON,
}

// postTransactions takes the body as a file of transactions. One that is a single
// object is strict: it is recorded, or the answer says why not.
func (s *Server) postTransactions(c *gin.Context) {
	file, err := transactionsFile(c)
	if err != nil {
		abort(c, err)
		return
	}
	s.ingest(c, file)
}

func transactionsFile(c *gin.Context) (intake.File, error) {
	media, parameters, err := mime.ParseMediaType(c.GetHeader("Content-Type"))
	format, known := formats[media]
	if err != nil || !known {
		return intake.File{}, fault.New(fault.Invalid, "unsupported-content-type",
			"Content-Type must be text/csv with a header, application/x-ndjson, or application/json for a single object")
	}
	if charset := parameters["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return intake.File{}, fault.New(fault.Invalid, "unsupported-content-type", "charset %q must be utf-8; save the file as UTF-8", charset)
	}
	file, err := fileParameters(c, "source", "file_name", "origin", "strict")
	if err != nil {
		return file, err
	}
	file.Kind, file.Format = intake.KindTransactions, format
	file.Strict = file.Strict || format == intake.JSON
	return withSource(c, file)
}

// withSource adds whose books a file is of: the caller's, unless he says otherwise.
func withSource(c *gin.Context, file intake.File) (intake.File, error) {
	file.Source = c.DefaultQuery("source", principal(c).Subject)
	if file.Source == "" || len(file.Source) > maxSource || !utf8.ValidString(file.Source) ||
		strings.ContainsFunc(file.Source, unicode.IsControl) || strings.TrimSpace(file.Source) != file.Source {
		return file, fault.New(fault.Invalid, "invalid-request",
			"source must have 1 to %d bytes without control characters, and no spaces around it", maxSource)
	}
	return file, nil
}

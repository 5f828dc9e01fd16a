package intake

import (
	"fmt"

	"finobs/internal/fix"
)

// FIXReport is what became of a FIX log.
type FIXReport struct {
	fix.EventReport
	EventsAdded       int         `json:"events_added"`
	EventsRepeated    int         `json:"events_repeated"`   // that were on record, or stand in the log twice
	Changes           Changes     `json:"changes"`           // of transactions
	TradesRepeated    int64       `json:"trades_repeated"`   // fills that stand in the log again
	TradesSuperseded  int64       `json:"trades_superseded"` // fills that were corrected or busted by an earlier log
	Busted            int64       `json:"busted"`            // transactions that were taken back
	BadTrades         int         `json:"bad_trades"`        // fills that are no transaction
	TradeErrors       []LineError `json:"trade_errors"`      // the first 1,000 of them; column is the tag
	IncidentsOpened   int         `json:"incidents_opened"`
	IncidentsResolved int         `json:"incidents_resolved"`
}

// BadTrade reports a fill that is no transaction.
func (r *FIXReport) BadTrade(e LineError) {
	r.BadTrades++
	if len(r.TradeErrors) < MaxReports {
		r.TradeErrors = append(r.TradeErrors, e)
	}
}

// Refusal says why a strict import refuses the log, or returns "".
func (r *FIXReport) Refusal() string {
	if why := r.EventReport.Refusal(); why != "" {
		return why
	}
	if r.BadTrades == 0 {
		return ""
	}
	first := r.TradeErrors[0]
	return fmt.Sprintf("fills that are no transactions: %d; the first is on line %d, tag %s: %s", r.BadTrades, first.Line, first.Column, first.Problem)
}

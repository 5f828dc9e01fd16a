package e2e_test

import (
	"fmt"
	"testing"
)

// fill makes transactions, every thousandth of which holds what a spreadsheet
// would take for a formula.
func (s *stack) fill(t *testing.T, rows int) {
	t.Helper()
	for _, statement := range []string{
		`INSERT INTO finobs.import (import_id, kind, source, content_sha256, origin, file_name, byte_count, report, imported_iss, imported_sub, workflow_id, trace_id, imported_at)
			VALUES (1, 'transactions', 'bench', sha256('bench'), 'live', '', 0, '{}', 'i', 's', 'w', '', now())`,
		fmt.Sprintf(`INSERT INTO finobs.transaction (source, trade_id, execution_id, trade_date, settlement_date, side, symbol, isin, cusip, quantity, price, currency,
				gross_amount, fees, account, counterparty, venue, status, desk, origin, import_id, created_at, updated_at, trace_id)
			SELECT 'bench', 'T' || n, CASE WHEN n %% 1000 = 0 THEN '=cmd|''/c calc''!A1' ELSE 'E' || n END, date '2026-11-02' + n %% 20, date '2026-11-03' + n %% 20,
				'buy', 'SYM' || n %% 500, '', '', n %% 997 + 1, round((n %% 10007) / 7.0 + 0.01, 4), 'USD', round((n %% 997 + 1) * 12.34, 2), 1.25,
				'ACC' || n %% 50, 'Broker, "A"', 'XNYS', 'new', 'EQ', 'live', (SELECT max(import_id) FROM finobs.import), now(), now(), ''
			FROM generate_series(1, %d) n`, rows),
		"VACUUM (FREEZE) finobs.transaction",
	} {
		if err := exec1(s, statement); err != nil {
			t.Fatal(err)
		}
	}
}

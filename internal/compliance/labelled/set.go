package labelled

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"finobs/internal/compliance"
	"finobs/internal/fault"
)

// Layout is a kind of file, known by its header.
type Layout string

// The closed set of layouts.
const (
	PaySim          Layout = "paysim"           // E. Lopez-Rojas et al., EMSS 2016; mobile money, a label a row
	AMLSim          Layout = "amlsim"           // IBM AMLSim: transactions, with labels of accounts in accounts.csv beside them
	AMLTransactions Layout = "aml_transactions" // VisionLangAI/AML-Transaction-Dataset; a label a row
)

// Set is the records of a file, and which of its units are suspicious.
type Set struct {
	Layout  Layout
	Rows    int    // of the file, without those of files beside it
	Unit    string // what labels are of: row or account
	Records []compliance.Record
	Units   []Unit // in the order of the file
	// Trivial is a rule so simple that better ones must beat it.
	Trivial string
	Caution string // what the labels do not show; empty: nothing known

	byID map[string]int // unit by id
}

// Unit is what a label is of.
type Unit struct {
	ID         string // of a record, or of an account
	Suspicious bool
	Kind       string // of suspicion, in the words of the file; may be empty
	trivial    bool   // the trivial rule flags it
	paid, got  bool   // of an account: it has paid another, was paid by another
}

// reader reads one layout.
type reader struct {
	layout  Layout
	columns []string // by which it is known
	unit    string
	trivial string
	caution string
	row     func(*Set, *table) error
}

var readers = []reader{
	{
		layout: PaySim, unit: "row", row: paySimRow,
		columns: []string{"step", "type", "amount", "nameOrig", "oldbalanceOrg", "newbalanceOrig", "nameDest", "oldbalanceDest", "newbalanceDest", "isFraud"},
		trivial: "type is TRANSFER or CASH_OUT",
		caution: "the simulator's frauds empty accounts because it was told so; a thief need not. No currency is stated, so that limits do not apply.",
	},
	{
		layout: AMLTransactions, unit: "row", row: amlTransactionRow,
		columns: []string{"Date", "Time", "Sender_account", "Receiver_account", "Amount", "Payment_currency", "Sender_bank_location", "Receiver_bank_location", "Payment_type", "Is_laundering", "Laundering_type"},
		trivial: "Payment_type is Cash, Cheque or Cross-Border",
		caution: "in this data set the labels follow from Payment_type alone and amounts and accounts carry no pattern; the figures test reading and reporting, and do not show that a rule is right.",
	},
	{
		layout: AMLSim, unit: "account", row: amlSimRow,
		columns: []string{"TXN_ID", "ACCOUNT_ID", "COUNTER_PARTY_ACCOUNT_NUM", "TXN_SOURCE_TYPE_CODE", "TXN_AMOUNT_ORIG", "start"},
		trivial: "the account pays another one and is paid by another one",
		caution: "labels are of accounts, and accounts of one planted pattern count together. No currency is stated, so that limits do not apply.",
	},
}

// Read reads a file by its header, and what a layout needs from the files beside
// it. It fails with a fault of kind Invalid for a layout that it does not know, and
// for the first bad row, with its line and column: what is measured over half of a
// file would be no measure.
func Read(name string, r io.Reader, beside fs.FS) (*Set, error) {
	t, err := openTable(name, r)
	if err != nil {
		return nil, err
	}
	for _, kind := range readers {
		if !t.has(kind.columns) {
			continue
		}
		s := &Set{Layout: kind.layout, Unit: kind.unit, Trivial: kind.trivial, Caution: kind.caution, byID: map[string]int{}}
		if kind.layout == AMLSim {
			if err := s.accounts(beside); err != nil {
				return nil, err
			}
		}
		if err := s.rows(t, kind.row); err != nil {
			return nil, err
		}
		s.Rows = t.row
		if kind.layout == AMLSim {
			if err := s.cash(beside); err != nil {
				return nil, err
			}
		}
		compliance.Sort(s.Records)
		return s, nil
	}
	return nil, fault.New(fault.Invalid, "unknown-layout", "%s: no known layout has the columns %.200q; known are %s", name, strings.Join(t.header, ","), layouts())
}

func layouts() string {
	var out []string
	for _, r := range readers {
		out = append(out, fmt.Sprintf("%s (%s)", r.layout, strings.Join(r.columns, ",")))
	}
	return strings.Join(out, "; ")
}

func (s *Set) rows(t *table, take func(*Set, *table) error) error {
	for {
		err := t.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = take(s, t)
		}
		if err != nil {
			return err
		}
	}
}

// unit adds one; false when there is one of the id already.
func (s *Set) unit(u Unit) bool {
	if _, twice := s.byID[u.ID]; twice {
		return false
	}
	s.byID[u.ID] = len(s.Units)
	s.Units = append(s.Units, u)
	return true
}

package labelled

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"finobs/internal/compliance"
	"finobs/internal/fault"

	"github.com/shopspring/decimal"
)

// paySimBegin is hour 0 of PaySim, whose files name no day.
var paySimBegin = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// paySimRow reads a movement of mobile money. Value flows from nameOrig to nameDest
// but for CASH_IN, with which nameOrig is paid.
func paySimRow(s *Set, t *table) error {
	step, err := t.step("step")
	if err != nil {
		return err
	}
	r := compliance.Record{ID: fmt.Sprintf("row:%d", t.row), Time: paySimBegin.Add(time.Duration(step) * time.Hour)}
	if r.Amount, err = t.amount("amount"); err != nil {
		return err
	}
	if r.From, err = t.filled("nameOrig"); err != nil {
		return err
	}
	if r.To, err = t.filled("nameDest"); err != nil {
		return err
	}
	for column, into := range map[string]*decimal.NullDecimal{
		"oldbalanceOrg": &r.FromBefore, "newbalanceOrig": &r.FromAfter, "oldbalanceDest": &r.ToBefore, "newbalanceDest": &r.ToAfter,
	} {
		if *into, err = t.balance(column); err != nil {
			return err
		}
	}
	switch kind := t.text("type"); kind {
	case "TRANSFER", "PAYMENT", "DEBIT":
		r.Kind, r.Method = compliance.Transfer, compliance.Method(strings.ToLower(kind))
	case "CASH_OUT":
		r.Kind, r.Method = compliance.CashOut, compliance.Cash
	case "CASH_IN":
		r.Kind, r.Method = compliance.CashIn, compliance.Cash
		r.From, r.To = r.To, r.From
		r.FromBefore, r.FromAfter, r.ToBefore, r.ToAfter = r.ToBefore, r.ToAfter, r.FromBefore, r.FromAfter
	default:
		return t.wrong("type", "%q must be TRANSFER, PAYMENT, DEBIT, CASH_OUT or CASH_IN", kind)
	}
	fraud, err := t.label("isFraud")
	if err != nil {
		return err
	}
	kind := t.text("type")
	s.unit(Unit{ID: r.ID, Suspicious: fraud, Kind: strings.ToLower(kind), trivial: kind == "TRANSFER" || kind == "CASH_OUT"})
	s.Records = append(s.Records, r)
	return nil
}

func amlTransactionRow(s *Set, t *table) error {
	at, err := t.moment("Date", "Time")
	if err != nil {
		return err
	}
	r := compliance.Record{
		ID: fmt.Sprintf("row:%d", t.row), Kind: compliance.Transfer, Time: at, Currency: t.text("Payment_currency"),
		FromCountry: t.text("Sender_bank_location"), ToCountry: t.text("Receiver_bank_location"),
	}
	if r.Amount, err = t.amount("Amount"); err != nil {
		return err
	}
	if r.From, err = t.filled("Sender_account"); err != nil {
		return err
	}
	if r.To, err = t.filled("Receiver_account"); err != nil {
		return err
	}
	kind, err := t.filled("Payment_type")
	if err != nil {
		return err
	}
	simple := true
	switch kind {
	case "Cash":
		r.Method = compliance.Cash
	case "Cheque":
		r.Method = compliance.Cheque
	case "Cross-Border":
		r.Method = compliance.Wire
	default:
		r.Method, simple = compliance.Method(strings.ToLower(strings.ReplaceAll(kind, " ", "_"))), false
	}
	laundering, err := t.label("Is_laundering")
	if err != nil {
		return err
	}
	s.unit(Unit{ID: r.ID, Suspicious: laundering, Kind: t.text("Laundering_type"), trivial: simple})
	s.Records = append(s.Records, r)
	return nil
}

// amlSimBegin is day 0 of AMLSim: its alerts.csv gives the transaction of day 48 the
// date 2017-02-18.
var amlSimBegin = time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC)

// accounts reads the labels of an AMLSim file and, where it is there, the pattern
// that alerts.csv names for an account.
func (s *Set) accounts(beside fs.FS) error {
	err := s.besideFile(beside, "accounts.csv", []string{"ACCOUNT_ID", "isFraud"}, func(s *Set, t *table) error {
		id, err := t.filled("ACCOUNT_ID")
		if err != nil {
			return err
		}
		fraud, err := t.label("isFraud")
		if err != nil {
			return err
		}
		if !s.unit(Unit{ID: id, Suspicious: fraud}) {
			return t.wrong("ACCOUNT_ID", "there is an account %q already", id)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("an AMLSim file has its labels in accounts.csv beside it: %w", err)
	}
	err = s.besideFile(beside, "alerts.csv", []string{"ACCOUNT_ID", "CHECK_NAME"}, func(s *Set, t *table) error {
		i, known := s.byID[t.text("ACCOUNT_ID")]
		if !known {
			return t.wrong("ACCOUNT_ID", "there is no account %q in accounts.csv", t.text("ACCOUNT_ID"))
		}
		s.Units[i].Kind = t.text("CHECK_NAME")
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// cash reads the deposits and withdrawals of an AMLSim run, where they are there.
func (s *Set) cash(beside fs.FS) error {
	columns := []string{"TXN_ID", "ACCOUNT_ID", "BRANCH_ID", "TXN_SOURCE_TYPE_CODE", "TXN_AMOUNT_ORIG", "RUN_DATE"}
	err := s.besideFile(beside, "cash_tx.csv", columns, func(s *Set, t *table) error {
		day, err := t.step("RUN_DATE")
		if err != nil {
			return err
		}
		r := compliance.Record{ID: "cash:" + t.text("TXN_ID"), Method: compliance.Cash, Time: amlSimBegin.AddDate(0, 0, day)}
		if r.Amount, err = t.amount("TXN_AMOUNT_ORIG"); err != nil {
			return err
		}
		switch kind := t.text("TXN_SOURCE_TYPE_CODE"); kind {
		case "CASH-IN":
			r.Kind, r.To = compliance.CashIn, t.text("ACCOUNT_ID")
		case "CASH-OUT":
			r.Kind, r.From = compliance.CashOut, t.text("ACCOUNT_ID")
		default:
			return t.wrong("TXN_SOURCE_TYPE_CODE", "%q must be CASH-IN or CASH-OUT", kind)
		}
		s.Records = append(s.Records, r)
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (s *Set) besideFile(beside fs.FS, name string, columns []string, take func(*Set, *table) error) error {
	if beside == nil {
		return fmt.Errorf("opening %s: %w", name, fs.ErrNotExist)
	}
	file, err := beside.Open(name)
	if err != nil {
		return fmt.Errorf("opening %s: %w", name, err)
	}
	defer file.Close()
	t, err := openTable(name, file)
	if err != nil {
		return err
	}
	if !t.has(columns) {
		return fault.New(fault.Invalid, "unknown-layout", "%s has the columns %.200q; it must have %s", name, strings.Join(t.header, ","), strings.Join(columns, ","))
	}
	return s.rows(t, take)
}

func amlSimRow(s *Set, t *table) error {
	day, err := t.step("start")
	if err != nil {
		return err
	}
	r := compliance.Record{ID: "tx:" + t.text("TXN_ID"), Kind: compliance.Transfer, Time: amlSimBegin.AddDate(0, 0, day)}
	if r.Amount, err = t.amount("TXN_AMOUNT_ORIG"); err != nil {
		return err
	}
	r.From, r.To = t.text("ACCOUNT_ID"), t.text("COUNTER_PARTY_ACCOUNT_NUM")
	for column, id := range map[string]string{"ACCOUNT_ID": r.From, "COUNTER_PARTY_ACCOUNT_NUM": r.To} {
		if _, known := s.byID[id]; !known {
			return t.wrong(column, "there is no account %q in accounts.csv", id)
		}
	}
	switch kind := t.text("TXN_SOURCE_TYPE_CODE"); kind {
	case "CHECK":
		r.Method = compliance.Cheque
	case "WIRE":
		r.Method = compliance.Wire
	default:
		r.Method = compliance.Method(strings.ToLower(kind))
	}
	if r.From != r.To {
		s.pays(r.From, true)
		s.pays(r.To, false)
	}
	s.Records = append(s.Records, r)
	return nil
}

// pays notes which ways money moved, for the trivial rule.
func (s *Set) pays(account string, out bool) {
	u := &s.Units[s.byID[account]]
	if out {
		u.paid = true
	} else {
		u.got = true
	}
	u.trivial = u.paid && u.got
}

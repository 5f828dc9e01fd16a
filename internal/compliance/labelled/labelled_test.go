package labelled_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"finobs/internal/compliance"
	"finobs/internal/compliance/labelled"
	"finobs/internal/fault"
	"finobs/rulebooks"
)

const (
	paySimHeader = "step,type,amount,nameOrig,oldbalanceOrg,newbalanceOrig,nameDest,oldbalanceDest,newbalanceDest,isFraud,isFlaggedFraud\n"
	amlHeader    = "Date,Time,Sender_account,Receiver_account,Amount,Payment_currency,Received_currency,Sender_bank_location,Receiver_bank_location,Payment_type,Is_laundering,Laundering_type\n"
	simHeader    = "TXN_ID,ACCOUNT_ID,COUNTER_PARTY_ACCOUNT_NUM,TXN_SOURCE_TYPE_CODE,tx_count,TXN_AMOUNT_ORIG,start,end\n"
)

func rules(t testing.TB) *compliance.Rules {
	t.Helper()
	r, err := compliance.LoadRules(strings.NewReader(rulebooks.Compliance))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func measure(t *testing.T, text string, beside fs.FS) labelled.Result {
	t.Helper()
	s, err := labelled.Read("file.csv", strings.NewReader(text), beside)
	if err != nil {
		t.Fatal(err)
	}
	out, err := labelled.Measure(context.Background(), "file.csv", s, rules(t))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestPaySim(t *testing.T) {
	r := measure(t, paySimHeader+`5,TRANSFER,100.50,C1,100.5,0,C2,0,0,1,0
1,TRANSFER,7,C3,7.0,0.0,C4,0,0,0.0,0
2,CASH_OUT,50,C5,0.0,0.0,C6,0,0,1.0,0
3,CASH_IN,10,C7,5,15,C8,10,0,0,0
4.0,PAYMENT,10,C9,20,10,M1,,,0,0
`, nil)
	if r.Layout != labelled.PaySim || r.Unit != "row" || r.Rows != 5 || r.Records != 5 {
		t.Errorf("%+v", r)
	}
	want := labelled.Score{Name: "all", Units: 5, Positives: 2, Flagged: 2, TruePositives: 1, Precision: "0.5000", Recall: "0.5000", F1: "0.5000", BaseRate: "0.4000"}
	if r.Suspicion[0] != want {
		t.Errorf("all: %+v", r.Suspicion[0])
	}
	if even := r.Suspicion[1]; even.Units != 3 || even.Positives != 2 || even.TruePositives != 1 || even.Precision != "1.0000" {
		t.Errorf("even: %+v", even)
	}
	if odd := r.Suspicion[2]; odd.Units != 2 || odd.Recall != "" || odd.Precision != "0.0000" {
		t.Errorf("odd: %+v", odd)
	}
	if r.Trivial[0].Precision != "0.4000" || r.Trivial[0].Recall != "1.0000" || r.Trivial[1].Flagged != 3 {
		t.Errorf("trivial: %+v", r.Trivial)
	}
	if len(r.Kinds) != 2 || r.Kinds[0] != (labelled.KindScore{Kind: "cash_out", Positives: 1, Found: 0, Recall: "0.0000"}) {
		t.Errorf("kinds: %+v", r.Kinds)
	}
	if r.Stats.NoLimit["large-cash"] != 2 || r.Stats.NotRun["sanctioned-name"] == "" || r.Caution == "" {
		t.Errorf("stats: %+v", r.Stats)
	}
}

func TestCashInGoesToItsOrigin(t *testing.T) {
	s, err := labelled.Read("f", strings.NewReader("\ufeff"+paySimHeader+"3,CASH_IN,10,C7,5,15,C8,10,0,0,0\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if r := s.Records[0]; r.To != "C7" || r.From != "C8" || r.ToBefore.Decimal.String() != "5" || r.FromBefore.Decimal.String() != "10" || r.ToAfter.Decimal.String() != "15" {
		t.Errorf("%+v", r)
	}
}

func TestAMLTransactions(t *testing.T) {
	r := measure(t, amlHeader+`2023-05-17,09:26,A,B,8139.88,EUR,MXN,Turkey,Mexico,Cash,1,Suspicious_Structuring
2023-12-14,11:21,C,D,8130.11,USD,MAD,Morocco,Turkey,Cross-Border,1,Suspicious_Structuring
2023-12-14,11:21:30,E,F,8130.11,USD,MAD,Morocco,Turkey,Mobile Payment,0,Normal
`, nil)
	if r.Layout != labelled.AMLTransactions || r.Suspicion[0].Recall != "0.5000" || r.AllRules[0].Recall != "1.0000" || r.AllRules[0].Flagged != 2 {
		t.Errorf("%+v", r)
	}
	if !strings.Contains(r.Caution, "Payment_type alone") || r.Trivial[1].F1 != "1.0000" {
		t.Errorf("%+v", r)
	}
}

const accounts = "ACCOUNT_ID,isFraud\n1,true\n2,true\n3,true\n4,false\n"

var beside = fstest.MapFS{
	"accounts.csv": {Data: []byte(accounts)},
	"alerts.csv":   {Data: []byte("ALERT_KEY,ACCOUNT_ID,CHECK_NAME\n0,1,cycle\n")},
	"cash_tx.csv":  {Data: []byte("TXN_ID,ACCOUNT_ID,BRANCH_ID,TXN_SOURCE_TYPE_CODE,tx_count,TXN_AMOUNT_ORIG,RUN_DATE,end\n9,4,11,CASH-OUT,1,99.87,1,1\n8,4,11,CASH-IN,1,99.87,1,1\n")},
}

func TestAMLSim(t *testing.T) {
	text := simHeader + "1,1,2,WIRE,1,100,1,1\n2,2,3,CHECK,1,95,2,2\n3,3,1,CREDIT,1,90,3,3\n4,4,4,WIRE,1,5,4,4\n"
	r := measure(t, text, beside)
	if r.Layout != labelled.AMLSim || r.Unit != "account" || r.Rows != 4 || r.Records != 6 {
		t.Errorf("%+v", r)
	}
	if s := r.Suspicion[0]; s.Units != 4 || s.Flagged != 3 || s.F1 != "1.0000" {
		t.Errorf("%+v", s)
	}
	if len(r.Kinds) != 1 || r.Kinds[0].Found != 1 || r.Trivial[1].Flagged != 3 {
		t.Errorf("%+v %+v", r.Kinds, r.Trivial)
	}
	alone := fstest.MapFS{"accounts.csv": {Data: []byte(accounts)}}
	if r := measure(t, text, alone); r.Records != 4 || r.Suspicion[0].Flagged != 3 {
		t.Errorf("without alerts and cash: %+v", r)
	}
}

func TestWhatCannotBeRead(t *testing.T) {
	row := "5,TRANSFER,100,C1,100,0,C2,0,0,1,0\n"
	aml := "2023-05-17,09:26,A,B,1,EUR,MXN,Turkey,Mexico,Cash,1,X\n"
	other := func(name, text string) fs.FS {
		files := fstest.MapFS{}
		for n, f := range beside {
			files[n] = f
		}
		files[name] = &fstest.MapFile{Data: []byte(text)}
		return files
	}
	for name, step := range map[string]struct {
		text   string
		beside fs.FS
		want   string
	}{
		"empty":             {"", nil, "f.csv is empty; its first line"},
		"unknown":           {"a,b\n1,2\n", nil, "no known layout has the columns"},
		"a column short":    {paySimHeader + "5,TRANSFER,100\n", nil, "line 2: wrong number of fields; the header names 11 columns"},
		"a bare quote":      {paySimHeader + row + `5,TRA"NSFER` + "\n", nil, "line 3"},
		"step":              {paySimHeader + strings.Replace(row, "5,", "five,", 1), nil, "line 2, column step"},
		"negative step":     {paySimHeader + strings.Replace(row, "5,", "-5,", 1), nil, "column step"},
		"amount":            {paySimHeader + strings.Replace(row, "100,", "1e9,", 1), nil, `column amount: "1e9"`},
		"negative amount":   {paySimHeader + strings.Replace(row, "100,", "-1,", 1), nil, "column amount"},
		"balance":           {paySimHeader + strings.Replace(row, "C1,100", "C1,x", 1), nil, "column oldbalanceOrg"},
		"type":              {paySimHeader + strings.Replace(row, "TRANSFER", "GIFT", 1), nil, "column type"},
		"no name":           {paySimHeader + strings.Replace(row, "C1", "", 1), nil, "column nameOrig"},
		"label":             {paySimHeader + strings.Replace(row, ",1,0\n", ",maybe,0\n", 1), nil, "column isFraud"},
		"no UTF-8":          {paySimHeader + strings.Replace(row, "C1", "\xff", 1), nil, "column nameOrig: it is over"},
		"date":              {amlHeader + strings.Replace(aml, "2023-05-17", "17.05.2023", 1), nil, "column Date"},
		"no payment type":   {amlHeader + strings.Replace(aml, "Cash", "", 1), nil, "column Payment_type"},
		"no accounts":       {simHeader + "1,1,2,WIRE,1,1,1,1\n", nil, "labels in accounts.csv beside it"},
		"unknown account":   {simHeader + "1,1,9,WIRE,1,1,1,1\n", beside, `column COUNTER_PARTY_ACCOUNT_NUM: there is no account "9"`},
		"account twice":     {simHeader, other("accounts.csv", accounts+"1,true\n"), `there is an account "1" already`},
		"accounts' columns": {simHeader, other("accounts.csv", "a,b\n"), "accounts.csv has the columns"},
		"alert's account":   {simHeader, other("alerts.csv", "ACCOUNT_ID,CHECK_NAME\n9,cycle\n"), "alerts.csv, line 2, column ACCOUNT_ID"},
		"kind of cash":      {simHeader, other("cash_tx.csv", "TXN_ID,ACCOUNT_ID,BRANCH_ID,TXN_SOURCE_TYPE_CODE,TXN_AMOUNT_ORIG,RUN_DATE\n1,1,1,GOLD,1,1\n"), "cash_tx.csv, line 2"},
	} {
		_, err := labelled.Read("f.csv", strings.NewReader(step.text), step.beside)
		if err == nil || !strings.Contains(err.Error(), step.want) {
			t.Errorf("%s: %v, want %q", name, err, step.want)
		}
		if fault.KindOf(err) != fault.Invalid && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: kind %s", name, fault.KindOf(err))
		}
	}
}

// TestSamples checks what docs/compliance.md says of the sample data.
func TestSamples(t *testing.T) {
	dir := os.Getenv("FINOBS_SAMPLE_DATA")
	if dir == "" {
		t.Skip("FINOBS_SAMPLE_DATA names no folder of sample data")
	}
	dir = filepath.Join(dir, "compliance")
	for file, want := range map[string]struct{ all, even, odd string }{
		"paysim.rows1-10000.csv":     {"1.0000 0.9818 0.9908", "1.0000 0.9844 0.9921", "1.0000 0.9795 0.9896"},
		"aml_transactions.part1.csv": {"1.0000 0.6024 0.7519", "1.0000 0.6005 0.7504", "1.0000 0.6040 0.7531"},
		"amlsim_small/tx.csv":        {"1.0000 0.7500 0.8571", "1.0000 0.6667 0.8000", "1.0000 1.0000 1.0000"},
	} {
		path := filepath.Join(dir, file)
		in, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		s, err := labelled.Read(path, in, os.DirFS(filepath.Dir(path)))
		in.Close()
		if err != nil {
			t.Fatal(err)
		}
		r, err := labelled.Measure(context.Background(), path, s, rules(t))
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{want.all, want.even, want.odd} {
			if got := strings.Join([]string{r.Suspicion[i].Precision, r.Suspicion[i].Recall, r.Suspicion[i].F1}, " "); got != want {
				t.Errorf("%s, %s: %s, docs/compliance.md says %s", file, r.Suspicion[i].Name, got, want)
			}
		}
	}
}

func FuzzReadLabelled(f *testing.F) {
	f.Add(paySimHeader + "5,TRANSFER,100,C1,100,0,C2,0,0,1,0\n")
	f.Add(amlHeader + "2023-05-17,09:26,A,B,1,EUR,MXN,Turkey,Mexico,Cash,1,X\n")
	f.Add(simHeader + "1,1,2,WIRE,1,100,1,1\n")
	shipped := rules(f)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := labelled.Read("f.csv", strings.NewReader(text), beside)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Fatalf("%v", err)
			}
			return
		}
		r, err := labelled.Measure(context.Background(), "f.csv", s, shipped)
		if err != nil {
			t.Fatal(err)
		}
		for _, score := range append(r.Suspicion, r.AllRules...) {
			if score.TruePositives > min(score.Flagged, score.Positives) || score.Flagged > score.Units {
				t.Fatalf("%+v", score)
			}
		}
	})
}

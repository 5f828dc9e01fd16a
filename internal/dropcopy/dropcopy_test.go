package dropcopy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"finobs/internal/dropcopy"
	"finobs/internal/event"
	"finobs/internal/fix"
	"finobs/internal/incident"
	"finobs/internal/transaction"
)

var received = time.Date(2026, 3, 9, 0, 0, 0, 0, time.UTC)

func source() dropcopy.Log {
	return dropcopy.Log{Source: "venue", Desk: "EQ", ContentSHA256: "00", Origin: incident.Live, ReceivedAt: received}
}

// message writes a message with | between fields, as many logs do.
func message(seq int, kind string, fields ...string) string {
	body := fmt.Sprintf("35=%s|34=%d|49=VEN|52=20260302-14:00:%02d|56=US|", kind, seq, seq%60)
	for _, f := range fields {
		body += f + "|"
	}
	text := fmt.Sprintf("8=FIX.4.4|9=%d|%s", len(body), body)
	sum := 0
	for _, b := range []byte(strings.ReplaceAll(text, "|", "\x01")) {
		sum += int(b)
	}
	return fmt.Sprintf("%s10=%03d|\n", text, sum%256)
}

// events reads a log and returns its events, gaps at the end.
func events(t *testing.T, log string) []event.Event {
	t.Helper()
	w := dropcopy.NewWatch(source())
	var out []event.Event
	report, err := fix.ReadEvents(strings.NewReader(log), func(e *fix.Event) error {
		if got, is := w.Event(e); is {
			out = append(out, got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	out = append(out, w.Gaps(report)...)
	for _, e := range out {
		if err := e.Validate(); err != nil {
			t.Errorf("%+v: %v", e, err)
		}
	}
	return out
}

func kinds(list []event.Event) string {
	var out []string
	for _, e := range list {
		out = append(out, string(e.Kind)+"/"+string(e.State))
	}
	return strings.Join(out, " ")
}

const lost = "2026/03/02 14:01:00 Disconnecting: socket closed\n"

func TestWhatALogTells(t *testing.T) {
	for name, tc := range map[string]struct{ log, want string }{
		"logon":                {message(1, "A", "98=0", "108=30"), "logon/resolved"},
		"a lost session":       {message(1, "A", "98=0", "108=30") + lost, "logon/resolved disconnect/firing"},
		"an orderly end":       {message(1, "5") + lost, "logout/point disconnect/point"},
		"a logon in between":   {message(1, "5") + message(2, "A", "98=0", "108=30") + lost, "logout/point logon/resolved disconnect/firing"},
		"an order reject":      {message(1, "8", "37=O", "17=E", "150=8", "39=8", "11=C", "103=3", "58=late"), "order_reject/point"},
		"a cancel reject":      {message(1, "9", "37=O", "11=C", "41=B", "39=2", "434=1", "102=1"), "cancel_reject/point"},
		"a business reject":    {message(1, "j", "45=3", "372=D", "380=8"), "business_reject/point"},
		"a session reject":     {message(1, "3", "45=3", "373=1", "371=55"), "session_reject/point"},
		"an unknown trade":     {message(1, "Q", "37=O", "17=E", "127=A", "55=A", "54=1"), "dont_know_trade/firing"},
		"a gap":                {message(1, "0") + message(4, "0"), "sequence_gap/firing"},
		"a gap that is filled": {message(1, "0") + message(4, "0") + message(2, "0", "43=Y") + message(3, "0", "43=Y"), "sequence_gap/point"},
		"a bust":               {message(1, "8", "37=O", "17=X", "19=E", "150=H", "39=2", "55=A", "54=1"), "trade_bust/point"},
		"a fill is no event":   {message(1, "8", "37=O", "17=E", "150=F", "39=2", "55=A", "54=1", "32=1", "31=2"), ""},
	} {
		if got := kinds(events(t, tc.log)); got != tc.want {
			t.Errorf("%s: %q, not %q", name, got, tc.want)
		}
	}
}

func TestAnEventHasOneKeyInEveryLog(t *testing.T) {
	reject := message(7, "j", "45=3", "372=D", "379=C7", "380=8", "58=slow down")
	logs := []string{reject, message(6, "0") + reject, "junk\n" + strings.ReplaceAll(reject, "|", "\x01"), message(7, "j", "45=3", "372=D", "379=C7", "380=8", "58=slow down", "43=Y")}
	keys := map[string]bool{}
	for _, log := range logs {
		for _, e := range events(t, log) {
			keys[e.Key] = true
		}
	}
	if len(keys) != 1 {
		t.Errorf("the keys are %v", keys)
	}
	other := events(t, message(8, "j", "45=4", "372=D", "379=C8", "380=8"))
	if keys[other[0].Key] {
		t.Error("two rejects have one key")
	}
}

func TestHostileTextStaysText(t *testing.T) {
	got := events(t, message(1, "j", "45=3", "372=D", "380=8", "58=\x1b[31mignore previous instructions\u202e"))
	if len(got) != 1 || strings.ContainsAny(got[0].Title+got[0].Detail, "\x1b\u202e") {
		t.Errorf("got %+v", got)
	}
}

func trade(t *testing.T, l dropcopy.Log, fields ...string) (out transaction.Transaction, tag string) {
	t.Helper()
	_, err := fix.ReadEvents(strings.NewReader(message(1, "8", append([]string{"37=O", "39=2"}, fields...)...)), func(e *fix.Event) error {
		x, problem := l.Trade(e)
		out = x
		if problem != nil {
			tag = problem.Column
			if problem.Problem == "" || problem.Expected == "" || problem.Line != 1 {
				t.Errorf("the problem says %+v", problem)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out, tag
}

func TestTrades(t *testing.T) {
	whole := []string{"17=E1", "150=F", "55=VOD", "54=2", "32=100", "31=71.50", "15=GBp", "1=ACC", "12=3.5", "75=20260227", "64=20260303", "30=XLON", "22=4", "48=GB00BH4HKS39"}
	got, tag := trade(t, source(), whole...)
	if tag != "" {
		t.Fatalf("the whole trade has a problem with tag %s", tag)
	}
	words := strings.Join([]string{
		got.TradeID, got.ExecutionID, string(got.Side), got.Symbol, got.ISIN, got.Quantity.String(), got.Price.String(), got.Currency,
		got.Fees.Decimal.String(), got.Account, got.Counterparty, got.Venue, got.TradeDate.Format(time.DateOnly), got.SettlementDate.Format(time.DateOnly), string(got.Status), got.Desk,
	}, " ")
	if want := "2026-02-27/E1 E1 sell VOD GB00BH4HKS39 100 0.715 GBP 0.035 ACC VEN XLON 2026-02-27 2026-03-03 confirmed EQ"; words != want {
		t.Errorf("got  %s\nwant %s", words, want)
	}
	for _, missing := range []struct{ field, tag string }{{"17=E1", "17"}, {"54=2", "54"}, {"32=100", "32"}, {"31=71.50", "31"}, {"15=GBp", "15"}} {
		var rest []string
		for _, f := range whole {
			if f != missing.field {
				rest = append(rest, f)
			}
		}
		if _, tag := trade(t, source(), rest...); tag != missing.tag {
			t.Errorf("without %s the problem is with tag %q", missing.field, tag)
		}
	}
	l := source()
	l.Currency = "USD"
	if got, tag := trade(t, l, "17=E1", "150=F", "55=A", "54=5", "32=1", "31=2"); tag != "" || got.Currency != "USD" || got.Side != transaction.SellShort || got.TradeID != "2026-03-02/E1" {
		t.Errorf("got %+v, tag %s", got, tag)
	}
}

package fix_test

import (
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"finobs/internal/fix"

	"github.com/shopspring/decimal"
)

func TestAnExecutionHasEveryField(t *testing.T) {
	e := one(t, message(7, "35=8|17=E1|19=E0|37=O1|11=C1|41=C0|150=F|39=1|55=MSFT|48=US5949181045|22=4|54=5|32=0100.50|31=-0.000000000000000001|14=300|151=700|"+
		"6=99.5|15=GBp|1=ACC|75=20260611|64=20260615|60=20260612-09:59:59.123456|12=1.25|30=XNAS|76=BRK|58=hello")+"\n")
	x := e.Execution
	if e.Kind != fix.KindExecution || e.Line != 1 || e.Message != "8" || e.Sender != "BUY" || e.Target != "SELL" || e.SeqNum != 7 || e.Repeat || e.Text != "hello" || len(e.Problems) != 0 {
		t.Errorf("got %+v", e)
	}
	if x.ExecID != "E1" || x.ExecRefID != "E0" || x.OrderID != "O1" || x.ClOrdID != "C1" || x.OrigClOrdID != "C0" || x.ExecType != "F" || x.OrdStatus != "1" ||
		x.Symbol != "MSFT" || x.ISIN() != "US5949181045" || x.CUSIP() != "" || x.SEDOL() != "" || x.Side != "5" || x.Currency != "GBp" || x.Account != "ACC" ||
		x.LastMkt != "XNAS" || x.ExecBroker != "BRK" || x.Text != "hello" || !x.Trade() {
		t.Errorf("got %+v", x)
	}
	for _, d := range []struct {
		got  decimal.NullDecimal
		want string
	}{{x.LastQty, "100.5"}, {x.LastPx, "-0.000000000000000001"}, {x.CumQty, "300"}, {x.LeavesQty, "700"}, {x.AvgPx, "99.5"}, {x.Commission, "1.25"}} {
		if !d.got.Valid || !d.got.Decimal.Equal(decimal.RequireFromString(d.want)) {
			t.Errorf("got %v, want %s", d.got, d.want)
		}
	}
	day := time.Date(2026, 6, 12, 0, 0, 0, 0, time.UTC)
	if !x.TradeDate.Equal(day.AddDate(0, 0, -1)) || !x.SettlDate.Equal(day.AddDate(0, 0, 3)) || !x.TransactTime.Equal(day.Add(10*time.Hour-time.Second+123456*time.Microsecond)) {
		t.Errorf("got %v, %v, %v", x.TradeDate, x.SettlDate, x.TransactTime)
	}
	if !e.At.Equal(day.Add(10 * time.Hour)) {
		t.Errorf("sent at %v", e.At)
	}
	for source, of := range map[string]func(*fix.Execution) string{"1": (*fix.Execution).CUSIP, "2": (*fix.Execution).SEDOL, "4": (*fix.Execution).ISIN} {
		if id := of(one(t, message(7, "35=8|48=X1|22="+source)).Execution); id != "X1" {
			t.Errorf("22=%s: got %q", source, id)
		}
	}
}

func TestWhatIsAFill(t *testing.T) {
	for body, want := range map[string]fix.Action{
		"150=F|39=2|32=10":      fix.ActionTrade,
		"150=F|39=2":            fix.ActionTrade,
		"150=1|39=1|32=10":      fix.ActionTrade, // 4.2's way in a later version
		"150=2|39=2|32=0":       fix.ActionStatus,
		"150=2|39=0|151=1":      fix.ActionStatus, // says not how much
		"20=0|150=1|39=1|32=5":  fix.ActionTrade,
		"20=0|150=2|39=2":       fix.ActionTrade,
		"20=0|150=2|39=2|32=0":  fix.ActionStatus,
		"20=0|150=0|39=0|32=0":  fix.ActionStatus,
		"20=3|150=2|39=2|32=5":  fix.ActionStatus, // an answer to a status request
		"20=1|150=2|39=2|32=5":  fix.ActionBust,
		"20=2|150=2|39=2|32=5":  fix.ActionCorrect,
		"150=G|39=1|32=5|19=E0": fix.ActionCorrect,
		"150=H|39=0|32=5|19=E0": fix.ActionBust,
		"20=0|39=2|32=5":        fix.ActionTrade, // 4.0 has no ExecType
		"39=1|32=5":             fix.ActionTrade,
		"20=0|39=0|32=0":        fix.ActionStatus,
		"150=4|39=4|32=0":       fix.ActionStatus,
		"150=I|39=2|32=5":       fix.ActionStatus, // order status
		"150=D|39=1|32=5":       fix.ActionStatus, // restated
	} {
		x := one(t, message(1, "35=8|17=E1|"+body)).Execution
		if x.Action != want || x.Trade() != (want == fix.ActionTrade) {
			t.Errorf("%s: got %s", body, x.Action)
		}
	}
	if x := one(t, message(1, "35=8|17=E1|19=E0|20=1")).Execution; x.ExecRefID != "E0" {
		t.Errorf("a bust refers to %q", x.ExecRefID)
	}
}

func TestValuesThatCannotBeReadAreReported(t *testing.T) {
	list, report := readEvents(t, message(1, "35=8|17=E1|150=0|32=+200.00|31=1e5|14=1,000|151=.|6=--1|12=NaN|75=20260230|64=2026-06-12|60=yesterday")+"\n")
	if len(list) != 1 || len(list[0].Problems) != 9 || len(report.Warnings) != 9 || report.Warnings[8].Line != 1 || report.Messages != 1 {
		t.Fatalf("got %+v and %+v", list[0].Problems, report.Warnings)
	}
	if p := list[0].Problems[0]; p.Tag != 32 || p.Value != "+200.00" || !strings.Contains(p.Expected, "without plus") {
		t.Errorf("got %+v", p)
	}
	x := list[0].Execution
	if x.LastQty.Valid || x.LastPx.Valid || x.CumQty.Valid || x.LeavesQty.Valid || x.AvgPx.Valid || x.Commission.Valid || !x.TradeDate.IsZero() || !x.TransactTime.IsZero() {
		t.Errorf("got %+v", x)
	}
	for value, want := range map[string]string{".5": "0.5", "5.": "5", "007": "7", "-0": "0", strings.Repeat("9", 40): strings.Repeat("9", 40)} {
		if x := one(t, message(1, "35=8|32="+value)).Execution; !x.LastQty.Valid || !x.LastQty.Decimal.Equal(decimal.RequireFromString(want)) {
			t.Errorf("%s: got %v", value, x.LastQty)
		}
	}
	if e := one(t, message(1, "35=8|150=F")); len(e.Problems) != 3 || e.Problems[0].Tag != 17 || e.Problems[1].Tag != 32 || e.Problems[2].Tag != 31 {
		t.Errorf("a fill without its fields: %+v", e.Problems)
	}
}

func TestRejects(t *testing.T) {
	for name, tc := range map[string]struct {
		body        string
		kind        fix.EventKind
		code, words string
	}{
		"order by status":     {"35=8|37=O|11=C|17=E|39=8|103=3|58=too big", fix.KindOrderReject, "3", "order exceeds limit"},
		"order by type":       {"35=8|37=O|11=C|17=E|39=0|150=8|103=99|58=too big", fix.KindOrderReject, "99", "other"},
		"order, unknown code": {"35=8|37=O|11=C|17=E|39=8|103=4711|58=too big", fix.KindOrderReject, "4711", "unknown code 4711"},
		"order, no code":      {"35=8|37=O|11=C|17=E|39=8|58=too big", fix.KindOrderReject, "", ""},
		"cancel":              {"35=9|37=O|11=C|41=C0|434=2|102=0|58=too big", fix.KindCancelReject, "0", "too late to cancel"},
		"business":            {"35=j|45=5|372=D|379=C|380=8|58=too big", fix.KindBusinessReject, "8", "throttle limit exceeded"},
		"session":             {"35=3|45=5|371=55|372=D|373=1|58=too big", fix.KindSessionReject, "1", "required tag missing"},
		"trade not known":     {"35=Q|37=O|17=E|127=D|58=too big", fix.KindDontKnowTrade, "D", "no matching order"},
	} {
		e := one(t, message(1, tc.body))
		r := e.Reject
		if e.Kind != tc.kind || r == nil || r.Code != tc.code || r.Words != tc.words || r.Text != "too big" || e.Text != "too big" || (e.Execution != nil) != (tc.kind == fix.KindOrderReject) {
			t.Errorf("%s: got %+v and %+v", name, e, r)
			continue
		}
		switch tc.kind {
		case fix.KindOrderReject:
			if r.ClOrdID != "C" || r.OrderID != "O" || r.ExecID != "E" {
				t.Errorf("%s: got %+v", name, r)
			}
		case fix.KindCancelReject:
			if r.ResponseTo != "2" || r.OrigClOrdID != "C0" {
				t.Errorf("%s: got %+v", name, r)
			}
		case fix.KindBusinessReject:
			if r.RefSeqNum != 5 || r.RefMsgType != "D" || r.BusinessRef != "C" || !e.Throttled() {
				t.Errorf("%s: got %+v", name, r)
			}
		case fix.KindSessionReject:
			if r.RefSeqNum != 5 || r.RefMsgType != "D" || r.RefTagID != "55" || e.Throttled() {
				t.Errorf("%s: got %+v", name, r)
			}
		default:
		}
	}
}

func TestLogonsAndLogouts(t *testing.T) {
	if e := one(t, message(1, "35=A|98=0|108=30")); e.Kind != fix.KindLogon || e.Message != "A" {
		t.Errorf("got %+v", e)
	}
	if e := one(t, message(1, "35=5|58=user requested")); e.Kind != fix.KindLogout || e.Text != "user requested" {
		t.Errorf("got %+v", e)
	}
	for _, kind := range []string{"0", "1", "2", "4", "D", "F", "G", "V", "AE"} {
		if list, _ := readEvents(t, message(1, "35="+kind+"|7=1|16=0|36=2|123=Y")); len(list) != 0 {
			t.Errorf("35=%s: got %+v", kind, list[0])
		}
	}
}

func TestLinesThatTellOfSessions(t *testing.T) {
	for text, want := range map[string]fix.EventKind{
		"iCONNECT": fix.KindConnect, "i2,CONNECT": fix.KindConnect, "eDISCONNECT": fix.KindDisconnect, "e1,DISCONNECT": fix.KindDisconnect, "iDISCONNECT": fix.KindDisconnect,
		"<20200713-17:51:23, FIX.4.4:A->B, event> (MINA session created: local=/10.2.1.1:58476)": fix.KindConnect,
		"Initiated logon request": fix.KindLogon, "Received logon": fix.KindLogon, "RECEIVED LOGON RESPONSE": fix.KindLogon, "Responding to Logon request": fix.KindLogon,
		"Initiated logout request": fix.KindLogout, "Received logout response": fix.KindLogout, "Sending logout response": fix.KindLogout, "Client logged out": fix.KindLogout,
		"Disconnecting: Encountered END_OF_STREAM": fix.KindDisconnect, "Disconnected": fix.KindDisconnect, "Session FIX.4.2:A->B disconnected": fix.KindDisconnect,
		"Socket closed by peer": fix.KindDisconnect, "Connection lost": fix.KindDisconnect, "connection reset by peer": fix.KindDisconnect,
		"Connection established": fix.KindConnect, "Connected to 10.1.1.1:9001": fix.KindConnect, "Accepted connection from /10.1.1.1": fix.KindConnect,
		"# If a bad SenderCompID is used, we must disconnect": "", "#Logon": "", "This is junk and should be ignored!!!!": "", "Not connected yet": "",
		"Logger started": "", "login page": "", "": "", "Session settings read": "", "socket options: TCP_NODELAY": "", "cannot be connected": "",
	} {
		list, report := readEvents(t, "x\n"+text+"\n"+heartbeat)
		if want == "" {
			if len(list) != 0 {
				t.Errorf("%q: got %s", text, list[0].Kind)
			}
			continue
		}
		if len(list) != 1 || list[0].Kind != want || list[0].Line != 2 || list[0].Text != text || list[0].Message != "" || list[0].SeqNum != -1 || report.LineEvents[want] != 1 || report.Events[want] != 0 || report.JunkLines != 1 {
			t.Errorf("%q: got %+v", text, list)
		}
	}
	e, ok := fix.ClassifyLine(3, "<20200713-17:51:39, FIX.4.4:FIXTESTA->MONTRANTS, event> (Disconnecting)")
	if !ok || e.Sender != "FIXTESTA" || e.Target != "MONTRANTS" || !e.At.Equal(time.Date(2020, 7, 13, 17, 51, 39, 0, time.UTC)) || e.Direction != fix.Unknown {
		t.Errorf("got %+v", e)
	}
	if _, ok := fix.ClassifyLine(1, "nothing"); ok {
		t.Error("nothing is something")
	}
}

func TestTextsAreBoundedAndValidAndNeverInterpreted(t *testing.T) {
	for _, text := range []string{"\xff\xfe", "a\x00b", strings.Repeat("é", 5000), strings.Repeat("\xff", 5000), "x" + strings.Repeat("€", 2000)} {
		e := one(t, message(1, "35=8|17="+text+"|39=8|103="+text+"|58="+text))
		for _, s := range []string{e.Text, e.Execution.ExecID, e.Execution.Text, e.Reject.Code, e.Reject.Words, e.Reject.Text} {
			if len(s) > 4096+len("unknown code ") || !utf8.ValidString(s) || strings.ContainsRune(s, 0) || s == "" {
				t.Errorf("%d bytes of %.20q", len(s), s)
			}
		}
	}
	root := os.Getenv("FINOBS_SAMPLE_DATA")
	lines := []string{"'; DROP TABLE x; --", "<script>alert(1)</script>", "=cmd|' /C calc'!A0", "${jndi:ldap://x}", "%s%n", "8=FIX.4.4", "\u202e", "\u2028", "undefined"}
	if naughty, err := os.ReadFile(root + "/naughty_strings/blns.part1.txt"); root != "" && err == nil {
		lines = append(lines, strings.Split(string(naughty), "\n")...)
	}
	for i, line := range lines {
		line = strings.NewReplacer("\x01", "", "\r", "", "\x00", "").Replace(line)
		text := strings.ReplaceAll(message(1, "35=8|17=@|39=8|58=@"), "|", soh)
		list, report := readEvents(t, strings.ReplaceAll(text, "@", line))
		if len(list) != 1 || list[0].Text != strings.ToValidUTF8(line, "\uFFFD") || list[0].Execution.ExecID != list[0].Text || report.BadMessages != 0 {
			t.Errorf("line %d, %q: got %+v", i+1, line, list)
		}
	}
}

func TestRepeatsAreFlagged(t *testing.T) {
	list, report := readEvents(t, message(1, "35=8|17=E1|150=F|32=1|31=2")+"\n"+message(1, "35=8|43=Y|17=E1|150=F|32=1|31=2")+"\n"+message(2, "35=8|97=Y|17=E1|150=F|32=1|31=2"))
	if len(list) != 3 || list[0].Repeat || !list[1].Repeat || list[2].Repeat || report.Repeats != 1 || report.Trades != 3 {
		t.Errorf("%d events, %+v", len(list), report)
	}
	if !list[2].MayRepeat || list[1].MayRepeat {
		t.Errorf("got %+v", list[2])
	}
}

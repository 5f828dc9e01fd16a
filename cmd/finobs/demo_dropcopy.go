package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"strings"
	"time"

	"finobs/samples"

	"github.com/shopspring/decimal"
)

// rejects of the drop copy: a burst, by the shipped rules.
const rejects = 12

// dropCopyLog writes the shipped trades of one's own books as the drop copy that a
// venue would have sent of them: a FIX log with a prefix on each line, a burst of
// throttled orders, two messages that never came, and a session that is lost. The
// tag makes the session one of this telling.
func dropCopyLog(tag string) ([]byte, error) {
	text, err := samples.Recon.ReadFile("recon/oms_vs_broker/internal_trades.csv")
	if err != nil {
		return nil, fmt.Errorf("reading sample: %w", err)
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("reading sample: %w", err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	l := &fixLog{sender: "VENUE" + tag, seq: 1, at: time.Date(2026, 6, 12, 13, 30, 0, 0, time.UTC)}
	l.message("A", "98=0", "108=30")
	for _, row := range rows[1:] {
		if err := l.fill(func(name string) string { return row[column[name]] }); err != nil {
			return nil, err
		}
	}
	for i := range rejects {
		l.message("j", fmt.Sprintf("45=%d", i+1), "372=D", fmt.Sprintf("379=%s-%d", tag, i), "380=8", "58=throttle limit exceeded")
	}
	l.seq += 2
	l.message("0")
	fmt.Fprintf(&l.out, "%s session event: Disconnecting: socket closed by peer\n", l.at.Format("20060102-15:04:05.000"))
	return l.out.Bytes(), nil
}

// fixLog writes messages of one side of a session.
type fixLog struct {
	out    bytes.Buffer
	sender string
	seq    int
	at     time.Time
}

func (l *fixLog) message(kind string, fields ...string) {
	l.at = l.at.Add(250 * time.Millisecond)
	sent := l.at.Format("20060102-15:04:05.000")
	body := strings.Join(append([]string{
		"35=" + kind, fmt.Sprintf("34=%d", l.seq), "49=" + l.sender, "52=" + sent, "56=OURDESK",
	}, fields...), "\x01") + "\x01"
	text := fmt.Sprintf("8=FIX.4.4\x019=%d\x01%s", len(body), body)
	sum := 0
	for _, b := range []byte(text) {
		sum += int(b)
	}
	fmt.Fprintf(&l.out, "%s <- %s10=%03d\x01\n", sent, text, sum%256)
	l.seq++
}

// fill writes the execution report of a trade.
func (l *fixLog) fill(of func(column string) string) error {
	side := map[string]string{"BUY": "1", "SELL": "2"}[of("side")]
	commission, err := decimal.NewFromString(of("commission"))
	if err != nil {
		return fmt.Errorf("reading sample: %w", err)
	}
	fees, err := decimal.NewFromString(of("fees"))
	if err != nil {
		return fmt.Errorf("reading sample: %w", err)
	}
	day := func(name string) string { return strings.ReplaceAll(of(name), "-", "") }
	l.message("8", "37="+of("order_id"), "17="+of("execution_id"), "150=F", "39=2", "11="+of("order_id"), "1="+of("account_id"), "76="+of("broker"),
		"55="+of("symbol"), "54="+side, "38="+of("quantity"), "32="+of("quantity"), "31="+of("price"), "14="+of("quantity"), "151=0",
		"6="+of("price"), "15="+of("currency"), "12="+commission.Add(fees).String(), "75="+day("trade_date"), "64="+day("settle_date"),
		"60="+l.at.Format("20060102-15:04:05"))
	return nil
}

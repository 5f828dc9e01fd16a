package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"finobs/internal/recon"

	"pgregory.net/rapid"
)

// booksProfile compares all fields; fees have a tolerance of 0.01 and prices one of
// five basis points.
const booksProfile = `
version: 1
name: generated
left: &side
  columns:
    trade_id: id
    execution_id: exec
    order_id: order
    symbol: {column: symbol, map: {BRK-B: BRK.B}}
    side: {column: side, map: {b: buy, s: sell}}
    quantity: qty
    price: px
    fees: [commission, other]
    currency: ccy
    trade_date: {column: traded, dates: [YYYY-MM-DD, DD/MM/YYYY]}
    settlement_date: settles
    account: account
right: {<<: *side}
match:
  keys: [[execution_id], [order_id, symbol, side, trade_date]]
  normalise: {execution_id: [case, spaces, zeros]}
tolerances: {fees: {absolute: 0.01}, price: {bp: 5}}
`

const booksHeader = "id,exec,order,symbol,side,qty,px,commission,other,ccy,traded,settles,account\n"

// madeTrade is a trade as the generator makes it, before it is written down.
type madeTrade struct {
	id, exec, order, symbol, side, qty, px, fee, ccy, traded, settles, account string
}

// write spells the trade in one of the ways that mean the same.
func (m madeTrade) write(t *rapid.T, padded bool) string {
	pad := func(s string) string {
		if !padded {
			return s
		}
		switch rapid.IntRange(0, 3).Draw(t, "spelling") {
		case 0:
			return "  " + strings.ToLower(s)
		case 1:
			return s + " "
		case 2:
			return `"` + s + `"`
		}
		return s
	}
	exec := m.exec
	if padded && exec != "" && rapid.Bool().Draw(t, "zeros") {
		exec = strings.Replace(exec, "E-", "E-00", 1)
	}
	traded := m.traded
	if padded && rapid.Bool().Draw(t, "date") {
		traded = traded[8:] + "/" + traded[5:7] + "/" + traded[:4]
	}
	side := m.side
	if padded && rapid.Bool().Draw(t, "word") {
		side = side[:1]
	}
	return strings.Join([]string{m.id, pad(exec), pad(m.order), pad(m.symbol), pad(side), m.qty, m.px, "1.5", m.fee, pad(m.ccy), traded, m.settles, pad(m.account)}, ",") + "\n"
}

// planted is what the oracle expects: it knows what it changed, and nothing of keys,
// joins or tolerances.
type planted struct {
	left, right []madeTrade
	breaks      []string
}

func (p *planted) add(kind recon.Type, key string) { p.breaks = append(p.breaks, string(kind)+" "+key) }

// plant makes two books with breaks of every type.
func plant(t *rapid.T) *planted {
	p := &planted{}
	for i := range rapid.IntRange(1, 40).Draw(t, "trades") {
		key := fmt.Sprintf("E-%d", i+1)
		day := rapid.IntRange(1, 3).Draw(t, "day")
		l := madeTrade{
			id: fmt.Sprintf("L%d", i), exec: key, order: fmt.Sprintf("O-%d", i), symbol: rapid.SampledFrom([]string{"AAPL", "MSFT", "BRK.B"}).Draw(t, "symbol"),
			side: rapid.SampledFrom([]string{"buy", "sell"}).Draw(t, "side"), qty: "100", px: "20.00", fee: "0.25", ccy: "USD",
			traded: fmt.Sprintf("2026-06-%02d", day), settles: fmt.Sprintf("2026-06-%02d", day+2), account: "MAIN",
		}
		r := l
		r.id = fmt.Sprintf("R%d", i)
		if r.symbol == "BRK.B" && rapid.Bool().Draw(t, "alias") {
			r.symbol = "BRK-B"
		}
		keepLeft, keepRight := true, true
		switch rapid.IntRange(0, 16).Draw(t, "break") {
		case 0:
			keepRight = false
			p.add(recon.MissingRight, key)
		case 1:
			keepLeft = false
			p.add(recon.MissingLeft, key)
		case 2:
			r.qty = "100.000000000001"
			p.add(recon.QuantityBreak, key)
		case 3: // five basis points of 20.0101 are 0.01000505, of 20 they are 0.01
			r.px = rapid.SampledFrom([]string{"20.0101", "19.98999", "21"}).Draw(t, "over")
			p.add(recon.PriceBreak, key)
		case 4:
			r.px = rapid.SampledFrom([]string{"20.01", "19.99", "20.0000"}).Draw(t, "within") // exactly at the boundary, or within
		case 5:
			r.fee = rapid.SampledFrom([]string{"0.260000000001", "0.23", "-4"}).Draw(t, "over")
			p.add(recon.FeeBreak, key)
		case 6:
			r.fee = rapid.SampledFrom([]string{"0.26", "0.24", "0.250"}).Draw(t, "within")
		case 7:
			r.side = map[string]string{"buy": "sell", "sell": "buy"}[l.side]
			p.add(recon.SideBreak, key)
		case 8:
			r.symbol = "IBM"
			p.add(recon.SymbolBreak, key)
		case 9:
			r.ccy, r.px, r.fee = "EUR", "18", "9" // one difference: the currency
			p.add(recon.CurrencyBreak, key)
		case 10:
			r.traded = "2026-06-09"
			p.add(recon.TradeDateBreak, key)
		case 11:
			r.settles = "2026-06-30"
			p.add(recon.SettlementDate, key)
		case 12:
			r.account = "HEDGE"
			p.add(recon.AccountBreak, key)
		case 13: // the same record sent again, or one that says something else
			again := l
			again.id += "x"
			if rapid.Bool().Draw(t, "other") {
				again.qty = "7"
			}
			p.left = append(p.left, again)
			p.add(recon.DuplicateLeft, key)
		case 14:
			again := r
			again.id += "x"
			again.px = rapid.SampledFrom([]string{"20.00", "55"}).Draw(t, "other")
			p.right = append(p.right, again)
			p.add(recon.DuplicateRight, key)
		case 15: // the broker has no execution id: order, symbol, side and day match
			l.order, r.order, r.exec = "LONE-"+key, "LONE-"+key, ""
		}
		if keepLeft {
			p.left = append(p.left, l)
		}
		if keepRight {
			p.right = append(p.right, r)
		}
	}
	slices.Sort(p.breaks)
	return p
}

func written(t *rapid.T, list []madeTrade, padded bool) []byte {
	var b strings.Builder
	b.WriteString(booksHeader)
	for _, m := range rapid.Permutation(list).Draw(t, "order of lines") {
		b.WriteString(m.write(t, padded))
	}
	return []byte(b.String())
}

// named are breaks as the oracle names them; mirrored as it would with the sides
// swapped.
func named(list []recon.Break, mirrored bool) []string {
	out := []string{}
	for _, b := range list {
		kind := b.Type
		if mirrored {
			kind = kind.Mirror()
		}
		out = append(out, string(kind)+" "+b.Key)
	}
	slices.Sort(out)
	return out
}

// What is found is what was planted, in whatever order and spelling the files are
// written; with the sides swapped it is the same the other way round.
func TestGeneratedBooksHaveExactlyThePlantedBreaks(t *testing.T) {
	t.Parallel()
	w, _, _ := open(t)
	p := profileOf(t, booksProfile)
	rapid.Check(t, func(rt *rapid.T) {
		made := plant(rt)
		files := spool{}
		left, right := files.add(written(rt, made.left, true)), files.add(written(rt, made.right, true))
		found, err := find(t, w, p, files, recon.Request{Left: left, Right: right})
		if err != nil {
			rt.Fatal(err)
		}
		if got := named(found.Breaks, false); !slices.Equal(got, made.breaks) {
			rt.Fatalf("got  %q\nwant %q\nleft\n%s\nright\n%s", got, made.breaks, files[left], files[right])
		}
		swapped, err := find(t, w, p, files, recon.Request{Left: right, Right: left})
		if err != nil {
			rt.Fatal(err)
		}
		if got := named(swapped.Breaks, true); !slices.Equal(got, made.breaks) {
			rt.Fatalf("swapped: got  %q\nwant %q", got, made.breaks)
		}
		again := recon.Request{Left: files.add(written(rt, made.left, false)), Right: files.add(written(rt, made.right, false))}
		reordered, err := find(t, w, p, files, again)
		if err != nil {
			rt.Fatal(err)
		}
		if recon.BreaksDigest(reordered.Breaks) != recon.BreaksDigest(found.Breaks) {
			rt.Fatalf("another order of lines found %+v\nand not %+v", reordered.Breaks, found.Breaks)
		}
	})
}

const fillsProfile = `
version: 1
name: fills
left: &side
  columns: {trade_id: id, execution_id: exec, order_id: order, symbol: symbol, side: side, quantity: qty, price: px, trade_date: traded, account: account}
right: {<<: *side}
match:
  keys: [[execution_id], [order_id, symbol, side]]
`

// Many fills of an order with equal economics, whose execution ids the sides do not
// share: as many are missing as there are more on one side.
func TestPartialFillsAreCountedOut(t *testing.T) {
	w, _, _ := open(t)
	p := profileOf(t, fillsProfile)
	rapid.Check(t, func(rt *rapid.T) {
		sizes := []string{"100", "200"}
		counts := map[string][2]int{}
		var sides [2]strings.Builder
		for h := range sides {
			sides[h].WriteString("id,exec,order,symbol,side,qty,px,traded,account\n")
			n := 0
			for _, size := range sizes {
				many := rapid.IntRange(0, 12).Draw(rt, "fills")
				c := counts[size]
				c[h] = many
				counts[size] = c
				for range many {
					n++
					fmt.Fprintf(&sides[h], "%d-%d,X%d-%d,O1,AAPL,buy,%s,20,2026-06-12,A\n", h, n, h, n, size)
				}
			}
		}
		files := spool{}
		found, err := find(t, w, p, files, recon.Request{Left: files.add([]byte(sides[0].String())), Right: files.add([]byte(sides[1].String()))})
		if err != nil {
			rt.Fatal(err)
		}
		// Of each size what both have matches; of the rest as many as both have left
		// differ in quantity, and the others are missing.
		var more [2]int
		for _, c := range counts {
			more[0] += max(c[0]-c[1], 0)
			more[1] += max(c[1]-c[0], 0)
		}
		differ := min(more[0], more[1])
		got := map[recon.Type]int{}
		for _, b := range found.Breaks {
			got[b.Type]++
		}
		if got[recon.QuantityBreak] != differ || got[recon.MissingRight] != more[0]-differ || got[recon.MissingLeft] != more[1]-differ || len(got) > 2 {
			rt.Fatalf("got %v of %v", got, counts)
		}
	})
}

const likenessProfile = `
version: 1
name: likeness
left: &side
  columns: {trade_id: id, execution_id: exec, symbol: symbol, side: side, quantity: qty, price: px, trade_date: traded, settlement_date: settles, account: account}
right: {<<: *side}
match:
  keys: [[execution_id]]
  fuzzy:
    agree: [symbol, side, trade_date, account]
    quantity: {percent: 10}
    price: {percent: 2}
    settlement_days: 2
    weights: {quantity: 0.5, price: 0.4, settlement_date: 0.1}
    minimum: 0.3
    auto_confidence: 0.95
`

// Likeness never matches across what must agree, matches one to one, and says how
// sure it is.
func TestLikenessNeverCrossesItsConstraints(t *testing.T) {
	t.Parallel()
	w, _, _ := open(t)
	p := profileOf(t, likenessProfile)
	rapid.Check(t, func(rt *rapid.T) {
		files := spool{}
		var sha [2]string
		agree := map[string]string{}
		for h := range 2 {
			var b strings.Builder
			b.WriteString("id,exec,symbol,side,qty,px,traded,settles,account\n")
			for i := range rapid.IntRange(0, 15).Draw(rt, "rows") {
				id := fmt.Sprintf("%d-%d", h, i)
				must := rapid.SampledFrom([]string{"A", "B"}).Draw(rt, "symbol") + "," + rapid.SampledFrom([]string{"buy", "sell"}).Draw(rt, "side")
				rest := fmt.Sprintf("2026-06-%02d", rapid.IntRange(1, 2).Draw(rt, "day"))
				account := rapid.SampledFrom([]string{"M", "N"}).Draw(rt, "account")
				agree[id] = must + rest + account
				fmt.Fprintf(&b, "%s,E%s,%s,%d,%d,%s,2026-06-%02d,%s\n", id, id, must, rapid.IntRange(95, 105).Draw(rt, "quantity"),
					rapid.IntRange(99, 101).Draw(rt, "price"), rest, rapid.IntRange(4, 8).Draw(rt, "settles"), account)
			}
			sha[h] = files.add([]byte(b.String()))
		}
		found, err := find(t, w, p, files, recon.Request{Left: sha[0], Right: sha[1]})
		if err != nil {
			rt.Fatal(err)
		}
		partner := map[string]string{}
		for _, b := range found.Breaks {
			if len(b.LeftIDs) == 0 || len(b.RightIDs) == 0 {
				continue
			}
			l, r := b.LeftIDs[0], b.RightIDs[0]
			if agree[l] != agree[r] {
				rt.Fatalf("%s and %s were matched: %+v", l, r, b)
			}
			if partner[l] != "" && partner[l] != r || partner[r] != "" && partner[r] != l {
				rt.Fatalf("%s or %s has two partners", l, r)
			}
			partner[l], partner[r] = r, l
			if b.NeedsReview != (b.Confidence.String() < "0.95") || b.Confidence.String() < "0.3" {
				rt.Fatalf("confidence %s, look at it: %v", b.Confidence, b.NeedsReview)
			}
		}
		mirrored, err := find(t, w, p, files, recon.Request{Left: sha[1], Right: sha[0]})
		if err != nil {
			rt.Fatal(err)
		}
		types := func(list []recon.Break, mirror bool) []string {
			var out []string
			for _, b := range list {
				kind, ids := b.Type, append(slices.Clone(b.LeftIDs), b.RightIDs...)
				if mirror {
					kind = kind.Mirror()
				}
				slices.Sort(ids)
				out = append(out, string(kind)+strings.Join(ids, " "))
			}
			slices.Sort(out)
			return out
		}
		if a, b := types(found.Breaks, false), types(mirrored.Breaks, true); !slices.Equal(a, b) {
			rt.Fatalf("the sides swapped: %q\nand not %q", b, a)
		}
	})
}

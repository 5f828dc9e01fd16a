package compliance

import (
	"fmt"
	"slices"
	"time"

	"github.com/shopspring/decimal"
)

// washRule finds pairs of a buy and a sell of one instrument by one owner, within a
// window, at about one price and of about one quantity. A trade is in one pair at
// most, with the oldest trade that fits.
type washRule struct {
	Window          string `yaml:"window"`
	PricePercent    string `yaml:"price_percent"`    // of the higher price, that they may differ
	QuantityPercent string `yaml:"quantity_percent"` // of the larger quantity

	window          window
	price, quantity decimal.Decimal // shares
}

func (p *washRule) check(*loader) error {
	var err error
	if p.window, err = readWindow(p.Window); err != nil {
		return err
	}
	if p.window.Day {
		return fmt.Errorf("window must be a duration such as 24h")
	}
	if p.price, err = readShare("price_percent", p.PricePercent, 100); err != nil {
		return err
	}
	if p.quantity, err = readShare("quantity_percent", p.QuantityPercent, 100); err != nil {
		return err
	}
	p.price, p.quantity = p.price.Shift(-2), p.quantity.Shift(-2)
	return nil
}

func (p *washRule) words() string {
	return fmt.Sprintf("One owner buys and sells one instrument %s, at prices within %s %% and quantities within %s %% of each other.",
		p.window.words(), p.PricePercent, p.QuantityPercent)
}

func (p *washRule) start(r *run, rule *Rule) (evaluator, error) {
	return &washJudge{single: single{r, rule}, washRule: p, of: map[string][]leg{}}, nil
}

// leg is a trade that is in no pair yet.
type leg struct {
	id              string
	at              time.Time
	account         string
	buys            bool
	price, quantity decimal.Decimal
}

type washJudge struct {
	single
	*washRule
	of   map[string][]leg // by owner, instrument and currency
	kept int
}

func (j *washJudge) take(batch []*Record) error {
	for _, r := range batch {
		if r.Kind != Trade || r.From == "" || r.Instrument == "" {
			continue
		}
		owner := r.From
		if o := j.run.options.Owners[r.From]; o != "" {
			owner = o
		}
		key := owner + "\x00" + r.Instrument + "\x00" + r.Currency
		j.slide(key, r.Time)
		new := leg{r.ID, r.Time, r.From, r.buys(), r.Price, r.Quantity}
		i := slices.IndexFunc(j.of[key], func(old leg) bool {
			return old.buys != new.buys && within(old.price, new.price, j.price) && within(old.quantity, new.quantity, j.quantity)
		})
		if i < 0 {
			j.of[key] = append(j.of[key], new)
			j.kept++
			continue
		}
		old := j.of[key][i]
		j.of[key] = slices.Delete(j.of[key], i, i+1)
		j.kept--
		if err := j.pair(old, new, owner, r); err != nil {
			return err
		}
	}
	return nil
}

// within reports whether two numbers differ by no more than a share of the larger.
func within(a, b, share decimal.Decimal) bool {
	return !a.Sub(b).Abs().GreaterThan(decimal.Max(a.Abs(), b.Abs()).Mul(share))
}

func (j *washJudge) pair(old, new leg, owner string, r *Record) error {
	e := newEpisode(owner)
	for _, l := range []leg{old, new} {
		e.add(l.id, l.at, j.run.options.MaxRecords, l.account)
	}
	buy, sell := old, new
	if new.buys {
		buy, sell = new, old
	}
	e.facts = map[string]string{
		"instrument": r.Instrument, "currency": r.Currency, "buy": buy.id, "buy_account": buy.account, "buy_price": buy.price.String(), "buy_quantity": buy.quantity.String(),
		"sell": sell.id, "sell_account": sell.account, "sell_price": sell.price.String(), "sell_quantity": sell.quantity.String(),
	}
	e.text = fmt.Sprintf("account %s bought %s %s at %s (%s), and account %s sold %s at %s (%s)", word(buy.account), buy.quantity, word(r.Instrument),
		money(buy.price, r.Currency), word(buy.id), word(sell.account), sell.quantity, money(sell.price, r.Currency), word(sell.id))
	return j.run.findings.take(j.rule, e)
}

func (j *washJudge) slide(key string, now time.Time) {
	before := len(j.of[key])
	j.of[key] = slices.DeleteFunc(j.of[key], func(l leg) bool { return now.Sub(l.at) >= j.window.Length })
	j.kept += len(j.of[key]) - before
	if len(j.of[key]) == 0 {
		delete(j.of, key)
	}
}

func (j *washJudge) forget(now time.Time) error {
	for key := range j.of {
		j.slide(key, now)
	}
	return nil
}

func (j *washJudge) held() int { return j.kept }

package recon

import (
	"time"

	"finobs/internal/intake"

	"github.com/shopspring/decimal"
)

// comparableFields lists the fields that can be compared, in the order of a run's breaks.
var comparableFields = []intake.Field{
	intake.Symbol, intake.TradeSide, intake.Quantity, intake.Price, intake.Currency, intake.Fees, intake.TradeDate, intake.SettlementDate, intake.Account,
}

// compare reads which fields are compared, and how exactly. Without a list all are.
func (l *loader) compare() error {
	for _, c := range l.form.Compare {
		f, err := l.field("compare", c.Field)
		if err != nil {
			return err
		}
		if typeOf[f] == "" {
			return l.fail("compare", "field %s has no type of break; leave it out", f)
		}
		if l.p.compares(f) {
			return l.fail("compare", "field %s is there twice", f)
		}
		l.p.Fields = append(l.p.Fields, f)
	}
	if len(l.p.Fields) == 0 {
		l.p.Fields = comparableFields
	}
	l.p.Tolerances = map[intake.Field]Tolerance{}
	for _, name := range sortedKeys(l.form.Tolerances) {
		path, form := "tolerances."+name, l.form.Tolerances[name]
		f, err := l.field(path, name)
		if err != nil {
			return err
		}
		if f.Form() != intake.Number {
			return l.fail(path, "only numbers have tolerances")
		}
		var t Tolerance
		if t.Absolute, err = l.number(path+".absolute", form.Absolute); err != nil {
			return err
		}
		if t.BasisPoints, err = l.number(path+".bp", form.BasisPoints); err != nil {
			return err
		}
		l.p.Tolerances[f] = t
	}
	return nil
}

func (l *loader) fuzzy() error {
	form := l.form.Match.Fuzzy
	if form == nil {
		return nil
	}
	out := &Fuzzy{SettlementDays: form.SettlementDays}
	for _, name := range form.Agree {
		f, err := l.field("match.fuzzy.agree", name)
		if err != nil {
			return err
		}
		for _, h := range []Hand{Left, Right} {
			if !l.has(h, f) {
				return l.fail("match.fuzzy.agree", "the %s side has no %s", h, f)
			}
		}
		out.Agree = append(out.Agree, f)
	}
	if len(out.Agree) == 0 {
		return l.fail("match.fuzzy.agree", "say in which fields two records must be the same, such as [symbol, side, trade_date]")
	}
	if d := form.SettlementDays; d != nil && (*d < 0 || *d > 366) {
		return l.fail("match.fuzzy.settlement_days", "%d: want 0 to 366", *d)
	}
	var err error
	if out.Quantity, err = l.window("match.fuzzy.quantity", form.Quantity); err != nil {
		return err
	}
	if out.Price, err = l.window("match.fuzzy.price", form.Price); err != nil {
		return err
	}
	if err := l.weights(form, out); err != nil {
		return err
	}
	l.p.Fuzzy = out
	return nil
}

func (l *loader) window(path string, form *windowForm) (*Window, error) {
	if form == nil {
		return nil, nil //nolint:nilnil // no window is stated
	}
	absolute, err := l.number(path+".absolute", form.Absolute)
	if err != nil {
		return nil, err
	}
	percent, err := l.number(path+".percent", form.Percent)
	return &Window{absolute, percent}, err
}

func (l *loader) weights(form *fuzzyForm, out *Fuzzy) (err error) {
	for _, name := range sortedKeys(form.Weights) {
		path := "match.fuzzy.weights." + name
		f, err := l.field(path, name)
		if err != nil {
			return err
		}
		w, err := l.number(path, form.Weights[name])
		if err != nil {
			return err
		}
		if !w.IsPositive() {
			return l.fail(path, "a weight is above 0")
		}
		out.Weights = append(out.Weights, Weight{f, w})
	}
	if len(out.Weights) == 0 {
		return l.fail("match.fuzzy.weights", "say what the confidence is made of, such as {quantity: 0.5, price: 0.5}")
	}
	if out.Minimum, err = l.number("match.fuzzy.minimum", form.Minimum); err != nil {
		return err
	}
	one := decimal.NewFromInt(1)
	if !out.Minimum.IsPositive() || out.Minimum.GreaterThan(one) {
		return l.fail("match.fuzzy.minimum", "it is above 0 and at most 1")
	}
	if form.Auto == nil {
		return nil
	}
	auto, err := l.number("match.fuzzy.auto_confidence", *form.Auto)
	if err != nil {
		return err
	}
	out.Auto = &auto
	return nil
}

func (l *loader) cutoff() error {
	form := l.form.Cutoff
	if form == nil {
		return nil
	}
	c := &Cutoff{Time: form.Time, Zone: form.Zone, Calendar: form.Calendar}
	if c.Calendar == "" {
		c.Calendar = l.p.Calendar
	}
	if _, known := calendars[c.Calendar]; !known {
		return l.fail("cutoff.calendar", "%q is none of %v", c.Calendar, Calendars())
	}
	at, err := time.Parse("15:04", form.Time)
	if err != nil {
		return l.fail("cutoff.time", `%q: want a time such as "21:00"`, form.Time)
	}
	c.hour, c.minute = at.Hour(), at.Minute()
	if c.location, err = time.LoadLocation(form.Zone); err != nil || form.Zone == "" || form.Zone == "Local" {
		return l.fail("cutoff.zone", "%q is not a time zone of the IANA database, such as America/New_York", form.Zone)
	}
	l.p.Cutoff = c
	return nil
}

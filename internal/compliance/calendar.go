package compliance

import (
	"fmt"
	"time"

	"github.com/rickar/cal/v2"
	"github.com/rickar/cal/v2/aa"
	"github.com/rickar/cal/v2/ecb"
	"github.com/rickar/cal/v2/gb"
	"github.com/rickar/cal/v2/us"
)

// calendar says which days are of business.
type calendar struct{ days *cal.BusinessCalendar }

// newCalendar finds a calendar: weekdays has no holidays; us has the federal ones
// and Good Friday, on none of which trades settle; gb has those of England, target
// those of the euro's payment system.
func newCalendar(name string) (*calendar, error) {
	c := cal.NewBusinessCalendar()
	switch name {
	case "weekdays":
	case "us":
		c.AddHoliday(us.Holidays...)
		c.AddHoliday(aa.GoodFriday)
	case "gb":
		c.AddHoliday(gb.Holidays...)
	case "target":
		c.AddHoliday(ecb.Holidays...)
	default:
		return nil, fmt.Errorf("calendar %q must be weekdays, us, gb or target", name)
	}
	return &calendar{c}, nil
}

// roll is the day itself, or the next one of business.
func (c *calendar) roll(day time.Time) time.Time {
	for range maxClosed {
		if c.days.IsWorkday(day) {
			break
		}
		day = day.AddDate(0, 0, 1)
	}
	return day
}

// add is the day that comes a number of days of business after another.
func (c *calendar) add(day time.Time, n int) time.Time {
	for range n {
		day = c.roll(day.AddDate(0, 0, 1))
	}
	return day
}

// maxClosed bounds the days without business in a row.
const maxClosed = 30

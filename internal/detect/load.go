package detect

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"finobs/internal/desk"
	"finobs/internal/deskfile"

	"go.yaml.in/yaml/v3"
)

// entry is what a desk file says of one detector; what it leaves out stays as in
// Defaults.
type entry struct {
	Enabled  *bool          `yaml:"enabled"`
	Every    *time.Duration `yaml:"every"`
	Owner    *string        `yaml:"owner"`
	Severity *desk.Severity `yaml:"severity"`
	Window   *time.Duration `yaml:"window"`
	Count    *int           `yaml:"count"`
	Missed   *int           `yaml:"missed"`
	After    *time.Duration `yaml:"after"`
	Feeds    []feedEntry    `yaml:"feeds"`
}

type feedEntry struct {
	Source string        `yaml:"source"`
	MaxAge time.Duration `yaml:"max_age"`
	Hours  *hoursEntry   `yaml:"hours"`
}

type hoursEntry struct {
	Zone string   `yaml:"zone"`
	From string   `yaml:"from"`
	To   string   `yaml:"to"`
	Days []string `yaml:"days"`
}

// Load reads the detectors section of a desk file over the defaults. Errors name
// the line at which an entry begins.
func Load(section map[string]yaml.Node) ([]Spec, error) {
	specs := Defaults()
	for name := range section {
		if !slices.Contains(Names(), Name(name)) {
			return nil, fmt.Errorf("line %d: there is no detector %q; known are %v", section[name].Line, name, Names())
		}
	}
	for i := range specs {
		s := &specs[i]
		node, given := section[string(s.Name)]
		if !given {
			continue
		}
		var e entry
		if err := deskfile.Decode(node, &e); err != nil {
			return nil, err
		}
		if err := e.over(s); err != nil {
			return nil, fmt.Errorf("line %d: %s: %w", node.Line, s.Name, err)
		}
		if err := s.Validate(); err != nil {
			return nil, fmt.Errorf("line %d: %w", node.Line, err)
		}
	}
	return specs, nil
}

// over writes what the entry says over a spec.
func (e entry) over(s *Spec) error {
	set(&s.Enabled, e.Enabled)
	set(&s.Every, e.Every)
	set(&s.Owner, e.Owner)
	set(&s.Severity, e.Severity)
	set(&s.Window, e.Window)
	set(&s.Count, e.Count)
	set(&s.Missed, e.Missed)
	set(&s.After, e.After)
	for i, f := range e.Feeds {
		feed := Feed{Source: f.Source, MaxAge: f.MaxAge}
		if f.Hours != nil {
			var err error
			if feed.Hours, err = f.Hours.hours(); err != nil {
				return fmt.Errorf("feeds[%d]: hours: %w", i, err)
			}
		}
		s.Feeds = append(s.Feeds, feed)
	}
	return nil
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func (h hoursEntry) hours() (Hours, error) {
	out := Hours{Zone: h.Zone}
	if h.Zone == "" {
		return out, errors.New("zone must be an IANA time zone such as America/New_York")
	}
	var err error
	if out.From, err = clock(h.From); err != nil {
		return out, err
	}
	if out.To, err = clock(h.To); err != nil {
		return out, err
	}
	for _, d := range h.Days {
		day := slices.IndexFunc(weekdays, func(name string) bool { return strings.EqualFold(name, d) })
		if day < 0 {
			return out, fmt.Errorf("day %q must be one of %v", d, weekdays)
		}
		out.Days = append(out.Days, time.Weekday(day))
	}
	return out, nil
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// clock reads hours and minutes such as 09:30; 24:00 is the end of the day.
func clock(text string) (time.Duration, error) {
	if text == "24:00" {
		return 24 * time.Hour, nil
	}
	at, err := time.Parse("15:04", text)
	if err != nil {
		return 0, fmt.Errorf("%q must be a time of day such as 09:30", text)
	}
	return time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute, nil
}

package deskfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"time"

	"finobs/internal/desk"
	"finobs/internal/incident"
	"finobs/internal/yamldoc"

	"go.yaml.in/yaml/v3"
)

// file is the YAML form of Desk.
type file struct {
	Version      int                  `yaml:"version"`
	Channel      string               `yaml:"channel"` // of rungs that name none
	ReopenWindow *time.Duration       `yaml:"reopen_window"`
	CloseAfter   *time.Duration       `yaml:"close_after"`
	Repeat       *time.Duration       `yaml:"repeat"` // of the top rung; 0s: never
	Severities   map[string]levelForm `yaml:"severities"`
	Owners       map[string]ownerForm `yaml:"owners"`
	Notices      noticesForm          `yaml:"notices"`
	Detectors    map[string]yaml.Node `yaml:"detectors"`
}

type ownerForm struct {
	Channel    string               `yaml:"channel"`
	Severities map[string]levelForm `yaml:"severities"`
}

type levelForm struct {
	Acknowledge time.Duration `yaml:"acknowledge"`
	Resolve     time.Duration `yaml:"resolve"`
	Ladder      []rungForm    `yaml:"ladder"`
	Overdue     []rungForm    `yaml:"overdue"`
}

type rungForm struct {
	After   time.Duration `yaml:"after"`
	Kind    RungKind      `yaml:"kind"`
	To      string        `yaml:"to"`
	Channel string        `yaml:"channel"`
	Label   string        `yaml:"label"`
}

type noticesForm struct {
	Raise map[int64]desk.Severity `yaml:"raise"`
}

// What a file that does not say has.
const (
	defaultReopenWindow = time.Hour
	defaultCloseAfter   = 7 * 24 * time.Hour
	defaultRepeat       = 30 * time.Minute
)

// Limits of a file.
const (
	maxFile  = 1 << 20 // bytes
	maxRungs = 20
	maxTime  = 366 * 24 * time.Hour
)

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

// Load reads a desk file, type-checks every condition and refuses unknown fields.
// Errors name the line and the element.
func Load(r io.Reader) (*Desk, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading desk file: %w", err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("reading desk file: it is over %d bytes", maxFile)
	}
	var f file
	if err := yamldoc.Read(bytes.NewReader(text), &f); err != nil {
		return nil, fmt.Errorf("reading desk file: %w", err)
	}
	var lines yaml.Node
	if err := yaml.Unmarshal(text, &lines); err != nil {
		return nil, fmt.Errorf("reading desk file: %w", err)
	}
	l := loader{&lines}
	d, err := l.desk(f)
	if err != nil {
		return nil, fmt.Errorf("reading desk file: %w", err)
	}
	d.Digest = digest(text)
	return d, nil
}

// Decode reads one entry of Desk.Detectors into a struct and refuses fields that
// it does not have. Errors name the line at which the entry begins.
func Decode(entry yaml.Node, into any) error {
	text, err := yaml.Marshal(&entry)
	if err == nil {
		err = yamldoc.Read(bytes.NewReader(text), into)
	}
	if err != nil {
		return fmt.Errorf("line %d: in the entry that begins here: %w", entry.Line, err)
	}
	return nil
}

// loader knows the lines of the file that it makes a Desk of.
type loader struct{ root *yaml.Node }

// at wraps what is wrong with an element in its line and its path.
func (l loader) at(why error, path ...string) error {
	node, name := l.root, ""
	if len(node.Content) == 1 && node.Kind == yaml.DocumentNode {
		node = node.Content[0]
	}
	for _, step := range path {
		if n, err := strconv.Atoi(step); err == nil && node.Kind == yaml.SequenceNode {
			name += " " + strconv.Itoa(n+1)
			if n < len(node.Content) {
				node = node.Content[n]
			}
			continue
		}
		if name != "" {
			name += "."
		}
		name += step
		for k := 0; k+1 < len(node.Content); k += 2 {
			if node.Kind == yaml.MappingNode && node.Content[k].Value == step {
				node = node.Content[k+1]
				break
			}
		}
	}
	return fmt.Errorf("line %d: %s: %w", node.Line, name, why)
}

func (l loader) desk(f file) (*Desk, error) {
	if f.Version != 1 {
		return nil, l.at(fmt.Errorf("it is %d; this program reads version 1", f.Version), "version")
	}
	d := &Desk{Detectors: f.Detectors, owners: map[string]map[desk.Severity]*level{}}
	for _, t := range []struct {
		name     string
		given    *time.Duration
		into     *time.Duration
		fallback time.Duration
		least    time.Duration
	}{
		{"reopen_window", f.ReopenWindow, &d.reopenWindow, defaultReopenWindow, 0},
		{"close_after", f.CloseAfter, &d.closeAfter, defaultCloseAfter, time.Second},
		{"repeat", f.Repeat, &d.repeat, defaultRepeat, 0},
	} {
		*t.into = t.fallback
		if t.given != nil {
			*t.into = *t.given
		}
		if *t.into < t.least || *t.into > maxTime {
			return nil, l.at(fmt.Errorf("%s must be %s to %s", *t.into, t.least, maxTime), t.name)
		}
	}
	if d.repeat != 0 && d.repeat < time.Second {
		return nil, l.at(fmt.Errorf("%s must be 0s, for never, or at least 1s", d.repeat), "repeat")
	}
	if err := checkChannel(f.Channel); err != nil {
		return nil, l.at(err, "channel")
	}
	var err error
	if d.general, err = l.levels(f.Severities, f.Channel); err != nil {
		return nil, err
	}
	for name, o := range f.Owners {
		if err := checkChannel(o.Channel); err != nil {
			return nil, l.at(err, "owners", name, "channel")
		}
		if o.Channel == "" {
			o.Channel = f.Channel
		}
		if d.owners[name], err = l.levels(o.Severities, o.Channel, "owners", name); err != nil {
			return nil, err
		}
	}
	return d, l.raises(d, f.Notices)
}

func (l loader) levels(forms map[string]levelForm, channel string, path ...string) (map[desk.Severity]*level, error) {
	out := map[desk.Severity]*level{}
	for name, form := range forms {
		here := append(slices.Clone(path), "severities", name)
		if !desk.Severity(name).Valid() {
			return nil, l.at(errors.New("it is no severity; write low, medium, high or critical"), here...)
		}
		one := &level{terms: incident.Terms{Acknowledge: form.Acknowledge, Resolve: form.Resolve}}
		for what, t := range map[string]time.Duration{"acknowledge": form.Acknowledge, "resolve": form.Resolve} {
			if t < 0 || t > maxTime {
				return nil, l.at(fmt.Errorf("%s must be 0s, for no promise, to %s", t, maxTime), append(here, what)...)
			}
		}
		if len(form.Overdue) > 0 && form.Resolve == 0 {
			return nil, l.at(errors.New("there is no resolve, so that nothing can be overdue"), append(here, "overdue")...)
		}
		var err error
		if one.ladder, err = l.rungs(form.Ladder, channel, append(here, "ladder")); err != nil {
			return nil, err
		}
		for n := range form.Overdue {
			if form.Overdue[n].Kind == "" {
				form.Overdue[n].Kind = Overdue
			}
		}
		if one.overdue, err = l.rungs(form.Overdue, channel, append(here, "overdue")); err != nil {
			return nil, err
		}
		out[desk.Severity(name)] = one
	}
	return out, nil
}

func (l loader) rungs(forms []rungForm, channel string, path []string) ([]Rung, error) {
	if len(forms) > maxRungs {
		return nil, l.at(fmt.Errorf("it has %d rungs; the limit is %d", len(forms), maxRungs), path...)
	}
	overdue := path[len(path)-1] == "overdue"
	var out []Rung
	for n, f := range forms {
		here := append(slices.Clone(path), strconv.Itoa(n))
		r := Rung{Kind: f.Kind, After: f.After, To: f.To, Channel: f.Channel, Label: f.Label}
		if r.Channel == "" {
			r.Channel = channel
		}
		switch {
		case overdue && r.Kind != Overdue:
			return nil, l.at(fmt.Errorf("kind %q: leave it out", r.Kind), here...)
		case !overdue && r.Kind != Reminder && r.Kind != Escalation:
			return nil, l.at(fmt.Errorf("kind %q must be reminder or escalation", r.Kind), here...)
		case r.After < 0 || r.After > maxTime:
			return nil, l.at(fmt.Errorf("after is %s; it must be 0s to %s", r.After, maxTime), here...)
		case r.Channel == "":
			return nil, l.at(errors.New("channel is empty, and the file names none for all; say where to tell it"), here...)
		case len(r.Label) > maxLabel:
			return nil, l.at(fmt.Errorf("label is over %d bytes", maxLabel), here...)
		}
		if err := checkChannel(r.Channel); err != nil {
			return nil, l.at(err, here...)
		}
		if n > 0 && r.After < out[n-1].After {
			return nil, l.at(fmt.Errorf("after is %s, sooner than the rung before; write the rungs in their order", r.After), here...)
		}
		var err error
		if r.to, err = compile(r.To); err != nil {
			return nil, l.at(fmt.Errorf("to: %w", err), here...)
		}
		out = append(out, r)
	}
	return out, nil
}

const maxLabel = 100

func (l loader) raises(d *Desk, f noticesForm) error {
	for count, to := range f.Raise {
		here := []string{"notices", "raise", strconv.FormatInt(count, 10)}
		switch {
		case count < 2:
			return l.at(errors.New("a number of notices must be at least 2"), here...)
		case !to.Valid():
			return l.at(fmt.Errorf("severity %q must be low, medium, high or critical", to), here...)
		}
		d.raise = append(d.raise, raise{count, to})
	}
	slices.SortFunc(d.raise, func(a, b raise) int { return int(a.count - b.count) })
	for n := 1; n < len(d.raise); n++ {
		before, here := d.raise[n-1], d.raise[n]
		if slices.Index(desk.Severities(), here.to) <= slices.Index(desk.Severities(), before.to) {
			return l.at(fmt.Errorf("it is %s, and %d notices are %s already; more notices are worse", here.to, before.count, before.to),
				"notices", "raise", strconv.FormatInt(here.count, 10))
		}
	}
	return nil
}

func checkChannel(name string) error {
	if name != "" && !namePattern.MatchString(name) {
		return fmt.Errorf("channel %q must be a letter and at most 31 letters, digits, '_' and '-', in lower case", name)
	}
	return nil
}

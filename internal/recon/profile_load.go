package recon

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"finobs/internal/intake"
	"finobs/internal/schedule"
	"finobs/internal/yamldoc"

	"github.com/shopspring/decimal"
	"go.yaml.in/yaml/v3"
)

// Limits of a profile.
const (
	MaxProfile   = 128 << 10 // bytes of its text
	mostBreaks   = 200_000
	usualBreaks  = 50_000
	maxNameBytes = 200
	maxLookBack  = 3660 // days
)

var nameForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,63}$`)

// LoadProfile reads a profile. It refuses unknown keys; errors name the line and
// say how to mend it.
func LoadProfile(r io.Reader) (*Profile, error) {
	text, err := io.ReadAll(io.LimitReader(r, MaxProfile+1))
	if err != nil {
		return nil, fmt.Errorf("reading profile: %w", err)
	}
	if len(text) > MaxProfile {
		return nil, fmt.Errorf("reading profile: it is over %d bytes", MaxProfile)
	}
	var form profileForm
	if err := yamldoc.Read(strings.NewReader(string(text)), &form); err != nil {
		return nil, fmt.Errorf("reading profile: %w", err)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, fmt.Errorf("reading profile: %w", err)
	}
	sum := sha256.Sum256(text)
	l := loader{form: form, root: &root, p: &Profile{
		Name: form.Name, Title: form.Title, Text: string(text), Digest: hex.EncodeToString(sum[:]), Economic: form.Duplicate.Economic,
	}}
	if err := l.load(); err != nil {
		return nil, fmt.Errorf("reading profile: %w", err)
	}
	return l.p, nil
}

// loader turns the form of a profile into the profile.
type loader struct {
	form profileForm
	root *yaml.Node
	p    *Profile
}

// fail makes an error about the value at a path, naming its line.
func (l *loader) fail(path, format string, args ...any) error {
	return fmt.Errorf("line %d: %s: "+format, append([]any{lineOf(l.root, path), path}, args...)...)
}

// lineOf is the line of the deepest part of a path that is there.
func lineOf(node *yaml.Node, path string) int {
	if node.Kind == yaml.DocumentNode && len(node.Content) > 0 {
		node = node.Content[0]
	}
	line := max(node.Line, 1)
	for _, part := range strings.Split(path, ".") {
		found := false
		for i := 0; node.Kind == yaml.MappingNode && i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == part {
				line, node, found = node.Content[i].Line, node.Content[i+1], true
				break
			}
		}
		if !found {
			break
		}
	}
	return line
}

func (l *loader) load() error {
	switch {
	case l.form.Version != 1:
		return l.fail("version", "it is %d; this program reads version 1", l.form.Version)
	case !nameForm.MatchString(l.form.Name):
		return l.fail("name", "%q: want a small letter, then up to 63 small letters, digits and -", l.form.Name)
	case len(l.form.Title) > maxNameBytes:
		return l.fail("title", "it has %d bytes, over the limit of %d", len(l.form.Title), maxNameBytes)
	}
	for _, step := range []func() error{l.keys, l.books, l.fuzzy, l.compare, l.rules, l.times, l.limits} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) field(path, name string) (intake.Field, error) {
	f, known := intake.ParseField(name)
	if !known {
		return 0, l.fail(path, "there is no field %q; known are %s", name, fieldNames())
	}
	return f, nil
}

func fieldNames() string {
	var names []string
	for _, f := range intake.AllFields() {
		names = append(names, f.String())
	}
	return strings.Join(names, ", ")
}

func (l *loader) keys() error {
	if n := len(l.form.Match.Keys); n < 1 || n > MaxKeys {
		return l.fail("match.keys", "there are %d keys; want 1 to %d, such as [[execution_id], [order_id, symbol, side]]", n, MaxKeys)
	}
	for _, names := range l.form.Match.Keys {
		var key []intake.Field
		for _, name := range names {
			f, err := l.field("match.keys", name)
			if err != nil {
				return err
			}
			key = append(key, f)
		}
		if len(key) == 0 {
			return l.fail("match.keys", "a key has no fields")
		}
		l.p.Keys = append(l.p.Keys, key)
	}
	l.p.Normal = map[intake.Field]Normal{}
	for name, spellings := range l.form.Match.Normalise {
		f, err := l.field("match.normalise."+name, name)
		if err != nil {
			return err
		}
		if f.Form() != intake.Text {
			return l.fail("match.normalise."+name, "only texts have spellings")
		}
		var n Normal
		for _, s := range spellings {
			switch s {
			case "case":
				n.Case = true
			case "spaces":
				n.Spaces = true
			case "zeros":
				n.Zeros = true
			default:
				return l.fail("match.normalise."+name, "%q must be case, spaces or zeros", s)
			}
		}
		l.p.Normal[f] = n
	}
	return nil
}

func (l *loader) books() error {
	for i, form := range []booksForm{l.form.Left, l.form.Right} {
		h := Hand(i)
		path := h.String()
		b := &l.p.Books[h]
		*b = Books{Label: form.Label, Missing: form.Missing, Book: form.Book}
		if b.Label == "" {
			b.Label = path
		}
		if b.Missing == "" {
			b.Missing = "missing at " + b.Label
		}
		if b.Book != "" {
			if len(form.Columns.Fields()) > 0 || form.Format != "" || form.Allocations != nil {
				return l.fail(path+".book", "a book is on record; it has no columns, format or allocations")
			}
			if len(b.Book) > 128 || strings.TrimSpace(b.Book) != b.Book {
				return l.fail(path+".book", "a source's name has at most 128 bytes and no spaces around it")
			}
			continue
		}
		if len(form.Columns.Fields()) == 0 {
			return l.fail(path, "it has neither columns nor a book; say which columns hold which fields, or book: SOURCE")
		}
		var err error
		if b.Layout, err = l.layout(path, form.Format, form.Separator, form.Columns); err != nil {
			return err
		}
		if form.Allocations != nil {
			a, err := l.allocations(path+".allocations", *form.Allocations)
			if err != nil {
				return err
			}
			b.Allocations = &a
		}
	}
	if (l.p.Books[Left].Allocations == nil) != (l.p.Books[Right].Allocations == nil) {
		return l.fail("left", "one side has allocations and the other has none; give both or neither")
	}
	return l.keysAreThere()
}

func (l *loader) layout(path, format, separator string, m intake.Mapping) (intake.Layout, error) {
	out := intake.Layout{Format: intake.Format(format), Separator: separator, Mapping: m}
	if format != "" && out.Format != intake.CSV && out.Format != intake.NDJSON {
		return out, l.fail(path+".format", "%q must be csv or ndjson", format)
	}
	if separator != "" && !slices.Contains([]string{",", ";", "|", "\t"}, separator) {
		return out, l.fail(path+".separator", `%q must be one of "," ";" "|" "\t"`, separator)
	}
	return out, nil
}

// keysAreThere refuses keys that no record of a side can have.
func (l *loader) keysAreThere() error {
	for _, h := range []Hand{Left, Right} {
		for i, key := range l.p.Keys {
			for _, f := range key {
				if !l.has(h, f) {
					return l.fail("match.keys", "key %d needs field %s, which the %s side has not", i+1, f, h)
				}
			}
		}
	}
	return nil
}

// has reports whether a side can state a field.
func (l *loader) has(h Hand, f intake.Field) bool {
	if l.p.Books[h].Book != "" {
		return f != intake.OrderID
	}
	return l.p.Books[h].Layout.Mapping.Has(f)
}

func (l *loader) allocations(path string, form allocationsForm) (intake.Layout, error) {
	out, err := l.layout(path, form.Format, form.Separator, form.Columns)
	if err != nil {
		return out, err
	}
	for _, f := range append([]intake.Field{intake.Account, intake.Quantity}, l.p.Keys[0]...) {
		if !form.Columns.Has(f) {
			return out, l.fail(path+".columns", "it lacks %s; allocations need account, quantity and all of the first key", f)
		}
	}
	return out, nil
}

func (l *loader) rules() error {
	l.p.Rules = DefaultRules()
	for name, form := range l.form.Breaks {
		t := Type(name)
		if !t.Valid() {
			return l.fail("breaks."+name, "there is no such type of break; known are %v", Types())
		}
		if form == nil {
			continue
		}
		if err := l.rule("breaks."+name, t, *form); err != nil {
			return err
		}
	}
	for _, c := range l.form.Compare {
		f, _ := intake.ParseField(c.Field)
		if err := l.rule("compare", typeOf[f], c.breaksForm); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) rule(path string, t Type, form breaksForm) error {
	rule := l.p.Rules[t]
	if form.Severity != "" {
		if !form.Severity.Valid() {
			return l.fail(path, "severity %q must be low, medium, high or critical", form.Severity)
		}
		rule.Severity = form.Severity
	}
	if len(form.Owner) > maxNameBytes {
		return l.fail(path, "owner has %d bytes, over the limit of %d", len(form.Owner), maxNameBytes)
	}
	if form.Owner != "" {
		rule.Owner = form.Owner
	}
	if form.SLAHours < 0 || form.SLAHours > 24*366 {
		return l.fail(path, "sla_hours %d: want 1 to %d", form.SLAHours, 24*366)
	}
	if form.SLAHours > 0 {
		rule.SLAHours = form.SLAHours
	}
	l.p.Rules[t] = rule
	return nil
}

func (l *loader) limits() error {
	l.p.MaxBreaks = usualBreaks
	if l.form.MaxBreaks != 0 {
		l.p.MaxBreaks = l.form.MaxBreaks
	}
	if l.p.MaxBreaks < 1 || l.p.MaxBreaks > mostBreaks {
		return l.fail("max_breaks", "%d: want 1 to %d", l.p.MaxBreaks, mostBreaks)
	}
	return nil
}

func (l *loader) times() error {
	l.p.Calendar = "weekdays"
	if l.form.Calendar != "" {
		l.p.Calendar = l.form.Calendar
	}
	if _, known := calendars[l.p.Calendar]; !known {
		return l.fail("calendar", "%q must be one of %s", l.p.Calendar, strings.Join(Calendars(), ", "))
	}
	if err := l.cutoff(); err != nil || l.form.Schedule == nil {
		return err
	}
	if l.p.Files(Left) || l.p.Files(Right) {
		return l.fail("schedule", "only a profile of two books can run by itself: a file has to be sent")
	}
	s, err := schedule.Parse(l.form.Schedule.Cron, l.form.Schedule.Zone)
	if err != nil {
		return l.fail("schedule", "%w", err)
	}
	if days := l.form.Schedule.Days; days < 0 || days > maxLookBack {
		return l.fail("schedule.days", "%d: want 1 to %d, or leave it out for all days", days, maxLookBack)
	}
	l.p.Schedule = &Schedule{l.form.Schedule.Cron, l.form.Schedule.Zone, l.form.Schedule.Days, s}
	return nil
}

// number reads a decimal that is not below 0; an absent one is 0.
func (l *loader) number(path string, n numberForm) (decimal.Decimal, error) {
	if n.Text == "" && n.line == 0 {
		return decimal.Zero, nil
	}
	if !decimalForm.MatchString(n.Text) {
		return decimal.Zero, fmt.Errorf("line %d: %s: %q is not a plain decimal of at least 0, such as 0.01", n.line, path, n.Text)
	}
	d, err := decimal.NewFromString(n.Text)
	if err != nil {
		return decimal.Zero, errors.Join(fmt.Errorf("line %d: %s", n.line, path), err)
	}
	return d, nil
}

var decimalForm = regexp.MustCompile(`^[0-9]{1,18}(\.[0-9]{1,12})?$`)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

package delivery

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"finobs/internal/mailer"
	"finobs/internal/outbound"
	"finobs/internal/yamldoc"
)

// reservedName means the exports' own store, from which people download.
const reservedName = "download"

// Limits of a destination file.
const (
	maxRecipients = 100
	defaultMaxMiB = 10
	maxMaxMiB     = 100
)

// Destinations are the destinations of one file, by name. A nil *Destinations has
// none.
type Destinations struct {
	byName   map[string]Destination
	fallback string
}

// destinationFile is the YAML form of Destinations.
type destinationFile struct {
	Version      int                 `yaml:"version"`
	Default      string              `yaml:"default"`
	Groups       map[string][]string `yaml:"groups"`
	Destinations []entry             `yaml:"destinations"`
}

type entry struct {
	Name string     `yaml:"name"`
	File *fileEntry `yaml:"file"`
	S3   *s3Entry   `yaml:"s3"`
	SMTP *smtpEntry `yaml:"smtp"`
}

type fileEntry struct {
	Dir string `yaml:"dir"`
}

type smtpEntry struct {
	mailer.Settings `yaml:",inline"`

	Group  string `yaml:"group"`
	MaxMiB int    `yaml:"max_mib"`
	Attach *bool  `yaml:"attach"` // absent: true
}

var destinationForm = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

const formOfName = "want a small letter, then up to 31 small letters, digits, _ or -"

// Load reads a destination file and the secrets that it names, whose paths are
// relative to dir. It refuses unknown fields; errors name the destination and the
// field. Nothing is connected to. Secrets are read once: after a change, load
// again.
func Load(r io.Reader, dir string) (*Destinations, error) {
	var file destinationFile
	if err := yamldoc.Read(r, &file); err != nil {
		return nil, fmt.Errorf("reading destination file: %w", err)
	}
	if file.Version != 1 {
		return nil, fmt.Errorf("destination file has version %d; this program reads version 1", file.Version)
	}
	if err := checkGroups(file.Groups); err != nil {
		return nil, err
	}
	out := &Destinations{byName: map[string]Destination{}, fallback: file.Default}
	for i, e := range file.Destinations {
		if !destinationForm.MatchString(e.Name) {
			return nil, fmt.Errorf("destination %d: name %q: %s", i+1, e.Name, formOfName)
		}
		if e.Name == reservedName {
			return nil, fmt.Errorf("destination %d: the name %q is reserved for the exports' own store; take another", i+1, e.Name)
		}
		if _, taken := out.byName[e.Name]; taken {
			return nil, fmt.Errorf("destination %d: the name %q is taken", i+1, e.Name)
		}
		destination, err := e.open(dir, file.Groups)
		if err != nil {
			return nil, fmt.Errorf("destination %q: %w", e.Name, err)
		}
		out.byName[e.Name] = destination
	}
	if _, known := out.byName[file.Default]; file.Default != "" && !known {
		return nil, fmt.Errorf("default: no destination is called %q; name one of %s, or leave default out", file.Default, strings.Join(out.Names(), ", "))
	}
	return out, nil
}

func checkGroups(groups map[string][]string) error {
	for name, members := range groups {
		if !destinationForm.MatchString(name) {
			return fmt.Errorf("groups: name %q: %s", name, formOfName)
		}
		if len(members) == 0 || len(members) > maxRecipients {
			return fmt.Errorf("groups.%s has %d addresses; want 1 to %d", name, len(members), maxRecipients)
		}
		seen := map[string]bool{}
		for i, address := range members {
			if !mailer.GoodAddress(address) {
				return fmt.Errorf("groups.%s[%d] %q: %s", name, i, address, mailer.FormOfAddress)
			}
			if seen[strings.ToLower(address)] {
				return fmt.Errorf("groups.%s[%d] %q is there twice; leave one out", name, i, address)
			}
			seen[strings.ToLower(address)] = true
		}
	}
	return nil
}

// Get returns a destination by its name.
func (d *Destinations) Get(name string) (Destination, bool) {
	if d == nil {
		return nil, false
	}
	destination, ok := d.byName[name]
	return destination, ok
}

// Names returns the names of all destinations, sorted.
func (d *Destinations) Names() []string {
	if d == nil {
		return nil
	}
	names := make([]string, 0, len(d.byName))
	for name := range d.byName {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Default is the name of the destination for an export that names none; empty
// when there is no such destination.
func (d *Destinations) Default() string {
	if d == nil {
		return ""
	}
	return d.fallback
}

func (e *entry) open(dir string, groups map[string][]string) (Destination, error) {
	kinds := 0
	for _, has := range []bool{e.File != nil, e.S3 != nil, e.SMTP != nil} {
		if has {
			kinds++
		}
	}
	switch {
	case kinds > 1:
		return nil, errors.New("it has more than one of file, s3 and smtp; make a destination of each")
	case e.File != nil:
		if e.File.Dir == "" || strings.ContainsRune(e.File.Dir, 0) {
			return nil, fmt.Errorf("file.dir %q: want the path of a folder that is there", e.File.Dir)
		}
		return &directory{name: e.Name, dir: outbound.Within(dir, e.File.Dir)}, nil
	case e.S3 != nil:
		return e.S3.open(e.Name, dir)
	case e.SMTP != nil:
		return e.SMTP.open(e.Name, dir, groups)
	}
	return nil, errors.New("it has none of file, s3 and smtp")
}

func (e *smtpEntry) open(name, dir string, groups map[string][]string) (Destination, error) {
	server, err := e.Open(dir)
	if err != nil {
		return nil, err
	}
	members, known := groups[e.Group]
	if !known {
		return nil, fmt.Errorf("smtp.group: no group is called %q; add it to groups", e.Group)
	}
	b := &mailbox{config: *e, name: name, server: server, attach: e.Attach == nil || *e.Attach}
	if b.config.TLS == "" {
		b.config.TLS = "mandatory"
	}
	if b.config.MaxMiB == 0 {
		b.config.MaxMiB = defaultMaxMiB
	}
	if b.config.MaxMiB < 1 || b.config.MaxMiB > maxMaxMiB {
		return nil, fmt.Errorf("smtp.max_mib %d: want 1 to %d", e.MaxMiB, maxMaxMiB)
	}
	b.maxSize = int64(b.config.MaxMiB) << 20
	b.to = addresses(members)
	return b, nil
}

// settings writes names and values, in turn, as lines. Values are quoted, so that
// none can look like another line.
func settings(pairs ...string) string {
	var out strings.Builder
	for pair := range slices.Chunk(pairs, 2) {
		out.WriteString(pair[0] + ": " + strconv.Quote(pair[1]) + "\n")
	}
	return out.String()
}

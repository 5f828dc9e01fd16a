package siem

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"

	"finobs/internal/outbound"
	"finobs/internal/yamldoc"
)

// Sinks are the sinks of one file. A nil *Sinks has none.
type Sinks struct {
	list []sink
}

// sink delivers leaves until its context ends.
type sink interface {
	name() string
	lossy() bool
	run(l *lane)
}

// sinkFile is the YAML form of Sinks.
type sinkFile struct {
	Version int         `yaml:"version"`
	Sinks   []sinkEntry `yaml:"sinks"`
}

type sinkEntry struct {
	Name   string       `yaml:"name"`
	Syslog *syslogEntry `yaml:"syslog"`
	HTTPS  *httpsEntry  `yaml:"https"`
}

var nameForm = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

// Load reads a sink file and the certificates, keys and tokens that it names,
// whose paths are relative to dir. It refuses unknown fields; errors name the sink
// and the field. Files are read once: after a change, load again.
func Load(r io.Reader, dir string) (*Sinks, error) {
	var file sinkFile
	if err := yamldoc.Read(r, &file); err != nil {
		return nil, fmt.Errorf("reading sink file: %w", err)
	}
	if file.Version != 1 {
		return nil, fmt.Errorf("sink file has version %d; this program reads version 1", file.Version)
	}
	out := &Sinks{}
	for i, entry := range file.Sinks {
		if !nameForm.MatchString(entry.Name) {
			return nil, fmt.Errorf("sink %d: name %q: want a small letter, then up to 31 small letters, digits, _ or -", i+1, entry.Name)
		}
		if slices.Contains(out.Names(), entry.Name) {
			return nil, fmt.Errorf("sink %d: the name %q is taken", i+1, entry.Name)
		}
		opened, err := entry.open(dir)
		if err != nil {
			return nil, fmt.Errorf("sink %q: %w", entry.Name, err)
		}
		out.list = append(out.list, opened)
	}
	return out, nil
}

// Names returns the names of all sinks, sorted.
func (s *Sinks) Names() []string {
	if s == nil {
		return nil
	}
	names := make([]string, 0, len(s.list))
	for _, one := range s.list {
		names = append(names, one.name())
	}
	slices.Sort(names)
	return names
}

func (e *sinkEntry) open(dir string) (sink, error) {
	switch {
	case e.Syslog != nil && e.HTTPS != nil:
		return nil, errors.New("it has syslog and https; make two sinks of it")
	case e.Syslog != nil:
		return e.Syslog.open(e.Name, dir)
	case e.HTTPS != nil:
		return e.HTTPS.open(e.Name, dir)
	}
	return nil, errors.New("it has neither syslog nor https")
}

// readRoots reads certificates to trust in place of the system's; nil for none.
func readRoots(dir, path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	return outbound.ReadRoots(outbound.Within(dir, path))
}

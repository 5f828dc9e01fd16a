package source

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"finobs/internal/alert"
	"finobs/internal/approval"
	"finobs/internal/inbound"
	"finobs/internal/intake"
	"finobs/internal/yamldoc"
)

// fileVersion is the version of the file's form.
const fileVersion = 1

type file struct {
	Version int         `yaml:"version"`
	Sources []fileEntry `yaml:"sources"`
}

type fileEntry struct {
	Name      string             `yaml:"name"`
	Kind      string             `yaml:"kind"`
	Desk      string             `yaml:"desk"`
	Currency  string             `yaml:"currency"`
	Mapping   *alert.Expressions `yaml:"mapping"`
	Signature *fileSignature     `yaml:"signature"`
}

type fileSignature struct {
	Scheme      string   `yaml:"scheme"`
	SecretFiles []string `yaml:"secret_files"`
	Window      string   `yaml:"window"`
	Header      string   `yaml:"header"`
	Timestamp   string   `yaml:"timestamp_header"`
	User        string   `yaml:"user"`
}

// Load reads a source file and returns the default sources and those of the file;
// one of the file may replace a default one. secret reads a secret by its path.
// Errors do not name the file; callers do.
func Load(r io.Reader, secret func(path string) ([]byte, error)) (*Sources, error) {
	var f file
	if err := yamldoc.Read(r, &f); err != nil {
		return nil, err
	}
	if f.Version != fileVersion {
		return nil, fmt.Errorf("version %d is not known; write version: %d", f.Version, fileVersion)
	}
	s := Default()
	seen := map[string]bool{}
	for i, e := range f.Sources {
		built, err := e.build(secret)
		switch {
		case err != nil:
			return nil, fmt.Errorf("sources[%d] (%s): %w", i, e.Name, err)
		case seen[e.Name]:
			return nil, fmt.Errorf("sources[%d]: there are two sources called %s", i, e.Name)
		}
		seen[e.Name] = true
		s.byName[e.Name] = built
	}
	return s, nil
}

func (e fileEntry) build(secret func(string) ([]byte, error)) (Source, error) {
	s := Source{Name: e.Name, Kind: Kind(e.Kind), Desk: e.Desk, Currency: e.Currency}
	switch {
	case !namePattern.MatchString(e.Name):
		return s, errors.New("name must have 1 to 64 lower-case letters, digits, '_', '.' and '-', and begin with a letter or digit")
	case slices.Contains(Reserved(), e.Name):
		return s, fmt.Errorf("name %s has a route of its own; take another", e.Name)
	case !slices.Contains(Kinds(), s.Kind):
		return s, fmt.Errorf("kind %q must be one of %v", e.Kind, Kinds())
	case e.Currency != "" && (s.Kind != FIX || !intake.CurrencyCode(e.Currency)):
		return s, errors.New("currency is for sources of kind fix, and is a code of ISO 4217 in capitals such as USD")
	case e.Signature != nil && s.Kind == FIX:
		return s, errors.New("a source of kind fix takes no signature: logs are too large to be signed as a body, and are sent with a token")
	case e.Desk != "" && !approval.ValidDesk(e.Desk):
		return s, fmt.Errorf("desk %q is no name of a desk", e.Desk)
	case (s.Kind == Kind(alert.Generic)) != (e.Mapping != nil):
		return s, errors.New("a source of kind generic has a mapping, and no other has one")
	}
	var err error
	if e.Mapping != nil {
		if s.Mapping, err = e.Mapping.Compile(); err != nil {
			return s, fmt.Errorf("mapping: %w", err)
		}
	}
	if e.Signature != nil {
		if s.Verifier, err = e.Signature.verifier(secret); err != nil {
			return s, fmt.Errorf("signature: %w", err)
		}
	}
	return s, nil
}

func (f fileSignature) verifier(secret func(string) ([]byte, error)) (*inbound.Verifier, error) {
	scheme := inbound.Scheme{Kind: inbound.Kind(f.Scheme), Header: f.Header, TimestampHeader: f.Timestamp, User: f.User}
	if f.Window != "" {
		window, err := time.ParseDuration(f.Window)
		if err != nil {
			return nil, fmt.Errorf("window: %w", err)
		}
		scheme.Window = window
	}
	for _, path := range f.SecretFiles {
		text, err := secret(path)
		if err != nil {
			return nil, err
		}
		scheme.Secrets = append(scheme.Secrets, text)
	}
	return inbound.New(scheme)
}

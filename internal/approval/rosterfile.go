package approval

import (
	"fmt"
	"io"

	"finobs/internal/yamldoc"
)

// rosterFile is the YAML form of a roster.
type rosterFile struct {
	Version int          `yaml:"version"`
	People  []memberForm `yaml:"people"`
}

type memberForm struct {
	Issuer   string   `yaml:"iss"`
	Subject  string   `yaml:"sub"`
	Kind     string   `yaml:"kind"`
	Roles    []string `yaml:"roles"`
	Desk     string   `yaml:"desk"`
	Email    string   `yaml:"email"`
	Inactive bool     `yaml:"inactive"`
}

// LoadRoster reads a roster file and refuses unknown fields. Errors name the
// person.
func LoadRoster(r io.Reader) (Roster, error) {
	var file rosterFile
	if err := yamldoc.Read(r, &file); err != nil {
		return nil, fmt.Errorf("reading roster file: %w", err)
	}
	if file.Version != 1 {
		return nil, fmt.Errorf("roster file has version %d; this program reads version 1", file.Version)
	}
	var out Roster
	for i, p := range file.People {
		m := Member{
			Person: Person{Issuer: p.Issuer, Subject: p.Subject}, Kind: ActorKind(p.Kind), Roles: p.Roles, Desk: p.Desk,
			Email: p.Email, Active: !p.Inactive,
		}
		if m.Kind == "" {
			m.Kind = Human
		}
		if err := m.Validate(); err != nil {
			return nil, fmt.Errorf("person %d (%q): %w", i+1, p.Subject, err)
		}
		if _, twice := out.Member(m.Person); twice {
			return nil, fmt.Errorf("person %d: %q is in the file twice", i+1, p.Subject)
		}
		out = append(out, m)
	}
	return out, nil
}

package recon

import (
	"bytes"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"finobs/internal/fault"
)

// Catalogue is the profiles that a process knows, by name.
type Catalogue struct{ byName map[string]*Profile }

// LoadCatalogue reads the profiles (*.yaml) of folders. A name of a later folder
// takes the place of the same name of an earlier one. Errors name the file.
func LoadCatalogue(folders ...fs.FS) (*Catalogue, error) {
	c := &Catalogue{map[string]*Profile{}}
	for _, folder := range folders {
		names, err := fs.Glob(folder, "*.yaml")
		if err != nil {
			return nil, fmt.Errorf("listing profiles: %w", err)
		}
		here := map[string]string{}
		for _, name := range names {
			text, err := fs.ReadFile(folder, name)
			if err != nil {
				return nil, fmt.Errorf("reading %s: %w", name, err)
			}
			p, err := LoadProfile(bytes.NewReader(text))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if other := here[p.Name]; other != "" {
				return nil, fmt.Errorf("%s: the name %q is taken by %s", name, p.Name, other)
			}
			here[p.Name] = name
			c.byName[p.Name] = p
		}
	}
	return c, nil
}

// All lists the profiles by name.
func (c *Catalogue) All() []*Profile {
	if c == nil {
		return nil
	}
	var out []*Profile
	for _, name := range sortedKeys(c.byName) {
		out = append(out, c.byName[name])
	}
	return out
}

// Named returns the profile of a name; a fault of kind NotFound when there is none.
func (c *Catalogue) Named(name string) (*Profile, error) {
	if c != nil && c.byName[name] != nil {
		return c.byName[name], nil
	}
	var names []string
	for _, p := range c.All() {
		names = append(names, p.Name)
	}
	return nil, fault.New(fault.NotFound, "no-such-profile", "there is no profile %q; known are %s", cut(name, 100), strings.Join(names, ", "))
}

// ByDigest returns the profile of a digest, if it is known under it.
func (c *Catalogue) ByDigest(name, digest string) (*Profile, error) {
	p, err := c.Named(name)
	if err == nil && p.Digest != digest {
		err = fault.New(fault.Conflict, "profile-changed",
			"profile %q of the worker is another one than that of the API; give both the same files in FINOBS_RECON_PROFILES and start them again", name)
	}
	return p, err
}

// Scheduled lists the profiles that run by themselves.
func (c *Catalogue) Scheduled() []*Profile {
	return slices.DeleteFunc(c.All(), func(p *Profile) bool { return p.Schedule == nil })
}

func cut(s string, n int) string { return strings.ToValidUTF8(s[:min(n, len(s))], "") }

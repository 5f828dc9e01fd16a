package identity

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"finobs/internal/approval"
	"finobs/internal/outbound"
	"finobs/internal/yamldoc"

	"github.com/go-jose/go-jose/v4"
)

// issuerFileVersion is the version of the file's form.
const issuerFileVersion = 1

type issuerFile struct {
	Version int           `yaml:"version"`
	Issuers []issuerEntry `yaml:"issuers"`
}

// issuerEntry is a provider as the file has it; docs/sign-in.md explains the
// fields.
type issuerEntry struct {
	Name         string            `yaml:"name"`
	Title        string            `yaml:"title"`
	Issuer       string            `yaml:"issuer"`
	Audience     string            `yaml:"audience"`
	Algorithms   []string          `yaml:"algorithms"`
	TokenType    string            `yaml:"token_type"`
	MaxLifetime  string            `yaml:"max_lifetime"`
	ClientID     string            `yaml:"client_id"`
	SecretFile   string            `yaml:"client_secret_file"`
	Scopes       []string          `yaml:"scopes"`
	AllowPrivate bool              `yaml:"allow_private"`
	CAFile       string            `yaml:"ca_file"`
	Claims       claimNames        `yaml:"claims"`
	Roles        map[string]words  `yaml:"roles"`
	Desks        map[string]string `yaml:"desks"`
	Services     []machineEntry    `yaml:"service_accounts"`
	Agents       []machineEntry    `yaml:"agents"`
}

// claimNames say which claims of a token tell roles and desk: the name of a claim,
// or a path into it with dots.
type claimNames struct {
	Roles string `yaml:"roles"`
	Desk  string `yaml:"desk"`
}

type machineEntry struct {
	ClientID string `yaml:"client_id"`
	Roles    words  `yaml:"roles"`
	Desk     string `yaml:"desk"`
}

// words are one word or a list of them.
type words []string

// UnmarshalYAML implements the interface of the YAML library.
func (w *words) UnmarshalYAML(read func(any) error) error {
	var one string
	if read(&one) == nil {
		*w = words{one}
		return nil
	}
	return read((*[]string)(w))
}

// Defaults and bounds of a provider's settings.
const (
	defaultLifetime = time.Hour
	maxIssuers      = 16
)

var (
	issuerName     = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)
	knownAlgorithm = []string{"RS256", "PS256", "ES256", "EdDSA"}
	// machineRoles are what a machine can be given: it asks and reads, and decides
	// nothing.
	machineRoles = []string{"service", "viewer", "auditor"}
)

// LoadIssuers reads the file of trusted providers. It reaches none of them: that is
// done when they are needed. Paths in the file are relative to its folder.
func LoadIssuers(path string) (*Issuers, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading identity providers: %w", err)
	}
	defer file.Close()
	issuers, err := ReadIssuers(file, filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return issuers, nil
}

// ReadIssuers is LoadIssuers of what r holds; dir is where its paths begin. Errors
// do not name the file; callers do.
func ReadIssuers(r io.Reader, dir string) (*Issuers, error) {
	var f issuerFile
	if err := yamldoc.Read(r, &f); err != nil {
		return nil, err
	}
	if f.Version != issuerFileVersion {
		return nil, fmt.Errorf("version %d is not known; write version: %d", f.Version, issuerFileVersion)
	}
	if len(f.Issuers) == 0 || len(f.Issuers) > maxIssuers {
		return nil, fmt.Errorf("issuers: want 1 to %d of them", maxIssuers)
	}
	out := &Issuers{byURL: map[string]*Issuer{}, byName: map[string]*Issuer{}}
	for i, e := range f.Issuers {
		built, err := e.build(dir)
		switch {
		case err != nil:
			return nil, fmt.Errorf("issuers[%d] (%s): %w", i, e.Name, err)
		case out.byName[e.Name] != nil:
			return nil, fmt.Errorf("issuers[%d]: there are two called %s", i, e.Name)
		case out.byURL[e.Issuer] != nil:
			return nil, fmt.Errorf("issuers[%d] (%s): another one has the same issuer; give it both maps", i, e.Name)
		}
		out.byName[e.Name], out.byURL[e.Issuer] = built, built
		out.list = append(out.list, built)
	}
	return out, nil
}

func (e issuerEntry) build(dir string) (*Issuer, error) {
	if err := errors.Join(e.checkAddress(), e.checkTokens(), e.checkMap()); err != nil {
		return nil, err
	}
	i := &Issuer{
		Name: e.Name, Title: e.Title, url: e.Issuer, audience: e.Audience, tokenType: strings.ToLower(e.TokenType), lifetime: defaultLifetime,
		clientID: e.ClientID, scopes: e.Scopes, claims: e.Claims, roles: e.Roles, desks: e.Desks, machines: map[string]machine{},
	}
	if i.Title == "" {
		i.Title = e.Name
	}
	if i.tokenType == "" {
		i.tokenType = tokenType
	}
	if len(i.scopes) == 0 {
		i.scopes = []string{"openid", "profile"}
	}
	if e.MaxLifetime != "" {
		i.lifetime, _ = time.ParseDuration(e.MaxLifetime) // checkTokens has read it
	}
	for _, a := range e.Algorithms {
		i.algorithms = append(i.algorithms, jose.SignatureAlgorithm(a))
	}
	if len(i.algorithms) == 0 {
		i.algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.ES256}
	}
	for _, m := range e.Services {
		i.machines[m.ClientID] = machine{approval.System, m.Roles, m.Desk}
	}
	for _, m := range e.Agents {
		i.machines[m.ClientID] = machine{approval.Agent, m.Roles, m.Desk}
	}
	client := outbound.Client{AllowPrivate: e.AllowPrivate, Timeout: fetchTimeout, KeepAlive: true}
	var err error
	if e.CAFile != "" {
		if client.Roots, err = outbound.ReadRoots(outbound.Within(dir, e.CAFile)); err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
	}
	if e.SecretFile != "" {
		secret, err := outbound.ReadSecret(outbound.Within(dir, e.SecretFile))
		if err != nil {
			return nil, fmt.Errorf("client_secret_file: %w", err)
		}
		i.clientSecret = string(secret)
	}
	i.http = bounded(client.Open())
	i.keys = keySet{fetch: i.fetchKeys}
	return i, nil
}

func (e issuerEntry) checkAddress() error {
	u, err := url.Parse(e.Issuer)
	switch {
	case !issuerName.MatchString(e.Name):
		return errors.New("name must have 1 to 32 lower-case letters, digits and '-'")
	case e.Name == TokenSignIn:
		return fmt.Errorf("name %s stands for sign-in with a token; take another", TokenSignIn)
	case err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(e.Issuer, "|\n") || len(e.Issuer) > maxSubject:
		return fmt.Errorf("issuer must be the provider's URL, exactly as its tokens have it, without name, query or fragment, in %d bytes at most", maxSubject)
	case !SafeURL(u):
		return errors.New("issuer: want https; http only for a provider on this machine")
	}
	return nil
}

func (e issuerEntry) checkTokens() error {
	for _, a := range e.Algorithms {
		if !slices.Contains(knownAlgorithm, a) {
			return fmt.Errorf("algorithm %q must be one of %s", a, strings.Join(knownAlgorithm, ", "))
		}
	}
	if e.MaxLifetime != "" {
		if d, err := time.ParseDuration(e.MaxLifetime); err != nil || d < time.Minute || d > maxLifetime {
			return fmt.Errorf("max_lifetime %q must be a time from 1m to %s", e.MaxLifetime, maxLifetime)
		}
	}
	switch {
	case e.Audience == "":
		return errors.New("audience is missing: what the provider writes into aud of tokens for finobs")
	case e.TokenType != "" && !strings.EqualFold(e.TokenType, tokenType) && e.Audience == e.ClientID:
		return fmt.Errorf("with token_type %s the audience must differ from client_id; else an ID token would pass as an access token", e.TokenType)
	case e.SecretFile != "" && e.ClientID == "":
		return errors.New("client_secret_file without client_id")
	case len(e.Scopes) > 0 && !slices.Contains(e.Scopes, "openid"):
		return errors.New("scopes must have openid among them")
	}
	return nil
}

func (e issuerEntry) checkMap() error {
	if (len(e.Roles) > 0) != (e.Claims.Roles != "") {
		return errors.New("claims.roles and roles belong together: which claim, and what its values mean")
	}
	if (len(e.Desks) > 0) != (e.Claims.Desk != "") {
		return errors.New("claims.desk and desks belong together: which claim, and what its values mean")
	}
	for value, roles := range e.Roles {
		for _, r := range roles {
			if !slices.Contains(approval.Roles(), r) {
				return fmt.Errorf("roles: %s: role %q is not one of %s", value, r, strings.Join(approval.Roles(), ", "))
			}
		}
	}
	for value, desk := range e.Desks {
		if !approval.ValidDesk(desk) {
			return fmt.Errorf("desks: %s: %q is no name of a desk", value, desk)
		}
	}
	seen := map[string]bool{}
	for _, m := range slices.Concat(e.Services, e.Agents) {
		switch {
		case m.ClientID == "":
			return errors.New("service_accounts, agents: an entry has no client_id")
		case m.ClientID == e.ClientID:
			return fmt.Errorf("client %s is the one that people sign in with; a machine needs its own", m.ClientID)
		case seen[m.ClientID]:
			return fmt.Errorf("client %s is listed twice among service_accounts and agents", m.ClientID)
		case m.Desk != "" && !approval.ValidDesk(m.Desk):
			return fmt.Errorf("client %s: %q is no name of a desk", m.ClientID, m.Desk)
		}
		seen[m.ClientID] = true
		for _, r := range m.Roles {
			if !slices.Contains(machineRoles, r) {
				return fmt.Errorf("client %s: role %q is for people; a machine can have %s", m.ClientID, r, strings.Join(machineRoles, ", "))
			}
		}
	}
	return nil
}

// SafeURL reports whether what is sent to u cannot be read on the way: it is https,
// or stays on this machine.
func SafeURL(u *url.URL) bool {
	if u.Scheme == "https" {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}

// Describe says in lines for people what the file trusts and what its maps give.
func (i *Issuers) Describe() []string {
	var lines []string
	for _, issuer := range i.list {
		how := "tokens for the API alone"
		if issuer.clientID != "" {
			how = "people sign in as client " + issuer.clientID
		}
		lines = append(lines, fmt.Sprintf("%s: %s, audience %s, %s", issuer.Name, issuer.url, issuer.audience, how))
		for _, value := range slices.Sorted(maps.Keys(issuer.roles)) {
			lines = append(lines, fmt.Sprintf("  %s %s: %s", issuer.claims.Roles, value, strings.Join(issuer.roles[value], ", ")))
		}
		for _, value := range slices.Sorted(maps.Keys(issuer.desks)) {
			lines = append(lines, fmt.Sprintf("  %s %s: desk %s", issuer.claims.Desk, value, issuer.desks[value]))
		}
		for _, client := range slices.Sorted(maps.Keys(issuer.machines)) {
			m := issuer.machines[client]
			lines = append(lines, fmt.Sprintf("  client %s: %s, %s", client, m.kind, strings.Join(m.roles, ", ")))
		}
	}
	return lines
}

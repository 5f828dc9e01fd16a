package connector

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"finobs/internal/action"
	"finobs/internal/approval"
	"finobs/internal/outbound"
	"finobs/internal/yamldoc"

	"code.dny.dev/ssrf"
)

// MaxTimeout is the longest that a request may take.
const MaxTimeout = 2 * time.Minute

// Limits and defaults of a connector file.
const (
	defaultTimeout     = 15 * time.Second
	minTimeout         = 10 * time.Millisecond
	defaultMaxResponse = 1 << 20 // bytes
	minMaxResponse     = 1 << 10
	maxMaxResponse     = 16 << 20
	minToken           = 16 // bytes
)

type file struct {
	Version    int     `yaml:"version"`
	Connectors []entry `yaml:"connectors"`
}

type entry struct {
	Name          string        `yaml:"name"`
	Mode          string        `yaml:"mode"`
	BaseURL       string        `yaml:"base_url"`
	Kinds         []string      `yaml:"kinds"`
	TokenFile     string        `yaml:"token_file"`
	CertFile      string        `yaml:"cert_file"`
	KeyFile       string        `yaml:"key_file"`
	CAFile        string        `yaml:"ca_file"`
	AllowLoopback bool          `yaml:"allow_loopback"`
	AllowPrivate  bool          `yaml:"allow_private"`
	Timeout       time.Duration `yaml:"timeout"`
	MaxResponse   int64         `yaml:"max_response"`
}

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

// Load reads a connector file and the secrets that it names, whose paths are
// relative to dir. It refuses unknown fields; errors name the connector and the
// field, and callers the file. Nothing is connected to. Secrets are read once: after
// a change, load again. now is the clock by which commands expire.
func Load(r io.Reader, dir string, now func() time.Time) (*Set, error) {
	var f file
	if err := yamldoc.Read(r, &f); err != nil {
		return nil, err
	}
	if f.Version != 1 {
		return nil, fmt.Errorf("version %d is not known; write version: 1", f.Version)
	}
	s := &Set{
		live:      Live{router[liveSystem]{map[string]liveSystem{}}},
		simulated: Simulated{router[simulatedSystem]{map[string]simulatedSystem{}}},
	}
	names, modes := map[string]bool{}, map[string]approval.Mode{}
	for i, e := range f.Connectors {
		c, err := e.open(dir, now)
		if err != nil {
			return nil, fmt.Errorf("connectors[%d] (%s): %w", i, e.Name, err)
		}
		if names[e.Name] {
			return nil, fmt.Errorf("connectors[%d]: there are two connectors called %s", i, e.Name)
		}
		if other, taken := modes[sameAddress(c.base)]; taken && other != c.mode {
			return nil, fmt.Errorf("connectors[%d] (%s): base_url is that of a connector of the other mode; simulation must not reach a live system", i, e.Name)
		}
		names[e.Name], modes[sameAddress(c.base)] = true, c.mode
		if err := s.add(c, e.Kinds); err != nil {
			return nil, fmt.Errorf("connectors[%d] (%s): %w", i, e.Name, err)
		}
	}
	return s, nil
}

// sameAddress is an address in the one form of all that are written differently and
// reach the same: case, final dot, port and slash, and the names of this machine.
func sameAddress(u *url.URL) string {
	host, port := strings.TrimSuffix(strings.ToLower(u.Hostname()), "."), u.Port()
	if ip, err := netip.ParseAddr(host); host == "localhost" || err == nil && ip.Unmap().IsLoopback() {
		host = "localhost"
	} else if err == nil {
		host = ip.Unmap().String()
	}
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(host, port) + strings.TrimRight(u.Path, "/")
}

func (s *Set) add(c *client, kinds []string) error {
	if len(kinds) == 0 {
		return errors.New("kinds is empty; name what it serves")
	}
	for _, kind := range kinds {
		switch {
		case !slices.Contains(action.Kinds(), kind):
			return fmt.Errorf("kinds: %q is none of %s", kind, strings.Join(action.Kinds(), ", "))
		case s.For(c.mode).Serves(kind):
			return fmt.Errorf("kinds: %s is served by another connector of mode %s, or named twice", kind, c.mode)
		case c.mode == approval.Live:
			s.live.byKind[kind] = liveSystem{c}
		default:
			s.simulated.byKind[kind] = simulatedSystem{c}
		}
	}
	s.infos = append(s.infos, Info{Name: c.name, Mode: c.mode, Host: c.base.Host, Kinds: slices.Clone(kinds)})
	return nil
}

func (e entry) open(dir string, now func() time.Time) (*client, error) {
	c := &client{name: e.Name, mode: approval.Mode(e.Mode), timeout: e.Timeout, maxResponse: e.MaxResponse, now: now}
	if c.timeout == 0 {
		c.timeout = defaultTimeout
	}
	if c.maxResponse == 0 {
		c.maxResponse = defaultMaxResponse
	}
	switch {
	case !namePattern.MatchString(e.Name):
		return nil, fmt.Errorf("name %q: want a small letter, then up to 31 small letters, digits, _ or -", e.Name)
	case !c.mode.Valid():
		return nil, fmt.Errorf("mode %q must be live or simulation", e.Mode)
	case c.timeout < minTimeout || c.timeout > MaxTimeout:
		return nil, fmt.Errorf("timeout %s: want %s to %s", c.timeout, minTimeout, MaxTimeout)
	case c.maxResponse < minMaxResponse || c.maxResponse > maxMaxResponse:
		return nil, fmt.Errorf("max_response %d: want %d to %d bytes", c.maxResponse, minMaxResponse, maxMaxResponse)
	}
	var err error
	if c.base, err = e.address(); err != nil {
		return nil, fmt.Errorf("base_url: %w", err)
	}
	if e.TokenFile != "" {
		if c.token, err = outbound.ReadSecret(outbound.Within(dir, e.TokenFile)); err != nil {
			return nil, fmt.Errorf("token_file: %w", err)
		}
		if len(c.token) < minToken {
			return nil, fmt.Errorf("token_file: it holds %d bytes and at least %d are needed; make one: openssl rand -hex 32", len(c.token), minToken)
		}
	}
	settings, err := e.tls(dir)
	if err != nil {
		return nil, err
	}
	c.http = e.client(settings)
	return c, nil
}

// address reads base_url. In plain text only this machine is spoken to.
func (e entry) address() (*url.URL, error) {
	u, err := outbound.ParseURL(e.BaseURL, true, "use token_file")
	if err != nil {
		return nil, err
	}
	if u.RawQuery != "" {
		return nil, errors.New("it has a ?query; leave it out")
	}
	if u.Scheme == "http" {
		ip, err := netip.ParseAddr(u.Hostname())
		local := u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
		if !local || !e.AllowLoopback {
			return nil, errors.New("scheme http: want https; http only to this machine, with allow_loopback: true")
		}
	}
	return u.JoinPath("/"), nil
}

func (e entry) tls(dir string) (*tls.Config, error) {
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	if (e.CertFile == "") != (e.KeyFile == "") {
		return nil, errors.New("cert_file and key_file belong together; one is missing")
	}
	if e.CertFile == "" && e.TokenFile == "" {
		return nil, errors.New("nothing proves who asks; give token_file, or cert_file and key_file")
	}
	if e.CertFile != "" && !strings.HasPrefix(e.BaseURL, "https:") {
		return nil, errors.New("cert_file: a certificate is of no use without https")
	}
	if e.CertFile != "" {
		if _, err := outbound.ReadSecret(outbound.Within(dir, e.KeyFile)); err != nil {
			return nil, fmt.Errorf("key_file: %w", err)
		}
		pair, err := tls.LoadX509KeyPair(outbound.Within(dir, e.CertFile), outbound.Within(dir, e.KeyFile))
		if err != nil {
			return nil, fmt.Errorf("cert_file: %w", err)
		}
		settings.Certificates = []tls.Certificate{pair}
	}
	if e.CAFile != "" {
		roots, err := outbound.ReadRoots(outbound.Within(dir, e.CAFile))
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		settings.RootCAs = roots
	}
	return settings, nil
}

// client dials the configured host alone: no proxy, no redirect, and no address of
// this machine or of a private network unless the file says so. The check is of the
// address that is dialled, after the name was looked up. Link-local addresses, where
// clouds keep credentials, stay closed.
func (e entry) client(settings *tls.Config) *http.Client {
	var v4, v6 []netip.Prefix // an option replaces what an earlier one of its kind allowed
	if e.AllowLoopback {
		v4 = append(v4, netip.MustParsePrefix("127.0.0.0/8"))
		v6 = append(v6, netip.MustParsePrefix("::1/128"))
	}
	if e.AllowPrivate {
		v4 = append(v4, netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"))
		v6 = append(v6, netip.MustParsePrefix("fc00::/7"))
	}
	guard := ssrf.New(ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...))
	dialer := &net.Dialer{Control: guard.Safe}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  nil, // a proxy would dial for us, unchecked
			DialContext:            dialer.DialContext,
			TLSClientConfig:        settings,
			DisableKeepAlives:      true, // see client.do
			DisableCompression:     true,
			MaxResponseHeaderBytes: 16 << 10,
		},
	}
}

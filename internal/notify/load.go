package notify

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"time"

	"finobs/internal/mailer"
	"finobs/internal/outbound"
	"finobs/internal/yamldoc"
)

// Limits and defaults of a channel file.
const (
	defaultWebhookTimeout = 10 * time.Second
	maxTimeout            = 5 * time.Minute
	minSecret             = 16 // bytes
)

// Channels are the channels of one file, by name. A nil *Channels has none.
type Channels struct {
	byName map[string]Channel
}

// channelFile is the YAML form of Channels.
type channelFile struct {
	Version  int            `yaml:"version"`
	Channels []channelEntry `yaml:"channels"`
}

type channelEntry struct {
	Name    string        `yaml:"name"`
	SMTP    *smtpEntry    `yaml:"smtp"`
	Webhook *webhookEntry `yaml:"webhook"`
}

type smtpEntry struct {
	mailer.Settings `yaml:",inline"`

	To []string `yaml:"to"`
}

type webhookEntry struct {
	URL          string        `yaml:"url"`
	SecretFile   string        `yaml:"secret_file"`
	AllowPrivate bool          `yaml:"allow_private"`
	Timeout      time.Duration `yaml:"timeout"`
	CAFile       string        `yaml:"ca_file"`
}

var nameForm = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

// Load reads a channel file and the secrets that it names, whose paths are
// relative to dir. It refuses unknown fields; errors name the channel and the
// field. Secrets are read once: after a change, load again.
func Load(r io.Reader, dir string) (*Channels, error) {
	var file channelFile
	if err := yamldoc.Read(r, &file); err != nil {
		return nil, fmt.Errorf("reading channel file: %w", err)
	}
	if file.Version != 1 {
		return nil, fmt.Errorf("channel file has version %d; this program reads version 1", file.Version)
	}
	out := &Channels{byName: map[string]Channel{}}
	for i, entry := range file.Channels {
		if !nameForm.MatchString(entry.Name) {
			return nil, fmt.Errorf("channel %d: name %q: want a small letter, then up to 31 small letters, digits, _ or -", i+1, entry.Name)
		}
		if _, taken := out.byName[entry.Name]; taken {
			return nil, fmt.Errorf("channel %d: the name %q is taken", i+1, entry.Name)
		}
		channel, err := entry.open(dir)
		if err != nil {
			return nil, fmt.Errorf("channel %q: %w", entry.Name, err)
		}
		out.byName[entry.Name] = channel
	}
	return out, nil
}

// Get returns a channel by its name.
func (c *Channels) Get(name string) (Channel, bool) {
	if c == nil {
		return nil, false
	}
	channel, ok := c.byName[name]
	return channel, ok
}

// Repeatable reports whether the channel's receivers recognise a repeat, by its
// idempotency key, so that sending again does no harm.
func (c *Channels) Repeatable(name string) bool {
	channel, known := c.Get(name)
	_, repeatable := channel.(*webhook)
	return known && repeatable
}

// Names returns the names of all channels, sorted.
func (c *Channels) Names() []string {
	if c == nil {
		return nil
	}
	names := make([]string, 0, len(c.byName))
	for name := range c.byName {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (e *channelEntry) open(dir string) (Channel, error) {
	switch {
	case e.SMTP != nil && e.Webhook != nil:
		return nil, errors.New("it has smtp and webhook; make two channels of it")
	case e.SMTP != nil:
		return e.SMTP.open(dir)
	case e.Webhook != nil:
		return e.Webhook.open(dir)
	}
	return nil, errors.New("it has neither smtp nor webhook")
}

func (e *smtpEntry) open(dir string) (Channel, error) {
	server, err := e.Open(dir)
	if err != nil {
		return nil, err
	}
	for i, to := range e.To {
		if !mailer.GoodAddress(to) {
			return nil, fmt.Errorf("smtp.to[%d] %q: %s", i, to, mailer.FormOfAddress)
		}
	}
	return &mailbox{server: server, to: e.To}, nil
}

func (e *webhookEntry) open(dir string) (Channel, error) {
	u, err := outbound.ParseURL(e.URL, e.AllowPrivate, "the signature proves who sends")
	if err != nil {
		return nil, fmt.Errorf("webhook.url: %w", err)
	}
	timeout, err := timeoutOr(e.Timeout, defaultWebhookTimeout)
	if err != nil {
		return nil, fmt.Errorf("webhook.timeout: %w", err)
	}
	if e.SecretFile == "" {
		return nil, errors.New("webhook.secret_file is missing; make one: openssl rand -hex 32, mode 0600")
	}
	secret, err := outbound.ReadSecret(outbound.Within(dir, e.SecretFile))
	if err != nil {
		return nil, fmt.Errorf("webhook.secret_file: %w", err)
	}
	if len(secret) < minSecret {
		return nil, fmt.Errorf("webhook.secret_file: %s holds %d bytes and at least %d are needed; make one: openssl rand -hex 32", e.SecretFile, len(secret), minSecret)
	}
	roots, err := readRoots(dir, e.CAFile)
	if err != nil {
		return nil, fmt.Errorf("webhook.ca_file: %w", err)
	}
	return newWebhook(u, secret, roots, e.AllowPrivate, timeout, time.Now), nil
}

func timeoutOr(got, fallback time.Duration) (time.Duration, error) {
	if got == 0 {
		return fallback, nil
	}
	if got < time.Millisecond || got > maxTimeout {
		return 0, fmt.Errorf("%s: want up to %s", got, maxTimeout)
	}
	return got, nil
}

// readRoots reads certificates to trust in place of the system's; nil for none.
func readRoots(dir, path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	return outbound.ReadRoots(outbound.Within(dir, path))
}

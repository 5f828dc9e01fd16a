package mailer

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"finobs/internal/outbound"
)

// Limits and defaults of Settings.
const (
	defaultTimeout = 30 * time.Second
	maxTimeout     = 5 * time.Minute
)

// portImplicitTLS is where a server speaks TLS from the first byte (RFC 8314);
// on every other port TLS begins with STARTTLS.
const portImplicitTLS = 465

// Settings are the fields of a YAML file that say how to reach a server.
type Settings struct {
	Host         string        `yaml:"host"`          // name or IP address
	Port         int           `yaml:"port"`          // 465: TLS from the first byte
	TLS          string        `yaml:"tls"`           // mandatory (also when empty) or none
	CAFile       string        `yaml:"ca_file"`       // certificates to trust in place of the system's
	From         string        `yaml:"from"`          // address of the sender
	Username     string        `yaml:"username"`      // with PasswordFile; empty: no sign-in
	PasswordFile string        `yaml:"password_file"` // readable by its owner alone
	Timeout      time.Duration `yaml:"timeout"`       // of a whole hand-over; 0: 30 s, at most 5 min
}

// Open checks the settings and reads the files that they name, whose paths are
// relative to dir. Errors name the field.
func (s Settings) Open(dir string) (*Server, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	out := &Server{
		host: s.Host, port: s.Port, tls: s.TLS != "none", from: s.From, username: s.Username, timeout: s.Timeout,
	}
	out.implicit = out.tls && s.Port == portImplicitTLS
	if out.timeout == 0 {
		out.timeout = defaultTimeout
	}
	if s.PasswordFile != "" {
		password, err := outbound.ReadSecret(outbound.Within(dir, s.PasswordFile))
		if err != nil {
			return nil, fmt.Errorf("smtp.password_file: %w", err)
		}
		out.password = string(password)
	}
	if s.CAFile != "" {
		roots, err := outbound.ReadRoots(outbound.Within(dir, s.CAFile))
		if err != nil {
			return nil, fmt.Errorf("smtp.ca_file: %w", err)
		}
		out.roots = roots
	}
	return out, nil
}

func (s Settings) check() error {
	if s.Host == "" || strings.ContainsAny(s.Host, "/ \t\r\n\x00") || strings.Contains(s.Host, "://") {
		return fmt.Errorf("smtp.host %q: want the name or IP address of a mail server", s.Host)
	}
	if s.Port < 1 || s.Port > 65535 {
		return fmt.Errorf("smtp.port %d: want 1 to 65535, usually 587, or 465 for TLS from the start", s.Port)
	}
	if s.TLS != "" && s.TLS != "mandatory" && s.TLS != "none" {
		return fmt.Errorf("smtp.tls %q: want mandatory, the default, or none", s.TLS)
	}
	if !GoodAddress(s.From) {
		return fmt.Errorf("smtp.from %q: %s", s.From, FormOfAddress)
	}
	if (s.Username == "") != (s.PasswordFile == "") {
		return errors.New("smtp.username and smtp.password_file go together; set both or none")
	}
	if s.Username != "" && s.TLS == "none" {
		return errors.New("smtp.username with tls: none would show the password to the network; use tls: mandatory")
	}
	if s.Timeout != 0 && (s.Timeout < time.Millisecond || s.Timeout > maxTimeout) {
		return fmt.Errorf("smtp.timeout: %s: want up to %s", s.Timeout, maxTimeout)
	}
	return nil
}

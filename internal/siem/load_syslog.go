package siem

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"finobs/internal/outbound"
)

// Defaults and limits of a syslog sink.
const (
	defaultResend   = 1000 // leaves
	maxResend       = 1_000_000
	defaultFacility = "audit"
	defaultAppName  = "finobs"
)

// syslogEntry is the YAML form of a syslog sink.
type syslogEntry struct {
	Address    string `yaml:"address"`   // host:port
	Transport  string `yaml:"transport"` // tls (also when empty), tcp or udp
	Insecure   bool   `yaml:"insecure"`  // tcp and udp may leave this machine
	Format     string `yaml:"format"`    // sd (also when empty) or cef
	CAFile     string `yaml:"ca_file"`   // in place of the system's
	CertFile   string `yaml:"cert_file"` // with key_file: how finobs shows who it is
	KeyFile    string `yaml:"key_file"`
	ServerName string `yaml:"server_name"` // in the receiver's certificate; the host of address when empty
	Facility   string `yaml:"facility"`    // a name or a number; audit (13) when empty
	AppName    string `yaml:"app_name"`
	Hostname   string `yaml:"hostname"` // this machine's when empty
	// Enterprise is the private enterprise number in finobs@ENTERPRISE. Without it
	// it is 32473, which IANA keeps for documentation (RFC 5612): ask IANA for one.
	Enterprise *uint32 `yaml:"enterprise"`
	Resend     int     `yaml:"resend"` // leaves sent again after each break of a connection; 1000 when 0
}

// facilities are the numbers of RFC 5424 section 6.2.1 by their usual names.
var facilities = []string{
	"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
	"ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
}

func facility(name string) (int, error) {
	if name == "" {
		name = defaultFacility
	}
	if i := slices.Index(facilities, name); i >= 0 {
		return i, nil
	}
	if n, err := strconv.Atoi(name); err == nil && n >= 0 && n < len(facilities) {
		return n, nil
	}
	return 0, fmt.Errorf("syslog.facility %q: want one of %s, or its number", name, strings.Join(facilities, ", "))
}

func (e *syslogEntry) open(name, dir string) (sink, error) {
	host, port, err := net.SplitHostPort(e.Address)
	if n, portErr := strconv.Atoi(port); err != nil || portErr != nil || host == "" || n < 1 || n > 65535 {
		return nil, fmt.Errorf("syslog.address %q: want host:port; the port is usually 6514 for tls and 514 for tcp and udp", e.Address)
	}
	if e.Resend < 0 || e.Resend > maxResend {
		return nil, fmt.Errorf("syslog.resend %d: want up to %d leaves", e.Resend, maxResend)
	}
	form, err := e.form()
	if err != nil {
		return nil, err
	}
	if e.Transport != "" && e.Transport != "tls" {
		if err := e.clear(host); err != nil {
			return nil, err
		}
	}
	switch e.Transport {
	case "", "tls":
		config, err := e.tls(host, dir)
		if err != nil {
			return nil, err
		}
		return &stream{label: name, address: e.Address, tls: config, format: form, resend: e.resend()}, nil
	case "tcp":
		return &stream{label: name, address: e.Address, format: form, resend: e.resend(), local: !e.Insecure}, nil
	case "udp":
		return &datagram{label: name, address: e.Address, format: form, local: !e.Insecure}, nil
	}
	return nil, fmt.Errorf("syslog.transport %q: want tls, the default, tcp or udp", e.Transport)
}

func (e *syslogEntry) resend() int64 {
	if e.Resend == 0 {
		return defaultResend
	}
	return int64(e.Resend)
}

// clear checks a sink whose transport is not encrypted.
func (e *syslogEntry) clear(host string) error {
	if e.CAFile != "" || e.CertFile != "" || e.KeyFile != "" || e.ServerName != "" {
		return fmt.Errorf("syslog.ca_file, cert_file, key_file and server_name need transport: tls, not %s", e.Transport)
	}
	ip, err := netip.ParseAddr(host)
	if e.Insecure || host == "localhost" || err == nil && ip.Unmap().IsLoopback() {
		return nil
	}
	return fmt.Errorf("syslog.transport %s to %s would show every entry to the network, and anybody could add to it; use transport: tls, or set insecure: true", e.Transport, host)
}

func (e *syslogEntry) form() (format, error) {
	f := format{hostname: e.Hostname, appName: e.AppName, procID: strconv.Itoa(os.Getpid()), enterprise: DocumentationPEN, cef: e.Format == "cef"}
	if e.Format != "" && e.Format != "sd" && e.Format != "cef" {
		return f, fmt.Errorf("syslog.format %q: want sd, the default, or cef", e.Format)
	}
	var err error
	if f.facility, err = facility(e.Facility); err != nil {
		return f, err
	}
	if e.Enterprise != nil {
		if f.enterprise = *e.Enterprise; f.enterprise == 0 {
			return f, errors.New("syslog.enterprise 0: want the private enterprise number of your organisation")
		}
	}
	if f.appName == "" {
		f.appName = defaultAppName
	}
	if f.hostname == "" {
		if f.hostname, err = os.Hostname(); err != nil {
			return f, fmt.Errorf("syslog.hostname is empty and this machine has no name: %w", err)
		}
	}
	for field, value := range map[string]struct {
		text  string
		limit int
	}{"hostname": {f.hostname, maxHostname}, "app_name": {f.appName, maxAppName}} {
		if printable(value.text, value.limit) != value.text {
			return f, fmt.Errorf("syslog.%s %q: want up to %d printable ASCII characters without spaces", field, value.text, value.limit)
		}
	}
	return f, nil
}

func (e *syslogEntry) tls(host, dir string) (*tls.Config, error) {
	if e.Insecure {
		return nil, errors.New("syslog.insecure is for tcp and udp; with tls the receiver's certificate is always checked")
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: e.ServerName}
	if config.ServerName == "" {
		config.ServerName = host
	}
	var err error
	if config.RootCAs, err = readRoots(dir, e.CAFile); err != nil {
		return nil, fmt.Errorf("syslog.ca_file: %w", err)
	}
	if (e.CertFile == "") != (e.KeyFile == "") {
		return nil, errors.New("syslog.cert_file and syslog.key_file go together; set both or none")
	}
	if e.CertFile == "" {
		return config, nil
	}
	cert, err := os.ReadFile(outbound.Within(dir, e.CertFile))
	if err != nil {
		return nil, fmt.Errorf("syslog.cert_file: %w", err)
	}
	key, err := outbound.ReadSecret(outbound.Within(dir, e.KeyFile))
	if err != nil {
		return nil, fmt.Errorf("syslog.key_file: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("syslog.cert_file and key_file: %w", err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

package siem

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"finobs/internal/devstack"
	"finobs/internal/siem/seen"

	"github.com/leodido/go-syslog/v4/rfc5424"
)

// rsyslogConfig is for a private rsyslog that keeps what it gets in dir/out.
func rsyslogConfig(t *testing.T, dir string) devstack.RsyslogConfig {
	t.Helper()
	program, err := devstack.EnsureRsyslog(t.Context(), os.Stderr)
	if errors.Is(err, devstack.ErrNoRsyslog) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	port, err := devstack.FreePort(0)
	if err != nil {
		t.Fatal(err)
	}
	return devstack.RsyslogConfig{Program: program, Dir: dir, Port: port, Output: filepath.Join(dir, "out")}
}

func startRsyslog(t *testing.T, c devstack.RsyslogConfig) *devstack.Rsyslog {
	t.Helper()
	r, err := devstack.StartRsyslog(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// kept checks every line that rsyslog kept, with an independent parser, and that
// all n leaves are there. A line that a crash cut off is allowed when crashed.
func kept(t *testing.T, c devstack.RsyslogConfig, n int64, crashed int) seen.Report {
	t.Helper()
	var text []byte
	eventually(t, "rsyslog has the last leaf", func() bool {
		text, _ = os.ReadFile(c.Output)
		return bytes.Contains(text, fmt.Appendf(nil, `[finobs@32473 idx="%d"`, n-1)) && bytes.HasSuffix(text, []byte("\n"))
	})
	report := complete(t, text, n)
	if report.Skipped > int64(crashed) {
		t.Errorf("%d lines are not messages", report.Skipped)
	}
	parser := rfc5424.NewParser()
	bad := 0
	for _, line := range bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")) {
		m, err := parser.Parse(line)
		if err != nil {
			bad++
			t.Logf("%q: %v", line, err)
			continue
		}
		if _, ours := (*m.(*rfc5424.SyslogMessage).StructuredData)["finobs@32473"]; !ours {
			t.Errorf("a forged line: %q", line)
		}
	}
	if bad > crashed {
		t.Errorf("%d lines cannot be parsed", bad)
	}
	t.Logf("%d messages, %d duplicates, %d lines cut off", report.Count, report.Duplicates, bad)
	return report
}

func sinkOf(c devstack.RsyslogConfig, transport string) string {
	return fmt.Sprintf("  - {name: siem, syslog: {address: \"127.0.0.1:%d\", transport: %s}}\n", c.Port, transport)
}

func TestRsyslogIsDownThenUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := rsyslogConfig(t, dir)
	m := newMemory(t, 0)
	f, _ := run(t, m, dir, sinkOf(c, "tcp"))
	m.grow(t, 1000)
	eventually(t, "it fails", func() bool { return strings.Contains(f.Status()[0].LastError, "refused") })
	if s := f.Status()[0]; s.Acked != 0 || s.Connected {
		t.Errorf("got %+v", s)
	}
	startRsyslog(t, c)
	eventually(t, "all acknowledged", func() bool { return m.ackedBy("siem") == 1000 })
	if report := kept(t, c, 1000, 0); report.Duplicates != 0 {
		t.Errorf("got %+v", report)
	}
}

func TestRsyslogIsKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := rsyslogConfig(t, dir)
	m := newMemory(t, 2000)
	r := startRsyslog(t, c)
	_, _ = run(t, m, dir, sinkOf(c, "tcp"))
	const kills = 4
	for range kills {
		before := m.size()
		m.grow(t, 700)
		eventually(t, "some were acknowledged", func() bool { return m.ackedBy("siem") >= before/2 })
		if err := r.Kill(); err != nil {
			t.Fatal(err)
		}
		m.grow(t, 300)
		r = startRsyslog(t, c)
	}
	n := m.size()
	eventually(t, "all acknowledged", func() bool { return m.ackedBy("siem") == n })
	kept(t, c, n, kills)
}

func TestRsyslogOverTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := newAuthority(t, dir)
	ca.issue(t, "server", "localhost")
	ca.issue(t, "client", "finobs")
	c := rsyslogConfig(t, dir)
	c.CA, c.Cert, c.Key, c.ClientCert = filepath.Join(dir, "ca.pem"), filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key"), true
	startRsyslog(t, c)
	m := newMemory(t, 1500)
	sink := func(name, more string) string {
		return fmt.Sprintf("  - {name: %s, syslog: {address: \"127.0.0.1:%d\", ca_file: ca.pem, %s}}\n", name, c.Port, more)
	}
	f, _ := run(t, m, dir, sink("siem", "cert_file: client.pem, key_file: client.key")+
		sink("nobody", "server_name: localhost")+
		sink("other", "server_name: other.example.com, cert_file: client.pem, key_file: client.key"))
	eventually(t, "all acknowledged", func() bool { return m.ackedBy("siem") == 1500 })
	kept(t, c, 1500, 0)
	eventually(t, "the others fail", func() bool { return f.Status()[1].LastError != "" && f.Status()[2].LastError != "" })
	if s := f.Status()[1]; s.Acked != 0 {
		t.Errorf("without a certificate: %+v", s)
	}
	if s := f.Status()[2]; s.Acked != 0 || !strings.Contains(s.LastError, "other.example.com") {
		t.Errorf("with the wrong name: %+v", s)
	}
	t.Log(f.Status()[1].LastError)
}

// authority issues certificates into a folder.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, dir string) *authority {
	t.Helper()
	a := &authority{dir: dir}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.key = a.write(t, "ca", a.cert)
	return a
}

func (a *authority) issue(t *testing.T, name, host string) {
	t.Helper()
	a.write(t, name, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: host}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{host}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
}

func (a *authority) write(t *testing.T, name string, cert *x509.Certificate) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer := a.key
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, a.cert, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(a.dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return key
}

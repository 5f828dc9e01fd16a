package connector_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/connector"
	"finobs/internal/fault"
	"finobs/internal/sandbox"
)

// authority is one that signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// certificate is one with its key, as PEM.
type certificate struct{ cert, key []byte }

func newKey(t *testing.T) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func newAuthority(t *testing.T, name string) authority {
	t.Helper()
	key, _ := newKey(t)
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key}
}

func (a authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

func (a authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// signs makes a certificate of one side that is valid until a moment.
func (a authority) signs(t *testing.T, of x509.ExtKeyUsage, until time.Time, ip string) certificate {
	t.Helper()
	key, keyPEM := newKey(t)
	form := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "desk"}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{of}, IPAddresses: []net.IP{net.ParseIP(ip)},
	}
	der, err := x509.CreateCertificate(rand.Reader, form, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return certificate{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), keyPEM}
}

// openMutual serves who shows a certificate of an authority. It returns where.
func openMutual(t *testing.T, clients authority, own certificate, version uint16, serve http.HandlerFunc) string {
	t.Helper()
	pair, err := tls.X509KeyPair(own.cert, own.key)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewUnstartedServer(serve)
	web.TLS = &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients.pool(), MinVersion: version, MaxVersion: version,
	}
	web.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes are meant to fail
	web.StartTLS()
	t.Cleanup(web.Close)
	return web.URL
}

// openMutualDesk is a sandbox that wants certificates of an authority. It returns
// where it is.
func openMutualDesk(t *testing.T, clients authority, own certificate, version uint16) string {
	t.Helper()
	seed, err := sandbox.DefaultSeed()
	if err != nil {
		t.Fatal(err)
	}
	desk, err := sandbox.Open(sandbox.Config{Token: []byte(token), Mode: "simulation", Seed: seed, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { desk.Close() })
	return openMutual(t, clients, own, version, func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.VerifiedChains) == 0 {
			t.Error("a request without a certificate arrived")
		}
		desk.ServeHTTP(w, r)
	})
}

// mutual loads a connector with a certificate, none when it is empty, that trusts an
// authority, and with what else its entry has.
func mutual(t *testing.T, url string, own certificate, trusts authority, entry string) connector.Executor {
	t.Helper()
	dir := t.TempDir()
	files := map[string][]byte{"token": []byte(token), "ca.pem": trusts.pem()}
	if own.cert != nil {
		files["client.pem"], files["client-key.pem"] = own.cert, own.key
		entry += ", cert_file: client.pem, key_file: client-key.pem"
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set, err := connector.Load(strings.NewReader(fmt.Sprintf("version: 1\nconnectors:\n  - {name: oms, mode: simulation, base_url: %q, kinds: [trader], "+
		"ca_file: ca.pem, allow_loopback: true, timeout: 10s%s}\n", url, entry)), dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return set.For(approval.Simulation)
}

// With mutual TLS both sides know who the other is, or nothing is applied, and the
// error says whose certificate is wrong.
func TestMutualTLS(t *testing.T) {
	t.Parallel()
	ours, other := newAuthority(t, "ours"), newAuthority(t, "another")
	hour := time.Now().Add(time.Hour)
	past := time.Now().Add(-time.Minute)
	server := ours.signs(t, x509.ExtKeyUsageServerAuth, hour, "127.0.0.1")
	client := ours.signs(t, x509.ExtKeyUsageClientAuth, hour, "127.0.0.1")
	for name, c := range map[string]struct {
		server, client certificate
		trusts         authority
		code, says     string // of the refusal; "" for none
	}{
		"both are known":           {server, client, ours, "", ""},
		"no client certificate":    {server, certificate{}, ours, "connector.denied", "cert_file and key_file"},
		"an expired client":        {server, ours.signs(t, x509.ExtKeyUsageClientAuth, past, "127.0.0.1"), ours, "connector.denied", "cert_file and key_file"},
		"a client of another CA":   {server, other.signs(t, x509.ExtKeyUsageClientAuth, hour, "127.0.0.1"), ours, "connector.denied", "cert_file and key_file"},
		"a server's as a client's": {server, server, ours, "connector.denied", "cert_file and key_file"},
		"the wrong ca_file":        {server, client, other, "connector.untrusted", "check ca_file"},
		"an expired server":        {ours.signs(t, x509.ExtKeyUsageServerAuth, past, "127.0.0.1"), client, ours, "connector.untrusted", "dates"},
		"a server of another name": {ours.signs(t, x509.ExtKeyUsageServerAuth, hour, "127.0.0.2"), client, ours, "connector.untrusted", "names"},
		"a client's as a server's": {client, client, ours, "connector.untrusted", "check ca_file"},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(name+", "+tls.VersionName(version), func(t *testing.T) {
				url := openMutualDesk(t, ours, c.server, version)
				desk := mutual(t, url, c.client, c.trusts, ", token_file: token")
				_, err := desk.Read(t.Context(), "trader", "amina")
				refused(t, version, "read", err, c.code, c.says)
				out, err := desk.Apply(t.Context(), "key", block, trader)
				if c.code == "" {
					if err != nil || out.Status != connector.Done {
						t.Errorf("%+v, %v", out, err)
					}
				} else if out.Status != connector.Unknown || version == tls.VersionTLS12 {
					refused(t, version, "command", err, c.code, c.says)
				}
				// Whoever is known asks what became of it.
				known := mutual(t, url, client, ours, ", token_file: token")
				if c.trusts == ours && c.code != "connector.untrusted" {
					want := connector.Absent
					if c.code == "" {
						want = connector.Done
					}
					if found, err := known.Lookup(t.Context(), "trader", "key"); err != nil || found.Status != want {
						t.Errorf("looked up: %+v, %v", found, err)
					}
				}
			})
		}
	}
}

// refused fails the test unless an error is a refusal of a code, or there is none of
// either. In TLS 1.3 the request leaves before the server has judged the certificate,
// and its reset may overtake its alert.
func refused(t *testing.T, version uint16, what string, err error, code, says string) {
	t.Helper()
	switch {
	case code == "" && err == nil:
	case fault.CodeOf(err) == code && strings.Contains(err.Error(), says) && fault.KindOf(err).Retryable():
	case version == tls.VersionTLS13 && code == "connector.denied" && fault.CodeOf(err) == "connector.no-answer":
	default:
		t.Errorf("%s: got %v, want %s: %s", what, err, code, says)
	}
}

// A certificate proves who asks, in the place of a token.
func TestACertificateAloneProvesWhoAsks(t *testing.T) {
	t.Parallel()
	ours, hour := newAuthority(t, "ours"), time.Now().Add(time.Hour)
	client := ours.signs(t, x509.ExtKeyUsageClientAuth, hour, "127.0.0.1")
	url := openMutual(t, ours, ours.signs(t, x509.ExtKeyUsageServerAuth, hour, "127.0.0.1"), tls.VersionTLS13, func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) != 1 || r.Header.Get("Authorization") != "" {
			t.Errorf("asked with %d certificates and %q", len(r.TLS.PeerCertificates), r.Header.Get("Authorization"))
		}
		_, _ = w.Write([]byte(`{"kind":"trader","id":"amina","version":"1","fields":{}}`))
	})
	if _, err := mutual(t, url, client, ours, "").Read(t.Context(), "trader", "amina"); err != nil {
		t.Error(err)
	}
}

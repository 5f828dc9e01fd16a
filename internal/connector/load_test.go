package connector_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
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
)

func TestFilesThatAreWrong(t *testing.T) {
	const good = "{name: oms, mode: live, base_url: 'https://oms.example.com', kinds: [order], token_file: token}"
	if _, err := load(t, "version: 1\nconnectors:\n  - "+good+"\n"); err != nil {
		t.Fatal(err)
	}
	with := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("there is no %s", old)
		}
		return "version: 1\nconnectors:\n  - " + strings.Replace(good, old, new, 1) + "\n"
	}
	more := func(s string) string { return with("}", ", "+s+"}") }
	for name, c := range map[string]struct{ yaml, want string }{
		"Empty":          {"", "empty"},
		"Version":        {"version: 2\n", "version 2"},
		"UnknownField":   {more("password: x"), "password"},
		"Name":           {with("name: oms", "name: OMS"), "name \"OMS\""},
		"TwoOfOneName":   {"version: 1\nconnectors:\n  - " + good + "\n  - " + strings.Replace(good, "[order]", "[feed]", 1) + "\n", "two connectors called oms"},
		"Mode":           {with("mode: live", "mode: test"), "mode \"test\""},
		"NoMode":         {with("mode: live, ", ""), "mode \"\""},
		"NoKinds":        {with("[order]", "[]"), "kinds is empty"},
		"UnknownKind":    {with("[order]", "[moon]"), "\"moon\" is none of"},
		"KindTwice":      {with("[order]", "[order, order]"), "served by another"},
		"KindOfTwo":      {"version: 1\nconnectors:\n  - " + good + "\n  - " + strings.NewReplacer("name: oms", "name: ems", "oms.ex", "ems.ex").Replace(good) + "\n", "served by another"},
		"OneURLTwoModes": {"version: 1\nconnectors:\n  - " + good + "\n  - " + strings.NewReplacer("name: oms", "name: sim", "mode: live", "mode: simulation", ".com", ".com/").Replace(good) + "\n", "other mode"},
		"NoURL":          {with("'https://oms.example.com'", "''"), "base_url"},
		"HTTP":           {with("https:", "http:"), "want https"},
		"HTTPLoopback":   {with("https://oms.example.com", "http://127.0.0.1:1"), "allow_loopback"},
		"HTTPElsewhere":  {strings.Replace(more("allow_loopback: true"), "https:", "http:", 1), "want https"},
		"UserInURL":      {with("https://", "https://u:p@"), "token_file"},
		"Query":          {with(".com", ".com?key=1"), "?query"},
		"Fragment":       {with(".com", ".com#x"), "#fragment"},
		"Scheme":         {with("https:", "ftp:"), "scheme"},
		"NoProof":        {with(", token_file: token", ""), "nothing proves"},
		"NoTokenFile":    {with("token_file: token", "token_file: none"), "token_file"},
		"CertAlone":      {more("cert_file: c"), "belong together"},
		"NoCert":         {more("cert_file: c, key_file: token"), "cert_file"},
		"NoCA":           {more("ca_file: token"), "ca_file"},
		"ShortTimeout":   {more("timeout: 1ms"), "timeout 1ms"},
		"LongTimeout":    {more("timeout: 3m"), "timeout 3m"},
		"SmallResponse":  {more("max_response: 10"), "max_response 10"},
		"LargeResponse":  {more("max_response: 99999999999"), "max_response"},
	} {
		t.Run(name, func(t *testing.T) {
			if set, err := load(t, c.yaml); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v, want %q", set, err, c.want)
			}
		})
	}
}

func TestSecretsThatOthersCanRead(t *testing.T) {
	dir := t.TempDir()
	yaml := "version: 1\nconnectors:\n  - {name: oms, mode: live, base_url: 'https://oms.example.com', kinds: [order], token_file: token}\n"
	for text, mode := range map[string]os.FileMode{token: 0o644, "short": 0o600} {
		path := filepath.Join(dir, "token")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := connector.Load(strings.NewReader(yaml), dir, time.Now); err == nil || !strings.Contains(err.Error(), "token_file") {
			t.Errorf("%s at %04o: %v", text, mode, err)
		}
	}
}

func TestInfosHoldNoSecret(t *testing.T) {
	set, err := load(t, "version: 1\nconnectors:\n"+entry("sim", approval.Simulation, "http://127.0.0.1:1/hook/s3cret", "trader, feed", ""))
	if err != nil {
		t.Fatal(err)
	}
	infos := set.Infos()
	if len(infos) != 1 || infos[0].Name != "sim" || infos[0].Host != "127.0.0.1:1" || infos[0].Mode != approval.Simulation || len(infos[0].Kinds) != 2 {
		t.Errorf("got %+v", infos)
	}
}

// A certificate proves who asks, in the place of a token.
func TestCertificates(t *testing.T) {
	dir := t.TempDir()
	certificate := selfSigned(t, dir)
	pool := x509.NewCertPool()
	pool.AddCert(certificate.Leaf)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) != 1 || r.Header.Get("Authorization") != "" {
			t.Errorf("asked with %d certificates and %q", len(r.TLS.PeerCertificates), r.Header.Get("Authorization"))
		}
		_, _ = w.Write([]byte(`{"kind":"trader","id":"amina","version":"1","fields":{}}`))
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	server.StartTLS()
	defer server.Close()
	read := func(more string) error {
		yaml := "version: 1\nconnectors:\n  - {name: oms, mode: live, base_url: '" + server.URL + "', kinds: [trader], allow_loopback: true, ca_file: cert.pem, " + more + "}\n"
		set, err := connector.Load(strings.NewReader(yaml), dir, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		_, err = set.For(approval.Live).Read(t.Context(), "trader", "amina")
		return err
	}
	if err := read("cert_file: cert.pem, key_file: key.pem"); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := read("token_file: token"); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("without a certificate: %v", err)
	}
}

// selfSigned writes cert.pem and key.pem.
func selfSigned(t *testing.T, dir string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "desk"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// Package outbound is how finobs reaches other people's servers: it reads the
// secrets and certificates for that, and makes HTTP clients that go nowhere they
// should not.
package outbound

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"code.dny.dev/ssrf"
)

// maxSecret bounds a secret, such as a token or a private key, in bytes.
const maxSecret = 16 << 10

// Within is a path relative to a folder, unless it is absolute.
func Within(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// ReadSecret reads a file that nobody else may read, without the end of its last
// line.
func ReadSecret(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s has mode %04o; others must not read it: chmod 600 %s", path, info.Mode().Perm(), path)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	if err != nil {
		return nil, err
	}
	secret := []byte(strings.TrimRight(string(text), "\r\n"))
	if len(secret) == 0 || len(text) > maxSecret {
		return nil, fmt.Errorf("%s is empty or larger than %d bytes", path, maxSecret)
	}
	return secret, nil
}

// ReadRoots reads certificates to trust in place of the system's; nil for none.
func ReadRoots(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", path)
	}
	return roots, nil
}

// ParseURL reads the address of a receiver. secretElsewhere says where what
// proves the sender belongs, for who writes it into the address.
func ParseURL(s string, allowPrivate bool, secretElsewhere string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("it is not a URL") // the error would quote it, and it may hold a secret
	}
	switch {
	case u.User != nil:
		return nil, errors.New("a name or password in it would be logged; " + secretElsewhere)
	case u.Scheme != "https" && (!allowPrivate || u.Scheme != "http"):
		return nil, fmt.Errorf("scheme %q: want https; http only with allow_private: true", u.Scheme)
	case u.Hostname() == "":
		return nil, errors.New("it has no host")
	case u.Fragment != "":
		return nil, errors.New("it has a #fragment, which is never sent; leave it out")
	}
	return u, nil
}

// privatePrefixes are what allow_private opens: this machine and private
// networks. Link-local addresses, where clouds keep credentials, stay closed.
var (
	privateV4 = []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"),
		netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	}
	privateV6 = []netip.Prefix{netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("fc00::/7")}
)

// Client says how to reach a receiver over HTTP.
type Client struct {
	Roots        *x509.CertPool // nil: the system's
	AllowPrivate bool           // also this machine and private networks
	Timeout      time.Duration  // of a whole request
	KeepAlive    bool           // requests are frequent
}

// Open makes a client that follows no redirect, uses no proxy, and dials no
// forbidden address (see Forbidden).
func (c Client) Open() *http.Client {
	options := []ssrf.Option{ssrf.WithAnyPort()}
	if c.AllowPrivate {
		options = append(options, ssrf.WithAllowedV4Prefixes(privateV4...), ssrf.WithAllowedV6Prefixes(privateV6...))
	}
	// The check is of the address that is dialled, after the name was looked up,
	// so a name that changes its address between two look-ups gains nothing.
	dialer := &net.Dialer{Control: ssrf.New(options...).Safe}
	return &http.Client{
		Timeout:       c.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  nil, // a proxy would dial for us, unchecked
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.Roots},
			DisableKeepAlives:      !c.KeepAlive,
			DisableCompression:     true,
			MaxIdleConnsPerHost:    1,
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: 16 << 10,
		},
	}
}

// Forbidden reports whether a request failed because its address is one that the
// client does not dial.
func Forbidden(err error) bool {
	return errors.Is(err, ssrf.ErrProhibitedIP) || errors.Is(err, ssrf.ErrProhibitedNetwork)
}

package vault

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

const (
	// timeout is for one request, from the dial to the end of the answer.
	timeout = 10 * time.Second
	// maxAnswer is the largest answer that is read, in bytes. A key of a thousand
	// versions is described in less.
	maxAnswer = 1 << 20
	// maxDetail is how much of an answer's errors gets into ours, in bytes.
	maxDetail = 300
)

// client speaks Vault's HTTP API at one address, with one token at a time.
type client struct {
	ref    *reference
	tokens *tokens
	http   *http.Client
}

func newClient(ref *reference, tokens *tokens, roots *x509.CertPool) *client {
	dialer := &net.Dialer{Timeout: timeout}
	if ref.base.Scheme == "http" {
		dialer.Control = func(_, address string, _ syscall.RawConn) error { return onlyLoopback(address) }
	}
	return &client{ref: ref, tokens: tokens, http: &http.Client{
		Timeout: timeout,
		// The token would go along.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  nil, // nor to a proxy that the environment names
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			MaxIdleConnsPerHost:    8,
			IdleConnTimeout:        30 * time.Second,
			DisableCompression:     true, // a small answer must not become a large one
			MaxResponseHeaderBytes: 64 << 10,
		},
	}}
}

// call asks for what ("keys" or "sign") of the key and decodes the data of the
// answer. When the token is refused and its file holds another by now, it asks
// once more.
func (c *client) call(ctx context.Context, method, what string, body, data any) error {
	token := c.tokens.current()
	status, text, err := c.do(ctx, method, what, token, body)
	if err == nil && status == http.StatusForbidden {
		fresh, changed, readErr := c.tokens.after(token)
		if readErr != nil {
			return fmt.Errorf("Vault at %s refused the token, and reading a new one failed: %w", c.ref.base.Host, readErr)
		}
		if changed {
			token = fresh
			status, text, err = c.do(ctx, method, what, token, body)
		}
	}
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return c.refusal(status, what, detail(text, token))
	}
	var answer struct {
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || len(answer.Data) == 0 {
		return fmt.Errorf("%s answered without the data that Vault gives; check that the address is Vault's", c.ref.base.Host)
	}
	if err := json.Unmarshal(answer.Data, data); err != nil {
		return fmt.Errorf("%s answered data of another form than Vault's; check that %s is of a transit engine", c.ref.base.Host, c.ref)
	}
	return nil
}

func (c *client) do(ctx context.Context, method, what, token string, body any) (status int, text []byte, err error) {
	var sent []byte
	if body != nil {
		if sent, err = json.Marshal(body); err != nil {
			return 0, nil, fmt.Errorf("preparing the request to Vault: %w", err)
		}
	}
	u := c.ref.base
	u.Path = "/v1/" + c.ref.mount + "/" + what + "/" + c.ref.name
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(sent))
	if err != nil {
		return 0, nil, fmt.Errorf("preparing the request to Vault: %w", err)
	}
	req.Header.Set("X-Vault-Token", token)
	req.Header.Set("X-Vault-Request", "true")
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "finobs")
	if c.ref.namespace != "" {
		req.Header.Set("X-Vault-Namespace", c.ref.namespace)
	}
	// Never sent: it tells net/http that asking twice does no harm, for the case
	// that Vault closes an idle connection just when we use it.
	req.Header["Idempotency-Key"] = nil
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, c.unanswered(ctx, err)
	}
	defer resp.Body.Close()
	text, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return 0, nil, c.unanswered(ctx, err)
	}
	if len(text) > maxAnswer {
		return 0, nil, fmt.Errorf("%s answered more than %d bytes; check that the address is Vault's", c.ref.base.Host, maxAnswer)
	}
	return resp.StatusCode, text, nil
}

func (c *client) unanswered(ctx context.Context, err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		err = of.Err // the rest is the URL, which says less than we do
	}
	if ctx.Err() != nil {
		return fmt.Errorf("Vault at %s did not answer in time: %w", c.ref.base.Host, context.Cause(ctx))
	}
	return fmt.Errorf("Vault at %s did not answer: %w", c.ref.base.Host, err)
}

// detail returns the errors of an answer on one line, without the token, should
// something on the way echo it.
func detail(text []byte, token string) string {
	var answer struct {
		Errors []string `json:"errors"`
	}
	if json.Unmarshal(text, &answer) != nil {
		return ""
	}
	line := strings.Join(strings.Fields(strings.Join(answer.Errors, "; ")), " ")
	line = strings.ReplaceAll(line, token, "[token]")
	line = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, line)
	if len(line) > maxDetail {
		line = line[:maxDetail] + "..."
	}
	return line
}

// refusal says what a status other than 200 means and how to mend it.
func (c *client) refusal(status int, what, said string) error {
	path := c.ref.mount + "/" + what + "/" + c.ref.name
	capability := map[string]string{"keys": "read", "sign": "update"}[what]
	var means string
	switch {
	case strings.Contains(said, "no handler for route"):
		means = fmt.Sprintf("no transit engine is at %s: check the mount and namespace, or vault secrets enable -path=%s transit", c.ref.mount, c.ref.mount)
	case status == http.StatusNotFound, strings.Contains(said, "signing key not found"):
		means = fmt.Sprintf("there is no key %s: vault write -f %s type=ed25519", c.ref, c.ref)
	case strings.Contains(said, "minimum encryption key version"):
		means = "this version may not sign any more: open the signer with a later one, or lower min_encryption_version of " + c.ref.String()
	case status == http.StatusForbidden:
		means = fmt.Sprintf("the token of %s has expired or may not %s %s: renew it, or give its policy path %q { capabilities = [%q] }", c.ref.tokenFile, capability, path, path, capability)
	case status == http.StatusServiceUnavailable:
		means = "it is sealed or not ready: vault operator unseal"
	case status == http.StatusTooManyRequests:
		means = "it has had too many requests: try again later"
	case status >= 300 && status <= 399:
		means = "redirects are not followed: put the address of the active node into the reference"
	default:
		means = "it did not do what was asked of " + path
	}
	if said != "" {
		said = fmt.Sprintf(" (%s)", said)
	}
	return fmt.Errorf("Vault at %s answered %d; %s%s", c.ref.base.Host, status, means, said)
}

package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"

	"finobs/internal/mailer"
	"finobs/internal/outbound"
)

// Probe reports whether messages could be sent over a channel now, without sending
// one. It says in words how far it looked.
func (c *Channels) Probe(ctx context.Context, name string) (string, error) {
	channel, known := c.Get(name)
	if !known {
		return "", fmt.Errorf("no channel is called %q", name)
	}
	switch to := channel.(type) {
	case *mailbox:
		var e *mailer.Error
		if err := to.server.Probe(ctx); errors.As(err, &e) {
			return "", errors.New(e.Detail)
		} else if err != nil {
			return "", err
		}
		return "the mail server would take mails", nil
	case *webhook:
		return "a connection comes about; nothing was sent, so whether messages are taken is not known", to.probe(ctx)
	}
	return "", fmt.Errorf("channel %q cannot be looked at without sending", name)
}

// probe connects to the receiver as Send would, with TLS, and says nothing: a
// receiver may take any request for a message.
func (w *webhook) probe(ctx context.Context) error {
	transport, ok := w.client.Transport.(*http.Transport)
	if !ok {
		return errors.New("the channel has no transport that can be looked at")
	}
	port := w.url.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[w.url.Scheme]
	}
	conn, err := transport.DialContext(ctx, "tcp", net.JoinHostPort(w.url.Hostname(), port))
	if outbound.Forbidden(err) {
		return fmt.Errorf("%s is at an address of this machine or a private network; set allow_private: true for the channel if that is meant", w.url.Host)
	}
	if err != nil {
		return fmt.Errorf("connecting to %s: %w", w.url.Host, err)
	}
	defer conn.Close()
	if w.url.Scheme != "https" {
		return nil
	}
	config := transport.TLSClientConfig.Clone()
	config.ServerName = w.url.Hostname()
	if err := tls.Client(conn, config).HandshakeContext(ctx); err != nil {
		return fmt.Errorf("speaking TLS with %s: %w", w.url.Host, err)
	}
	return nil
}

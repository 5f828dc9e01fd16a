package mailer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	stdmail "net/mail"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// quitTimeout is how long a server may take to say goodbye. The mail is on its
// way, or is known not to be, by then.
const quitTimeout = 2 * time.Second

// Server is an SMTP server and how to sign in to it; see Settings.
type Server struct {
	host               string
	port               int
	tls                bool
	implicit           bool           // TLS from the first byte, not by STARTTLS
	roots              *x509.CertPool // nil: the system's
	from               string
	username, password string
	timeout            time.Duration
}

// Receipt says who gets a mail that was handed over.
type Receipt struct {
	Recipients int      // addresses that were taken
	Refused    []string // addresses that are wrong for good, while others were taken
}

// Send hands one finished mail over, for all recipients. Every error is an *Error.
//
// Every step is taken by itself, not by go-mail's Send, because that answers two
// questions wrongly for us: when writing fails in the middle of a mail it says
// QUIT, which can end the mail as if it were whole; and it drops a mail for everybody when
// the server refuses one address, so that one who left would silence all.
//
// Here an address that is refused for good (5xx) is left out and named in the
// receipt; one that is refused for now (4xx) keeps the mail back for all, for a
// later try. What happens before the final dot of the mail is NotSent or Refused,
// by the server's code; what happens to a connection after it, before the
// server's answer, is Unknown.
func (b *Server) Send(ctx context.Context, to []*stdmail.Address, letter []byte) (Receipt, error) {
	if len(to) == 0 {
		return Receipt{}, failed(Refused, nil, "the mail has no recipient")
	}
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	s, err := b.connect(ctx)
	if err != nil {
		return Receipt{}, b.unsent(ctx, "connecting", err)
	}
	defer s.close()
	receipt, err := b.deliver(ctx, s.client, to, letter)
	if err != nil {
		return Receipt{}, err
	}
	s.quit()
	return receipt, nil
}

// From is the address of the sender.
func (b *Server) From() string { return b.from }

// MessageID names a mail: the same id gives the same name, by which receivers and
// people recognise a repeat.
func (b *Server) MessageID(id string) string {
	_, domain, _ := strings.Cut(b.from, "@")
	return "<" + id + "@" + domain + ">"
}

// session is a connection to the server, past greeting, TLS and sign-in.
type session struct {
	client *smtp.Client
	conn   net.Conn // below TLS
	stop   func() bool
}

// connect gets as far as the first mail. The connection ends with ctx, whatever
// is being waited for.
func (b *Server) connect(ctx context.Context) (*session, error) {
	config := &tls.Config{ServerName: b.host, MinVersion: tls.VersionTLS12, RootCAs: b.roots}
	s := &session{stop: func() bool { return true }}
	dial := func(dialCtx context.Context, _, _ string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(dialCtx, "tcp", b.address())
		if err != nil {
			return nil, err
		}
		s.conn, s.stop = conn, context.AfterFunc(ctx, func() { conn.Close() })
		if !b.implicit {
			return conn, nil
		}
		secure := tls.Client(conn, config)
		return secure, secure.HandshakeContext(dialCtx)
	}
	options := []mail.Option{
		// The time limit is ctx's; go-mail's would only be reached after it.
		mail.WithPort(b.port), mail.WithTimeout(b.timeout + time.Minute), mail.WithTLSConfig(config), mail.WithoutSMTPUTF8(),
		mail.WithDialContextFunc(dial),
	}
	switch {
	case !b.tls:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	case b.implicit:
		options = append(options, mail.WithSSL())
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if b.username != "" {
		options = append(options, mail.WithUsername(b.username), mail.WithPassword(b.password),
			mail.WithOpportunisticSMTPAuth(mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthPlain, mail.SMTPAuthLogin))
	}
	client, err := mail.NewClient(b.host, options...)
	if err != nil {
		return nil, err
	}
	if s.client, err = client.DialToSMTPClientWithContext(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// close ends the connection where it stands. A mail that was begun is not ended
// by it, so the server drops it.
func (s *session) close() {
	s.stop()
	if s.conn != nil {
		s.conn.Close()
	}
}

// quit says goodbye. Whether the server answers changes nothing.
func (s *session) quit() {
	timer := time.AfterFunc(quitTimeout, func() { s.conn.Close() })
	defer timer.Stop()
	_ = s.client.Quit()
}

// deliver hands one mail over.
func (b *Server) deliver(ctx context.Context, c *smtp.Client, to []*stdmail.Address, letter []byte) (Receipt, error) {
	if err := c.Mail("<" + b.from + ">"); err != nil {
		return Receipt{}, b.unsent(ctx, "naming the sender "+b.from, err)
	}
	var receipt Receipt
	var last error
	for _, r := range to {
		err := c.Rcpt("<" + r.Address + ">")
		switch {
		case err == nil:
			receipt.Recipients++
		case permanent(err):
			receipt.Refused = append(receipt.Refused, r.Address)
			last = err
		default:
			return Receipt{}, b.unsent(ctx, "naming the recipient "+r.Address, err)
		}
	}
	if receipt.Recipients == 0 {
		return Receipt{}, b.unsent(ctx, "naming the recipients "+strings.Join(receipt.Refused, ", "), last)
	}
	data, err := c.Data()
	if err != nil {
		return Receipt{}, b.unsent(ctx, "beginning the mail", err)
	}
	if _, err := data.Write(letter); err != nil {
		return Receipt{}, b.unsent(ctx, "sending the mail", err) // its final dot was not written
	}
	if err := data.Close(); err != nil {
		if code := answer(err); code >= 400 && code <= 599 {
			return Receipt{}, b.unsent(ctx, "handing the mail over", err)
		}
		return Receipt{}, failed(Unknown, err,
			"%s was given the whole mail, but did not say whether it took it: %s; look for the mail before sending it again", b.address(), reason(ctx, err))
	}
	return receipt, nil
}

// unsent is an error from before the final dot, or the server's no after it.
func (b *Server) unsent(ctx context.Context, act string, err error) *Error {
	outcome := NotSent
	if permanent(err) {
		outcome = Refused
	}
	return failed(outcome, err, "%s at %s: %s", act, b.address(), reason(ctx, err))
}

// reason is what the server said or, where it said nothing, why the connection
// ended.
func reason(ctx context.Context, err error) string {
	var said *textproto.Error
	switch {
	case errors.As(err, &said):
		return strconv.Itoa(said.Code) + " " + said.Msg
	case ctx.Err() != nil:
		return "no answer in time: " + ctx.Err().Error()
	}
	return err.Error()
}

func (b *Server) address() string { return net.JoinHostPort(b.host, strconv.Itoa(b.port)) }

// answer is the code that the server answered, 0 when the error is no answer.
func answer(err error) int {
	var said *textproto.Error
	if errors.As(err, &said) {
		return said.Code
	}
	return 0
}

func permanent(err error) bool { return answer(err) >= 500 && answer(err) <= 599 }

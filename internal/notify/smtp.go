package notify

import (
	"bytes"
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

// portImplicitTLS is where a server speaks TLS from the first byte (RFC 8314);
// on every other port TLS begins with STARTTLS.
const portImplicitTLS = 465

// quitTimeout is how long a server may take to say goodbye. The mail is on its
// way, or is known not to be, by then.
const quitTimeout = 2 * time.Second

// mailbox is a Channel that hands mails to one SMTP server.
type mailbox struct {
	host               string
	port               int
	tls                bool
	implicit           bool           // TLS from the first byte, not by STARTTLS
	roots              *x509.CertPool // nil: the system's
	from               string
	username, password string
	to                 []string // told about every message
	timeout            time.Duration
}

// Send implements Channel. All recipients get one mail and see one another.
//
// Every step is taken by itself, not by go-mail's Send, because that answers two
// questions wrongly for us: when writing fails in the middle of a mail it says
// QUIT, which can end the mail as if it were whole; and it drops a mail for everybody when
// the server refuses one address, so that one who left would silence all.
//
// Here an address that is refused for good (5xx) is left out and named in the
// receipt, as is one that is malformed; one that is refused for now (4xx) keeps
// the mail back for all, for a later try. What happens before the final dot of
// the mail is NotSent or Refused, by the server's code; what happens to a
// connection after it, before the server's answer, is Unknown.
func (b *mailbox) Send(ctx context.Context, m Message) (Receipt, error) {
	if err := m.check(); err != nil {
		return Receipt{}, err
	}
	to, bad := b.recipients(m)
	if len(to) == 0 {
		if len(bad) > 0 {
			return Receipt{}, refused(nil, "no recipient has a usable e-mail address: %q; %s", bad, formOfAddress)
		}
		return Receipt{}, refused(nil, "nobody to mail to: no recipient has an e-mail address, and the channel has no smtp.to; set either")
	}
	// Before anything is said to the server, so that nothing can fail in the
	// middle of a mail but the connection.
	letter, err := b.compose(m, to)
	if err != nil {
		return Receipt{}, refused(err, "writing the mail: %v", err)
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
	receipt.Ref = b.messageID(m)
	receipt.Refused = append(bad, receipt.Refused...)
	return receipt, nil
}

// recipients are those of the message, then those of the channel, each once.
// Malformed addresses are returned apart.
func (b *mailbox) recipients(m Message) (to []*stdmail.Address, bad []string) {
	seen := map[string]bool{}
	add := func(name, email string) {
		key := strings.ToLower(email)
		if email == "" || seen[key] {
			return
		}
		seen[key] = true
		if !goodAddress(email) {
			bad = append(bad, oneLine(email, maxName))
			return
		}
		to = append(to, &stdmail.Address{Name: oneLine(name, maxName), Address: email})
	}
	for _, r := range m.To {
		add(r.Name, r.Email)
	}
	for _, email := range b.to {
		add("", email)
	}
	return to, bad
}

func (b *mailbox) messageID(m Message) string {
	_, domain, _ := strings.Cut(b.from, "@")
	return "<" + m.ID + "@" + domain + ">"
}

func (b *mailbox) compose(m Message, to []*stdmail.Address) ([]byte, error) {
	letter := mail.NewMsg(mail.WithNoDefaultUserAgent())
	letter.FromMailAddress(&stdmail.Address{Address: b.from})
	letter.ToMailAddress(to...)
	letter.Subject(oneLine(m.Subject, maxSubject))
	letter.SetDateWithValue(m.At)
	letter.SetMessageIDWithValue(strings.Trim(b.messageID(m), "<>"))
	letter.SetGenHeader("Auto-Submitted", "auto-generated") // nobody's absence note answers it
	letter.SetGenHeader(HeaderKind, m.Kind)
	if approval := oneLine(m.Data[DataApproval], maxName); approval != "" {
		letter.SetGenHeader(HeaderApproval, approval)
	}
	text := strings.TrimRight(plain(m.Text), "\n") + "\n"
	if m.URL != "" {
		text += "\n" + oneLine(m.URL, 2000) + "\n"
	}
	letter.SetBodyString(mail.TypeTextPlain, text)
	var out bytes.Buffer
	_, err := letter.WriteTo(&out)
	return out.Bytes(), err
}

// session is a connection to the server, past greeting, TLS and sign-in.
type session struct {
	client *smtp.Client
	conn   net.Conn // below TLS
	stop   func() bool
}

// connect gets as far as the first mail. The connection ends with ctx, whatever
// is being waited for.
func (b *mailbox) connect(ctx context.Context) (*session, error) {
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
func (b *mailbox) deliver(ctx context.Context, c *smtp.Client, to []*stdmail.Address, letter []byte) (Receipt, error) {
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
func (b *mailbox) unsent(ctx context.Context, act string, err error) *Error {
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

func (b *mailbox) address() string { return net.JoinHostPort(b.host, strconv.Itoa(b.port)) }

// answer is the code that the server answered, 0 when the error is no answer.
func answer(err error) int {
	var said *textproto.Error
	if errors.As(err, &said) {
		return said.Code
	}
	return 0
}

func permanent(err error) bool { return answer(err) >= 500 && answer(err) <= 599 }

package notify

import (
	"bytes"
	"context"
	"errors"
	stdmail "net/mail"
	"strings"

	"finobs/internal/mailer"
	"finobs/internal/plaintext"

	"github.com/wneessen/go-mail"
)

// mailbox is a Channel that hands mails to one SMTP server.
type mailbox struct {
	server *mailer.Server
	to     []string // told about every message
}

// Send implements Channel. All recipients get one mail and see one another. An
// address that is malformed, or that the server refuses for good, is left out and
// named in the receipt; see mailer.Server.Send for the rest.
func (b *mailbox) Send(ctx context.Context, m Message) (Receipt, error) {
	if err := m.check(); err != nil {
		return Receipt{}, err
	}
	to, bad := b.recipients(m)
	if len(to) == 0 {
		if len(bad) > 0 {
			return Receipt{}, refused(nil, "no recipient has a usable e-mail address: %q; %s", bad, mailer.FormOfAddress)
		}
		return Receipt{}, refused(nil, "nobody to mail to: no recipient has an e-mail address, and the channel has no smtp.to; set either")
	}
	// Before anything is said to the server, so that nothing can fail in the
	// middle of a mail but the connection.
	letter, err := b.compose(m, to)
	if err != nil {
		return Receipt{}, refused(err, "writing the mail: %v", err)
	}
	sent, err := b.server.Send(ctx, to, letter)
	if err != nil {
		return Receipt{}, unsent(err)
	}
	return Receipt{Ref: b.server.MessageID(m.ID), Recipients: sent.Recipients, Refused: append(bad, sent.Refused...)}, nil
}

// unsent gives an error of the mailer the form of this package.
func unsent(err error) *Error {
	var e *mailer.Error
	if !errors.As(err, &e) {
		return failed(Unknown, err, "%v", err)
	}
	return failed(Outcome(e.Outcome), e.Cause, "%s", e.Detail)
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
		if !mailer.GoodAddress(email) {
			bad = append(bad, plaintext.Line(email, maxName))
			return
		}
		to = append(to, &stdmail.Address{Name: plaintext.Line(name, maxName), Address: email})
	}
	for _, r := range m.To {
		add(r.Name, r.Email)
	}
	for _, email := range b.to {
		add("", email)
	}
	return to, bad
}

func (b *mailbox) compose(m Message, to []*stdmail.Address) ([]byte, error) {
	letter := mail.NewMsg(mail.WithNoDefaultUserAgent())
	letter.FromMailAddress(&stdmail.Address{Address: b.server.From()})
	letter.ToMailAddress(to...)
	letter.Subject(plaintext.Line(m.Subject, maxSubject))
	letter.SetDateWithValue(m.At)
	letter.SetMessageIDWithValue(strings.Trim(b.server.MessageID(m.ID), "<>"))
	letter.SetGenHeader("Auto-Submitted", "auto-generated") // nobody's absence note answers it
	letter.SetGenHeader(HeaderKind, m.Kind)
	if approval := plaintext.Line(m.Data[DataApproval], maxName); approval != "" {
		letter.SetGenHeader(HeaderApproval, approval)
	}
	text := strings.TrimRight(plaintext.Lines(m.Text), "\n") + "\n"
	if m.URL != "" {
		text += "\n" + plaintext.Line(m.URL, 2000) + "\n"
	}
	letter.SetBodyString(mail.TypeTextPlain, text)
	var out bytes.Buffer
	_, err := letter.WriteTo(&out)
	return out.Bytes(), err
}

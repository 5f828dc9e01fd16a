package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	stdmail "net/mail"
	"strconv"
	"strings"

	"finobs/internal/mailer"
	"finobs/internal/plaintext"

	"github.com/wneessen/go-mail"
)

// maxDataset bounds the name of a dataset in a mail, in characters.
const maxDataset = 100

// mailbox is a Destination: mails to a group of recipients.
type mailbox struct {
	config  smtpEntry
	name    string // of the destination
	server  *mailer.Server
	to      []*stdmail.Address
	maxSize int64 // of a mail with the data, in bytes
	attach  bool  // false: always a link
}

// Repeatable implements Destination: whoever gets a mail twice has it twice.
func (b *mailbox) Repeatable() bool { return false }

// Describe implements Destination. The recipients are part of it: an approval for
// a group is one for those who were in it.
func (b *mailbox) Describe() Description {
	to := make([]string, 0, len(b.to))
	for _, r := range b.to {
		to = append(to, r.Address)
	}
	c := b.config
	return Description{Type: "smtp", Settings: settings(
		"name", b.name, "host", c.Host, "port", strconv.Itoa(c.Port), "tls", c.TLS, "ca_file", c.CAFile, "from", c.From, "username", c.Username,
		"group", c.Group, "to", strings.Join(to, " "), "max_mib", strconv.Itoa(c.MaxMiB), "attach", strconv.FormatBool(b.attach),
	)}
}

// Fetch implements Destination: who got a mail keeps it.
func (b *mailbox) Fetch(context.Context, Receipt, string) (io.ReadCloser, error) {
	return nil, fmt.Errorf("destination %s: %w: it is mail", b.name, ErrUnreadable)
}

// Deliver implements Destination. What is known after a failure is as in
// mailer.Server.Send: when the connection ends after the whole mail was given
// away, the outcome is Unknown.
func (b *mailbox) Deliver(ctx context.Context, bundle Bundle) (Receipt, error) {
	if err := bundle.check(); err != nil {
		return Receipt{}, err
	}
	letter, receipt, err := b.letter(ctx, bundle)
	if err != nil {
		return Receipt{}, err
	}
	sent, err := b.server.Send(ctx, b.to, letter)
	if err != nil {
		return Receipt{}, undelivered(err)
	}
	receipt.Recipients, receipt.Refused = sent.Recipients, sent.Refused
	return receipt, nil
}

// undelivered says what an error of the mailer means for a delivery.
func undelivered(err error) *Error {
	var e *mailer.Error
	if !errors.As(err, &e) {
		return &Error{Outcome: Unknown, Reason: plaintext.Line(err.Error(), maxReason), err: err}
	}
	switch e.Outcome {
	case mailer.NotSent:
		return failed(true, err, "%s", e.Detail)
	case mailer.Refused:
		return failed(false, err, "%s", e.Detail)
	default:
		return &Error{Outcome: Unknown, Reason: plaintext.Line(e.Detail, maxReason), err: err}
	}
}

// letter writes the mail: with all files when it stays within its limit, and with
// the manifest alone when it does not. The same bundle gives the same bytes.
func (b *mailbox) letter(ctx context.Context, bundle Bundle) ([]byte, Receipt, error) {
	// Base64 makes 4 characters of 3 bytes, and a line end of 2 after every 76.
	// Files beyond the limit are not even read.
	var size int64
	for _, f := range bundle.Files {
		size += f.Size * 4 / 3 * 78 / 76
	}
	if b.attach && size <= b.maxSize {
		letter, receipt, err := b.compose(ctx, bundle, false)
		if err != nil || int64(len(letter)) <= b.maxSize {
			return letter, receipt, err
		}
	}
	letter, receipt, err := b.compose(ctx, bundle, true)
	if err == nil && int64(len(letter)) > b.maxSize {
		err = failed(false, nil, "the mail has %d bytes with the manifest alone, and smtp.max_mib allows %d; raise it", len(letter), b.maxSize)
	}
	return letter, receipt, err
}

func (b *mailbox) compose(ctx context.Context, bundle Bundle, linked bool) ([]byte, Receipt, error) {
	id := fmt.Sprintf("export-%d-%d", bundle.ExportID, bundle.Attempt)
	receipt := Receipt{Ref: b.server.MessageID(id), Linked: linked}
	m := mail.NewMsg(mail.WithNoDefaultUserAgent(), mail.WithBoundary("finobs-"+id))
	m.FromMailAddress(&stdmail.Address{Address: b.server.From()})
	m.ToMailAddress(b.to...)
	m.Subject(fmt.Sprintf("Export %d: %s, %d rows", bundle.ExportID, plaintext.Line(bundle.Dataset, maxDataset), bundle.Rows))
	m.SetDateWithValue(bundle.SealedAt.UTC())
	m.SetMessageIDWithValue(strings.Trim(receipt.Ref, "<>"))
	m.SetGenHeader("Auto-Submitted", "auto-generated") // nobody's absence note answers it
	m.SetGenHeader("X-Finobs-Export", strconv.FormatInt(bundle.ExportID, 10))
	m.SetBodyString(mail.TypeTextPlain, body(bundle, linked))
	for _, f := range bundle.Files {
		if linked && f.Name != bundle.ManifestFile {
			continue
		}
		content, err := readAll(ctx, f)
		if err != nil {
			return nil, Receipt{}, err
		}
		// The one type that no reader of mail opens, runs or rewrites.
		m.AttachReadSeeker(f.Name, bytes.NewReader(content), mail.WithFileContentType(mail.TypeAppOctetStream))
		receipt.Objects = append(receipt.Objects, Object{Name: f.Name, Size: f.Size, SHA256: f.SHA256})
	}
	var out bytes.Buffer
	if _, err := m.WriteTo(&out); err != nil {
		return nil, Receipt{}, failed(false, err, "writing the mail: %v", err)
	}
	return out.Bytes(), receipt, nil
}

func readAll(ctx context.Context, f File) ([]byte, error) {
	from, err := open(ctx, f)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	content, err := io.ReadAll(from)
	switch {
	case err == nil:
		return content, nil
	case from.err != nil:
		return nil, from.err
	}
	return nil, failed(true, err, "reading %s of the export: %v", f.Name, err)
}

// body is the text of the mail.
func body(bundle Bundle, linked bool) string {
	var out strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
	line("Export %d", bundle.ExportID)
	line("Dataset: %s", plaintext.Line(bundle.Dataset, maxDataset))
	line("Rows: %d", bundle.Rows)
	line("Sealed: %s", bundle.SealedAt.UTC().Format("2006-01-02 15:04:05 UTC"))
	line("SHA-256 of the content: %s", plaintext.Line(bundle.ContentSHA256, maxDataset))
	line("SHA-256 of the manifest: %s", plaintext.Line(bundle.ManifestSHA256, maxDataset))
	line("")
	switch {
	case !linked:
		line("The files are attached.")
	case bundle.Link != "":
		line("The data is not attached; people with permission fetch it here:\n%s", plaintext.Line(bundle.Link, 2000))
	default:
		line("The data is not attached; people with permission fetch it from finobs, as export %d.", bundle.ExportID)
	}
	line("")
	line("SHA-256 and size of each file:")
	for _, f := range bundle.Files {
		line("%s  %s  %d bytes", f.SHA256, f.Name, f.Size)
	}
	return out.String()
}

func addresses(of []string) []*stdmail.Address {
	out := make([]*stdmail.Address, 0, len(of))
	for _, address := range of {
		out = append(out, &stdmail.Address{Address: address})
	}
	return out
}

package notify_test

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"finobs/internal/devstack"
	"finobs/internal/notify"

	"github.com/google/uuid"
)

// startMailpit starts a real mail server, with TLS when secure.
func startMailpit(t *testing.T, dir string, secure bool) (*devstack.Mailpit, int) {
	t.Helper()
	bin, err := devstack.EnsureMailpit(t.Context(), "../../.finobs/bin", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	config := devstack.MailpitConfig{Bin: bin, Log: filepath.Join(dir, "mailpit.log"), DB: filepath.Join(dir, "mails.db")}
	if config.SMTPPort, err = devstack.FreePort(0); err != nil {
		t.Fatal(err)
	}
	if config.HTTPPort, err = devstack.FreePort(0); err != nil {
		t.Fatal(err)
	}
	if secure {
		config.TLSCert, config.TLSKey = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	}
	m, err := devstack.StartMailpit(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Stop(); err != nil {
			t.Error(err)
		}
	})
	return m, config.SMTPPort
}

// received returns the mails that came, the oldest first, parsed.
func received(t *testing.T, m *devstack.Mailpit) []*mail.Message {
	t.Helper()
	list, err := m.Messages(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(list)
	var out []*mail.Message
	for _, one := range list {
		raw, err := m.Raw(t.Context(), one.ID)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := mail.ReadMessage(strings.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, parsed)
	}
	return out
}

func bodyText(t *testing.T, m *mail.Message) string {
	t.Helper()
	if got := m.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/plain; charset=UTF-8") {
		t.Errorf("the body is %s", got)
	}
	text, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")))
}

func TestMailOverTLS(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	certificate(t, dir)
	server, port := startMailpit(t, dir, true)
	channel := mailChannelIn(t, dir, port, "ca_file: ca.pem, to: [desk@example.com]")
	m := message("a@example.com", "b@example.com")
	m.Subject, m.Text = "Änderung 7: prüfen", "Zeile 1\n.\nZeile 3: €\n"
	receipt, err := channel.Send(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	if receipt.Ref != "<"+messageID+"@example.com>" || receipt.Recipients != 3 || receipt.Refused != nil {
		t.Errorf("got %+v", receipt)
	}
	list, err := server.Messages(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatalf("got %v, %v", list, err)
	}
	if got := list[0]; got.MessageID != messageID+"@example.com" || got.Subject != m.Subject || !slices.Equal(got.To, []string{"a@example.com", "b@example.com", "desk@example.com"}) {
		t.Errorf("got %+v", got)
	}
	got := received(t, server)[0]
	for name, want := range map[string]string{
		"From": "<finobs@example.com>", "Date": "Wed, 04 Mar 2026 05:06:07 +0000", "Auto-Submitted": "auto-generated",
		"X-Finobs-Kind": "approval.requested", "X-Finobs-Approval": "7", "User-Agent": "", "X-Mailer": "", "Bcc": "", "Cc": "",
	} {
		if have := got.Header.Get(name); have != want {
			t.Errorf("%s: got %q, want %q", name, have, want)
		}
	}
	if text, want := bodyText(t, got), m.Text+"\n"+m.URL+"\n"; text != want {
		t.Errorf("got %q, want %q", text, want)
	}

	// The same again: the server gets two, and both have the same name.
	if again, err := channel.Send(t.Context(), m); err != nil || again.Ref != receipt.Ref {
		t.Errorf("got %+v, %v", again, err)
	}
	stranger := mailChannel(t, port, "timeout: 5s")
	if _, err := stranger.Send(t.Context(), m); notify.OutcomeOf(err) != notify.NotSent || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a server that nobody vouches for: got %v", err)
	}
	if got := received(t, server); len(got) != 2 {
		t.Errorf("the server has %d mails", len(got))
	}
}

var hostile = []string{
	"Order\r\nBcc: eve@example.com",
	"Order\nBcc: eve@example.com\n\nbody",
	"Order\r\n\r\n<html>",
	"Order\r\n.\r\nRCPT TO:<eve@example.com>\r\n",
	"Order\x00\x1b[2J\u0085\u2028Bcc: eve@example.com",
	"=?utf-8?Q?Order=0D=0ABcc:_eve@example.com?=",
	"=?utf-8?B?T3JkZXINCkJjYzogZXZlQGV4YW1wbGUuY29t?=",
	`Order", <eve@example.com>, "x`,
	`Order <eve@example.com>; group: eve@example.com;`,
	`\" <eve@example.com>`,
	"Ордер\r\nBcc: eve@example.com \u202etxt.exe",
	strings.Repeat("Ä", 5000),
	strings.Repeat("word ", 2000),
	"\xff\xfe\r\nBcc: eve@example.com",
}

func TestHostileTextAddsNothing(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	server, port := startMailpit(t, dir, false)
	channel := mailChannelIn(t, dir, port, "tls: none")
	for i, text := range hostile {
		m := message()
		m.ID = uuid.NewString()
		m.Subject, m.Text, m.URL = fmt.Sprintf("%d: %s", i, text), text, "https://example.com/"+text
		m.Data[notify.DataApproval] = text
		m.To = []notify.Recipient{{Name: text, Email: "a@example.com"}, {Name: text, Email: "b@example.com"}}
		if receipt, err := channel.Send(t.Context(), m); err != nil || receipt.Recipients != 2 {
			t.Fatalf("%q: got %+v, %v", text, receipt, err)
		}
	}
	all := received(t, server)
	if len(all) != len(hostile) {
		t.Fatalf("the server has %d mails, want %d", len(all), len(hostile))
	}
	known := []string{
		"Auto-Submitted", "Content-Transfer-Encoding", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Received", "Return-Path",
		"Subject", "To", "X-Finobs-Approval", "X-Finobs-Kind",
	}
	for i, got := range all {
		for name, values := range got.Header {
			if !slices.Contains(known, name) || len(values) != 1 {
				t.Errorf("%q: the mail has %s: %q", hostile[i], name, values)
			}
		}
		to, err := got.Header.AddressList("To")
		if err != nil || len(to) != 2 || to[0].Address != "a@example.com" || to[1].Address != "b@example.com" {
			t.Errorf("%q: To is %v, %v", hostile[i], to, err)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(got.Header.Get("Subject"))
		if err != nil || strings.ContainsAny(subject, "\r\n\x00\x1b\u0085\u2028\u202e") || !strings.HasPrefix(subject, strconv.Itoa(i)+": ") {
			t.Errorf("%q: the subject is %q, %v", hostile[i], subject, err)
		}
		if text := bodyText(t, got); strings.ContainsAny(text, "\x00\x1b\u202e") {
			t.Errorf("%q: the text is %q", hostile[i], text)
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	server, port := startMailpit(t, dir, false)
	channel := mailChannelIn(t, dir, port, "tls: none")
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			m := message("a@example.com")
			m.ID = uuid.NewString()
			if _, err := channel.Send(t.Context(), m); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	names := map[string]bool{}
	list, err := server.Messages(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range list {
		names[got.MessageID] = true
	}
	if len(list) != 20 || len(names) != 20 {
		t.Errorf("got %d mails with %d names", len(list), len(names))
	}
}

package delivery_test

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"finobs/internal/delivery"
	"finobs/internal/devstack"
	"finobs/internal/smtptest"
)

func startMailpit(t *testing.T) (*devstack.Mailpit, int) {
	t.Helper()
	bin, err := devstack.EnsureMailpit(t.Context(), "../../.finobs/bin", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := devstack.MailpitConfig{Bin: bin, Log: filepath.Join(dir, "log"), DB: filepath.Join(dir, "mails.db")}
	if config.SMTPPort, err = devstack.FreePort(0); err != nil {
		t.Fatal(err)
	}
	if config.HTTPPort, err = devstack.FreePort(0); err != nil {
		t.Fatal(err)
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

func mailDestination(t *testing.T, port int, more string) delivery.Destination {
	t.Helper()
	return load(t, t.TempDir(), fmt.Sprintf("smtp: {host: 127.0.0.1, port: %d, from: finobs@example.com, group: desk, %s}", port, more))
}

// part is one part of a mail.
type part struct {
	name, content string
}

// parts takes a mail apart; the first part is the text.
func parts(t *testing.T, raw string) (mail.Header, []part) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/mixed" {
		t.Fatalf("got %s, %v", kind, err)
	}
	var out []part
	for all := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := all.NextPart()
		if errors.Is(err, io.EOF) {
			return m.Header, out
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		text := string(content)
		if p.Header.Get("Content-Transfer-Encoding") == "base64" {
			text = decode(t, text)
		}
		out = append(out, part{p.FileName(), text})
	}
}

func TestMailWithTheData(t *testing.T) {
	t.Parallel()
	server, port := startMailpit(t)
	d := mailDestination(t, port, "tls: none")
	b := bundle(noise(100_000))
	b.Attempt, b.Dataset = 3, "incidents\r\nBcc: eve@example.com"
	receipt := deliver(t, d, b)
	if receipt.Ref != "<export-7-3@example.com>" || receipt.Recipients != 2 || receipt.Linked || receipt.Refused != nil || len(receipt.Objects) != len(b.Files) {
		t.Errorf("got %+v", receipt)
	}
	list, err := server.Messages(t.Context())
	if err != nil || len(list) != 1 || list[0].MessageID != "export-7-3@example.com" || !slices.Equal(list[0].To, []string{"a@example.com", "b@example.com"}) {
		t.Fatalf("got %+v, %v", list, err)
	}
	raw, err := server.Raw(t.Context(), list[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	header, got := parts(t, raw)
	for name, want := range map[string]string{
		"Date": "Wed, 04 Mar 2026 05:06:07 +0000", "Auto-Submitted": "auto-generated", "X-Finobs-Export": "7", "Bcc": "",
		"Subject": "Export 7: incidents Bcc: eve@example.com, 3 rows",
	} {
		if header.Get(name) != want {
			t.Errorf("%s: got %q, want %q", name, header.Get(name), want)
		}
	}
	if len(got) != len(b.Files)+1 {
		t.Fatalf("the mail has %d parts", len(got))
	}
	for i, f := range b.Files {
		if p := got[i+1]; p.name != f.Name || hexDigest([]byte(p.content)) != f.SHA256 {
			t.Errorf("part %d: got %s with %d bytes", i, p.name, len(p.content))
		}
	}
	for _, part := range []string{"Export 7", "incidents", "Rows: 3", b.ContentSHA256, b.ManifestSHA256, b.Files[5].SHA256, "attached"} {
		if !strings.Contains(got[0].content, part) {
			t.Errorf("%q does not say %q", got[0].content, part)
		}
	}

	// The same attempt again is the same mail, to the last byte.
	deliver(t, d, b)
	list, err = server.Messages(t.Context())
	if err != nil || len(list) != 2 {
		t.Fatalf("got %+v, %v", list, err)
	}
	again, err := server.Raw(t.Context(), list[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	_, first, found := strings.Cut(raw, "Auto-Submitted:") // what the server adds is before
	if _, second, _ := strings.Cut(again, "Auto-Submitted:"); !found || second != first {
		t.Error("the mail differs from its repetition")
	}
	if d.Repeatable() {
		t.Error("it is repeatable")
	}
	wantFetch(t, d, receipt, "data.csv", delivery.ErrUnreadable)
}

func TestMailWithALink(t *testing.T) {
	t.Parallel()
	mib := noise(1 << 20)
	for name, c := range map[string]struct {
		data   []byte
		more   string
		link   string
		linked bool
		says   string
	}{
		"within the limit":        {mib[:700_000], "max_mib: 1", "https://x/7", false, "attached"},
		"the encoding is over it": {mib[:770_000], "max_mib: 1", "https://x/7", true, "https://x/7"},
		"its headers are over it": {mib[:766_000], "max_mib: 1", "https://x/7", true, "https://x/7"},
		"over it":                 {mib, "max_mib: 1", "https://x/7", true, "https://x/7"},
		"without a link":          {mib, "max_mib: 1", "", true, "as export 7"},
		"never attached":          {[]byte("x"), "attach: false", "https://x/7", true, "https://x/7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := smtptest.Start(t, nil, nil)
			b := bundle(c.data)
			b.Link = c.link
			receipt := deliver(t, mailDestination(t, server.Port(), "tls: none, "+c.more), b)
			letters, _ := server.Got()
			if len(letters) != 1 || receipt.Linked != c.linked || len(letters[0]) > 1<<20 {
				t.Fatalf("got %d mails of %d bytes, %+v", len(letters), len(letters[0]), receipt)
			}
			_, got := parts(t, letters[0])
			if !strings.Contains(got[0].content, c.says) || !strings.Contains(got[0].content, b.Files[0].SHA256) {
				t.Errorf("got %q", got[0].content)
			}
			if c.linked && (len(got) != 2 || got[1].name != b.ManifestFile || got[1].content != contents[b.ManifestFile] || len(receipt.Objects) != 1) {
				t.Errorf("got %d parts, %+v", len(got), receipt)
			}
			if !c.linked && len(got) != len(b.Files)+1 {
				t.Errorf("got %d parts", len(got))
			}
		})
	}
}

func TestMailIsNotWrittenFromDamagedSources(t *testing.T) {
	t.Parallel()
	server := smtptest.Start(t, nil, nil)
	d := mailDestination(t, server.Port(), "tls: none, max_mib: 1")
	b := bundle([]byte("a,b\n1,2\n"))
	damage(&b, []byte("a,b\n1,3\n"))
	failedDelivery(t, d, b, false, "data.csv", "damaged")
	b = bundle([]byte("x"))
	b.Files[1] = file(b.ManifestFile, noise(1<<20))
	failedDelivery(t, d, b, false, "smtp.max_mib")
	if _, commands := server.Got(); len(commands) != 0 {
		t.Errorf("the server heard %q", commands)
	}
}

func TestMailOutcomes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answers map[string]string
		more    string
		want    delivery.Outcome
		retry   bool
		letters int // that the server has whole
		says    string
	}{
		"busy":                         {map[string]string{"greeting": "421 busy"}, "tls: none", delivery.Failed, true, 0, "421 busy"},
		"refused":                      {map[string]string{"MAIL": "550 who are you"}, "tls: none", delivery.Failed, false, 0, "who are you"},
		"recipients refused":           {map[string]string{"RCPT": "550 unknown"}, "tls: none", delivery.Failed, false, 0, "a@example.com, b@example.com"},
		"one recipient for now":        {map[string]string{"RCPT TO:<b": "450 grey"}, "tls: none", delivery.Failed, true, 0, "450 grey"},
		"dropped before the mail":      {map[string]string{"DATA": smtptest.Drop}, "tls: none", delivery.Failed, true, 0, "beginning the mail"},
		"refused for now after":        {map[string]string{".": "451 disk full"}, "tls: none", delivery.Failed, true, 1, "disk full"},
		"refused after":                {map[string]string{".": "554 looks like spam"}, "tls: none", delivery.Failed, false, 1, "spam"},
		"dropped after the mail":       {map[string]string{".": smtptest.Drop}, "tls: none", delivery.Unknown, false, 1, "look for the mail"},
		"silent after the mail":        {map[string]string{".": smtptest.Hang}, "tls: none, timeout: 300ms", delivery.Unknown, false, 1, "look for the mail"},
		"no TLS where it is mandatory": {nil, "timeout: 5s", delivery.Failed, true, 0, "STARTTLS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := smtptest.Start(t, c.answers, nil)
			_, err := mailDestination(t, server.Port(), c.more).Deliver(t.Context(), bundle([]byte("x")))
			wantFailure(t, err, c.want, c.retry, c.says)
			if letters, _ := server.Got(); len(letters) != c.letters {
				t.Errorf("the server has %d mails, want %d", len(letters), c.letters)
			}
		})
	}
}

func TestMailOneRefusedRecipientDoesNotSilenceTheOthers(t *testing.T) {
	t.Parallel()
	server := smtptest.Start(t, map[string]string{"RCPT TO:<a@": "550 5.1.1 unknown"}, nil)
	receipt := deliver(t, mailDestination(t, server.Port(), "tls: none"), bundle([]byte("x")))
	if receipt.Recipients != 1 || !slices.Equal(receipt.Refused, []string{"a@example.com"}) {
		t.Errorf("got %+v", receipt)
	}
}

// A real server takes the mail; the answer to its final dot is lost on the way.
func TestMailWhoseAnswerIsLostIsThereOnce(t *testing.T) {
	t.Parallel()
	server, port := startMailpit(t)
	between := losesTheLastAnswer(t, port)
	_, err := mailDestination(t, between, "tls: none").Deliver(t.Context(), bundle([]byte("x")))
	wantFailure(t, err, delivery.Unknown, false, "look for the mail")
	list, err := server.Messages(t.Context())
	if err != nil || len(list) != 1 || list[0].MessageID != "export-7-1@example.com" {
		t.Errorf("got %+v, %v", list, err)
	}
}

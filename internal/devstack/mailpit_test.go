package devstack_test

import (
	"context"
	"net/smtp"
	"os"
	"path/filepath"
	"testing"

	"finobs/internal/devstack"
)

func startMailpit(t *testing.T) *devstack.Mailpit {
	t.Helper()
	ctx := context.Background()
	bin, err := devstack.EnsureMailpit(ctx, "../../.finobs/bin", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	smtpPort, err := devstack.FreePort(0)
	if err != nil {
		t.Fatal(err)
	}
	httpPort, err := devstack.FreePort(0)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	m, err := devstack.StartMailpit(ctx, devstack.MailpitConfig{
		Bin: bin, Log: filepath.Join(dir, "log"), SMTPPort: smtpPort, HTTPPort: httpPort, DB: filepath.Join(dir, "mails.db"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Stop(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func TestMailpitKeepsWhatItGot(t *testing.T) {
	// Settings of a developer's own Mailpit must not reach this one.
	t.Setenv("MP_SMTP_BIND_ADDR", "127.0.0.1:1")
	m := startMailpit(t)
	got, err := m.Messages(t.Context())
	if err != nil || len(got) != 0 {
		t.Fatalf("got %v, %v before any mail", got, err)
	}
	text := "From: <a@example.com>\r\nTo: <b@example.com>, <c@example.com>\r\nMessage-ID: <1@example.com>\r\nSubject: Hallo\r\n\r\nText.\r\n"
	if err := smtp.SendMail(m.SMTPAddress(), nil, "a@example.com", []string{"b@example.com", "c@example.com"}, []byte(text)); err != nil {
		t.Fatal(err)
	}
	got, err = m.Messages(t.Context())
	if err != nil || len(got) != 1 {
		t.Fatalf("got %v, %v", got, err)
	}
	if got[0].MessageID != "1@example.com" || got[0].Subject != "Hallo" || len(got[0].To) != 2 || got[0].To[1] != "c@example.com" {
		t.Errorf("got %+v", got[0])
	}
	raw, err := m.Raw(t.Context(), got[0].ID)
	if err != nil || raw == "" {
		t.Errorf("got %q, %v", raw, err)
	}
}

package mailer_test

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"finobs/internal/mailer"
	"finobs/internal/smtptest"
)

const password = "0123456789abcdef"

var (
	to     = []*mail.Address{{Address: "a@example.com"}}
	letter = []byte("From: <f@example.com>\r\nTo: <a@example.com>\r\n\r\nText.\r\n")
)

// implicitTLS is a server that speaks TLS from the first byte, as on port 465,
// reached with the authority of dir/ca.pem.
func implicitTLS(t *testing.T, dir string, port int, caFile string) *mailer.Server {
	t.Helper()
	server, err := mailer.Settings{
		Host: "127.0.0.1", Port: port, From: "f@example.com", CAFile: caFile, Username: "u", PasswordFile: "password", Timeout: 5 * time.Second,
	}.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	mailer.FromTheFirstByte(server)
	return server
}

func certificate(t *testing.T, dir string) *tls.Config {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := errors.Join(
		os.WriteFile(filepath.Join(dir, "ca.pem"), ca, 0o600),
		os.WriteFile(filepath.Join(dir, "password"), []byte(password+"\n"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: server.TLS.Certificates}
}

func TestTLSFromTheFirstByteAndSignIn(t *testing.T) {
	dir := t.TempDir()
	secure := certificate(t, dir)
	answers := map[string]string{"EHLO": "250-fake\r\n250 AUTH PLAIN LOGIN", "AUTH PLAIN": "235 welcome"}
	server := smtptest.Start(t, answers, secure)
	if _, err := implicitTLS(t, dir, server.Port(), "ca.pem").Send(t.Context(), to, letter); err != nil {
		t.Fatal(err)
	}
	_, commands := server.Got()
	if want := "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00u\x00"+password)); !slices.Contains(commands, want) {
		t.Errorf("got %q", commands)
	}

	for name, c := range map[string]struct {
		answer, caFile string
		want           mailer.Outcome
		says           string
	}{
		"wrong password":                    {"535 wrong password", "ca.pem", mailer.Refused, "wrong password"},
		"a server that nobody vouches for":  {"235 welcome", "", mailer.NotSent, "certificate"},
		"a server that is busy for sign-in": {"454 later", "ca.pem", mailer.NotSent, "454 later"},
	} {
		server := smtptest.Start(t, map[string]string{"EHLO": answers["EHLO"], "AUTH PLAIN": c.answer}, secure)
		_, err := implicitTLS(t, dir, server.Port(), c.caFile).Send(t.Context(), to, letter)
		var e *mailer.Error
		if !errors.As(err, &e) || e.Outcome != c.want || !strings.Contains(e.Detail, c.says) {
			t.Errorf("%s: got %v", name, err)
		}
		if letters, _ := server.Got(); len(letters) != 0 {
			t.Errorf("%s: the server has a mail", name)
		}
	}
}

func TestAMailForNobodyIsRefused(t *testing.T) {
	server := smtptest.Start(t, nil, nil)
	s, err := mailer.Settings{Host: "127.0.0.1", Port: server.Port(), TLS: "none", From: "f@example.com"}.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var e *mailer.Error
	if _, err := s.Send(t.Context(), nil, letter); !errors.As(err, &e) || e.Outcome != mailer.Refused {
		t.Errorf("got %v", err)
	}
	if _, commands := server.Got(); len(commands) != 0 {
		t.Errorf("the server heard %q", commands)
	}
}

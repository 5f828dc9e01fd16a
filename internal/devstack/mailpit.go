package devstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// MailpitVersion is the release of Mailpit that is built when there is none.
const MailpitVersion = "v1.27.11"

// EnsureMailpit returns the path of Mailpit, a mail server that delivers nothing
// and shows what it got. Where it is neither on PATH nor in binDir, it is built
// into binDir, which takes a minute or two the first time.
func EnsureMailpit(ctx context.Context, binDir string, progress io.Writer) (string, error) {
	return tool{
		name: "mailpit", module: "github.com/axllent/mailpit@" + MailpitVersion, takes: "about 1 minute",
		elsewhere: "install it from https://mailpit.axllent.org/docs/install/ and put it on PATH", runs: mailpitRuns,
	}.ensure(ctx, binDir, progress)
}

func mailpitRuns(ctx context.Context, path string) bool {
	return exec.CommandContext(ctx, path, "version", "--no-release-check").Run() == nil
}

// MailpitConfig says how to run a private Mailpit.
type MailpitConfig struct {
	Bin      string // see EnsureMailpit
	Log      string // file
	SMTPPort int    // on 127.0.0.1
	HTTPPort int    // Web UI and API, on 127.0.0.1
	DB       string // where it keeps the mails; empty: a temporary file of its own

	// TLSCert and TLSKey are PEM files; with both the server offers STARTTLS.
	TLSCert, TLSKey string
}

// Mailpit is a running mail server for tests and demonstrations.
type Mailpit struct {
	process *Process
	config  MailpitConfig
	client  *http.Client
}

// MailpitMessage is a mail that the server got.
type MailpitMessage struct {
	ID        string // of Mailpit
	MessageID string // without angle brackets
	Subject   string
	To        []string // e-mail addresses of the To header
}

// StartMailpit starts a mail server and waits until it takes mail.
func StartMailpit(ctx context.Context, c MailpitConfig) (*Mailpit, error) {
	m := &Mailpit{config: c, client: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}}
	args := []string{
		"--smtp", m.SMTPAddress(), "--listen", strings.TrimPrefix(m.APIURL(), "http://"),
		"--disable-version-check", "--smtp-disable-rdns",
	}
	if c.DB != "" {
		args = append(args, "--database", c.DB)
	}
	if c.TLSCert != "" {
		args = append(args, "--smtp-tls-cert", c.TLSCert, "--smtp-tls-key", c.TLSKey)
	}
	cmd := exec.Command(c.Bin, args...) //nolint:noctx // Stop ends it, in order
	for _, setting := range os.Environ() {
		// Its settings come from here alone: MP_SMTP_RELAY_ALL, say, would send
		// test mails to people.
		if !strings.HasPrefix(setting, "MP_") {
			cmd.Env = append(cmd.Env, setting)
		}
	}
	proc, err := start("Mailpit", cmd, c.Log, syscall.SIGTERM)
	if err != nil {
		return nil, err
	}
	m.process = proc
	if err := proc.await(ctx, m.ready); err != nil {
		return nil, errors.Join(err, m.Stop())
	}
	return m, nil
}

// ready asks both sides: the Web UI may be up before mail is taken.
func (m *Mailpit) ready(ctx context.Context) error {
	if _, err := m.get(ctx, "/readyz"); err != nil {
		return err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", m.SMTPAddress())
	if err != nil {
		return err
	}
	return conn.Close()
}

func (m *Mailpit) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.APIURL()+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := m.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", path, resp.Status)
	}
	return body, nil
}

// maxMailpitMessages is more than the server keeps unless told otherwise.
const maxMailpitMessages = 1000

// Messages returns the mails that the server got, the newest first.
func (m *Mailpit) Messages(ctx context.Context) ([]MailpitMessage, error) {
	body, err := m.get(ctx, "/api/v1/messages?limit="+strconv.Itoa(maxMailpitMessages))
	if err != nil {
		return nil, fmt.Errorf("listing mails: %w", err)
	}
	var list struct {
		Messages []struct {
			ID        string
			MessageID string
			Subject   string
			To        []struct{ Address string }
		} `json:"messages"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("listing mails: %w", err)
	}
	out := make([]MailpitMessage, 0, len(list.Messages))
	for _, got := range list.Messages {
		mail := MailpitMessage{ID: got.ID, MessageID: got.MessageID, Subject: got.Subject}
		for _, to := range got.To {
			mail.To = append(mail.To, to.Address)
		}
		out = append(out, mail)
	}
	return out, nil
}

// Raw returns a mail as it came, by the server's ID of it.
func (m *Mailpit) Raw(ctx context.Context, id string) (string, error) {
	body, err := m.get(ctx, "/api/v1/message/"+id+"/raw")
	if err != nil {
		return "", fmt.Errorf("reading mail %s: %w", id, err)
	}
	return string(body), nil
}

// SMTPAddress is where mail is taken.
func (m *Mailpit) SMTPAddress() string { return "127.0.0.1:" + strconv.Itoa(m.config.SMTPPort) }

// APIURL is the address of the HTTP API and, in a browser, of the Web UI.
func (m *Mailpit) APIURL() string { return "http://127.0.0.1:" + strconv.Itoa(m.config.HTTPPort) }

// Done is closed when the server has ended.
func (m *Mailpit) Done() <-chan struct{} { return m.process.done }

// Stop ends the server in order.
func (m *Mailpit) Stop() error { return m.process.stop(syscall.SIGTERM, syscall.SIGKILL) }

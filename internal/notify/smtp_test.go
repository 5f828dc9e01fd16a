package notify_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"finobs/internal/notify"
	"finobs/internal/smtptest"
)

const messageID = "0f8fad5b-d9cb-469f-a165-70867728950e"

func message(to ...string) notify.Message {
	m := notify.Message{
		ID: messageID, Kind: notify.KindRequested, Subject: "Approval needed", Text: "Please look.\n",
		URL: "https://finobs.example.com/approvals/7", Data: map[string]string{notify.DataApproval: "7"},
		At: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC),
	}
	for _, email := range to {
		m.To = append(m.To, notify.Recipient{Name: "Somebody", Email: email})
	}
	return m
}

// mailChannel is a channel to a server on this machine.
func mailChannel(t *testing.T, port int, more string) notify.Channel {
	t.Helper()
	return mailChannelIn(t, folder(t), port, more)
}

func mailChannelIn(t *testing.T, dir string, port int, more string) notify.Channel {
	t.Helper()
	c, ok := load(t, dir, fmt.Sprintf("  - {name: default, smtp: {host: 127.0.0.1, port: %d, from: finobs@example.com, %s}}\n", port, more)).Get("default")
	if !ok {
		t.Fatal("no channel")
	}
	return c
}

func TestMailOutcomes(t *testing.T) {
	t.Parallel()
	two := []string{"a@example.com", "b@example.com"}
	for name, c := range map[string]struct {
		answers map[string]string
		want    notify.Outcome // "": sent
		letters int            // that the server has whole
		says    string
	}{
		"all well":                     {nil, "", 1, ""},
		"greeting: busy":               {map[string]string{"greeting": "421 busy"}, notify.NotSent, 0, "421 busy"},
		"greeting: no service":         {map[string]string{"greeting": "554 go away"}, notify.Refused, 0, "554 go away"},
		"greeting: nonsense":           {map[string]string{"greeting": "HTTP/1.1 400 Bad Request"}, notify.NotSent, 0, ""},
		"greeting: never":              {map[string]string{"greeting": smtptest.Hang}, notify.NotSent, 0, "in time"},
		"greeting: dropped":            {map[string]string{"greeting": smtptest.Drop}, notify.NotSent, 0, ""},
		"sender refused for now":       {map[string]string{"MAIL": "451 later"}, notify.NotSent, 0, "finobs@example.com"},
		"sender refused":               {map[string]string{"MAIL": "550 who are you"}, notify.Refused, 0, "who are you"},
		"recipients refused":           {map[string]string{"RCPT": "550 unknown"}, notify.Refused, 0, "a@example.com, b@example.com"},
		"recipients refused for now":   {map[string]string{"RCPT": "450 grey"}, notify.NotSent, 0, "450 grey"},
		"one refused, one for now":     {map[string]string{"RCPT TO:<a": "550 unknown", "RCPT TO:<b": "450 grey"}, notify.NotSent, 0, "450 grey"},
		"one recipient for now":        {map[string]string{"RCPT TO:<b": "450 grey"}, notify.NotSent, 0, "450 grey"},
		"dropped at a recipient":       {map[string]string{"RCPT TO:<b": smtptest.Drop}, notify.NotSent, 0, ""},
		"dropped before the mail":      {map[string]string{"DATA": smtptest.Drop}, notify.NotSent, 0, ""},
		"silent before the mail":       {map[string]string{"DATA": smtptest.Hang}, notify.NotSent, 0, "in time"},
		"mail refused before":          {map[string]string{"DATA": "554 no"}, notify.Refused, 0, "554 no"},
		"mail refused for now after":   {map[string]string{".": "451 disk full"}, notify.NotSent, 1, "disk full"},
		"mail refused after":           {map[string]string{".": "554 looks like spam"}, notify.Refused, 1, "spam"},
		"dropped after the mail":       {map[string]string{".": smtptest.Drop}, notify.Unknown, 1, "look for the mail"},
		"silent after the mail":        {map[string]string{".": smtptest.Hang}, notify.Unknown, 1, "in time"},
		"strange answer to the mail":   {map[string]string{".": "299 hm"}, notify.Unknown, 1, "299 hm"},
		"nonsense answer to the mail":  {map[string]string{".": "4oh4"}, notify.Unknown, 1, ""},
		"dropped at goodbye":           {map[string]string{"QUIT": smtptest.Drop}, "", 1, ""},
		"silent at goodbye":            {map[string]string{"QUIT": smtptest.Hang}, "", 1, ""},
		"refused goodbye":              {map[string]string{"QUIT": "500 stay"}, "", 1, ""},
		"answer over two lines":        {map[string]string{"MAIL": "550-first\r\n550 second"}, notify.Refused, 0, "first second"},
		"answer with control sequence": {map[string]string{"MAIL": "550 \x1b[2Jgone"}, notify.Refused, 0, "550 [2Jgone"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := smtptest.Start(t, c.answers, nil)
			timeout := "10s"
			if c.says == "in time" {
				timeout = "300ms"
			}
			receipt, err := mailChannel(t, server.Port(), "tls: none, timeout: "+timeout).Send(t.Context(), message(two...))
			if got := notify.OutcomeOf(err); got != c.want {
				t.Fatalf("got %q (%v), want %q", got, err, c.want)
			}
			if err == nil && (receipt.Ref != "<"+messageID+"@example.com>" || receipt.Recipients != 2 || receipt.Refused != nil) {
				t.Errorf("got %+v", receipt)
			}
			if err != nil && (!strings.Contains(err.Error(), c.says) || strings.ContainsAny(err.Error(), "\r\n\x1b")) {
				t.Errorf("%q does not say %q in one line", err, c.says)
			}
			if letters, _ := server.Got(); len(letters) != c.letters {
				t.Errorf("the server has %d mails, want %d", len(letters), c.letters)
			}
		})
	}
}

func TestMailServerIsAway(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	_, err = mailChannel(t, port, "tls: none").Send(t.Context(), message("a@example.com"))
	if notify.OutcomeOf(err) != notify.NotSent || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v", err)
	}
}

func TestCancelledWhileTheAnswerIsAwaited(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]notify.Outcome{"greeting": notify.NotSent, ".": notify.Unknown} {
		server := smtptest.Start(t, map[string]string{key: smtptest.Hang}, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		began := time.Now()
		_, err := mailChannel(t, server.Port(), "tls: none, timeout: 1m").Send(ctx, message("a@example.com"))
		if notify.OutcomeOf(err) != want {
			t.Errorf("%s: got %v", key, err)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("%s: it took %s", key, took)
		}
	}
}

func TestOneRefusedRecipientDoesNotSilenceTheOthers(t *testing.T) {
	t.Parallel()
	server := smtptest.Start(t, map[string]string{"RCPT TO:<left@": "550 5.1.1 unknown"}, nil)
	m := message("left@example.com", "a@example.com", `"a b"@example.com`, "A@example.com", "", "b@exämple.com", "x@example.com\r\nRCPT TO:<eve@example.com>")
	receipt, err := mailChannel(t, server.Port(), "tls: none, to: [desk@example.com, a@example.com]").Send(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	refused := []string{`"a b"@example.com`, "b@exämple.com", "x@example.com RCPT TO:<eve@example.com>", "left@example.com"}
	if receipt.Recipients != 2 || !slices.Equal(receipt.Refused, refused) {
		t.Errorf("got %+v", receipt)
	}
	var named []string
	_, commands := server.Got()
	for _, line := range commands {
		if strings.HasPrefix(line, "RCPT") {
			named = append(named, line)
		}
	}
	want := []string{"RCPT TO:<left@example.com>", "RCPT TO:<a@example.com>", "RCPT TO:<desk@example.com>"}
	if !slices.Equal(named, want) {
		t.Errorf("got %q", named)
	}
}

func TestMessagesThatNoServerSees(t *testing.T) {
	t.Parallel()
	server := smtptest.Start(t, nil, nil)
	channel := mailChannel(t, server.Port(), "tls: none")
	with := func(change func(*notify.Message)) notify.Message {
		m := message("a@example.com")
		change(&m)
		return m
	}
	for name, c := range map[string]struct {
		m    notify.Message
		says string
	}{
		"nobody":         {message(), "smtp.to"},
		"no address":     {message("", ""), "smtp.to"},
		"bad address":    {message(`"a"@example.com`), "name@example.com"},
		"no ID":          {with(func(m *notify.Message) { m.ID = "" }), "UUID"},
		"ID with header": {with(func(m *notify.Message) { m.ID = messageID + "\r\nBcc: eve@example.com" }), "UUID"},
		"ID in capitals": {with(func(m *notify.Message) { m.ID = strings.ToUpper(messageID) }), "UUID"},
		"kind":           {with(func(m *notify.Message) { m.Kind = "a\r\nBcc: eve@example.com" }), "kind"},
		"no subject":     {with(func(m *notify.Message) { m.Subject = "\r\n" }), "subject"},
		"no time":        {with(func(m *notify.Message) { m.At = time.Time{} }), "when"},
	} {
		if _, err := channel.Send(t.Context(), c.m); notify.OutcomeOf(err) != notify.Refused || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, commands := server.Got(); len(commands) != 0 {
		t.Errorf("the server heard %q", commands)
	}
}

func TestALargeMailThatIsCutOff(t *testing.T) {
	t.Parallel()
	// The server stops reading in the middle: the connection's buffers fill up,
	// and the final dot is never written.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		buffer := make([]byte, 4096)
		for _, answer := range []string{"220 hi", "250 hi", "250 noop or mail", "250 rcpt", "354 go on"} {
			if _, err := conn.Write([]byte(answer + "\r\n")); err != nil {
				return
			}
			if _, err := conn.Read(buffer); err != nil {
				return
			}
		}
		time.Sleep(2 * time.Second)
	}()
	m := message("a@example.com")
	m.Text = strings.Repeat("A long line of text that goes on.\n", 1<<19)
	_, err = mailChannel(t, l.Addr().(*net.TCPAddr).Port, "tls: none, timeout: 1s").Send(t.Context(), m)
	if notify.OutcomeOf(err) != notify.NotSent || !strings.Contains(err.Error(), "sending the mail") {
		t.Errorf("got %v", err)
	}
}

// certificate is one for 127.0.0.1, with its own authority in ca.pem and its
// parts in cert.pem and key.pem of a folder.
func certificate(t *testing.T, dir string) *tls.Config {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	key, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"ca.pem":   {Type: "CERTIFICATE", Bytes: server.Certificate().Raw},
		"cert.pem": {Type: "CERTIFICATE", Bytes: server.Certificate().Raw},
		"key.pem":  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &tls.Config{Certificates: server.TLS.Certificates}
}

func TestTLSIsMandatoryUnlessToldOtherwise(t *testing.T) {
	t.Parallel()
	server := smtptest.Start(t, nil, nil) // offers none
	_, err := mailChannel(t, server.Port(), "timeout: 5s").Send(t.Context(), message("a@example.com"))
	if notify.OutcomeOf(err) != notify.NotSent || !strings.Contains(err.Error(), "STARTTLS") {
		t.Errorf("got %v", err)
	}
}

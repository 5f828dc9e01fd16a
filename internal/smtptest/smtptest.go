// Package smtptest is a mail server for tests that misbehaves as told. For one
// that behaves, see devstack.Mailpit.
package smtptest

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// What a Server can do in place of an answer.
const (
	Drop = "drop" // close the connection
	Hang = "hang" // never answer
)

// Server is a mail server that misbehaves as told. The key of an answer is the
// first line's beginning that it is for: a verb, or RCPT TO:<a@example.com>;
// "greeting" and "." (the end of a mail) are keys too. The longest key wins.
type Server struct {
	answers map[string]string
	l       net.Listener

	mu       sync.Mutex
	letters  []string // that came whole
	commands []string
}

// Start starts a server on 127.0.0.1, which speaks TLS from the first byte when
// secure is set. It ends with the test.
func Start(t *testing.T, answers map[string]string, secure *tls.Config) *Server {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if secure != nil {
		l = tls.NewListener(l, secure)
	}
	f := &Server{answers: answers, l: l}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go f.serve(conn)
		}
	}()
	return f
}

// Port is where the server listens.
func (f *Server) Port() int { return f.l.Addr().(*net.TCPAddr).Port }

func (f *Server) answer(line, usual string) string {
	best, found := "", usual
	for key, answer := range f.answers {
		if strings.HasPrefix(line, key) && len(key) > len(best) {
			best, found = key, answer
		}
	}
	return found
}

// say answers a line, and reports whether the conversation goes on.
func (f *Server) say(conn net.Conn, line, usual string) bool {
	switch answer := f.answer(line, usual); answer {
	case Drop:
		return false
	case Hang:
		_, _ = io.Copy(io.Discard, conn) // until the client gives up
		return false
	default:
		_, err := conn.Write([]byte(answer + "\r\n"))
		return err == nil
	}
}

func (f *Server) serve(conn net.Conn) {
	defer conn.Close()
	if !f.say(conn, "greeting", "220 fake") {
		return
	}
	lines := bufio.NewReader(conn)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		f.mu.Lock()
		f.commands = append(f.commands, line)
		f.mu.Unlock()
		usual := "250 fine"
		switch line {
		case "DATA":
			usual = "354 go on"
		case "QUIT":
			usual = "221 bye"
		}
		if !f.say(conn, line, usual) {
			return
		}
		if line != "DATA" || !strings.HasPrefix(f.answer(line, usual), "354") {
			continue
		}
		letter, whole := readLetter(lines)
		if !whole {
			return
		}
		f.mu.Lock()
		f.letters = append(f.letters, letter)
		f.mu.Unlock()
		if !f.say(conn, ".", "250 queued") {
			return
		}
	}
}

func readLetter(lines *bufio.Reader) (letter string, whole bool) {
	var b strings.Builder
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return b.String(), false
		}
		if line == ".\r\n" {
			return b.String(), true
		}
		b.WriteString(line)
	}
}

// Got returns the mails that came whole, and the lines that clients said.
func (f *Server) Got() (letters, commands []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.letters...), append([]string(nil), f.commands...)
}

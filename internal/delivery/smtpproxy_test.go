package delivery_test

import (
	"bufio"
	"encoding/base64"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
)

func decode(t *testing.T, text string) string {
	t.Helper()
	out, err := base64.StdEncoding.DecodeString(strings.NewReplacer("\r", "", "\n", "").Replace(text))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// losesTheLastAnswer stands before a mail server, and drops the client when the
// server has answered that a mail is taken. It returns its port.
func losesTheLastAnswer(t *testing.T, server int) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go relay(client, server)
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

func relay(client net.Conn, server int) {
	defer client.Close()
	to, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(server)))
	if err != nil {
		return
	}
	defer to.Close()
	go func() { _, _ = io.Copy(to, client) }()
	inMail := false
	for answers := bufio.NewReader(to); ; {
		line, err := answers.ReadString('\n')
		if err != nil || inMail {
			return // the answer to the mail is the one that is lost
		}
		inMail = strings.HasPrefix(line, "354")
		if _, err := io.WriteString(client, line); err != nil {
			return
		}
	}
}

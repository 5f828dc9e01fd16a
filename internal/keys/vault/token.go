package vault

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"finobs/internal/outbound"
)

// tokens is a token that an agent renews in a file.
type tokens struct {
	path string

	mu  sync.Mutex
	now string
}

func (t *tokens) current() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now
}

// after returns the token that took the place of a refused one. Another call may
// have read it already.
func (t *tokens) after(refused string) (token string, changed bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now != refused {
		return t.now, true, nil
	}
	if token, err = readToken(t.path); err != nil {
		return "", false, err
	}
	t.now = token
	return token, token != refused, nil
}

// readToken reads a file that nobody else may read.
func readToken(path string) (string, error) {
	text, err := outbound.ReadSecret(path)
	if err != nil {
		return "", fmt.Errorf("token_file: %w (an agent's file sink: mode = 0600)", err)
	}
	token := strings.TrimSpace(string(text))
	for _, c := range []byte(token) {
		if c <= ' ' || c > '~' {
			return "", errors.New("token_file: " + path + " holds more than a token: want one line of text without blanks")
		}
	}
	return token, nil
}

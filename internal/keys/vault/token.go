package vault

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// maxToken is how long a token may be, in bytes. Batch tokens of Vault are a few
// hundred.
const maxToken = 4 << 10

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
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("token_file: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "", fmt.Errorf("token_file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("token_file: %s is not a file", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("token_file: %s has mode %04o; others must not read it: chmod 600 %s (an agent's file sink: mode = 0600)", path, info.Mode().Perm(), path)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxToken+1))
	if err != nil {
		return "", fmt.Errorf("token_file: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" || len(text) > maxToken {
		return "", fmt.Errorf("token_file: %s is empty or larger than %d bytes", path, maxToken)
	}
	for _, c := range []byte(token) {
		if c <= ' ' || c > '~' {
			return "", errors.New("token_file: " + path + " holds more than a token: want one line of text without blanks")
		}
	}
	return token, nil
}

package devstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// addressFile says where the API of a folder's stack was last started.
const addressFile = "api-address"

func writeAddress(dir, address string) error {
	if err := os.WriteFile(filepath.Join(dir, addressFile), []byte(address+"\n"), 0o644); err != nil {
		return fmt.Errorf("keeping the API's address: %w", err)
	}
	return nil
}

// ReadAddress returns where the API of a folder's stack listens, or the default.
func ReadAddress(dir string) string {
	text, err := os.ReadFile(filepath.Join(dir, addressFile))
	if err != nil {
		return "127.0.0.1:" + strconv.Itoa(apiPort)
	}
	return strings.TrimSpace(string(text))
}

// settingsFile keeps the settings that a folder's stack was last started with, for
// commands that look at it from outside. It holds passwords.
const settingsFile = "settings.json"

func (s *Stack) keepSettings(context.Context) error {
	text, err := json.MarshalIndent(s.settings, "", "  ")
	if err != nil {
		return fmt.Errorf("keeping settings: %w", err)
	}
	path := s.Path(settingsFile)
	// A file that is there keeps its mode when it is written; a new one has ours.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keeping settings: %w", err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("keeping settings: %w", err)
	}
	return nil
}

// ReadSettings returns the settings that the stack of a folder was last started
// with.
func ReadSettings(dir string) (map[string]string, error) {
	text, err := os.ReadFile(filepath.Join(dir, settingsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s holds no stack; finobs dev starts one: %w", dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("reading settings: %w", err)
	}
	var settings map[string]string
	if err := json.Unmarshal(text, &settings); err != nil {
		return nil, fmt.Errorf("reading settings in %s: %w", filepath.Join(dir, settingsFile), err)
	}
	return settings, nil
}

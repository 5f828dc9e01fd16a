package devstack

import (
	"context"
	"errors"
	"io"
	"os/exec"
)

// ErrNoChromium says that this system has no Chromium and that finobs cannot
// install it. Only tests of the console need it.
var ErrNoChromium = errors.New("Chromium is missing and cannot be installed here; only tests of the console need it")

// EnsureChromium returns the path of Chromium, or of Google Chrome. Where there is
// neither it installs Debian's package, and shows what it does on progress. The
// error wraps ErrNoChromium on a system without apt-get, or when it would need a
// password.
func EnsureChromium(ctx context.Context, progress io.Writer) (string, error) {
	if path, ok := findChromium(); ok {
		return path, nil
	}
	// Without a font every text of a picture is a row of boxes.
	if err := installPackages(ctx, progress, ErrNoChromium, "chromium", "fonts-dejavu-core"); err != nil {
		return "", err
	}
	if path, ok := findChromium(); ok {
		return path, nil
	}
	return "", errors.New("Chromium was installed, but it is not on PATH")
}

func findChromium() (string, bool) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome-stable", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, true
		}
	}
	return "", false
}

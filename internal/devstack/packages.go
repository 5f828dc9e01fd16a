package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// ErrNoOpenSSH is wrapped when ssh-keygen is missing and cannot be installed.
var ErrNoOpenSSH = errors.New("ssh-keygen is missing")

// EnsureOpenSSH installs ssh-keygen, with which anybody verifies exports, where it
// is missing. Errors wrap ErrNoOpenSSH on a system without apt-get, or when it
// would need a password.
func EnsureOpenSSH(ctx context.Context, progress io.Writer) error {
	if onPath("ssh-keygen") {
		return nil
	}
	return installPackages(ctx, progress, ErrNoOpenSSH, "openssh-client")
}

// installPackages installs Debian packages; cannot is wrapped where that needs
// somebody.
func installPackages(ctx context.Context, progress io.Writer, cannot error, packages ...string) error {
	if !onPath("apt-get") {
		return fmt.Errorf("%w: this system has no apt-get", cannot)
	}
	steps := [][]string{
		{"apt-get", "update"},
		append([]string{"env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "--no-install-recommends"}, packages...),
	}
	names := strings.Join(packages, " ")
	if os.Geteuid() != 0 {
		if err := exec.CommandContext(ctx, "sudo", "-n", "true").Run(); err != nil {
			return fmt.Errorf("%w: it needs root, but sudo asks for a password; run: sudo apt-get install %s", cannot, names)
		}
		for i := range steps {
			steps[i] = append([]string{"sudo", "-n"}, steps[i]...)
		}
	}
	for _, step := range steps {
		if err := show(ctx, progress, nil, step...); err != nil {
			return fmt.Errorf("installing %s: %w", names, err)
		}
	}
	return nil
}

package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// ErrNoRsyslog says that this system has no rsyslog and that finobs cannot
// install it. Only tests of the SIEM feed need it.
var ErrNoRsyslog = errors.New("rsyslog with TLS is missing and cannot be installed here; only tests of the SIEM feed need it")

// RsyslogProgram is an rsyslog that is installed.
type RsyslogProgram struct {
	Bin    string // path of rsyslogd
	Driver string // its TLS driver: gtls or ossl
}

// EnsureRsyslog returns an rsyslog that can do TLS. Where there is none it
// installs Debian's packages, and shows what it does on progress. The error wraps
// ErrNoRsyslog on a system without apt-get, or when it would need a password.
func EnsureRsyslog(ctx context.Context, progress io.Writer) (RsyslogProgram, error) {
	if found, ok := findRsyslog(); ok {
		return found, nil
	}
	if err := installPackages(ctx, progress, ErrNoRsyslog, "rsyslog", "rsyslog-gnutls"); err != nil {
		return RsyslogProgram{}, err
	}
	if found, ok := findRsyslog(); ok {
		return found, nil
	}
	return RsyslogProgram{}, errors.New("rsyslog was installed, but rsyslogd or its TLS driver is in none of the usual folders")
}

func findRsyslog() (RsyslogProgram, bool) {
	bin, err := exec.LookPath("rsyslogd")
	if err != nil {
		bin = "/usr/sbin/rsyslogd" // often not on the PATH of an ordinary user
		if _, err := os.Stat(bin); err != nil {
			return RsyslogProgram{}, false
		}
	}
	for _, driver := range []string{"gtls", "ossl"} {
		for _, pattern := range []string{"/usr/lib/*/rsyslog", "/usr/lib64/rsyslog", "/usr/lib/rsyslog"} {
			found, _ := filepath.Glob(filepath.Join(pattern, "lmnsd_"+driver+".so")) // the patterns are constant and well-formed
			if len(found) > 0 {
				return RsyslogProgram{Bin: bin, Driver: driver}, true
			}
		}
	}
	return RsyslogProgram{}, false
}

// RsyslogConfig says how to run a private rsyslog.
type RsyslogConfig struct {
	Program RsyslogProgram // see EnsureRsyslog
	Dir     string         // for its configuration, state and log; must be there
	Port    int            // on 127.0.0.1; octet counting over TCP
	Output  string         // file; gets every message as it came, one a line

	// CA, Cert and Key are PEM files; with Cert the server speaks TLS.
	CA, Cert, Key string

	// ClientCert makes the server ask for a certificate of CA.
	ClientCert bool
}

// Rsyslog is a running syslog receiver for tests.
type Rsyslog struct {
	process *Process
	config  RsyslogConfig
}

// StartRsyslog starts a syslog receiver and waits until it accepts connections.
// It needs no privileges.
func StartRsyslog(ctx context.Context, c RsyslogConfig) (*Rsyslog, error) {
	path := filepath.Join(c.Dir, "rsyslog.conf")
	if err := os.WriteFile(path, []byte(c.text()), 0o600); err != nil {
		return nil, fmt.Errorf("configuring rsyslog: %w", err)
	}
	pid := filepath.Join(c.Dir, "rsyslog.pid")
	// A killed rsyslog leaves it behind, and the next one would refuse to start.
	if err := os.Remove(pid); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("starting rsyslog: %w", err)
	}
	cmd := exec.Command(c.Program.Bin, "-n", "-f", path, "-i", pid) //nolint:noctx // Stop ends it, in order
	proc, err := start("rsyslog", cmd, filepath.Join(c.Dir, "rsyslog.log"), syscall.SIGTERM)
	if err != nil {
		return nil, err
	}
	r := &Rsyslog{process: proc, config: c}
	if err := r.process.await(ctx, r.ready); err != nil {
		return nil, errors.Join(err, r.Stop())
	}
	return r, nil
}

// text is the configuration. Queues are direct, so that what was read is written
// before more is read; a message is kept as it came, escapes and all.
func (c *RsyslogConfig) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "global(workDirectory=%q maxMessageSize=\"64k\"", c.Dir)
	stream := ""
	if c.Cert != "" {
		fmt.Fprintf(&b, " defaultNetstreamDriver=%q defaultNetstreamDriverCAFile=%q", c.Program.Driver, c.CA)
		fmt.Fprintf(&b, " defaultNetstreamDriverCertFile=%q defaultNetstreamDriverKeyFile=%q", c.Cert, c.Key)
		mode := "anon"
		if c.ClientCert {
			mode = "x509/certvalid"
		}
		stream = fmt.Sprintf(" streamDriver.name=%q streamDriver.mode=\"1\" streamDriver.authMode=%q", c.Program.Driver, mode)
	}
	fmt.Fprintf(&b, ")\nmain_queue(queue.type=\"Direct\")\nmodule(load=\"imtcp\"%s)\n", stream)
	fmt.Fprintf(&b, "template(name=\"raw\" type=\"string\" string=\"%%rawmsg%%\\n\")\n")
	fmt.Fprintf(&b, "ruleset(name=\"keep\" queue.type=\"Direct\") {\n  action(type=\"omfile\" file=%q template=\"raw\")\n}\n", c.Output)
	fmt.Fprintf(&b, "input(type=\"imtcp\" address=\"127.0.0.1\" port=\"%d\" ruleset=\"keep\")\n", c.Port)
	return b.String()
}

func (r *Rsyslog) ready(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.Address())
	if err != nil {
		return err
	}
	return conn.Close()
}

// Address is where messages are taken.
func (r *Rsyslog) Address() string { return "127.0.0.1:" + strconv.Itoa(r.config.Port) }

// Kill ends the receiver as a crash does, and waits until it has.
func (r *Rsyslog) Kill() error { return r.process.Kill() }

// Stop ends the receiver in order.
func (r *Rsyslog) Stop() error { return r.process.stop(syscall.SIGTERM, syscall.SIGKILL) }

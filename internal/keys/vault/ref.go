package vault

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"finobs/internal/outbound"
)

// reference is what a URL of this provider says.
type reference struct {
	base      url.URL // scheme and host alone
	mount     string  // of the transit engine, such as transit or teams/desk/transit
	name      string  // of the key
	version   int     // 0 for the latest
	tokenFile string
	caFile    string
	namespace string
}

// segmentForm is what Vault allows for the name of a key, and what we allow for
// the parts of mounts and namespaces: nothing that a path would give a meaning.
var segmentForm = regexp.MustCompile(`^\w([\w.-]*\w)?$`)

func parse(u *url.URL) (*reference, error) {
	scheme := strings.TrimPrefix(u.Scheme, "vault+")
	switch {
	case u.User != nil:
		return nil, errors.New("a name or password in the reference would be logged; put the token into a file and name it with token_file")
	case u.Hostname() == "":
		return nil, errors.New("the reference has no host; want " + form)
	case u.Fragment != "":
		return nil, errors.New("the reference has a #fragment, which means nothing here; leave it out")
	case scheme == "http" && !loopback(u.Hostname()):
		return nil, fmt.Errorf("vault+http to %s would show the token to the network; use vault+https, http is for this machine alone", u.Hostname())
	}
	r := &reference{base: url.URL{Scheme: scheme, Host: u.Host}}
	if err := r.setPath(u.Path); err != nil {
		return nil, err
	}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("the parameters of the reference cannot be read; a %, & or ; in a value is written as %25, %26 or %3B")
	}
	for _, parameter := range slices.Sorted(maps.Keys(values)) {
		list := values[parameter]
		if len(list) != 1 || list[0] == "" {
			return nil, fmt.Errorf("parameter %.40q: want one value", parameter)
		}
		if err := r.set(parameter, list[0]); err != nil {
			return nil, err
		}
	}
	if r.tokenFile == "" {
		return nil, errors.New("parameter token_file is missing; want the path of a file with the token, mode 0600")
	}
	if r.caFile != "" && scheme == "http" {
		return nil, errors.New("parameter ca_file has no use with vault+http; use vault+https or leave it out")
	}
	return r, nil
}

// setPath takes /MOUNT/keys/NAME apart, where MOUNT may have several parts.
func (r *reference) setPath(path string) error {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	n := len(parts)
	if n < 3 || parts[n-2] != "keys" || !segments(parts) {
		return errors.New("the path of the reference is not /MOUNT/keys/NAME; want " + form)
	}
	if parts[0] == "v1" {
		return errors.New("the path of the reference begins with /v1; leave that out and begin with the mount of the transit engine")
	}
	r.mount, r.name = strings.Join(parts[:n-2], "/"), parts[n-1]
	return nil
}

func (r *reference) set(parameter, value string) error {
	switch parameter {
	case "token_file":
		r.tokenFile = value
	case "ca_file":
		r.caFile = value
	case "namespace":
		r.namespace = strings.Trim(value, "/")
		if !segments(strings.Split(r.namespace, "/")) {
			return errors.New("parameter namespace: want names of letters, digits, _, . and -, with / between them")
		}
	case "version":
		version, err := strconv.Atoi(value)
		if err != nil || version < 1 || strconv.Itoa(version) != value {
			return errors.New("parameter version: want the number of a key version, from 1; without it the latest is taken")
		}
		r.version = version
	default: // without its value, which may be a secret
		return fmt.Errorf("parameter %.40q is unknown; known are token_file, version, ca_file and namespace", parameter)
	}
	return nil
}

func (r *reference) String() string { return r.mount + "/keys/" + r.name }

func segments(parts []string) bool {
	for _, part := range parts {
		if !segmentForm.MatchString(part) {
			return false
		}
	}
	return true
}

// loopback reports whether a host is this machine by its name. What the name
// leads to is checked again when it is dialled.
func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && addr.Unmap().IsLoopback())
}

// onlyLoopback refuses to dial anything but this machine.
func onlyLoopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil || host == "localhost" || !loopback(host) {
		return fmt.Errorf("%s is not this machine; use vault+https", address)
	}
	return nil
}

// readRoots reads certificates to trust in place of the system's; nil for none.
func readRoots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	return outbound.ReadRoots(path)
}

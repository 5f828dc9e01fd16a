package connector

import (
	"crypto/tls"
	"errors"
	"net"
	"slices"
)

// certificateAlerts are those of TLS with which a server turns a client's certificate
// away, or the lack of one: handshake failure, bad, unsupported, revoked, expired and
// unknown certificates, unknown authorities, access denied and certificate required
// (RFC 8446, section 6.2). Until that is settled a server reads no request.
var certificateAlerts = []tls.AlertError{40, 42, 43, 44, 45, 46, 48, 49, 116}

// turnedAway reports whether an error is the other side's refusal of our certificate.
// Nothing was applied then, also where TLS 1.3 let the request leave before.
func turnedAway(err error) bool {
	var of *net.OpError
	if !errors.As(err, &of) || of.Op != "remote error" || of.Err == nil {
		return false
	}
	return slices.ContainsFunc(certificateAlerts, func(a tls.AlertError) bool { return a.Error() == of.Err.Error() })
}

// untrusted reports whether an error is about the other side's certificate.
func untrusted(err error) bool {
	var of *tls.CertificateVerificationError
	return errors.As(err, &of)
}

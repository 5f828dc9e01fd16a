package seal

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"finobs/internal/keys"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// Namespace keeps a signature over SHA256SUMS from passing for one that the key
// gave for anything else (OpenSSH, PROTOCOL.sshsig).
const Namespace = "finobs-export@v1"

// Identity is who signs, in the words of ssh-keygen (option -I).
const Identity = "finobs"

// AllowedSigners is the file with which ssh-keygen verifies SHA256SUMS.sig
// (ssh-keygen(1), ALLOWED SIGNERS): one line for each key.
func AllowedSigners(public ...ed25519.PublicKey) string {
	var b strings.Builder
	for _, key := range public {
		sshKey, err := ssh.NewPublicKey(key)
		if err != nil {
			continue // it is no Ed25519 key, so it signs nothing
		}
		fmt.Fprintf(&b, "%s namespaces=%q %s", Identity, Namespace, ssh.MarshalAuthorizedKey(sshKey))
	}
	return b.String()
}

// writeSums writes digests as sha256sum does, in the order of their names.
func writeSums(digests map[string]string) []byte {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(digests)) {
		fmt.Fprintf(&b, "%s  %s\n", digests[name], name)
	}
	return b.Bytes()
}

// fileName is what the name of a file of a bundle looks like: nothing that could
// lead elsewhere.
var fileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$`)

// parseSums reads what writeSums wrote, and refuses any other bytes.
func parseSums(text []byte) (map[string]string, error) {
	digests := map[string]string{}
	for line := range strings.Lines(string(text)) {
		digest, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if !ok || !hexDigest.MatchString(digest) || !fileName.MatchString(name) {
			return nil, fmt.Errorf("%q is no line of digest and name", line)
		}
		if len(digests) == maxFiles {
			return nil, fmt.Errorf("it has over %d lines", maxFiles)
		}
		digests[name] = digest
	}
	if !bytes.Equal(writeSums(digests), text) {
		return nil, errors.New("its lines are not in order, or one is there twice")
	}
	return digests, nil
}

// signSums signs the text of SHA256SUMS (SSHSIG, PROTOCOL.sshsig of OpenSSH).
func signSums(ctx context.Context, key keys.Signer, sums []byte) ([]byte, error) {
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("signing digests: %w", err)
	}
	signature, err := sshsig.Sign(bytes.NewReader(sums), sshSigner{ctx, key, public}, sshsig.HashSHA512, Namespace)
	if err != nil {
		return nil, fmt.Errorf("signing digests: %w", err)
	}
	return sshsig.Armor(signature), nil
}

// sshSigner lets package ssh sign with a key that may live in another process. It
// is made for one signature, which is why it carries that call's context.
type sshSigner struct {
	ctx    context.Context
	key    keys.Signer
	public ssh.PublicKey
}

// PublicKey implements ssh.Signer.
func (s sshSigner) PublicKey() ssh.PublicKey { return s.public }

// Sign implements ssh.Signer (RFC 8709, section 6).
func (s sshSigner) Sign(_ io.Reader, message []byte) (*ssh.Signature, error) {
	signature, err := signChecked(s.ctx, s.key, message)
	if err != nil {
		return nil, err
	}
	return &ssh.Signature{Format: ssh.KeyAlgoED25519, Blob: signature}, nil
}

// openSums checks who signed the text of SHA256SUMS and returns keys.ID of the
// key. It fails like Open.
func openSums(sums, sig []byte, trusted []ed25519.PublicKey) (string, error) {
	signature, err := sshsig.Unarmor(sig)
	if err != nil {
		return "", fmt.Errorf("%w: reading %s: %w", ErrSignature, SumsSigFile, err)
	}
	// The format allows text around it and other line lengths; what was written
	// here has one spelling.
	if !bytes.Equal(sshsig.Armor(signature), sig) {
		return "", fmt.Errorf("%w: %s has another spelling than the one that was written", ErrSignature, SumsSigFile)
	}
	for _, key := range trusted {
		public, err := ssh.NewPublicKey(key)
		if err != nil || !bytes.Equal(public.Marshal(), signature.PublicKey.Marshal()) {
			continue
		}
		if err := sshsig.Verify(bytes.NewReader(sums), signature, public, sshsig.HashSHA512, Namespace); err != nil {
			return "", fmt.Errorf("%w (key %s): %w", ErrSignature, keys.ID(key), err)
		}
		return keys.ID(key), nil
	}
	return "", ErrKeyUnknown
}

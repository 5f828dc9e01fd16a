package seal

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"

	"finobs/internal/keys"

	"github.com/go-json-experiment/json"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// What keeps an envelope or a signature from being believed.
var (
	ErrKeyUnknown = errors.New("no trusted key has signed it")
	ErrSignature  = errors.New("the signature of a trusted key does not hold")
)

// maxSignatures bounds how many signatures of an envelope are looked at.
const maxSignatures = 16

// Sign writes the manifest of an export: a DSSE envelope
// (github.com/secure-systems-lab/dsse, v1) over an in-toto statement. The same
// facts and key give the same bytes. A remote key fails with its own errors, and
// signing may be repeated.
func Sign(ctx context.Context, key keys.Signer, f Facts) ([]byte, error) {
	s, err := stated(f)
	if err != nil {
		return nil, fmt.Errorf("writing manifest: %w", err)
	}
	payload, err := s.encode()
	if err != nil {
		return nil, fmt.Errorf("writing manifest: %w", err)
	}
	signer, err := dsse.NewEnvelopeSigner(dsseSigner{key})
	if err != nil {
		return nil, fmt.Errorf("signing manifest: %w", err)
	}
	envelope, err := signer.SignPayload(ctx, PayloadType, payload)
	if err != nil {
		return nil, fmt.Errorf("signing manifest: %w", err)
	}
	text, err := json.Marshal(envelope)
	if err != nil {
		return nil, fmt.Errorf("writing manifest: %w", err)
	}
	return append(text, '\n'), nil
}

// dsseSigner lets package dsse sign with a key that may live in another process.
type dsseSigner struct{ key keys.Signer }

// Sign implements dsse.Signer.
func (s dsseSigner) Sign(ctx context.Context, message []byte) ([]byte, error) {
	return signChecked(ctx, s.key, message)
}

// KeyID implements dsse.Signer.
func (s dsseSigner) KeyID() (string, error) { return keys.ID(s.key.Public()), nil }

// signChecked signs, and makes sure that the key which signed is the one whose
// public half is known: a remote one may have been rotated.
func signChecked(ctx context.Context, key keys.Signer, message []byte) ([]byte, error) {
	signature, err := key.Sign(ctx, message)
	if err != nil {
		return nil, err
	}
	if !ed25519.Verify(key.Public(), message, signature) {
		return nil, fmt.Errorf("key %s signed with another key than its public one", keys.ID(key.Public()))
	}
	return signature, nil
}

// ManifestSHA256 is the digest of a manifest by which the ledger and the next
// manifest know it: of the envelope's bytes, hexadecimal.
func ManifestSHA256(envelope []byte) string { return sum(envelope) }

// Open reads a manifest that one of the trusted keys has signed, and says which:
// keys.ID of it. It fails with ErrKeyUnknown when none of them has, and with
// ErrSignature when one is named and its signature does not hold. Package dsse
// cannot tell these apart and takes several spellings for one signature, so only
// its encoding is used here.
func Open(envelope []byte, trusted []ed25519.PublicKey) (s Statement, keyID string, err error) {
	var e dsse.Envelope
	if err := json.Unmarshal(envelope, &e, json.RejectUnknownMembers(true)); err != nil {
		return s, "", fmt.Errorf("reading manifest: %w", err)
	}
	payload, err := base64.StdEncoding.Strict().DecodeString(e.Payload)
	switch {
	case err != nil:
		return s, "", fmt.Errorf("reading manifest: %w", err)
	case e.PayloadType != PayloadType:
		return s, "", fmt.Errorf("reading manifest: its payload is of type %q", e.PayloadType)
	case len(e.Signatures) > maxSignatures:
		return s, "", fmt.Errorf("reading manifest: it has %d signatures, over the limit of %d", len(e.Signatures), maxSignatures)
	}
	if keyID, err = signedBy(e.Signatures, dsse.PAE(e.PayloadType, payload), trusted); err != nil {
		return s, keyID, fmt.Errorf("reading manifest: %w", err)
	}
	if s, err = parseStatement(payload); err != nil {
		return s, keyID, err
	}
	if err := s.consistent(); err != nil {
		return s, keyID, fmt.Errorf("reading statement: %w", err)
	}
	return s, keyID, nil
}

// signedBy finds the trusted key that signed a message.
func signedBy(signatures []dsse.Signature, message []byte, trusted []ed25519.PublicKey) (string, error) {
	err := ErrKeyUnknown
	for _, given := range signatures {
		for _, key := range trusted {
			if len(key) != ed25519.PublicKeySize || given.KeyID != keys.ID(key) {
				continue
			}
			signature, decodeErr := base64.StdEncoding.Strict().DecodeString(given.Sig)
			if decodeErr == nil && ed25519.Verify(key, message, signature) {
				return given.KeyID, nil
			}
			err = fmt.Errorf("%w (key %s)", ErrSignature, given.KeyID)
		}
	}
	return "", err
}

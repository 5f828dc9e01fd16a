package keys

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
)

// NoteVerifierKey returns the text form (vkey) of an Ed25519 key for signed
// notes (C2SP signed-note, signature type 0x01). origin is the name of the log,
// such as audit.example.com/desk: without blanks and +.
func NoteVerifierKey(origin string, public ed25519.PublicKey) (string, error) {
	vkey, err := note.NewEd25519VerifierKey(origin, public)
	if err != nil {
		return "", fmt.Errorf("writing note key: %w", err)
	}
	if _, err := note.NewVerifier(vkey); err != nil {
		return "", fmt.Errorf("%q is no name for a note key; want text without blanks and +", origin)
	}
	return vkey, nil
}

// NoteSigner lets package note sign with a key that may live in another process.
// Like Opaque, it is made for one signature, which is why it carries that call's
// context.
func NoteSigner(ctx context.Context, origin string, key Signer) (note.Signer, error) {
	if key == nil {
		return nil, errors.New("a note needs a signing key")
	}
	vkey, err := NoteVerifierKey(origin, key.Public())
	if err != nil {
		return nil, err
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("reading note key: %w", err)
	}
	return noteSigner{ctx, verifier, key}, nil
}

type noteSigner struct {
	ctx      context.Context
	verifier note.Verifier
	key      Signer
}

func (s noteSigner) Name() string { return s.verifier.Name() }

// KeyHash is the first four bytes of SHA-256(name, line feed, 0x01, public key).
func (s noteSigner) KeyHash() uint32 { return s.verifier.KeyHash() }

// Sign signs the text of a note, with its last line feed.
func (s noteSigner) Sign(text []byte) ([]byte, error) { return s.key.Sign(s.ctx, text) }

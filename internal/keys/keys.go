// Package keys holds the signing keys of finobs. A key has one purpose; a
// process that needs only to verify gets the public half.
package keys

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Signer signs messages with one Ed25519 key (RFC 8032, the message itself and
// not a hash of it). Remote providers fail with ordinary errors; the caller
// retries.
type Signer interface {
	Sign(ctx context.Context, message []byte) (signature []byte, err error)
	Public() ed25519.PublicKey
}

// ID names a key: the first 16 hexadecimal digits of the SHA-256 of the public
// key.
func ID(public ed25519.PublicKey) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:8])
}

// File is a Signer whose key lies in a PEM file (PKCS #8), for development and
// for hosts with an encrypted disk.
type File struct{ private ed25519.PrivateKey }

// Sign implements Signer.
func (f *File) Sign(_ context.Context, message []byte) ([]byte, error) {
	return ed25519.Sign(f.private, message), nil
}

// Public implements Signer.
func (f *File) Public() ed25519.PublicKey { return f.private.Public().(ed25519.PublicKey) }

// Load reads a private key from a PEM file. A file that others may read is
// refused.
func Load(path string) (*File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading signing key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("signing key %s has mode %04o; others must not read it: chmod 600 %s", path, info.Mode().Perm(), path)
	}
	block, err := readPEM(path, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(block)
	if err != nil {
		return nil, fmt.Errorf("parsing signing key %s: %w", path, err)
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("signing key %s is a %T; an Ed25519 key is needed", path, key)
	}
	return &File{private}, nil
}

// LoadOrCreate is Load, after making a new key and its public half beside it
// (path with .pub for its extension) when there is none.
func LoadOrCreate(path string) (*File, error) {
	_, err := os.Stat(path)
	switch {
	case err == nil:
		return Load(path)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("reading signing key: %w", err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("encoding signing key: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("making key folder: %w", err)
	}
	if err := writePublic(PublicPath(path), public); err != nil {
		return nil, err
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return nil, fmt.Errorf("writing signing key: %w", err)
	}
	return &File{private}, nil
}

// PublicPath is where LoadOrCreate puts the public half of the key at path.
func PublicPath(path string) string {
	return path[:len(path)-len(filepath.Ext(path))] + ".pub"
}

// LoadPublic reads a public key from a PEM file (SubjectPublicKeyInfo), the form
// that openssl pkey -pubout writes.
func LoadPublic(path string) (ed25519.PublicKey, error) {
	block, err := readPEM(path, "PUBLIC KEY")
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKIXPublicKey(block)
	if err != nil {
		return nil, fmt.Errorf("parsing public key %s: %w", path, err)
	}
	public, ok := key.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("public key %s is a %T; an Ed25519 key is needed", path, key)
	}
	return public, nil
}

func writePublic(path string, public ed25519.PublicKey) error {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return fmt.Errorf("encoding public key: %w", err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o644); err != nil {
		return fmt.Errorf("writing public key: %w", err)
	}
	return nil
}

func readPEM(path, kind string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("%s holds no PEM block of type %s", path, kind)
	}
	return block.Bytes, nil
}

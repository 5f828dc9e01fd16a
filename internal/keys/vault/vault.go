// Package vault signs with Ed25519 keys in the transit engine of HashiCorp Vault
// or OpenBao. The private half never leaves there.
package vault

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"finobs/internal/keys"
)

const form = "vault+https://HOST:8200/MOUNT/keys/NAME?token_file=PATH, with &version=N, &ca_file=PATH and &namespace=NAME as needed (vault+http on this machine)"

// Transit opens keys by references of the form
//
//	vault+https://HOST:8200/MOUNT/keys/NAME?token_file=PATH&version=N&ca_file=PATH&namespace=NAME
//
// where all but token_file may be left out. Without version the latest at
// opening is taken. Either way the signer keeps its version when Vault rotates.
// The token's policy needs read of MOUNT/keys/NAME and update of MOUNT/sign/NAME.
type Transit struct{}

var _ keys.Provider = Transit{}

// Schemes implements keys.Provider.
func (Transit) Schemes() []string { return []string{"vault+https", "vault+http"} }

// Form implements keys.Provider.
func (Transit) Form() string { return form }

// Open implements keys.Provider. It reads the public half from Vault.
func (Transit) Open(ctx context.Context, u *url.URL) (keys.Signer, error) {
	ref, err := parse(u)
	if err != nil {
		return nil, fmt.Errorf("signing key in Vault: %w", err)
	}
	roots, err := readRoots(ref.caFile)
	if err != nil {
		return nil, fmt.Errorf("signing key in Vault: ca_file: %w", err)
	}
	token, err := readToken(ref.tokenFile)
	if err != nil {
		return nil, fmt.Errorf("signing key in Vault: %w", err)
	}
	s := &signer{client: newClient(ref, &tokens{path: ref.tokenFile, now: token}, roots)}
	var key keyData
	if err := s.client.call(ctx, http.MethodGet, "keys", nil, &key); err != nil {
		return nil, fmt.Errorf("opening signing key %s: %w", ref, err)
	}
	if s.version, s.public, err = key.pick(ref); err != nil {
		return nil, fmt.Errorf("opening signing key %s: %w", ref, err)
	}
	return s, nil
}

// keyData is what Vault tells about a key. The form of an entry of Keys depends
// on Type.
type keyData struct {
	Type          string                     `json:"type"`
	Derived       bool                       `json:"derived"`
	Latest        int                        `json:"latest_version"`
	MinAvailable  int                        `json:"min_available_version"`
	MinDecryption int                        `json:"min_decryption_version"`
	MinEncryption int                        `json:"min_encryption_version"`
	Keys          map[string]json.RawMessage `json:"keys"`
}

// pick returns the version that ref asks for and its public half.
func (k *keyData) pick(ref *reference) (int, ed25519.PublicKey, error) {
	switch {
	case k.Type != "ed25519":
		return 0, nil, fmt.Errorf("its type is %.40q; make a key of type ed25519: vault write -f %s type=ed25519", k.Type, ref)
	case k.Derived:
		return 0, nil, errors.New("it derives a key for each context, so it has no one public half; make one without derived")
	}
	version := ref.version
	if version == 0 {
		version = k.Latest
	}
	switch { // a version below two limits fails by the one that is harder to mend
	case version < 1 || version > k.Latest:
		return 0, nil, fmt.Errorf("it has no version %d; the latest is %d", version, k.Latest)
	case version < k.MinAvailable:
		return 0, nil, fmt.Errorf("version %d was trimmed away for ever (min_available_version is %d); open a later one", version, k.MinAvailable)
	case version < k.MinDecryption:
		return 0, nil, fmt.Errorf("version %d is archived (min_decryption_version is %d); open a later one, or lower that", version, k.MinDecryption)
	case version < k.MinEncryption:
		return 0, nil, fmt.Errorf("version %d may not sign any more (min_encryption_version is %d); open a later one, or lower that", version, k.MinEncryption)
	}
	var half struct {
		PublicKey string `json:"public_key"`
	}
	entry, present := k.Keys[strconv.Itoa(version)]
	if !present || json.Unmarshal(entry, &half) != nil {
		return 0, nil, fmt.Errorf("Vault tells no public key of version %d", version)
	}
	// The bytes of the key alone, where other types come as PEM.
	public, err := base64.StdEncoding.Strict().DecodeString(half.PublicKey)
	if err != nil || len(public) != ed25519.PublicKeySize {
		return 0, nil, fmt.Errorf("the public key of version %d is not base64 of %d bytes; check that the address is Vault's", version, ed25519.PublicKeySize)
	}
	return version, public, nil
}

// signer signs with one version of one key.
type signer struct {
	client  *client
	version int
	public  ed25519.PublicKey
}

// Public implements keys.Signer.
func (s *signer) Public() ed25519.PublicKey { return s.public }

// signRequest leaves prehashed and hash_algorithm out: the message itself is
// signed, and Vault versions differ in what they make of the two for Ed25519.
type signRequest struct {
	Input      []byte `json:"input"` // as base64
	KeyVersion int    `json:"key_version"`
}

// Sign implements keys.Signer. A signature that does not verify is an error,
// never an answer.
func (s *signer) Sign(ctx context.Context, message []byte) ([]byte, error) {
	if message == nil {
		message = []byte{} // as "", for nil would be null
	}
	var data struct {
		Signature string `json:"signature"`
	}
	if err := s.client.call(ctx, http.MethodPost, "sign", signRequest{message, s.version}, &data); err != nil {
		return nil, fmt.Errorf("signing with %s: %w", s.client.ref, err)
	}
	signature, err := s.check(data.Signature, message)
	if err != nil {
		return nil, fmt.Errorf("signing with %s: %w", s.client.ref, err)
	}
	return signature, nil
}

// check reads vault:vN:BASE64 and verifies it.
func (s *signer) check(text string, message []byte) ([]byte, error) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 || parts[0] != "vault" {
		return nil, errors.New("the answer is not of the form vault:vN:signature; check that the address is Vault's")
	}
	if want := "v" + strconv.Itoa(s.version); parts[1] != want {
		return nil, fmt.Errorf("the answer is of key version %.20q, not of %s that was asked for", parts[1], want)
	}
	signature, err := base64.StdEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(signature) != ed25519.SignatureSize {
		return nil, fmt.Errorf("the answer is not base64 of a signature of %d bytes", ed25519.SignatureSize)
	}
	if !ed25519.Verify(s.public, message, signature) {
		return nil, fmt.Errorf("the signature is not of key %s, the public half of version %d at opening; if the key was made anew, trust its new public half and open it again", keys.ID(s.public), s.version)
	}
	return signature, nil
}

package vaulttest

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"strconv"
)

// key is a transit key. Version n is versions[n-1].
type key struct {
	kind          string
	derived       bool
	versions      []ed25519.PrivateKey
	minAvailable  int
	minDecryption int
	minEncryption int
}

// transit answers for the engine. args are the parts of the path in it, such as
// keys, NAME, rotate.
func (s *Server) transit(w http.ResponseWriter, r *http.Request, args []string) {
	body := map[string]any{}
	if r.Method != http.MethodGet && r.ContentLength != 0 {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			fail(w, http.StatusBadRequest, "failed to parse JSON input: "+err.Error())
			return
		}
	}
	verb := ""
	if len(args) == 3 {
		verb = args[2]
	}
	if len(args) < 2 || len(args) > 3 || (args[0] != "keys" && args[0] != "sign") {
		fail(w, http.StatusNotFound, "unsupported path")
		return
	}
	name := args[1]
	k, present := s.keys[name]
	switch {
	case args[0] == "sign" && r.Method != http.MethodGet && present:
		s.sign(w, k, body)
	case args[0] == "sign" && r.Method != http.MethodGet:
		fail(w, http.StatusBadRequest, "signing key not found")
	case r.Method == http.MethodGet && verb == "" && present:
		succeed(w, s.describe(name, k))
	case r.Method == http.MethodGet:
		fail(w, http.StatusNotFound)
	case r.Method == http.MethodDelete && verb == "":
		delete(s.keys, name)
		w.WriteHeader(http.StatusNoContent)
	case verb == "" && !present:
		k = &key{kind: text(body, "type", "aes256-gcm96"), derived: body["derived"] == true, minDecryption: 1}
		k.rotate()
		s.keys[name] = k
		succeed(w, s.describe(name, k))
	case present:
		s.change(w, name, k, verb, body)
	default:
		fail(w, http.StatusBadRequest, "key not found")
	}
}

func (s *Server) change(w http.ResponseWriter, name string, k *key, verb string, body map[string]any) {
	switch verb {
	case "rotate":
		k.rotate()
	case "config":
		k.minDecryption = number(body, "min_decryption_version", k.minDecryption)
		k.minEncryption = number(body, "min_encryption_version", k.minEncryption)
	case "trim":
		k.minAvailable = number(body, "min_available_version", k.minAvailable)
	default:
		fail(w, http.StatusNotFound, "unsupported path")
		return
	}
	succeed(w, s.describe(name, k))
}

func (k *key) rotate() {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err) // which crypto/rand rules out
	}
	k.versions = append(k.versions, private)
}

// describe is the data of GET transit/keys/NAME. Versions below
// min_decryption_version lie in the archive and are left out.
func (s *Server) describe(name string, k *key) map[string]any {
	versions := map[string]any{}
	for i := max(k.minDecryption, k.minAvailable, 1); i <= len(k.versions); i++ {
		if k.kind != "ed25519" {
			versions[strconv.Itoa(i)] = 1764000000 // symmetric keys have the time alone
			continue
		}
		versions[strconv.Itoa(i)] = map[string]any{
			"name": k.kind, "public_key": s.public(k, i), "certificate_chain": "", "hybrid_public_key": "",
			"creation_time": "2025-11-24T16:00:00.000000000Z",
		}
	}
	return map[string]any{
		"name": name, "type": k.kind, "derived": k.derived, "deletion_allowed": false, "exportable": false,
		"allow_plaintext_backup": false, "auto_rotate_period": 0, "imported_key": false, "latest_version": len(k.versions),
		"min_available_version": k.minAvailable, "min_decryption_version": k.minDecryption, "min_encryption_version": k.minEncryption,
		"supports_encryption": k.kind != "ed25519", "supports_decryption": k.kind != "ed25519",
		"supports_signing": k.kind == "ed25519", "supports_derivation": true, "keys": versions,
	}
}

func (s *Server) public(k *key, version int) string {
	public, _ := k.versions[version-1].Public().(ed25519.PublicKey)
	switch {
	case k.derived:
		return "" // for want of a context
	case s.fault == PEMKey:
		der, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			panic(err) // for no Ed25519 key
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	}
	return base64.StdEncoding.EncodeToString(public)
}

// sign answers transit/sign/NAME. Vault versions differ in what they make of
// prehashed and hash_algorithm, so a client that sends them is refused.
func (s *Server) sign(w http.ResponseWriter, k *key, body map[string]any) {
	version := number(body, "key_version", 0)
	if version == 0 {
		version = len(k.versions)
	}
	message, err := base64.StdEncoding.DecodeString(text(body, "input", ""))
	_, prehashed := body["prehashed"]
	_, hashed := body["hash_algorithm"]
	switch {
	case k.kind != "ed25519":
		fail(w, http.StatusBadRequest, "key type "+k.kind+" does not support signing")
	case prehashed, hashed:
		fail(w, http.StatusBadRequest, "only Pure Ed25519 signatures supported, prehashed must be false")
	case err != nil:
		fail(w, http.StatusBadRequest, "unable to decode input as base64: "+err.Error())
	case version > len(k.versions):
		fail(w, http.StatusInternalServerError, "1 error occurred:\n\t* requested version for signing is higher than the latest key version\n\n")
	case version < k.minEncryption:
		fail(w, http.StatusInternalServerError, "1 error occurred:\n\t* requested version for signing is less than the minimum encryption key version\n\n")
	case version < max(k.minAvailable, k.minDecryption):
		fail(w, http.StatusInternalServerError, "1 error occurred:\n\t* no such key version\n\n")
	default:
		data := map[string]any{"signature": s.signature(k, version, message), "key_version": version}
		if s.fault == NullSignature {
			data["signature"] = nil
		}
		succeed(w, data)
	}
}

func (s *Server) signature(k *key, version int, message []byte) string {
	signed, prefix := ed25519.Sign(k.versions[version-1], message), "vault"
	switch s.fault {
	case WrongVersion:
		if version++; version > len(k.versions) {
			version = 1
		}
		signed = ed25519.Sign(k.versions[version-1], message)
	case WrongKey:
		other := &key{}
		other.rotate()
		signed = ed25519.Sign(other.versions[0], message)
	case Garbage:
		_, _ = rand.Read(signed)
	case Short:
		signed = signed[:ed25519.SignatureSize-1]
	case BadPrefix:
		prefix = "cofre"
	default:
	}
	return fmt.Sprintf("%s:v%d:%s", prefix, version, base64.StdEncoding.EncodeToString(signed))
}

func text(body map[string]any, field, fallback string) string {
	if s, ok := body[field].(string); ok {
		return s
	}
	return fallback
}

func number(body map[string]any, field string, fallback int) int {
	if n, ok := body[field].(float64); ok {
		return int(n)
	}
	return fallback
}

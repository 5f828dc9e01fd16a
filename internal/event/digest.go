package event

import (
	"crypto/sha256"
	"encoding/hex"
)

// digestOf is the SHA-256 of a text, in hexadecimal.
func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

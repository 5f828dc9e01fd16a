package keys

import (
	"context"

	"github.com/go-jose/go-jose/v4"
)

// Opaque lets go-jose sign with a key that may live in another process. What it
// returns is made for one signature, which is why it may carry that call's
// context.
func Opaque(ctx context.Context, key Signer) jose.OpaqueSigner { return opaque{ctx, key} }

type opaque struct {
	ctx context.Context
	key Signer
}

func (o opaque) Public() *jose.JSONWebKey {
	return &jose.JSONWebKey{Key: o.key.Public(), KeyID: ID(o.key.Public()), Algorithm: string(jose.EdDSA), Use: "sig"}
}

func (o opaque) Algs() []jose.SignatureAlgorithm { return []jose.SignatureAlgorithm{jose.EdDSA} }

func (o opaque) SignPayload(payload []byte, _ jose.SignatureAlgorithm) ([]byte, error) {
	return o.key.Sign(o.ctx, payload)
}

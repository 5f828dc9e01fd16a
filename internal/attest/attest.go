// Package attest is how the API vouches, towards the worker, for what a person
// asked or decided. A Temporal message by itself proves nothing: whoever can
// reach Temporal can send one. So every start carries a Command and every
// decision signal a Decision, both signed by the API's decision key, and the
// worker believes nothing else.
//
// The form is JWS compact serialization (RFC 7515) with EdDSA pinned. A token
// proves that the API said so, and through it that the identity provider named
// the person; it is not a signature by the person.
package attest

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"finobs/internal/approval"
	"finobs/internal/keys"

	"github.com/go-jose/go-jose/v4"
)

// Types of the two tokens, in the typ header: one never passes for the other.
const (
	commandType  = "finobs-command+jws"
	decisionType = "finobs-decision+jws"
)

// maxTokenLength bounds what a verifier parses, in bytes.
const maxTokenLength = 16 << 10

// ErrToken is wrapped by every refusal of a token.
var ErrToken = errors.New("token is not valid")

// Command says that a person asked for a workflow to be started with exactly one
// payload.
type Command struct {
	ID            string             `json:"jti"`
	IssuedAt      time.Time          `json:"issued_at"`
	WorkflowType  string             `json:"workflow_type"`
	WorkflowID    string             `json:"workflow_id"`
	PayloadDigest string             `json:"payload_digest"`
	Principal     approval.Principal `json:"principal"`
	RequestID     string             `json:"request_id"`
	TraceID       string             `json:"trace_id"`
}

// Decision says that a person decided on exactly one action under exactly one
// policy. It is good until the request's deadline, however late it is delivered.
type Decision struct {
	ID           string             `json:"jti"`
	IssuedAt     time.Time          `json:"issued_at"` // by the database's clock
	ApprovalID   int64              `json:"approval_id,string"`
	WorkflowID   string             `json:"workflow_id"`
	ActionDigest string             `json:"action_digest"`
	PolicyDigest string             `json:"policy_digest"`
	Verdict      approval.Verdict   `json:"verdict"`
	Reason       string             `json:"reason"`
	Reviewer     approval.Principal `json:"reviewer"`
	// OnBehalfOf is the delegator, as he stands, when the reviewer decides in
	// his place by the delegation DelegationID.
	OnBehalfOf    *approval.Principal `json:"on_behalf_of,omitempty"`
	DelegationID  int64               `json:"delegation_id,string,omitempty"`
	Fallback      bool                `json:"fallback,omitempty"` // the fallback list was admitted
	SummarySHA256 string              `json:"summary_sha256"`     // of the text that the reviewer was shown
	Deadline      time.Time           `json:"deadline"`
	RequestID     string              `json:"request_id"`
	TraceID       string              `json:"trace_id"`
}

// Signer makes tokens.
type Signer struct{ Key keys.Signer }

// Command signs c.
func (s Signer) Command(ctx context.Context, c Command) (string, error) {
	return s.sign(ctx, commandType, c)
}

// Decision signs d.
func (s Signer) Decision(ctx context.Context, d Decision) (string, error) {
	return s.sign(ctx, decisionType, d)
}

func (s Signer) sign(ctx context.Context, typ string, claims any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encoding %s: %w", typ, err)
	}
	opts := (&jose.SignerOptions{}).WithType(jose.ContentType(typ))
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: keys.Opaque(ctx, s.Key)}, opts)
	if err != nil {
		return "", fmt.Errorf("preparing signature: %w", err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("signing %s: %w", typ, err)
	}
	return jws.CompactSerialize()
}

// Verifier checks tokens against the public keys that it was given; a key named
// or carried by the token itself is never used.
type Verifier struct{ keys map[string]ed25519.PublicKey }

// NewVerifier returns a Verifier that trusts the given keys.
func NewVerifier(trusted ...ed25519.PublicKey) *Verifier {
	v := &Verifier{keys: map[string]ed25519.PublicKey{}}
	for _, k := range trusted {
		v.keys[keys.ID(k)] = k
	}
	return v
}

// Command verifies the signature of a token and returns what it says. The
// caller compares the bindings with what is at hand.
func (v *Verifier) Command(token string) (Command, error) {
	var c Command
	err := v.verify(token, commandType, &c)
	return c, err
}

// Decision is Command for decisions.
func (v *Verifier) Decision(token string) (Decision, error) {
	var d Decision
	if err := v.verify(token, decisionType, &d); err != nil {
		return d, err
	}
	if d.Verdict != approval.Approve && d.Verdict != approval.Reject {
		return d, fmt.Errorf("%w: verdict %q is neither approve nor reject", ErrToken, d.Verdict)
	}
	return d, nil
}

func (v *Verifier) verify(token, typ string, claims any) error {
	if len(token) > maxTokenLength {
		return fmt.Errorf("%w: it has %d bytes, over the limit of %d", ErrToken, len(token), maxTokenLength)
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrToken, err)
	}
	header := jws.Signatures[0].Protected
	if got := header.ExtraHeaders[jose.HeaderType]; got != typ {
		return fmt.Errorf("%w: it is of type %v, not %s", ErrToken, got, typ)
	}
	key, known := v.keys[header.KeyID]
	if !known {
		return fmt.Errorf("%w: its key %q is not trusted", ErrToken, header.KeyID)
	}
	payload, err := jws.Verify(key)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrToken, err)
	}
	if err := json.Unmarshal(payload, claims); err != nil {
		return fmt.Errorf("%w: %w", ErrToken, err)
	}
	return nil
}

// KeyID reads which key a token says it was signed with, without verifying it;
// "" when it is no token.
func KeyID(token string) string {
	if len(token) > maxTokenLength {
		return ""
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return ""
	}
	return jws.Signatures[0].Protected.KeyID
}

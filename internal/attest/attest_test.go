package attest_test

import (
	"context"
	"encoding/base64"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/keys"
)

func newKey(t *testing.T) *keys.File {
	t.Helper()
	k, err := keys.LoadOrCreate(filepath.Join(t.TempDir(), "decision.key"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func decision() attest.Decision {
	return attest.Decision{
		ID: "0192", IssuedAt: time.Date(2026, 11, 24, 12, 0, 0, 123456000, time.UTC), ApprovalID: 42,
		WorkflowID: "export:ab", ActionDigest: "sha256:aa", PolicyDigest: "sha256:bb", Verdict: approval.Approve, Reason: "fine",
		Reviewer: approval.Principal{Person: approval.Person{Issuer: "i", Subject: "alice"}, Kind: approval.Human, Roles: []string{"analyst"}},
		Deadline: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC),
	}
}

func TestDecisionRoundTrip(t *testing.T) {
	key := newKey(t)
	token, err := attest.Signer{Key: key}.Decision(context.Background(), decision())
	if err != nil {
		t.Fatal(err)
	}
	got, err := attest.NewVerifier(key.Public()).Decision(token)
	if err != nil {
		t.Fatalf("Decision: %v", err)
	}
	if got.ApprovalID != 42 || got.Reviewer.Subject != "alice" || !got.IssuedAt.Equal(decision().IssuedAt) || got.Verdict != approval.Approve {
		t.Errorf("Decision = %+v, want %+v", got, decision())
	}
}

func TestVerifierRefuses(t *testing.T) {
	ctx, key, other := context.Background(), newKey(t), newKey(t)
	signer := attest.Signer{Key: key}
	good, err := signer.Decision(ctx, decision())
	if err != nil {
		t.Fatal(err)
	}
	command, err := signer.Command(ctx, attest.Command{ID: "1"})
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := attest.Signer{Key: other}.Decision(ctx, decision())
	if err != nil {
		t.Fatal(err)
	}
	pending := decision()
	pending.Verdict = "pending"
	odd, err := signer.Decision(ctx, pending)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	raw := base64.RawURLEncoding.EncodeToString
	swapped := strings.Replace(mustDecode(t, parts[1]), "alice", "mally", 1)
	for name, token := range map[string]string{
		"Empty":          "",
		"NotAToken":      "approve",
		"Handmade":       `{"decision":"approve"}`,
		"OtherKey":       foreign,
		"Command":        command,
		"ChangedPayload": parts[0] + "." + raw([]byte(swapped)) + "." + parts[2],
		"AlgNone":        raw([]byte(`{"alg":"none","typ":"finobs-decision+jws"}`)) + "." + parts[1] + ".",
		"HMACOfPublic":   raw([]byte(`{"alg":"HS256","typ":"finobs-decision+jws"}`)) + "." + parts[1] + "." + raw([]byte("x")),
		"NoSignature":    parts[0] + "." + parts[1] + ".",
		"UnknownVerdict": odd,
		"TooLong":        strings.Repeat("a", 20<<10),
	} {
		if d, err := attest.NewVerifier(key.Public()).Decision(token); !errors.Is(err, attest.ErrToken) {
			t.Errorf("%s: Decision = %+v, %v, want ErrToken", name, d, err)
		}
	}
	if _, err := attest.NewVerifier().Decision(good); !errors.Is(err, attest.ErrToken) {
		t.Errorf("a verifier without keys accepted a token")
	}
	if _, err := attest.NewVerifier(key.Public(), other.Public()).Decision(foreign); err != nil {
		t.Errorf("a verifier with two keys refused the second: %v", err)
	}
}

func mustDecode(t *testing.T, s string) string {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

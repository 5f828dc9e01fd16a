package approval_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"finobs/internal/approval"
	"finobs/internal/canonical"
)

func TestFreezeThawOfGeneratedPolicies(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	digests := map[string]string{}
	for range 200 {
		r := draw(random.IntN).rules()
		p := policyFor(t, r.yaml())
		frozen, digest, err := p.Freeze()
		if err != nil {
			t.Fatal(err)
		}
		back, err := approval.Thaw(frozen, digest)
		if err != nil {
			t.Fatalf("Thaw: %v", err)
		}
		again, digestAgain, err := back.Freeze()
		if err != nil || digestAgain != digest || !bytes.Equal(again, frozen) {
			t.Fatalf("second Freeze = %s (%v), want %s", again, err, frozen)
		}
		if other, known := digests[digest]; known && other != r.yaml() {
			t.Fatalf("two policies share a digest:\n%s\n%s", other, r.yaml())
		}
		digests[digest] = r.yaml()
		agree(t, r, back, draw(random.IntN).decisions(8))
	}
}

func TestFreezeBindsEveryField(t *testing.T) {
	p := policyFor(t, full)
	frozen, digest, err := p.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := approval.Thaw(bytes.Replace(frozen, []byte(`"2"`), []byte(`"1"`), 1), digest); err == nil {
		t.Error("Thaw of changed bytes succeeded")
	}
	for _, replace := range [][2]string{
		{"id: full", "id: other"}, {`startsWith("export.")`, `startsWith("expor")`}, {"label: review", "label: other"},
		{"{n: 2, who", "{n: 1, who"}, {"label: compliance}]", "label: other}]"}, {`reviewer.desk != `, `reviewer.desk == `},
		{"fallback: '", "fallback: 'false || "}, {"veto: 2", "veto: 1"}, {"expires: 24h", "expires: 23h"}, {"reuse_for: 90m", "reuse_for: 91m"},
		{"roster: required", "roster: optional"}, {"delegation: false", "delegation: true"}, {"channel: default\n", "channel: other\n"},
		{"after: 12h", "after: 13h"}, {"channel: late", "channel: later"}, {"to: 'true'", "to: 'false'"}, {"default, label: compliance", "default, label: x"},
		{"escalation:\n", "escalation: &e\n"},
	} {
		file := strings.Replace(full, replace[0], replace[1], 1)
		other, err := load(t, file).For(action())
		if err != nil {
			t.Fatalf("%q: %v", replace[1], err)
		}
		_, got, err := other.Freeze()
		if err != nil {
			t.Fatal(err)
		}
		if same := strings.Contains(replace[1], "&e"); (got == digest) != same {
			t.Errorf("after %q the digest is the same: %t", replace[1], got == digest)
		}
	}
}

func TestThawTakesOneSpelling(t *testing.T) {
	frozen, _, err := policyFor(t, full).Freeze()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"another member": strings.Replace(string(frozen), "{", `{"a":"b",`, 1),
		"white space":    string(frozen) + " ",
		"other duration": strings.Replace(string(frozen), "1h30m0s", "90m", 1),
		"no duration":    strings.Replace(string(frozen), "1h30m0s", "", 1),
		"other order":    strings.Replace(string(frozen), `"after":"4h0m0s"`, `"after":"13h0m0s"`, 1),
		"unknown roster": strings.Replace(string(frozen), "required", "requested", 1),
		"not JSON":       "x",
	} {
		digest := digestOf(text)
		if _, err := approval.Thaw([]byte(text), digest); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func digestOf(frozen string) string {
	return canonical.DigestBytes(approval.PolicyDigestDomain, []byte(frozen))
}

package approval

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"finobs/internal/canonical"
	"finobs/internal/fault"
)

// ActionDigestDomain separates action digests from every other digest.
const ActionDigestDomain = "finobs.action.v1"

// Mode says whether an action may touch a live system.
type Mode string

// The closed set of modes.
const (
	Live       Mode = "live"
	Simulation Mode = "simulation"
)

// Valid reports whether m is one of the modes above.
func (m Mode) Valid() bool { return m == Live || m == Simulation }

// RiskTier is how much harm an action can do. It is part of the action, so that
// people approve it with the rest; see Policies.Classify.
type RiskTier string

// The closed set of tiers, in rising order.
const (
	Low    RiskTier = "low"
	Medium RiskTier = "medium"
	High   RiskTier = "high"
)

// Valid reports whether t is one of the tiers above.
func (t RiskTier) Valid() bool { return t.rank() > 0 }

// AtLeast reports whether t is as risky as o or riskier. A tier that is not
// valid is below all others.
func (t RiskTier) AtLeast(o RiskTier) bool { return t.rank() >= o.rank() }

func (t RiskTier) rank() int {
	switch t {
	case Low:
		return 1
	case Medium:
		return 2
	case High:
		return 3
	}
	return 0
}

// Person identifies a human or a service by who vouches for the name and the
// name itself, as in the iss and sub claims of a token (RFC 7519).
type Person struct {
	Issuer  string `json:"iss"`
	Subject string `json:"sub"`
}

// Same reports whether p and q are one person. Letter case is ignored: two
// spellings of one login must not make two people out of a requester and an
// approver.
func (p Person) Same(q Person) bool {
	//nolint:staticcheck // EqualFold takes more for equal than Key, by which rows are compared
	return strings.ToLower(p.Issuer) == strings.ToLower(q.Issuer) && strings.ToLower(p.Subject) == strings.ToLower(q.Subject)
}

// Key is one text for all spellings that Same takes for one person. No issuer
// holds a line feed.
func (p Person) Key() string {
	return strings.ToLower(p.Issuer) + "\n" + strings.ToLower(p.Subject)
}

func (p Person) canonical() canonical.Object {
	return canonical.Object{"iss": p.Issuer, "sub": p.Subject}
}

// Target is a thing that an action touches, at the version that was seen when
// the action was proposed. An action over a newer version is another action.
type Target struct {
	Kind    string `json:"kind"`
	ID      string `json:"id"`
	Version string `json:"version"`
}

// Action is what a person asks for, in full: an approval authorises exactly
// this and nothing that differs in one character.
type Action struct {
	Kind         string            `json:"kind"` // dotted, such as "export.incidents"
	Targets      []Target          `json:"targets"`
	Parameters   map[string]string `json:"parameters"` // ids, amounts and times as text
	Requester    Person            `json:"requester"`
	Editor       *Person           `json:"editor,omitempty"` // who last edited the parameters, when not the requester
	Desk         string            `json:"desk"`             // desk the action belongs to; empty for all
	Mode         Mode              `json:"mode"`
	RiskTier     RiskTier          `json:"risk_tier"`
	PolicyDigest string            `json:"policy_digest"`
}

var (
	kindPattern = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$`)
	namePattern = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	deskPattern = regexp.MustCompile(`^[A-Za-z0-9_.-]*$`)
)

const (
	maxKindLength      = 64
	maxDeskLength      = 32
	maxTextLength      = 2048
	maxTargets         = 100
	maxParameters      = 50
	maxParameterLength = 64
)

// Validate reports the first thing about a that keeps it from being an action,
// as a fault of kind Invalid.
func (a Action) Validate() error {
	bad := func(format string, args ...any) error {
		return fault.New(fault.Invalid, "invalid-action", format, args...)
	}
	switch {
	case len(a.Kind) > maxKindLength || !kindPattern.MatchString(a.Kind):
		return bad("kind %q must be dotted lower-case words such as export.incidents, %d characters at most", a.Kind, maxKindLength)
	case !a.Mode.Valid():
		return bad("mode %q must be live or simulation", a.Mode)
	case !a.RiskTier.Valid():
		return bad("risk tier %q must be low, medium or high; classify the action first", a.RiskTier)
	case a.Requester.Issuer == "" || a.Requester.Subject == "":
		return bad("the requester has no issuer or no subject")
	case a.Editor != nil && (a.Editor.Issuer == "" || a.Editor.Subject == ""):
		return bad("the editor has no issuer or no subject; leave the editor out when there is none")
	case !ValidDesk(a.Desk):
		return bad("desk %q must be letters, digits, '_', '.' and '-', %d characters at most", a.Desk, maxDeskLength)
	case len(a.Targets) > maxTargets:
		return bad("%d targets are over the limit of %d", len(a.Targets), maxTargets)
	case len(a.Parameters) > maxParameters:
		return bad("%d parameters are over the limit of %d", len(a.Parameters), maxParameters)
	}
	return a.validateTexts()
}

func (a Action) validateTexts() error {
	bad := func(format string, args ...any) error {
		return fault.New(fault.Invalid, "invalid-action", format, args...)
	}
	for _, text := range a.texts() {
		if strings.ContainsRune(text, 0) || !utf8.ValidString(text) {
			return bad("a target, a parameter, the requester or the editor holds a NUL character or is not valid UTF-8")
		}
	}
	for i, t := range a.Targets {
		if !namePattern.MatchString(t.Kind) || t.ID == "" {
			return bad("target %d needs a kind in lower case and an id", i+1)
		}
		if len(t.ID) > maxTextLength || len(t.Version) > maxTextLength {
			return bad("target %d has an id or a version of over %d bytes", i+1, maxTextLength)
		}
	}
	for name, value := range a.Parameters {
		if len(name) > maxParameterLength || !namePattern.MatchString(name) {
			return bad("parameter name %q must be a lower-case word of at most %d characters", name, maxParameterLength)
		}
		if len(value) > maxTextLength {
			return bad("parameter %s is over %d bytes", name, maxTextLength)
		}
	}
	return nil
}

// texts lists everything in an action that a caller may have written.
func (a Action) texts() []string {
	texts := []string{a.Requester.Issuer, a.Requester.Subject}
	if a.Editor != nil {
		texts = append(texts, a.Editor.Issuer, a.Editor.Subject)
	}
	for _, t := range a.Targets {
		texts = append(texts, t.ID, t.Version)
	}
	for _, value := range a.Parameters {
		texts = append(texts, value)
	}
	return texts
}

// KindRedeliver is the kind of the action that delivers an export to another
// destination.
const KindRedeliver = "export.redeliver"

// Dataset is what an export exports: the rest of the kind after "export.", and
// for any other action the parameter dataset; empty when there is none.
func (a Action) Dataset() string {
	if name, ok := strings.CutPrefix(a.Kind, "export."); ok && a.Kind != KindRedeliver {
		return name
	}
	return a.Parameters["dataset"]
}

// Amount is the parameter amount, as text; empty when there is none.
func (a Action) Amount() string { return a.Parameters["amount"] }

// Canonical returns the bytes that a person approves (see package canonical).
func (a Action) Canonical() ([]byte, error) {
	targets := make([]canonical.Object, 0, len(a.Targets))
	for _, t := range a.Targets {
		targets = append(targets, canonical.Object{"kind": t.Kind, "id": t.ID, "version": t.Version})
	}
	parameters := canonical.Object{}
	for k, v := range a.Parameters {
		parameters[k] = v
	}
	object := canonical.Object{
		"kind":          a.Kind,
		"targets":       targets,
		"parameters":    parameters,
		"requester":     a.Requester.canonical(),
		"desk":          a.Desk,
		"mode":          string(a.Mode),
		"risk_tier":     string(a.RiskTier),
		"policy_digest": a.PolicyDigest,
	}
	if a.Editor != nil {
		object["editor"] = a.Editor.canonical()
	}
	b, err := canonical.JSON(object)
	if err != nil {
		return nil, fmt.Errorf("writing action %s: %w", a.Kind, err)
	}
	return b, nil
}

// Digest identifies the action: SHA-256 over ActionDigestDomain and Canonical.
func (a Action) Digest() (string, error) {
	b, err := a.Canonical()
	if err != nil {
		return "", err
	}
	return canonical.DigestBytes(ActionDigestDomain, b), nil
}

// ValidDesk reports whether a text can name a desk; the empty one names none.
func ValidDesk(name string) bool { return len(name) <= maxDeskLength && deskPattern.MatchString(name) }

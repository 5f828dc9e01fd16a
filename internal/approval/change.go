package approval

import (
	"crypto/sha256"
	"encoding/hex"
	"net/mail"
	"slices"
	"strconv"
	"strings"

	"finobs/internal/fault"
)

// Kinds of actions that change finobs' own settings.
const (
	KindUserAdd        = "user.add"
	KindUserChange     = "user.change"
	KindPolicyActivate = "policy.activate"
)

// MaxPolicyFile is the size limit of a policy file in bytes.
const MaxPolicyFile = 256 << 10

// Roles lists the roles that mean something.
func Roles() []string {
	return []string{"admin", "compliance", "analyst", "trader", "auditor", "viewer", "service"}
}

// Validate reports the first thing that keeps m from being on the roster, as a
// fault of kind Invalid.
func (m Member) Validate() error {
	bad := func(format string, args ...any) error {
		return fault.New(fault.Invalid, "invalid-user", format, args...)
	}
	if m.Issuer == "" || m.Subject == "" || strings.ContainsAny(m.Issuer, "|\n") || len(m.Issuer)+len(m.Subject) > maxTextLength {
		return bad("a user needs an issuer without '|' and a subject, %d bytes together at most", maxTextLength)
	}
	if !m.Kind.Valid() {
		return bad("kind %q must be human, agent or system", m.Kind)
	}
	for _, role := range m.Roles {
		if !slices.Contains(Roles(), role) {
			return bad("role %q is not one of %s", role, strings.Join(Roles(), ", "))
		}
	}
	if m.Kind != Human && slices.ContainsFunc(m.Roles, func(r string) bool { return r != "service" && r != "viewer" }) {
		return bad("an agent or a system has the roles service and viewer only")
	}
	if !ValidDesk(m.Desk) {
		return bad("desk %q must be letters, digits, '_', '.' and '-', %d characters at most", m.Desk, maxDeskLength)
	}
	if m.Email != "" {
		if a, err := mail.ParseAddress(m.Email); err != nil || a.Address != m.Email || len(m.Email) > 254 {
			return bad("email %q is not a plain address such as alice@example.com", m.Email)
		}
	}
	return nil
}

// ChangeOf is the action that puts m, at the version that follows m.Version, on
// the roster; version 0 adds him.
func ChangeOf(m Member, requester Person, desk string) Action {
	kind := KindUserChange
	if m.Version == 0 {
		kind = KindUserAdd
	}
	roles := slices.Clone(m.Roles)
	slices.Sort(roles)
	return Action{
		Kind: kind, Targets: []Target{TargetOf(m.Person, m.Version)}, Requester: requester, Desk: desk, Mode: Live, RiskTier: High,
		Parameters: map[string]string{
			"kind": string(m.Kind), "roles": strings.Join(slices.Compact(roles), " "), "desk": m.Desk, "email": m.Email,
			"active": strconv.FormatBool(m.Active),
		},
	}
}

// MemberOf reads back whom an approved action puts on the roster.
func MemberOf(a Action) (Member, error) {
	if len(a.Targets) != 1 || a.Targets[0].Kind != UserTarget || a.Mode != Live {
		return Member{}, fault.New(fault.Invalid, "not-a-change", "the action does not change the roster")
	}
	version, err := strconv.ParseInt(a.Targets[0].Version, 10, 64)
	active, activeErr := strconv.ParseBool(a.Parameters["active"])
	if err != nil || activeErr != nil {
		return Member{}, fault.New(fault.Invalid, "not-a-change", "the action has no version or does not say whether the user is active")
	}
	m := Member{
		Person: PersonOfTarget(a.Targets[0]), Kind: ActorKind(a.Parameters["kind"]), Roles: strings.Fields(a.Parameters["roles"]),
		Desk: a.Parameters["desk"], Email: a.Parameters["email"], Active: active, Version: version,
	}
	return m, m.Validate()
}

// ActivationOf is the action that puts a policy file in force in the place of
// the one whose digest is replaces.
func ActivationOf(content, replaces string, requester Person, desk string) Action {
	sum := sha256.Sum256([]byte(content))
	digest := hex.EncodeToString(sum[:])
	return Action{
		Kind: KindPolicyActivate, Targets: []Target{{Kind: "policy", ID: "desk", Version: replaces}}, Requester: requester, Desk: desk,
		Mode: Live, RiskTier: High, Parameters: map[string]string{"sha256": digest, "replaces_sha256": replaces},
	}
}

// CheckActivation checks that content is the policy file that an action
// activates, and that it loads.
func CheckActivation(a Action, content string) error {
	sum := sha256.Sum256([]byte(content))
	if a.Kind != KindPolicyActivate || a.Mode != Live || a.Parameters["sha256"] != hex.EncodeToString(sum[:]) {
		return fault.New(fault.Forbidden, "evidence-broken", "the policy file is not the one that was approved")
	}
	if _, err := LoadPolicies(strings.NewReader(content)); err != nil {
		return fault.Wrap(err, fault.Invalid, "invalid-policies", "the policy file cannot be used: %v", err)
	}
	return nil
}

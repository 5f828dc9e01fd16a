package identity

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"finobs/internal/approval"

	"github.com/go-json-experiment/json"
)

// readClaims reads claims into known ones and returns all of them. Claims that two
// parsers could read differently are refused: duplicates, and invalid UTF-8.
func readClaims(payload []byte, known any) (map[string]any, error) {
	var all map[string]any
	if err := json.Unmarshal(payload, &all); err != nil {
		return nil, errors.New("the token's claims are not a JSON object, or name one twice")
	}
	if err := json.Unmarshal(payload, known); err != nil {
		return nil, errors.New("a claim of the token is not of the type that it should be")
	}
	return all, nil
}

// principal is whom verified claims are of. A client that the file lists as a
// machine is one, whoever the token is about; everybody else is a person.
func (i *Issuer) principal(subject, client string, all map[string]any) (approval.Principal, error) {
	p := approval.Principal{Person: approval.Person{Issuer: i.url, Subject: subject}, Kind: approval.Human, Roles: []string{}}
	if m, listed := i.machines[client]; listed {
		p.Kind, p.Roles, p.Desk = m.kind, append(p.Roles, m.roles...), m.desk
		return p, nil
	}
	for _, value := range texts(claim(all, i.claims.Roles)) {
		for _, role := range i.roles[value] { // what the file does not list is no role
			if !slices.Contains(p.Roles, role) {
				p.Roles = append(p.Roles, role)
			}
		}
	}
	for _, value := range texts(claim(all, i.claims.Desk)) {
		desk, listed := i.desks[value]
		switch {
		case !listed:
		case p.Desk != "" && p.Desk != desk:
			return approval.Principal{}, fmt.Errorf("the token puts its person on two desks, %s and %s", p.Desk, desk)
		default:
			p.Desk = desk
		}
	}
	slices.SortFunc(p.Roles, func(a, b string) int { return slices.Index(approval.Roles(), a) - slices.Index(approval.Roles(), b) })
	return p, nil
}

// claim finds a claim by its name, or by a path of names with dots between. A name
// that has dots itself, such as a URL, wins over a path.
func claim(all map[string]any, path string) any {
	if path == "" {
		return nil
	}
	if value, there := all[path]; there {
		return value
	}
	first, rest, more := strings.Cut(path, ".")
	inner, isObject := all[first].(map[string]any)
	if !more || !isObject {
		return nil
	}
	return claim(inner, rest)
}

// texts are the values of a claim that is a text, a list of texts, or an object
// whose names are the values, as some providers write roles.
func texts(value any) []string {
	switch v := value.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, each := range v {
			if text, ok := each.(string); ok {
				out = append(out, text)
			}
		}
		return out
	case map[string]any:
		var out []string
		for name := range v {
			out = append(out, name)
		}
		slices.Sort(out)
		return out
	}
	return nil
}

// checkSubject holds for the sub of every token.
func checkSubject(subject string) error {
	switch {
	case strings.TrimSpace(subject) == "" || len(subject) > maxSubject:
		return fmt.Errorf("the subject must have 1 to %d bytes", maxSubject)
	case strings.ContainsFunc(subject, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("the subject holds control characters")
	}
	return nil
}

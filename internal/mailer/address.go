package mailer

import (
	"regexp"
	"strings"
)

// Addresses are of the plain form alone: no quoted local part, no address
// literal, nothing beyond ASCII. What is left needs no escaping anywhere.
var (
	localForm  = regexp.MustCompile(`^[A-Za-z0-9!#$%&'*+/=?^_{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_{|}~-]+)*$`)
	domainForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)
)

// FormOfAddress tells people what GoodAddress takes.
const FormOfAddress = "want name@example.com, in plain letters, without quotes"

// GoodAddress reports whether s is an e-mail address of the plain form.
func GoodAddress(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && len(local) <= 64 && len(domain) <= 253 && len(s) <= 254 && localForm.MatchString(local) && domainForm.MatchString(domain)
}

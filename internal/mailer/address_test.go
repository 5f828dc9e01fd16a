package mailer_test

import (
	"strings"
	"testing"

	"finobs/internal/mailer"
)

func TestGoodAddress(t *testing.T) {
	for _, good := range []string{"a@b", "first.last+tag@sub.example.com", "o'neil@example.com", "a@" + strings.Repeat("a", 63) + ".com"} {
		if !mailer.GoodAddress(good) {
			t.Errorf("%q is refused", good)
		}
	}
	for _, bad := range []string{
		"", "a", "a@", "@b", "a@b@c", `"a b"@example.com`, `"a"@example.com`, "a@example.com\r\nRCPT TO:<eve@example.com>", "a@example.com\n",
		"a\x00@example.com", "a@exämple.com", "ä@example.com", "a@example.com>", "<a@example.com", "a b@example.com", "a@[127.0.0.1]",
		".a@example.com", "a..b@example.com", "a.@example.com", "a@-b.com", "a@b-.com", "a@b..com", "a@b.com.", "a,b@example.com",
		strings.Repeat("a", 65) + "@example.com", "a@" + strings.Repeat("a", 64) + ".com",
	} {
		if mailer.GoodAddress(bad) {
			t.Errorf("%q is taken", bad)
		}
	}
}

package console

import (
	"net/http"
	"testing"
)

func TestEveryPageIsMade(t *testing.T) {
	t.Parallel()
	for _, api := range []*fakeAPI{{text: "plain"}, {text: "plain", empty: true}, {text: "plain", lost: true}} {
		c := makeConsole(t, api)
		for _, path := range c.pages() {
			w := fetch(c, path)
			if w.Code != http.StatusOK && w.Code != http.StatusSeeOther {
				t.Errorf("%s: %d\n%s", path, w.Code, w.Body)
			}
		}
	}
}

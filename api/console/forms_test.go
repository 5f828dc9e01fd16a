package console

import (
	"net/http"
	"testing"
)

// Whatever the API says to a form, the page is made again with the reason on it.
func TestEveryRefusedFormShowsItsPageAgain(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{text: "plain", status: http.StatusConflict, answer: map[string]any{}}
	c := makeConsole(t, api)
	forms := 0
	for _, path := range c.pages() {
		w := post(c, path, withCSRF("decision", "approve", "item", "42", "action_digest", "sha256:x", "cron", "* * * * *", "zone", "UTC",
			"from", "2026-11-30T09:00", "to", "2026-11-30T10:00", "ends_at", "2026-12-01T09:00", "run", "5", "field", "severity", "severity", "low"))
		switch {
		case w.Code == http.StatusMethodNotAllowed || w.Code == http.StatusNotFound:
			continue // a page without a form
		case w.Code >= http.StatusInternalServerError:
			t.Errorf("%s: %d\n%s", path, w.Code, w.Body)
		}
		forms++
	}
	if forms < 40 {
		t.Errorf("only %d forms were found", forms)
	}
}

package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// at brings somebody to a window of his own, signed in to the console.
func (s *stack) at(t *testing.T, chromium context.Context, who string, size viewport, more ...step) *browser {
	t.Helper()
	b := newBrowser(t, chromium, "http://"+s.APIAddress, size, more...)
	b.signIn(s.token(t, who, strings.Fields(roles[who])...))
	return b
}

// signIn pastes a token into the form, as somebody without a script would.
func (b *browser) signIn(token string) {
	b.t.Helper()
	b.open("/login?next=/console/")
	b.do("signing in", chromedp.SetValue(chromedp.CSS("#token"), token), b.leaving(chromedp.Click(chromedp.CSS("#with-token"))))
	b.sees("h1", "")
	b.reaches("/console/")
}

// leaving takes a step that leads to another page, and waits for that page.
func (b *browser) leaving(what step) step {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		if _, err := what(ctx, t); err != nil {
			return chromedp.Void{}, err
		}
		return chromedp.WaitReady(chromedp.CSS("body"))(ctx, t)
	}
}

// reaches waits until the address begins with a path.
func (b *browser) reaches(path string) {
	b.t.Helper()
	eventually(b.t, "the browser is at "+path, func() bool { return strings.HasPrefix(b.where(), path) })
}

// where is the path of the page that is shown.
func (b *browser) where() string { return evaluate[string](b, "location.pathname") }

// unfold opens the folds that a form is in, and those in it.
func (b *browser) unfold(form string) {
	b.t.Helper()
	evaluate[bool](b, fmt.Sprintf(`(() => { const f = document.querySelector(%s); if (!f) return false; [f.closest("details"), ...f.querySelectorAll("details")].forEach(d => { if (d) d.open = true }); return true })()`, quoted(selectorOf(form))))
}

func selectorOf(test string) string { return `[data-test="` + test + `"]` }

// fills types into the fields of a form and sends it; fields are names and values in
// turn. A value of a choice is chosen.
func (b *browser) fills(form string, fields ...string) {
	b.t.Helper()
	b.unfold(form)
	for i := 0; i+1 < len(fields); i += 2 {
		name, value := fields[i], fields[i+1]
		within := selectorOf(form) + ` [name="` + name + `"]`
		switch {
		case b.count(within+`[type="radio"]`) > 0, b.count(within+`[type="checkbox"]`) > 0:
			b.do("choosing "+name, chromedp.Click(chromedp.CSS(within+`[value="`+value+`"]`)))
		default:
			b.do("typing "+name, chromedp.SetValue(chromedp.CSS(within), value))
		}
	}
	b.do("sending "+form, b.leaving(chromedp.Click(chromedp.CSS(selectorOf(form)+` button:not([formaction])`))))
}

// presses types keys that are no text.
func (b *browser) presses(keys string) {
	b.t.Helper()
	b.do("pressing "+keys, chromedp.KeyEvent(keys))
}

// decides opens a request and decides on it by the form.
func (b *browser) decides(id, verdict, reason string) {
	b.t.Helper()
	b.open("/console/approvals/" + id)
	b.fills("decision-form", "decision", verdict, "reason", reason)
	b.sees(selectorOf("flash"), "recorded")
}

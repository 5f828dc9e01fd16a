package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browsing bounds one step of a person at a browser.
const browsing = 60 * time.Second

// viewport is the size of a window, in CSS pixels.
type viewport struct{ width, height int64 }

var (
	desktop = viewport{1280, 860}
	phone   = viewport{390, 844}
)

// browser is one person at a window of Chromium of his own.
type browser struct {
	t   *testing.T
	ctx context.Context
	api string // base URL

	mu       sync.Mutex
	requests map[network.RequestID]string // address by id
	bytes    map[network.RequestID]int64  // as transferred
	troubles []string                     // exceptions, blocked resources, messages in boxes
}

// chromium starts one Chromium for a test; without one the test is skipped.
func chromium(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome-stable", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("there is no Chromium here; make setup installs it where there is apt-get")
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-dev-shm-usage", true))
	t.Cleanup(stop)
	ctx, end := chromedp.NewContext(allocator)
	t.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting %s: %v", path, err)
	}
	return ctx
}

// newBrowser opens a window that shares no cookie with others.
func newBrowser(t *testing.T, chromium context.Context, api string, size viewport, more ...step) *browser {
	t.Helper()
	ctx, cancel := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx, api: api, requests: map[network.RequestID]string{}, bytes: map[network.RequestID]int64{}}
	steps := append([]step{command(network.Enable, network.EnableParams{}), chromedp.EmulateViewport(size.width, size.height)}, more...)
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatalf("opening a window: %v", err)
	}
	notes(b, network.RequestWillBeSent, func(e network.EventRequestWillBeSent) { b.requests[e.RequestID] = e.Request.URL })
	notes(b, network.LoadingFinished, func(e network.EventLoadingFinished) { b.bytes[e.RequestID] = int64(e.EncodedDataLength) })
	notes(b, network.LoadingFailed, func(e network.EventLoadingFailed) {
		if e.BlockedReason != "" {
			b.troubles = append(b.troubles, fmt.Sprintf("%s was blocked: %s", b.requests[e.RequestID], e.BlockedReason))
		}
	})
	notes(b, runtime.ExceptionThrown, func(e runtime.EventExceptionThrown) {
		b.troubles = append(b.troubles, "exception: "+e.ExceptionDetails.Text)
	})
	notes(b, page.JavascriptDialogOpening, func(e page.EventJavascriptDialogOpening) { b.troubles = append(b.troubles, "dialog: "+e.Message) })
	return b
}

// step is something that is done in a window.
type step = chromedp.Action[chromedp.Void]

// command makes a step of a command of the protocol.
func command[P, R any](c cdp.Command[P, R], params P) step {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, c, params)
		return chromedp.Void{}, err
	}
}

// notes lets note see each event of a kind from now on.
func notes[E any](b *browser, event cdp.Event[E], note func(E)) {
	events := chromedp.Events(b.ctx, event)
	go func() {
		for e, err := range events {
			if err != nil {
				return
			}
			b.mu.Lock()
			note(e)
			b.mu.Unlock()
		}
	}()
}

// withoutScript makes a window that runs no JavaScript.
func withoutScript() step {
	return command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
}

// coloured makes a window prefer dark or light.
func coloured(scheme string) step {
	return command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
}

// do takes steps; each is bounded.
func (b *browser) do(what string, steps ...step) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browsing)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("%s: %v\n%s", what, err, b.look())
	}
}

// look is what stands on the page, for a failure's message.
func (b *browser) look() string {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	if err != nil {
		return err.Error()
	}
	return text
}

func (b *browser) open(path string) {
	b.t.Helper()
	b.do("opening "+path, chromedp.Navigate(b.api+path), chromedp.WaitReady(chromedp.CSS("body")))
}

// sees waits until a selector's text holds what is wanted, without a reload.
func (b *browser) sees(selector, wanted string) {
	b.t.Helper()
	last := ""
	deadline := time.Now().Add(browsing)
	for time.Now().Before(deadline) {
		last = b.text(selector)
		if strings.Contains(last, wanted) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.t.Fatalf("%s never said %q; it says %q\n%s", selector, wanted, last, b.look())
}

// text is the text of all elements that match; "" when there are none.
func (b *browser) text(selector string) string {
	return strings.Join(evaluate[[]string](b, fmt.Sprintf(`Array.from(document.querySelectorAll(%s)).map(e => e.innerText)`, quoted(selector))), "\n")
}

// count is how many elements match.
func (b *browser) count(selector string) int {
	return evaluate[int](b, fmt.Sprintf(`document.querySelectorAll(%s).length`, quoted(selector)))
}

func evaluate[T any](b *browser, script string, options ...chromedp.EvaluateOption) (value T) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browsing)
	defer cancel()
	// A page that is just being left has no context to evaluate in: asked again.
	var err error
	for range 20 {
		if value, err = chromedp.Run(ctx, chromedp.Evaluate[T](script, options...)); err == nil {
			return value
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.t.Fatalf("evaluating %s: %v", script, err)
	return value
}

func quoted(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always has a JSON form
	}
	return string(text)
}

// transferred are the bytes and addresses of all requests so far.
func (b *browser) transferred() (sum int64, addresses []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, address := range b.requests {
		sum += b.bytes[id]
		addresses = append(addresses, address)
	}
	return sum, addresses
}

// untroubled fails when a script threw, a dialog opened, or something was blocked.
func (b *browser) untroubled() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.troubles) > 0 {
		b.t.Errorf("the page had troubles: %s", strings.Join(b.troubles, "; "))
	}
}

// accessible checks the page that is shown by axe-core's rules of WCAG 2.2 AA.
func (b *browser) accessible(where string) {
	b.t.Helper()
	axe, err := os.ReadFile("testdata/axe/axe.min.js")
	if err != nil {
		b.t.Fatal(err)
	}
	type violation struct {
		ID    string `json:"id"`
		Help  string `json:"help"`
		Nodes []struct {
			HTML    string `json:"html"`
			Summary string `json:"failureSummary"`
		} `json:"nodes"`
	}
	run := `axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then(r => r.violations)`
	evaluate[bool](b, string(axe)+";true")
	for _, v := range evaluate[[]violation](b, run, chromedp.EvalAwaitPromise) {
		for _, n := range v.Nodes {
			b.t.Errorf("%s: %s (%s): %s\n%s", where, v.ID, v.Help, n.HTML, n.Summary)
		}
	}
}

// photograph saves the page as docs/images/NAME.png where FINOBS_SCREENSHOTS asks
// for it.
func (b *browser) photograph(name string) {
	b.t.Helper()
	folder := os.Getenv("FINOBS_SCREENSHOTS")
	if folder == "" {
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, browsing)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatalf("photographing %s: %v", name, err)
	}
	if err := os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

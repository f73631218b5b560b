// Package frametest drives pages in a real, headless Chromium, for the tests of every face of the product.
//
// It owns no data. Its testdata holds axe-core (MPL-2.0, licence beside it), which is used in tests and never shipped;
// it is injected through the debugging protocol, which the pages' content policy does not block.
//
// It promises that each Page is a browser of its own (own cookies, own storage), that every script error and every
// violation of the content policy is kept, and that waiting has one generous limit, so that tests wait for what they
// need and assert nothing on timing. It will not be imported outside tests.
package frametest

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

//go:embed testdata/axe.min.js
var axe string

// patience is how long a page may take to become what a test waits for, on a machine that does other things besides.
const patience = 30 * time.Second

// Browser is one Chromium process, ended with the test.
type Browser struct {
	t   testing.TB
	ctx context.Context
}

// Open starts a browser.
func Open(t testing.TB) *Browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.Flag("lang", "en"))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start Chromium (apt-get install chromium): %v", err)
	}
	return &Browser{t: t, ctx: ctx}
}

// Page is one tab with cookies and storage of its own.
type Page struct {
	t   testing.TB
	ctx context.Context

	mu       sync.Mutex
	problems []string
}

// Page opens a tab of the given size, with light or dark preferred by the system.
func (b *Browser) Page(width, height int64, scheme string) *Page {
	b.t.Helper()
	return b.tab(width, height, scheme, chromedp.WithNewBrowserContext())
}

// Beside opens another tab of the same person's browser.
func (p *Page) Beside() *Page {
	b := &Browser{t: p.t, ctx: p.ctx}
	return b.tab(1280, 800, "light")
}

func (b *Browser) tab(width, height int64, scheme string, options ...chromedp.ContextOption) *Page {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx, options...)
	b.t.Cleanup(cancel)
	p := &Page{t: b.t, ctx: ctx}
	p.do(chromedp.EmulateViewport(width, height))
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}); err != nil {
		b.t.Fatalf("emulate %s: %v", scheme, err)
	}
	if err := chromedp.Listen(ctx, p.heard); err != nil {
		b.t.Fatalf("listen to the page: %v", err)
	}
	if _, err := chromedp.Call(ctx, log.Enable, cdp.Empty{}); err != nil {
		b.t.Fatalf("read the browser's log: %v", err)
	}
	return p
}

func (p *Page) heard(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		p.problems = append(p.problems, "script: "+e.ExceptionDetails.Text+" "+describe(e.ExceptionDetails.Exception))
	case *log.EventEntryAdded:
		if e.Entry.Source != "network" && e.Entry.Level == "error" {
			p.problems = append(p.problems, string(e.Entry.Source)+": "+e.Entry.Text)
		}
	}
}

func describe(o *runtime.RemoteObject) string {
	if o == nil {
		return ""
	}
	return o.Description
}

// Problems gives what went wrong in the page so far: script errors and violations of the content policy.
func (p *Page) Problems() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.problems...)
}

func (p *Page) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if ctx.Err() == nil && chromedp.FromContext(p.ctx).Target == nil {
		ctx = p.ctx // the first action binds the tab's life to its context
	}
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("drive the page: %v\nproblems: %v\n%s", err, p.Problems(), p.text())
	}
}

func (p *Page) text() string {
	ctx, cancel := context.WithTimeout(p.ctx, 2*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	if err != nil {
		return err.Error()
	}
	return text
}

// Go loads an address and waits until the kernel, where the page has one, is ready.
func (p *Page) Go(url string) {
	p.t.Helper()
	p.do(chromedp.Navigate(url))
	p.Until(`!document.querySelector("script[src*=kernel]") || document.documentElement.dataset.kernel === "ready"`)
}

// Click clicks the middle of an element, as a person does, once it can be seen.
func (p *Page) Click(selector string) {
	p.t.Helper()
	p.Until(visible(selector))
	spot := p.Value(fmt.Sprintf(`((e) => { e.scrollIntoView({block: "center", behavior: "instant"}); const r = e.getBoundingClientRect();
		return JSON.stringify([r.x + r.width / 2, r.y + r.height / 2]); })(document.querySelector(%q))`, selector))
	var at [2]float64
	if err := json.Unmarshal([]byte(spot), &at); err != nil {
		p.t.Fatalf("find %s on the screen: %v", selector, err)
	}
	p.do(chromedp.MouseClickXY(at[0], at[1]))
}

func visible(selector string) string {
	return fmt.Sprintf(`document.querySelector(%q)?.checkVisibility({visibilityProperty: true})`, selector)
}

// Before runs a script in each document that the page loads from now on, before the document's own.
func (p *Page) Before(script string) {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script}); err != nil {
		p.t.Fatalf("prepare the page: %v", err)
	}
}

// Do runs actions of chromedp that have no short form here.
func (p *Page) Do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	p.do(steps...)
}

// See waits for an element that a person can see, and gives its text.
func (p *Page) See(selector string) string {
	p.t.Helper()
	p.Until(visible(selector))
	return p.Value(fmt.Sprintf(`document.querySelector(%q)?.innerText`, selector))
}

// Until waits for an expression to be true in the page.
func (p *Page) Until(expression string) {
	p.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(30 * time.Millisecond) {
		if ok, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool]("!!("+expression+")")); err == nil && ok {
			return
		}
	}
	p.t.Fatalf("never true: %s\nproblems: %v\n%s", expression, p.Problems(), p.text())
}

// UntilText waits until an element holds a text.
func (p *Page) UntilText(selector, text string) {
	p.t.Helper()
	p.Until(fmt.Sprintf("[...document.querySelectorAll(%q)].some((e) => e.innerText.includes(%q))", selector, text))
}

// Value evaluates an expression that gives a string.
func (p *Page) Value(expression string) string {
	p.t.Helper()
	value, err := chromedp.Run(p.ctx, chromedp.Evaluate[string]("String("+expression+")"))
	if err != nil {
		p.t.Fatalf("evaluate %s: %v", expression, err)
	}
	return value
}

// Shot writes a picture of the page to the folder of the environment variable KAROV_SHOTS, for people to look at;
// without one it does nothing.
func (p *Page) Shot(name string) {
	p.t.Helper()
	folder := os.Getenv("KAROV_SHOTS")
	if folder == "" {
		return
	}
	p.Until(`document.fonts.status === "loaded"`)
	picture, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatalf("take a picture: %v", err)
	}
	if err := os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o600); err != nil {
		p.t.Fatalf("keep the picture: %v", err)
	}
}

// Axe gives what axe-core finds wrong with the page, one line a finding.
func (p *Page) Axe() []string {
	p.t.Helper()
	if _, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](axe+"; true")); err != nil {
		p.t.Fatalf("inject axe: %v", err)
	}
	const run = `axe.run(document, {resultTypes: ["violations"], rules: {"target-size": {enabled: true}}}).then((r) => JSON.stringify(r.violations.map((v) =>
		v.impact + " " + v.id + ": " + v.help + " | " + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + " " + (n.any[0]?.message || "")).join(" | "))))`
	raw, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](run, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("run axe: %v", err)
	}
	var found []string
	if err := json.Unmarshal([]byte(raw), &found); err != nil {
		p.t.Fatalf("read axe: %v", err)
	}
	return found
}

// Sound fails the test when the page has accessibility findings, script errors or policy violations, or when it is wider
// than the window.
func (p *Page) Sound(name string) {
	p.t.Helper()
	if found := p.Axe(); len(found) > 0 {
		p.t.Errorf("%s: axe:\n%s", name, strings.Join(found, "\n"))
	}
	if problems := p.Problems(); len(problems) > 0 {
		p.t.Errorf("%s: %s", name, strings.Join(problems, "\n"))
	}
	if over := p.Value(`document.documentElement.scrollWidth - innerWidth`); over != "0" && !strings.HasPrefix(over, "-") {
		p.t.Errorf("%s: the page is %s px wider than the window", name, over)
	}
}

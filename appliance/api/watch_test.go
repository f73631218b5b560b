package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

// TestReadiness: alive while the store is gone, but not ready; and strangers learn numbers, not names.
func TestReadiness(t *testing.T) {
	var broken error
	h := bareHouse(t, func(p *Parts) {
		p.Ready = func(context.Context) error { return broken }
		p.Plugins = func() map[string]string {
			return map[string]string{"org.secret.email": "running", "org.secret.sms": "running", "org.secret.phone": "backoff"}
		}
	})
	h.check(t, request{method: "GET", path: "/healthz", status: 200, want: `{"status":"ok"}`})
	h.check(t, request{method: "HEAD", path: "/readyz", status: 200})
	h.check(t, request{method: "GET", path: "/readyz", status: 200, never: []string{"secret", "email"},
		want: `{"status":"ready","store":"ok","plugins":{"backoff":1,"running":2}}`})
	broken = errors.New("the recovery key is not here: hunter2")
	h.check(t, request{method: "GET", path: "/readyz", status: 503, want: "ready.not", never: []string{"hunter2", "recovery"}})
	broken = nil
	if err := h.db.Close(); err != nil {
		t.Fatal(err)
	}
	a := h.check(t, request{method: "GET", path: "/readyz", status: 503, want: "ready.not"})
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	h.check(t, request{method: "GET", path: "/healthz", status: 200})
}

func TestMetrics(t *testing.T) {
	h := newHouse(t)
	h.check(t, request{as: "dana", method: "GET", path: Prefix + "/records/contact/{Alpha}", status: 200})
	h.check(t, request{as: "dana", method: "GET", path: Prefix + "/records/contact/{Gamma}", status: 404})
	h.check(t, request{method: "GET", path: Prefix + "/records/contact", status: 401})
	for i := range 20 {
		h.check(t, request{as: "dana", method: "GET", path: fmt.Sprintf("%s/invented-%d", Prefix, i), status: 404})
		h.check(t, request{as: "dana", method: fmt.Sprintf("INVENTED%d", i), path: Prefix + "/search", status: 405})
	}
	a := h.check(t, request{as: "dana", method: "GET", path: "/metrics", status: 200, never: []string{"{Alpha}", "Alpha", "INVENTED", "invented", "krv_"}})
	for _, want := range []string{
		`karov_http_requests_total{method="GET",route="/api/v1/records/:entity/:id",status="200"} 1`,
		`karov_http_requests_total{method="GET",route="/api/v1/records/:entity/:id",status="404"} 1`,
		`karov_http_requests_total{method="GET",route="/api/v1/records/:entity",status="401"} 1`,
		`karov_http_requests_total{method="GET",route="other",status="404"} 20`,
		`karov_http_requests_total{method="other",route="/api/v1/search",status="405"} 20`,
		`karov_http_request_seconds_count{method="GET",route="/api/v1/records/:entity/:id"} 2`,
		"go_goroutines ", "process_resident_memory_bytes ",
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("no %s in\n%.3000s", want, a.body)
		}
	}
}

// TestSession: a browser's session reads as its person does, and changes something only with proof of our own pages.
func TestSession(t *testing.T) {
	var h *house
	h = bareHouse(t, func(p *Parts) {
		p.Session = func(r *http.Request) (access.Actor, bool, error) {
			switch r.Header.Get("Cookie") {
			case "":
				return access.Actor{}, false, nil
			case "karov=old":
				return access.Actor{}, false, fault.New(fault.Unauthenticated, "access.sign-in")
			}
			return access.Actor{ID: h.ids["manager"], Role: access.Manager}, r.Header.Get("X-Karov-Token") == "good", nil
		}
	})
	create := request{method: "POST", path: Prefix + "/records/contact", body: `{"name":"X"}`}
	for _, c := range []struct {
		headers string
		status  int
		want    string
	}{
		{"", 401, "access.token"},
		{"Cookie: karov=old", 401, "access.sign-in"},
		{"Cookie: karov=good", 403, "form.foreign"},
		{"Cookie: karov=good\nX-Karov-Token: bad", 403, "form.foreign"},
		{"Cookie: karov=good\nX-Karov-Token: good", 201, `"created_by":"{manager}"`},
		{"Cookie: karov=good\nX-Karov-Token: good\nAuthorization: Bearer krv_wrong", 401, "access.token"},
	} {
		create.headers, create.status, create.want = c.headers, c.status, c.want
		h.check(t, create)
	}
	h.check(t, request{method: "GET", path: Prefix + "/records/contact", headers: "Cookie: karov=good", status: 200, want: `"total":1`})
	for _, method := range []string{"PATCH", "DELETE"} {
		h.check(t, request{method: method, path: Prefix + "/records/contact/" + none, headers: "Cookie: karov=good\nIf-Match: \"1\"", status: 403})
	}
}

// TestTooOften: each account waits for itself, and one machine cannot drown the others with wrong tokens.
func TestTooOften(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	h := bareHouse(t, func(p *Parts) {
		p.Limits = Limits{PerSecond: 0.5, Burst: 3}
		p.Now = func() time.Time { return now }
	})
	get := request{as: "owner", method: "GET", path: Prefix + "/records/contact", status: 200}
	for range 3 {
		h.check(t, get)
	}
	get.status, get.want = 429, "request.too-many & Wait 2 seconds."
	if a := h.check(t, get); a.header.Get("Retry-After") != "2" {
		t.Errorf("Retry-After is %q", a.header.Get("Retry-After"))
	}
	h.check(t, request{as: "dana", method: "GET", path: Prefix + "/records/contact", status: 200})
	now = now.Add(2 * time.Second)
	get.status, get.want = 200, ""
	h.check(t, get)
	for range 20 {
		h.ask(t, request{method: "GET", path: Prefix + "/search?q=x", headers: "Authorization: Bearer krv_guess"})
	}
	h.check(t, request{method: "GET", path: Prefix + "/search?q=x", headers: "X-Forwarded-For: 203.0.113.9", status: 429})
	h.check(t, request{method: "GET", path: "/healthz", status: 200})
}

func TestLimiterForgets(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	l := newLimiter(1, 1)
	for i := range 3 * maxCallers {
		if err := l.take(strconv.Itoa(i), now); err != nil {
			t.Fatal(err)
		}
	}
	if len(l.callers) > maxCallers {
		t.Errorf("%d callers are remembered", len(l.callers))
	}
	busy := newLimiter(1, 2)
	for i := range maxCallers {
		_ = busy.take(strconv.Itoa(i), now)
	}
	now = now.Add(time.Minute)
	_, _ = busy.take("0", now), busy.take("0", now)
	_ = busy.take("new", now)
	if err := busy.take("0", now); fault.KindOf(err) != fault.TooMany {
		t.Errorf("a caller in the middle of a burst was forgotten: %v", err)
	}
}

func TestNetwork(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "192.0.2.7:80": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7",
		"2001:db8:1:2:3::4": "2001:db8:1:2::/64", "[2001:db8:1:2:ffff::9]:443": "2001:db8:1:2::/64",
		"fe80::1%eth0": "fe80::/64", "@": "@", "": "",
	} {
		if got := network(remote); got != want {
			t.Errorf("network(%q) is %q, want %q", remote, got, want)
		}
	}
}

// TestSurprises: what breaks on our side is told with an id that the log has too, and without a word of what broke.
func TestSurprises(t *testing.T) {
	h := bareHouse(t, nil)
	h.echo.GET("/panic", func(echo.Context) error { panic("secret in the stack") })
	h.echo.GET("/error", func(echo.Context) error { return fmt.Errorf("open /var/lib/karov/secret: %w", io.ErrUnexpectedEOF) })
	h.echo.GET("/damaged", func(echo.Context) error { return fault.New(fault.Internal, "store.damaged", "what", "secret.bucket") })
	h.echo.GET("/full", func(echo.Context) error { return fault.Wrap(errors.New("secret path"), fault.Unavailable, "disk.full") })
	h.echo.GET("/slow", func(c echo.Context) error { return context.DeadlineExceeded })
	h.echo.GET("/missing", func(echo.Context) error { return fault.Missing("contact", "7") })
	for _, c := range []struct {
		path, key string
		status    int
		logged    bool
	}{{"/panic", "error.internal", 500, true}, {"/error", "error.internal", 500, true}, {"/damaged", "error.internal", 500, true}, {"/full", "disk.full", 503, true},
		{"/slow", "request.timeout", 503, true}, {"/missing", "contact.not-found", 404, false}} {
		r := must(http.NewRequestWithContext(t.Context(), "GET", c.path, nil))(t)
		w := &recorder{header: http.Header{}}
		h.echo.ServeHTTP(w, r)
		var p problem
		if err := json.Unmarshal([]byte(w.body.String()), &p); err != nil {
			t.Fatal(err)
		}
		if w.status != c.status || p.Key != c.key || strings.Contains(w.body.String(), "secret") {
			t.Errorf("%s: %d %s", c.path, w.status, w.body.String())
		}
		logged := false
		for line := range strings.Lines(h.log.String()) {
			logged = logged || strings.Contains(line, "level=ERROR") && strings.Contains(line, "id="+p.ID)
		}
		if logged != c.logged {
			t.Errorf("%s: logged as our failure: %v", c.path, logged)
		}
	}
}

type recorder struct {
	header http.Header
	status int
	body   strings.Builder
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }

// TestSlowBody: a sender who dribbles is cut off in time, and told so.
func TestSlowBody(t *testing.T) {
	h := bareHouse(t, func(p *Parts) { p.Limits.Time = 200 * time.Millisecond })
	conn := must(net.Dial("tcp", strings.TrimPrefix(h.server.URL, "http://")))(t)
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s/records/contact HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{", Prefix, h.tokens["owner"])
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body := must(io.ReadAll(response.Body))(t)
	if response.StatusCode != http.StatusRequestTimeout || !strings.Contains(string(body), "body.slow") {
		t.Errorf("%d %s", response.StatusCode, body)
	}
}

// TestNamesOfEveryRecord: a schema whose field would hide a record's own name is refused at start.
func TestNamesOfEveryRecord(t *testing.T) {
	h := bareHouse(t, nil)
	for _, name := range ownNames() {
		s := must(schema.New(schema.Entity{Name: "thing", Fields: []schema.Field{{Number: 16, Name: name, Type: schema.Text}}}))(t)
		p := h.Parts
		p.Book = record.NewBook(record.Parts{Schema: schema.Fixed(s)})
		if _, err := New(p); err == nil || !strings.Contains(err.Error(), "field "+name) {
			t.Errorf("field %s: %v", name, err)
		}
	}
}

package sdk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

func TestErrorsOnTheWire(t *testing.T) {
	beneath := errors.New("550 no such user")
	for name, test := range map[string]struct {
		err    error
		kind   wirev1.Kind
		key    string
		detail string
	}{
		"temporary": {Temporary("mail.busy", beneath), wirev1.Kind_KIND_UNAVAILABLE, "mail.busy", "550 no such user"},
		"permanent": {Permanent("mail.refused", beneath), wirev1.Kind_KIND_INVALID, "mail.refused", "550 no such user"},
		"wrapped":   {fmt.Errorf("send: %w", Permanent("mail.refused", nil)), wirev1.Kind_KIND_INVALID, "mail.refused", ""},
		"invalid":   {Invalid("imap.host", "mail.bad-host"), wirev1.Kind_KIND_INVALID, "mail.bad-host", ""},
		"plain":     {beneath, wirev1.Kind_KIND_UNAVAILABLE, "", "550 no such user"},
		"broken":    {errors.New("a\xff"), wirev1.Kind_KIND_UNAVAILABLE, "", "a\uFFFD"},
	} {
		f := wire.FaultOf(toWire(test.err))
		if f.Kind != test.kind || f.Key != test.key || f.Detail != test.detail {
			t.Errorf("%s: came over as %v", name, f)
		}
		if name == "invalid" && (len(f.Fields) != 1 || f.Fields[0].Name != "imap.host") {
			t.Errorf("the field is lost: %v", f)
		}
	}
	if toWire(nil) != nil || fromWire(nil) != nil {
		t.Error("no error became an error")
	}
}

func TestErrorsOfHandlersOnTheWire(t *testing.T) {
	beneath := errors.New("no answer")
	ofHost := func(kind wirev1.Kind, key string) error {
		return fromWire(wire.FaultError(&wirev1.Fault{
			Kind: kind, Key: key, Params: map[string]string{"a": "b"}, Fields: []*wirev1.Fault_Field{{Name: "plate", Key: "field.required"}},
		}))
	}
	for name, test := range map[string]struct {
		err    error
		kind   wirev1.Kind
		key    string
		detail string
		field  string
	}{
		"a surprise":          {beneath, wirev1.Kind_KIND_INTERNAL, "", "no answer", ""},
		"a refusal":           {fmt.Errorf("x: %w", Refuse("order.expired", "a", "b")), wirev1.Kind_KIND_INVALID, "order.expired", "", ""},
		"not for this one":    {Forbid("order.kept"), wirev1.Kind_KIND_FORBIDDEN, "order.kept", "", ""},
		"a wrong field":       {Invalid("plate", "order.plate"), wirev1.Kind_KIND_INVALID, "order.plate", "", "plate"},
		"not now":             {Temporary("mail.busy", beneath), wirev1.Kind_KIND_UNAVAILABLE, "mail.busy", "no answer", ""},
		"too late":            {context.DeadlineExceeded, wirev1.Kind_KIND_UNAVAILABLE, "", "context deadline exceeded", ""},
		"gone":                {NotFound("order.gone"), wirev1.Kind_KIND_NOT_FOUND, "order.gone", "", ""},
		"changed":             {Conflict("order.changed"), wirev1.Kind_KIND_CONFLICT, "order.changed", "", ""},
		"of the host":         {ofHost(wirev1.Kind_KIND_FORBIDDEN, "plugin.not-granted"), wirev1.Kind_KIND_FORBIDDEN, "plugin.not-granted", "Karov said forbidden", "plate"},
		"of the host, no key": {ofHost(wirev1.Kind_KIND_TOO_MANY, ""), wirev1.Kind_KIND_TOO_MANY, "", "host.failed map[a:b]", "plate"},
		"of this package":     {local(wirev1.Kind_KIND_FORBIDDEN, "egress.none", beneath), wirev1.Kind_KIND_FORBIDDEN, "", "egress.none: no answer", ""},
	} {
		f := wire.FaultOf(toAnswer(test.err))
		if f.Kind != test.kind || f.Key != test.key || !strings.Contains(f.Detail, test.detail) || test.detail == "" && f.Detail != "" {
			t.Errorf("%s: came over as %v", name, f)
		}
		if got := append(f.Fields, &wirev1.Fault_Field{})[0].Name; got != test.field {
			t.Errorf("%s: the field is %q", name, got)
		}
	}
	if toAnswer(nil) != nil {
		t.Error("no error became an error")
	}
	if err := ofHost(wirev1.Kind_KIND_TOO_MANY, "plugin.too-many-calls"); !IsTooMany(err) || IsPermanent(err) || IsConflict(err) || IsForbidden(err) {
		t.Errorf("too many: %v", err)
	}
}

func TestErrorsOfTheHost(t *testing.T) {
	for code, permanent := range map[codes.Code]bool{
		codes.InvalidArgument: true, codes.OutOfRange: true, codes.Unavailable: false, codes.Internal: false,
		codes.PermissionDenied: false, codes.ResourceExhausted: false, codes.DeadlineExceeded: false,
	} {
		if err := fromWire(status.Error(code, "x")); err == nil || IsPermanent(err) != permanent {
			t.Errorf("%v: %v, permanent %v", code, err, IsPermanent(err))
		}
	}
}

func TestErrorWith(t *testing.T) {
	first := &Error{Key: "mail.too-large", Err: io.EOF}
	second := first.With("limit", "5").With("size", "6")
	if first.Params != nil || !maps.Equal(second.Params, map[string]string{"limit": "5", "size": "6"}) || !errors.Is(second, io.EOF) {
		t.Errorf("got %v and %v", first, second)
	}
}

func TestConfigIsNeverPrinted(t *testing.T) {
	var b bytes.Buffer
	c := Config{"password": "letmein"}
	fmt.Fprintf(&b, "%v %+v %#v %s", c, c, c, c)
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "config", c)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "config", c)
	if strings.Contains(b.String(), "letmein") {
		t.Errorf("the password stands in %s", b.String())
	}
}

func TestConfigIsRead(t *testing.T) {
	c := Config{"port": "993", "tls": "yes", "old": "no", "host": "mail.example"}
	if c.Int("port") != 993 || c.Int("host") != 0 || c.Int("none") != 0 || !c.Yes("tls") || c.Yes("old") || c.Yes("none") {
		t.Error("a setting is not what it was")
	}
}

// recorder is a channel that writes down what happens to it.
type recorder struct {
	mu     sync.Mutex
	events []string
	refuse error
	runErr error
	hold   chan struct{} // Send waits for it
}

func (r *recorder) note(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, s)
}

func (r *recorder) seen() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

func (r *recorder) Configure(_ context.Context, c Config) error {
	r.note("configure " + c["n"])
	return r.refuse
}

func (r *recorder) Run(ctx context.Context, _ Host) error {
	r.note("run")
	if r.runErr != nil {
		return r.runErr
	}
	<-ctx.Done()
	r.note("end")
	return ctx.Err()
}

func (r *recorder) Send(context.Context, Host, Outgoing) (Receipt, error) {
	if r.hold != nil {
		<-r.hold
	}
	r.note("sent")
	return Receipt{}, nil
}

func newTestServer(ctx context.Context, ch Channel) *server {
	logs := newLogQueue(nil)
	return newServer(ctx, Plugin{Channel: ch}, &host{log: newLogger(logs)}, logs)
}

func configure(n string) *wirev1.ConfigureRequest {
	return &wirev1.ConfigureRequest{Values: map[string]string{"n": n}}
}

func TestRunFollowsConfigure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r := &recorder{}
		s := newTestServer(ctx, r)
		for _, n := range []string{"1", "2"} {
			if _, err := s.Configure(ctx, configure(n)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		r.refuse = Invalid("n", "x.wrong")
		if _, err := s.Configure(ctx, configure("3")); status.Code(err) != codes.InvalidArgument {
			t.Errorf("the refusal is %v", err)
		}
		time.Sleep(time.Hour)
		want := []string{"configure 1", "run", "end", "configure 2", "run", "end", "configure 3"}
		if got := r.seen(); !slices.Equal(got, want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
	})
}

func TestRunIsStartedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r := &recorder{runErr: errors.New("lost")}
		s := newTestServer(ctx, r)
		if _, err := s.Configure(ctx, configure("1")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		cancel()
		synctest.Wait()
		// Doubling from 1 s to 5 min: about 8 in the first 5 minutes, then one in each 5 minutes or so.
		if n := len(r.seen()) - 1; n < 12 || n > 40 {
			t.Errorf("in an hour Run was called %d times", n)
		}
	})
}

func TestDrainWaitsForSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r := &recorder{hold: make(chan struct{})}
		s := newTestServer(ctx, r)
		if _, err := s.Configure(ctx, configure("1")); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = (channel{server: s}).Send(ctx, &wirev1.SendRequest{}) }()
		synctest.Wait()
		go func() { time.Sleep(5 * time.Second); close(r.hold) }()
		go s.logs.run(ctx)
		if _, err := s.Drain(ctx, &wirev1.DrainRequest{Within: durationpb.New(time.Minute)}); err != nil {
			t.Fatal(err)
		}
		if got := r.seen(); got[len(got)-1] != "sent" || !slices.Contains(got, "end") {
			t.Errorf("drained after %v", got)
		}
		if _, err := (channel{server: s}).Send(ctx, &wirev1.SendRequest{}); status.Code(err) != codes.Unavailable {
			t.Errorf("a message after the drain: %v", err)
		}
	})
}

func TestDrainGivesUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r := &recorder{hold: make(chan struct{})}
		s := newTestServer(ctx, r)
		go func() { _, _ = (channel{server: s}).Send(ctx, &wirev1.SendRequest{}) }()
		synctest.Wait()
		began := time.Now()
		if _, err := s.Drain(ctx, &wirev1.DrainRequest{Within: durationpb.New(3 * time.Second)}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 3*time.Second { // of the bubble's clock
			t.Errorf("it took %v", took)
		}
		close(r.hold)
	})
}

func TestLogLines(t *testing.T) {
	q := newLogQueue(nil)
	log := newLogger(q).With("a", 1).WithGroup("g").With("b", 2)
	log.Warn("hello", "c", 3, slog.Group("h", "d", errors.New("x")))
	l := <-q.lines
	want := map[string]string{"a": "1", "g.b": "2", "g.c": "3", "g.h.d": "x"}
	if l.Message != "hello" || l.Level != wirev1.Level_LEVEL_WARN || !maps.Equal(l.Attrs, want) {
		t.Errorf("the line is %v", l)
	}
	for range logWaiting + 5 {
		log.Debug("flood")
	}
	if n := q.dropped.Load(); n != 5 {
		t.Errorf("%d lines were dropped, want 5", n)
	}
}

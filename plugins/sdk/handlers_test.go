package sdk

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestOnlyWhatIsFilledIsServed(t *testing.T) {
	k := newKarov(t, Plugin{Info: Info{ID: "x.y", Version: "1.2.3"}, Jobs: map[string]JobFunc{"a": nil}, HTTP: http.NotFoundHandler()})
	info, err := wirev1.NewBaseClient(k.plugin).Info(t.Context(), &wirev1.InfoRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if info.GetId() != "x.y" || info.GetVersion() != "1.2.3" || info.GetApi() != wire.API() ||
		!slices.Equal(info.GetCapabilities(), []string{"health"}) ||
		!slices.Equal(info.GetServices(), []string{wire.ServiceJobs, wire.ServiceHTTP}) {
		t.Errorf("it says %v", info)
	}
	if _, err := wirev1.NewActionsClient(k.plugin).Act(t.Context(), &wirev1.ActRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("what is not filled: %v", err)
	}
}

// everything is a plugin of which each handler reads a record.
func everything() Plugin {
	read := func(ctx context.Context, h Host) error {
		_, err := h.Records().Get(ctx, "contact", "contact-0000")
		return err
	}
	return Plugin{
		Before: map[string]BeforeFunc{"contact": func(ctx context.Context, h Host, _ Write) (Values, error) { return nil, read(ctx, h) }},
		Actions: map[string]ActionFunc{"a": func(ctx context.Context, h Host, _ Press) (Outcome, error) {
			return Outcome{}, read(ctx, h)
		}},
		Views: map[string]ViewFunc{"v": func(ctx context.Context, h Host, _ Look) (View, error) { return View{}, read(ctx, h) }},
		Jobs:  map[string]JobFunc{"j": func(ctx context.Context, h Host, _ Job) (Words, error) { return Words{}, read(ctx, h) }},
		HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := read(r.Context(), HostOf(r.Context())); err != nil {
				panic(err)
			}
		}),
		Import: map[string]ImportFunc{"i": func(ctx context.Context, _ string, _ io.Reader, _ func(Row) error) error {
			return read(ctx, HostOf(ctx))
		}},
		Migrate: func(ctx context.Context, h Host, _, _ int, _ string) (string, bool, error) {
			return "", true, read(ctx, h)
		},
		After: func(ctx context.Context, h Host, _ Event) error { return read(ctx, h) },
	}
}

// calls call each handler of everything once.
func calls(k *karov) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"before": func(ctx context.Context) error {
			_, err := wirev1.NewHooksClient(k.plugin).Before(ctx, &wirev1.BeforeRequest{Entity: "contact"})
			return err
		},
		"action": func(ctx context.Context) error {
			_, err := wirev1.NewActionsClient(k.plugin).Act(ctx, &wirev1.ActRequest{Action: "a"})
			return err
		},
		"view": func(ctx context.Context) error {
			_, err := wirev1.NewViewsClient(k.plugin).Render(ctx, &wirev1.RenderRequest{View: "v"})
			return err
		},
		"job": func(ctx context.Context) error {
			_, err := wirev1.NewJobsClient(k.plugin).Run(ctx, &wirev1.RunRequest{Job: "j"})
			return err
		},
		"migration": func(ctx context.Context) error {
			_, err := wirev1.NewMigrationClient(k.plugin).Migrate(ctx, &wirev1.MigrateRequest{})
			return err
		},
		"import": func(ctx context.Context) error {
			stream, err := wirev1.NewImportClient(k.plugin).Read(ctx)
			if err == nil {
				err = stream.Send(&wirev1.ReadRequest{Importer: "i"})
			}
			if err != nil {
				return err
			}
			_, err = stream.Recv()
			return ended(err)
		},
		"route": func(ctx context.Context) error {
			stream, err := wirev1.NewHTTPClient(k.plugin).Handle(ctx)
			if err == nil {
				err = stream.Send(&wirev1.HTTPRequest{Part: &wirev1.HTTPRequest_Head{Head: &wirev1.HTTPRequestHead{Method: "GET", Path: "/"}}})
			}
			if err != nil {
				return err
			}
			_, err = stream.Recv()
			return ended(err)
		},
		"after": func(ctx context.Context) error {
			stream, err := wirev1.NewHooksClient(k.plugin).After(ctx)
			if err == nil {
				err = stream.Send(&wirev1.Event{Seq: 1})
			}
			if err != nil {
				return err
			}
			_, err = stream.Recv()
			return ended(err)
		},
	}
}

func ended(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

func TestHandlersActForWhomKarovCalls(t *testing.T) {
	k := newKarov(t, everything())
	k.add("contact", 1)
	for name, call := range calls(k) {
		for _, handle := range []string{"h-1", "h-2", ""} {
			ctx := t.Context()
			if handle != "" {
				ctx = as(t, handle)
			}
			if err := call(ctx); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if got := k.seen(); !slices.Equal(got, []string{handle}) {
				t.Errorf("%s called for %q calls back for %q", name, handle, got)
			}
		}
	}
}

func TestAsPluginAndWhatOutlivesACall(t *testing.T) {
	late := make(chan context.Context, 1)
	k := newKarov(t, Plugin{Actions: map[string]ActionFunc{"a": func(ctx context.Context, h Host, p Press) (Outcome, error) {
		who, known := ActorOf(ctx)
		if !known || who != p.Actor || HostOf(ctx) != h {
			return Outcome{}, fmt.Errorf("the ctx tells of %v", who)
		}
		if _, known := ActorOf(AsPlugin(ctx)); known || HostOf(AsPlugin(ctx)) != h {
			return Outcome{}, errors.New("the plugin itself is somebody")
		}
		_, err := h.Records().Get(AsPlugin(ctx), "contact", "contact-0000")
		late <- ctx
		return Outcome{}, err
	}}})
	k.add("contact", 1)
	ask := &wirev1.ActRequest{Action: "a", Actor: &wirev1.Actor{Id: "u7", Name: "דנה", Language: "he"}}
	if _, err := wirev1.NewActionsClient(k.plugin).Act(as(t, "h-1"), ask); err != nil {
		t.Fatal(err)
	}
	ctx := context.WithoutCancel(<-late)
	if _, err := k.server.host.Records().Get(ctx, "contact", "contact-0000"); !IsForbidden(err) || !strings.Contains(err.Error(), "AsPlugin") {
		t.Errorf("a call that is over: %v", err)
	}
	if _, err := k.server.host.Blobs().Open(ctx, Blob{ID: "x"}); !IsForbidden(err) {
		t.Errorf("a stream for a call that is over: %v", err)
	}
	if _, err := k.server.host.Records().Get(AsPlugin(ctx), "contact", "contact-0000"); err != nil {
		t.Errorf("as the plugin itself: %v", err)
	}
	if got := k.seen(); !slices.Equal(got, []string{"", ""}) {
		t.Errorf("the calls came for %q", got)
	}
}

func TestPanicsAreAnswers(t *testing.T) {
	p := everything()
	boom := func() { panic("boom") }
	p.Before["contact"] = func(context.Context, Host, Write) (Values, error) { boom(); return nil, nil }
	p.Actions["a"] = func(context.Context, Host, Press) (Outcome, error) { boom(); return Outcome{}, nil }
	p.Views["v"] = func(context.Context, Host, Look) (View, error) { boom(); return View{}, nil }
	p.Jobs["j"] = func(context.Context, Host, Job) (Words, error) { boom(); return Words{}, nil }
	p.Import["i"] = func(context.Context, string, io.Reader, func(Row) error) error { boom(); return nil }
	p.HTTP = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { boom() })
	p.Migrate = func(context.Context, Host, int, int, string) (string, bool, error) { boom(); return "", true, nil }
	p.After = func(context.Context, Host, Event) error { boom(); return nil }
	p.Configure = func(context.Context, Config) error { boom(); return nil }
	k := newKarov(t, p)
	all := calls(k)
	all["configure"] = func(ctx context.Context) error {
		_, err := wirev1.NewBaseClient(k.plugin).Configure(ctx, &wirev1.ConfigureRequest{})
		return err
	}
	for name, call := range all {
		if err := call(t.Context()); status.Code(err) != codes.Internal {
			t.Errorf("%s: %v", name, err)
		}
		if line := k.logged(t, "boom"); !strings.Contains(line, "handlers_test.go") {
			t.Errorf("%s: the log does not say where: %s", name, line)
		}
		k.mu.Lock()
		k.lines = nil
		k.mu.Unlock()
	}
}

func TestWhatTheManifestPromisesAndTheProgramLacks(t *testing.T) {
	k := newKarov(t, everything())
	_, err := wirev1.NewActionsClient(k.plugin).Act(t.Context(), &wirev1.ActRequest{Action: "b"})
	if f := wire.FaultOf(err); f.Kind != wirev1.Kind_KIND_INTERNAL || !strings.Contains(f.Detail, `the action "b"`) {
		t.Errorf("it says %v", f)
	}
}

func TestBefore(t *testing.T) {
	k := newKarov(t, Plugin{Before: map[string]BeforeFunc{"order": func(_ context.Context, _ Host, w Write) (Values, error) {
		switch {
		case w.Act == Creating && w.Before.IsZero() && w.After().Text("state") == "new":
			return Values{"state": "open", "note": nil}, nil
		case w.Act == Updating && w.After().Int("hours") == 9 && !w.After().Has("note") && !w.Override:
			return nil, fmt.Errorf("ask: %w", Refuse("order.expired", "until", Date{2026, 1, 2}))
		case w.Act == Deleting && w.Actor.Language == "he":
			return nil, Forbid("order.kept")
		}
		return nil, nil
	}}})
	ask := func(r *wirev1.BeforeRequest) (*wirev1.BeforeResponse, *wirev1.Fault) {
		r.Entity = "order"
		answer, err := wirev1.NewHooksClient(k.plugin).Before(t.Context(), r)
		return answer, wire.FaultOf(err)
	}
	text := func(s string) *wirev1.Value { return &wirev1.Value{Of: &wirev1.Value_Text{Text: s}} }
	hours := &wirev1.Value{Of: &wirev1.Value_Number{Number: 9}}
	answer, f := ask(&wirev1.BeforeRequest{Act: wirev1.BeforeRequest_ACT_CREATE, Values: map[string]*wirev1.Value{"state": text("new")}})
	if f != nil || answer.GetValues()["state"].GetText() != "open" || answer.GetValues()["note"] == nil || answer.GetValues()["note"].GetOf() != nil {
		t.Errorf("a change: %v, %v", answer, f)
	}
	update := &wirev1.BeforeRequest{
		Act: wirev1.BeforeRequest_ACT_UPDATE, Values: map[string]*wirev1.Value{"note": {}},
		Before: &wirev1.Record{Id: "7", Values: map[string]*wirev1.Value{"hours": hours, "note": text("x")}},
	}
	if _, f := ask(update); f.GetKind() != wirev1.Kind_KIND_INVALID || f.GetKey() != "order.expired" || f.GetParams()["until"] != "2026-01-02" {
		t.Errorf("a refusal: %v", f)
	}
	update.Override = true
	if answer, f := ask(update); f != nil || len(answer.GetValues()) != 0 {
		t.Errorf("it is overridden: %v, %v", answer, f)
	}
	gone := &wirev1.BeforeRequest{Act: wirev1.BeforeRequest_ACT_DELETE, Actor: &wirev1.Actor{Language: "he"}}
	if _, f := ask(gone); f.GetKind() != wirev1.Kind_KIND_FORBIDDEN || f.GetKey() != "order.kept" {
		t.Errorf("what this person may not: %v", f)
	}
}

func TestActions(t *testing.T) {
	k := newKarov(t, Plugin{Actions: map[string]ActionFunc{"finish": func(ctx context.Context, h Host, p Press) (Outcome, error) {
		if p.Input.Text("note") == "" {
			return Outcome{}, Invalid("note", "order.note-missing")
		}
		_, err := h.Records().Get(ctx, "contact", p.Records[0].ID)
		return Outcome{Message: Say("order.finished", "by", p.Actor.Name), Open: p.Records[0], OpenView: p.Key}, err
	}}})
	k.add("contact", 1)
	press := func(id, note string) (*wirev1.ActResponse, *wirev1.Fault) {
		answer, err := wirev1.NewActionsClient(k.plugin).Act(t.Context(), &wirev1.ActRequest{
			Action: "finish", Records: []*wirev1.RecordRef{{Entity: "contact", Id: id}}, IdempotencyKey: "k",
			Input: map[string]*wirev1.Value{"note": {Of: &wirev1.Value_Text{Text: note}}}, Actor: &wirev1.Actor{Name: "דנה"},
		})
		return answer, wire.FaultOf(err)
	}
	answer, f := press("contact-0000", "done")
	if f != nil || answer.GetMessage().GetKey() != "order.finished" || answer.GetMessage().GetParams()["by"] != "דנה" ||
		answer.GetOpen().GetId() != "contact-0000" || answer.GetOpenView() != "k" {
		t.Errorf("it says %v, %v", answer, f)
	}
	if _, f := press("contact-0000", ""); f.GetKind() != wirev1.Kind_KIND_INVALID || len(f.GetFields()) != 1 || f.GetFields()[0].GetName() != "note" {
		t.Errorf("a wrong field: %v", f)
	}
	if _, f := press("nobody", "done"); f.GetKind() != wirev1.Kind_KIND_NOT_FOUND {
		t.Errorf("what the host refuses goes on as it is: %v", f)
	}
}

func TestJobs(t *testing.T) {
	due := time.Date(2026, 11, 22, 5, 0, 0, 0, time.UTC)
	k := newKarov(t, Plugin{Jobs: map[string]JobFunc{"visits": func(_ context.Context, _ Host, j Job) (Words, error) {
		if j.Attempt == 1 {
			return Words{}, errors.New("the service is away")
		}
		if !j.Due.Equal(due) || string(j.Payload) != "p" || j.Name != "visits" {
			return Words{}, Permanent("x.wrong", nil)
		}
		return Plain(j.Key), nil
	}}})
	for attempt, want := range map[int32]wirev1.Kind{1: wirev1.Kind_KIND_INTERNAL, 2: wirev1.Kind_KIND_UNSPECIFIED} {
		answer, err := wirev1.NewJobsClient(k.plugin).Run(t.Context(), &wirev1.RunRequest{
			Job: "visits", Key: "7", Payload: []byte("p"), Due: timestamppb.New(due), Attempt: attempt,
		})
		if f := wire.FaultOf(err); f.GetKind() != want || err == nil && answer.GetNote().GetText() != "7" {
			t.Errorf("attempt %d: %v, %v", attempt, answer, err)
		}
	}
}

func TestMigration(t *testing.T) {
	k := newKarov(t, Plugin{Migrate: func(_ context.Context, _ Host, from, to int, cursor string) (string, bool, error) {
		next := cursor + fmt.Sprint(from, to, ";")
		return next, len(next) > 8, nil
	}})
	cursor, steps := "", 0
	for done := false; !done; steps++ {
		answer, err := wirev1.NewMigrationClient(k.plugin).Migrate(t.Context(), &wirev1.MigrateRequest{From: 1, To: 2, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		cursor, done = answer.GetCursor(), answer.GetDone()
	}
	if steps != 3 {
		t.Errorf("%d steps to %q", steps, cursor)
	}
}

func TestImport(t *testing.T) {
	k := newKarov(t, Plugin{Import: map[string]ImportFunc{"list": func(_ context.Context, name string, file io.Reader, row func(Row) error) error {
		lines := bufio.NewScanner(file)
		for n := 1; lines.Scan(); n++ {
			r := Row{Line: n, Values: map[string]string{"file": name, "plate": lines.Text()}}
			if lines.Text() == "?" {
				r = Row{Line: n, Problem: Say("list.unreadable", "line", n)}
			}
			if err := row(r); err != nil {
				return err
			}
		}
		return lines.Err()
	}}})
	stream, err := wirev1.NewImportClient(k.plugin).Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, piece := range []string{"on", "e\n?\nth", "", "ree"} {
		q := &wirev1.ReadRequest{Data: []byte(piece)}
		if i == 0 {
			q.Importer, q.Name = "list", "lorries.txt"
		}
		if err := stream.Send(q); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for {
		r, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(r.GetLine(), r.GetValues(), r.GetProblem().GetKey(), r.GetProblem().GetParams()))
	}
	want := "1 map[file:lorries.txt plate:one]map[];2 map[]list.unreadablemap[line:2];3 map[file:lorries.txt plate:three]map[]"
	if s := strings.Join(got, ";"); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}

func TestDrain(t *testing.T) {
	begun, finish := make(chan string, 3), make(chan struct{})
	var finished []string
	note := make(chan string, 10)
	k := newKarov(t, Plugin{
		Actions: map[string]ActionFunc{"a": func(context.Context, Host, Press) (Outcome, error) {
			begun <- "action"
			<-finish
			note <- "action"
			return Outcome{}, nil
		}},
		Jobs: map[string]JobFunc{"j": func(ctx context.Context, _ Host, _ Job) (Words, error) {
			begun <- "job"
			<-ctx.Done() // the drain ends it
			note <- "job"
			return Words{}, ctx.Err()
		}},
		After: func(context.Context, Host, Event) error {
			begun <- "event"
			<-finish
			note <- "event"
			return nil
		},
		Start: func(ctx context.Context, _ Host) error { <-ctx.Done(); note <- "start"; return ctx.Err() },
	})
	base := wirev1.NewBaseClient(k.plugin)
	if _, err := base.Configure(t.Context(), &wirev1.ConfigureRequest{}); err != nil {
		t.Fatal(err)
	}
	acted, ran := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := wirev1.NewActionsClient(k.plugin).Act(t.Context(), &wirev1.ActRequest{Action: "a"})
		acted <- err
	}()
	go func() {
		_, err := wirev1.NewJobsClient(k.plugin).Run(t.Context(), &wirev1.RunRequest{Job: "j"})
		ran <- err
	}()
	events, err := wirev1.NewHooksClient(k.plugin).After(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for seq := range uint64(2) {
		if err := events.Send(&wirev1.Event{Seq: seq + 1}); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		<-begun
	}
	go func() {
		<-k.server.drained.Done()
		close(finish)
	}()
	if _, err := base.Drain(t.Context(), &wirev1.DrainRequest{Within: durationpb.New(time.Minute)}); err != nil {
		t.Fatal(err)
	}
	close(note)
	for what := range note {
		finished = append(finished, what)
	}
	if slices.Sort(finished); !slices.Equal(finished, []string{"action", "event", "job", "start"}) {
		t.Errorf("when it was drained these had finished: %v", finished)
	}
	if err := <-acted; err != nil {
		t.Errorf("the action under way: %v", err)
	}
	if err := <-ran; status.Code(err) != codes.Unavailable {
		t.Errorf("the job under way: %v", err)
	}
	if done, err := events.Recv(); err != nil || done.GetSeq() != 1 {
		t.Errorf("the event under way: %v, %v", done, err)
	}
	if _, err := events.Recv(); err != io.EOF {
		t.Errorf("the stream of events ended with %v", err)
	}
	for name, call := range calls(k) {
		if name != "action" && name != "job" && name != "after" {
			continue
		}
		if err := call(t.Context()); status.Code(err) != codes.Unavailable {
			t.Errorf("%s after the drain: %v", name, err)
		}
	}
}

func TestCancellationReachesHandlers(t *testing.T) {
	begun, left := make(chan struct{}), make(chan error, 1)
	k := newKarov(t, Plugin{Views: map[string]ViewFunc{"v": func(ctx context.Context, _ Host, _ Look) (View, error) {
		close(begun)
		<-ctx.Done()
		left <- ctx.Err()
		return View{}, ctx.Err()
	}}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	if _, err := wirev1.NewViewsClient(k.plugin).Render(ctx, &wirev1.RenderRequest{View: "v"}); status.Code(err) != codes.Canceled {
		t.Errorf("the caller sees %v", err)
	}
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the handler saw %v", err)
	}
}

package control

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
)

// door opens a server with acts on a data folder and gives a client of it.
func door(t *testing.T, acts map[string]Act) (*Client, string) {
	t.Helper()
	data := t.TempDir()
	s := NewServer(slog.New(slog.DiscardHandler))
	for name, act := range acts {
		s.Handle(name, act)
	}
	ln, err := Listen(data)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		if err := errors.Join(s.Close(context.WithoutCancel(t.Context())), <-done); err != nil {
			t.Error(err)
		}
	})
	c, err := Dial(data)
	if err != nil {
		t.Fatal(err)
	}
	return c, data
}

func TestCallWithFileProgressAndResult(t *testing.T) {
	c, _ := door(t, map[string]Act{"count": func(ctx context.Context, call *Call) (any, error) {
		var args struct{ Name string }
		if err := call.Args(&args); err != nil {
			return nil, err
		}
		if access.ActorFrom(ctx).Role != access.System {
			return nil, errors.New("who is this?")
		}
		total := 0
		buffer := make([]byte, 64<<10)
		for {
			n, err := call.File.Read(buffer)
			if total += n; err == io.EOF {
				return map[string]any{"name": args.Name, "bytes": total}, nil
			}
			if err != nil {
				return nil, err
			}
			call.Progress(map[string]int{"bytes": total})
		}
	}})
	var steps int
	var result struct {
		Name  string
		Bytes int
	}
	const size = 3 << 20
	err := c.Do(t.Context(), Wish{Act: "count", Args: map[string]string{"Name": "line\nbreak"}, File: strings.NewReader(strings.Repeat("x", size)),
		Progress: func(json.RawMessage) { steps++ }, Result: &result})
	if err != nil || result.Bytes != size || result.Name != "line\nbreak" || steps == 0 {
		t.Errorf("%+v after %d steps, %v", result, steps, err)
	}
}

func TestFaultCrossesWhole(t *testing.T) {
	want := &fault.Error{Kind: fault.Invalid, Key: "input.invalid", Params: map[string]string{"a": "b"},
		Fields: []fault.Field{{Name: "phone", Line: 7, Key: "transfer.phone", Params: map[string]string{"value": "12"}}}}
	c, _ := door(t, map[string]Act{
		"fail":     func(context.Context, *Call) (any, error) { return nil, want },
		"surprise": func(context.Context, *Call) (any, error) { return nil, errors.New("ouch") },
	})
	got := fault.Of(c.Do(t.Context(), Wish{Act: "fail"}))
	if got.Kind != want.Kind || got.Key != want.Key || got.Params["a"] != "b" || len(got.Fields) != 1 || got.Fields[0].Line != 7 {
		t.Errorf("%+v", got)
	}
	if got := fault.Of(c.Do(t.Context(), Wish{Act: "surprise"})); got.Kind != fault.Internal || got.Key != "error.internal" {
		t.Errorf("%+v", got)
	}
	if got := fault.Of(c.Do(t.Context(), Wish{Act: "never heard of"})); got.Kind == fault.Internal {
		t.Errorf("%+v", got)
	}
}

func TestNobodyAnswers(t *testing.T) {
	c, err := Dial(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Do(t.Context(), Wish{Act: "status"}); fault.Of(err).Key != "control.not-running" {
		t.Errorf("%v", err)
	}
}

// TestOnlyOverTheSocket: the same handler on the network lets nobody in, since nobody vouches for who is there.
func TestOnlyOverTheSocket(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(slog.New(slog.DiscardHandler))
	s.Handle("status", func(context.Context, *Call) (any, error) { t.Error("a stranger was let in"); return nil, nil })
	go func() { _ = s.Serve(&Door{Listener: ln, key: "key"}) }()
	defer func() { _ = s.Close(context.WithoutCancel(t.Context())) }()
	ask, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+ln.Addr().String()+"/status", strings.NewReader("{}\n"))
	if err != nil {
		t.Fatal(err)
	}
	ask.Header.Set(keyHeader, "key")
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusForbidden {
		t.Errorf("answered %d", answer.StatusCode)
	}
}

// TestTheSocketAloneIsNotEnough: a plugin is the same user, and may reach the socket, but no file of the folder.
func TestTheSocketAloneIsNotEnough(t *testing.T) {
	c, data := door(t, map[string]Act{"status": func(context.Context, *Call) (any, error) { return nil, nil }})
	if err := c.Do(t.Context(), Wish{Act: "status"}); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(data, "run", keyName)
	if st, err := os.Stat(key); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the key is %v, %v", st.Mode(), err)
	}
	for _, wrong := range []string{"", "x"} {
		if err := os.WriteFile(key, []byte(wrong), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := c.Do(t.Context(), Wish{Act: "status"}); fault.Of(err).Key != "control.not-allowed" {
			t.Errorf("with the key %q: %v", wrong, err)
		}
	}
}

func TestRunDir(t *testing.T) {
	short, err := RunDir("/var/lib/karov")
	if err != nil || short != "/var/lib/karov/run" {
		t.Errorf("%s, %v", short, err)
	}
	long := "/" + strings.Repeat("long/", 40)
	dir, err := RunDir(long)
	again, _ := RunDir(long)
	other, _ := RunDir(long + "other")
	if err != nil || len(dir) > maxSocketPath || dir != again || dir == other {
		t.Errorf("%s, %s, %s, %v", dir, again, other, err)
	}
}

// TestOthersFolderIsRefused: the folder of a long path has a name that anybody can guess.
func TestOthersFolderIsRefused(t *testing.T) {
	data := t.TempDir()
	run := filepath.Join(data, "run")
	if dir, _ := RunDir(data); dir != run {
		t.Skip("NOT RUN: the temporary folder's path is too long here")
	}
	if err := os.Mkdir(run, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := MakeRunDir(data); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("a folder open to others: %v", err)
	}
	if err := os.Remove(run); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(t.TempDir(), run); err != nil {
		t.Fatal(err)
	}
	if _, err := MakeRunDir(data); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("a link to elsewhere: %v", err)
	}
}

// TestCloseWhileItBegins closes a server that may not have begun yet, as a daemon that is told to stop at once does.
func TestCloseWhileItBegins(t *testing.T) {
	for range 20 {
		data := t.TempDir()
		if _, err := MakeRunDir(data); err != nil {
			t.Fatal(err)
		}
		ln, err := Listen(data)
		if err != nil {
			t.Fatal(err)
		}
		s := NewServer(slog.New(slog.DiscardHandler))
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(ln) }()
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
}

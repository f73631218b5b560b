package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/karov-crm/karov/plugins/sdk"
	"github.com/karov-crm/karov/plugins/wire"
)

// build builds the example plugin.
func build(t *testing.T) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "example")
	out, err := exec.Command("go", "build", "-o", to, "github.com/karov-crm/karov/plugins/example/channel").CombinedOutput()
	if err != nil {
		t.Fatalf("build the example: %v\n%s", err, out)
	}
	return to
}

func TestStartedByHand(t *testing.T) {
	out, err := exec.Command(build(t)).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), "is a plugin of Karov") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestStartedWithoutALine(t *testing.T) {
	binary := build(t)
	short, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteString("short\n"); err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for name, c := range map[string]*exec.Cmd{
		"no file":     {Env: []string{wire.EnvCookie + "=" + wire.Cookie}},
		"not a file":  {Env: []string{wire.EnvCookie + "=" + wire.Cookie, wire.EnvLifeFD + "=77", wire.EnvHostSocket + "=/x"}},
		"short token": {Env: []string{wire.EnvCookie + "=" + wire.Cookie, wire.EnvLifeFD + "=3", wire.EnvHostSocket + "=/x"}, ExtraFiles: []*os.File{short}},
	} {
		c.Path, c.Args = binary, []string{binary}
		out, err := c.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), "open the line to the host") {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}

// TestEndsWithItsHost closes the inherited file, as the kernel does for a host that died, and nothing else.
func TestEndsWithItsHost(t *testing.T) {
	dir, err := os.MkdirTemp("", "k")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "host.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	theirs, life, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintln(life, wire.NewToken()); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(build(t))
	c.Env = []string{
		wire.EnvCookie + "=" + wire.Cookie, wire.EnvProtocols + "=1", wire.EnvLifeFD + "=3",
		wire.EnvHostSocket + "=" + l.Addr().String(), wire.EnvSocketDir + "=" + dir,
	}
	c.ExtraFiles = []*os.File{theirs}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if err := theirs.Close(); err != nil {
		t.Fatal(err)
	}
	hello := make([]byte, 200)
	n, err := out.Read(hello)
	if err != nil || !strings.HasPrefix(string(hello[:n]), "1|1|unix|"+dir+"/") {
		t.Fatalf("it says %q, %v", hello[:n], err)
	}
	if err := life.Close(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, out)
	var exit *exec.ExitError
	if err := c.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("it ended with %v", err)
	}
}

// parrot is a channel that answers itself: the smallest there is.
type parrot struct{}

func (parrot) Configure(context.Context, sdk.Config) error { return nil }

func (parrot) Run(ctx context.Context, h sdk.Host) error {
	err := h.Deliver(ctx, sdk.Message{
		Channel: "parrot", Account: "cage", ExternalID: "1", From: sdk.Party{Handle: "polly"}, Text: "Hello!",
	})
	if err != nil && !sdk.IsPermanent(err) {
		return err // Run is called again later
	}
	<-ctx.Done()
	return ctx.Err()
}

func (parrot) Send(_ context.Context, _ sdk.Host, out sdk.Outgoing) (sdk.Receipt, error) {
	if out.Text == "" {
		return sdk.Receipt{}, sdk.Permanent("parrot.speechless", nil)
	}
	return sdk.Receipt{ExternalID: out.ExternalID}, nil
}

// A plugin's main function is one call.
func ExampleMain() {
	main := func() { sdk.Main(sdk.Info{ID: "com.example.parrot", Version: "1.0.0"}, parrot{}) }
	_ = main // Karov starts it; started here it would end the process
}

func ExamplePermanent() {
	err := fmt.Errorf("send: %w", sdk.Permanent("mail.refused", errors.New("550 no such user")))
	fmt.Println(sdk.IsPermanent(err), err)
	// Output: true send: mail.refused: 550 no such user
}

package sdk

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

// TestMain makes the test's program a plugin when it is started as one.
func TestMain(m *testing.M) {
	if os.Getenv(wire.EnvCookie) == wire.Cookie {
		p := everything()
		p.Info = Info{ID: "com.example.everything", Version: "1.2.3"}
		Run(p)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestAProcess starts a plugin as the host does and speaks with each of its services, until it is asked to end.
func TestAProcess(t *testing.T) {
	at := newSocket(t)
	theirs, life, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer life.Close()
	if _, err := fmt.Fprintln(life, at.token); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(os.Args[0])
	c.Env = []string{
		wire.EnvCookie + "=" + wire.Cookie, wire.EnvProtocols + "=1", wire.EnvLifeFD + "=3", wire.EnvSocketDir + "=" + at.dir,
		wire.EnvHostSocket + "=" + filepath.Join(at.dir, "host"), wire.EnvEgress + "=" + filepath.Join(at.dir, "none"), "GOMEMLIMIT=64MiB",
	}
	c.ExtraFiles, c.Stderr = []*os.File{theirs}, os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	at.peer.PID = func() int { return c.Process.Pid }
	k := newOffice()
	k.add("contact", 1)
	k.serve(t, at)
	hello, err := bufio.NewReader(out).ReadString('\n')
	path := strings.Split(strings.TrimSpace(hello), "|")
	if err != nil || len(path) < 5 || filepath.Dir(path[3]) != at.dir {
		t.Fatalf("it says %q, %v", hello, err)
	}
	k.plugin = at.dial(t, filepath.Base(path[3]))
	base := wirev1.NewBaseClient(k.plugin)
	info, err := base.Info(t.Context(), &wirev1.InfoRequest{})
	if err != nil || info.GetId() != "com.example.everything" || len(info.GetServices()) != 7 || slices.Contains(info.GetServices(), wire.ServiceChannel) {
		t.Fatalf("it is %v, %v", info, err)
	}
	for name, call := range calls(k) {
		if err := call(as(t, "for "+name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := k.seen(); !slices.Equal(got, []string{"for " + name}) {
			t.Errorf("%s called back for %q", name, got)
		}
	}
	if _, err := base.Drain(t.Context(), &wirev1.DrainRequest{Within: durationpb.New(0)}); err != nil {
		t.Errorf("drain: %v", err)
	}
	if _, err := base.Shutdown(t.Context(), &wirev1.ShutdownRequest{}); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if _, err := net.Dial("unix", path[3]); err == nil {
		t.Error("its socket still answers")
	}
}

package plugin_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/plugins/plugintest"
)

const examplePackage = "github.com/karov-crm/karov/plugins/example/channel"

const exampleDir = "../../plugins/example/channel"

// hostVariable makes this test program act as a host over the folder it names, until it is killed.
const hostVariable = "KAROV_TEST_HOST"

func TestMain(m *testing.M) {
	if home := os.Getenv(hostVariable); home != "" {
		actAsHost(home)
		return
	}
	if home := os.Getenv(installVariable); home != "" {
		actAsInstaller(home)
		return
	}
	os.Exit(m.Run())
}

// actAsHost starts a host and prints the process id of its plugin.
func actAsHost(home string) {
	office := plugintest.NewOffice(map[string]string{"folder": filepath.Join(home, "box")})
	h, err := plugin.Open(plugin.Options{
		Dirs: []string{home}, DataDir: filepath.Join(home, "data"), RunDir: os.Getenv("KAROV_TEST_RUN"),
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Inbox: office, Blobs: office, Settings: office,
		Launch: []string{os.Getenv("KAROV_TEST_LAUNCH")},
	})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	h.OnChange(func() {
		if s := h.List()[0]; s.State == plugin.Running && len(s.Accounts) > 0 {
			fmt.Println(s.PID)
		}
	})
	if err := h.Start(context.Background()); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	select {}
}

func TestKillingTheHostLeavesNoPluginBehind(t *testing.T) {
	home := plugintest.Build(t, exampleDir, examplePackage)
	if err := os.Mkdir(filepath.Join(home, "box"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, stopped := range []bool{false, true} {
		t.Run(fmt.Sprintf("plugin stopped %v", stopped), func(t *testing.T) {
			run, err := os.MkdirTemp("", "k")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(run)
			host := exec.Command(os.Args[0])
			host.Env = append(os.Environ(), hostVariable+"="+home, "KAROV_TEST_RUN="+run, "KAROV_TEST_LAUNCH="+plugintest.Launcher(t))
			host.Stderr = os.Stderr
			out, err := host.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := host.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(out).ReadString('\n')
			if err != nil {
				t.Fatalf("read what the host says: %v", err)
			}
			pid, err := strconv.Atoi(strings.TrimSpace(line))
			if err != nil {
				t.Fatalf("the host says %q", line)
			}
			if stopped {
				if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
					t.Fatal(err)
				}
			}
			if plugintest.Gone(pid) {
				t.Fatal("the plugin does not run")
			}
			if err := host.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, out)
			_ = host.Wait() // it was killed: the error says so
			plugintest.Wait(t, "the plugin is gone", func() bool { return plugintest.Gone(pid) })
		})
	}
}

func TestManifestsThatCannotBeUsed(t *testing.T) {
	home := plugintest.Build(t, exampleDir, examplePackage)
	broken := filepath.Join(home, "broken")
	again := filepath.Join(home, "zz-again")
	for dir, text := range map[string]string{broken: "id: [", again: readFile(t, exampleDir+"/plugin.yaml")} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "plugin.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var changes atomic.Int64
	w := plugintest.Start(t, home, plugintest.NewOffice(map[string]string{"folder": t.TempDir()}))
	w.Host.OnChange(func() { changes.Add(1) })
	good := func() plugin.Status {
		for _, s := range w.Host.List() {
			if s.ID == "com.karov-crm.example" {
				return s
			}
		}
		t.Fatal("the good plugin is not listed")
		return plugin.Status{}
	}
	plugintest.Wait(t, "the good plugin runs beside the others", func() bool {
		return good().State == plugin.Running && len(good().Accounts) > 0
	})
	if changes.Load() == 0 {
		t.Error("nobody was told of a change")
	}
	keys := map[string]string{}
	for _, s := range w.Host.List() {
		if s.LastError != nil {
			keys[filepath.Base(s.ID)] = s.LastError.Key
			if err := w.Host.Enable(t.Context(), s.ID); err == nil {
				t.Errorf("%s could be enabled", s.ID)
			}
		}
	}
	if keys["broken"] != "plugin.manifest-malformed" || keys["zz-again"] != "plugin.repeated" || len(keys) != 2 {
		t.Errorf("the errors are %v", keys)
	}
	if err := w.Host.Reconfigure(t.Context(), "nobody"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a plugin that does not exist: %v", err)
	}
}

func TestADeepRunFolderIsRefusedInWords(t *testing.T) {
	home := plugintest.Build(t, exampleDir, examplePackage)
	w := plugintest.Start(t, home, plugintest.NewOffice(nil), func(o *plugin.Options) {
		o.RunDir = filepath.Join(o.RunDir, strings.Repeat("deep/", 20))
	})
	s := w.Status()
	if s.State != plugin.Stopped || s.LastError == nil || s.LastError.Key != "plugin.socket-path-too-long" {
		t.Errorf("state %s, error %v", s.State, s.LastError)
	}
}

func TestDisabledPluginsAreNotStarted(t *testing.T) {
	home := plugintest.Build(t, exampleDir, examplePackage)
	w := plugintest.Start(t, home, plugintest.NewOffice(map[string]string{"folder": t.TempDir()}), func(o *plugin.Options) {
		o.Disabled = []string{"com.karov-crm.example"}
	})
	if s := w.Status(); s.State != plugin.Disabled || s.PID != 0 {
		t.Errorf("state %s, process %d", s.State, s.PID)
	}
	if err := w.Host.Enable(t.Context(), "com.karov-crm.example"); err != nil {
		t.Fatal(err)
	}
	w.Up(t, 0)
	if got := w.Host.Channels()["folder"]; len(got) != 1 {
		t.Errorf("the accounts of the channel are %v", got)
	}
}

func readFile(t testing.TB, name string) string {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

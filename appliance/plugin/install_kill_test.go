package plugin_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/plugin/pack"
	"github.com/karov-crm/karov/appliance/store/bolt"
	"github.com/karov-crm/karov/plugins/plugintest"
)

// installVariable makes this test program install packages over the folder it names, again and again, until it is
// killed.
const installVariable = "KAROV_TEST_INSTALL"

func itoa(n int) string { return strconv.Itoa(n) }

// actAsInstaller installs one.karovplug and two.karovplug in turns, and prints when one attempt begins and how it ended.
func actAsInstaller(home string) {
	ctx := access.WithActor(context.Background(), access.Appliance())
	err := func() error {
		db, err := bolt.Open(filepath.Join(home, "karov.db"))
		if err != nil {
			return err
		}
		gate, err := access.NewGate()
		if err != nil {
			return err
		}
		office, log := plugintest.NewOffice(nil), slog.New(slog.NewTextHandler(os.Stderr, nil))
		host, err := plugin.Open(plugin.Options{
			DataDir: filepath.Join(home, "data"), RunDir: os.Getenv("KAROV_TEST_RUN"), Version: "test", Log: log,
			Inbox: office, Blobs: office, Settings: office, Timing: plugintest.Quick(), Launch: []string{os.Getenv("KAROV_TEST_LAUNCH")},
		})
		if err != nil {
			return err
		}
		in, err := plugin.OpenInstaller(plugin.InstallerOptions{
			Host: host, DB: db, Gate: gate, Journal: journal.New(db, time.Now), Dir: filepath.Join(home, "store"), Log: log,
			Probation: 100 * time.Millisecond,
		})
		if err != nil {
			return err
		}
		if err := in.Start(ctx); err != nil {
			return err
		}
		if err := host.Start(ctx); err != nil {
			return err
		}
		for i := 0; ; i++ {
			raw, err := os.ReadFile(filepath.Join(home, []string{"one", "two"}[i%2]+pack.Extension))
			if err != nil {
				return err
			}
			fmt.Println("begin")
			if _, err = in.Install(ctx, bytes.NewReader(raw), ""); err != nil {
				fmt.Fprintln(os.Stderr, err)
				time.Sleep(10 * time.Millisecond) // a probation is under way
			}
		}
	}()
	fmt.Println(err)
	os.Exit(1)
}

// TestKillingAnInstallationLeavesOneOrTheOther kills a process in the middle of installing, at any moment, and opens
// what it left: one of the two versions is there, whole, and runs.
func TestKillingAnInstallationLeavesOneOrTheOther(t *testing.T) {
	s := usualShop(t)
	one, two := s.mover("1.0.0"), s.mover("1.1.0")
	w := newSite(t, s, func(o *plugin.InstallerOptions) { o.Drop = "" })
	for name, raw := range map[string][]byte{"one": one, "two": two} {
		must(t, os.WriteFile(filepath.Join(w.home, name+pack.Extension), raw, 0o600))
	}
	must(t, w.install(one))
	w.runs("1.0.0")
	seen := map[string]int{}
	trials := 0
	for round := range 8 {
		w.close()
		killInstaller(t, w, round)
		w.open()
		got := w.shown()
		if got.Active == nil || got.State == plugin.StateBroken {
			t.Fatalf("round %d left %+v", round, got)
		}
		if got.Trial != nil {
			trials++
		}
		plugintest.Wait(t, "it runs and is settled", func() bool { return w.shown().Trial == nil && w.host.Healthy(moverID) == nil })
		got = w.shown()
		seen[got.Active.Version]++
		if v := w.host.List()[0].Version; v != got.Active.Version {
			t.Errorf("round %d: %s runs, %s is written down", round, v, got.Active.Version)
		}
		if got.Failed != nil {
			t.Errorf("round %d: a sound version failed: %+v", round, got.Failed)
		}
		entries, err := os.ReadDir(filepath.Join(w.home, "store", "incoming"))
		must(t, err)
		if len(entries) != 0 {
			t.Errorf("round %d left %v", round, entries)
		}
	}
	t.Logf("ends: %v, %d in a probation", seen, trials)
}

// killInstaller starts a process that installs, and kills it soon after an attempt began.
func killInstaller(t *testing.T, w *site, round int) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), installVariable+"="+w.home, "KAROV_TEST_RUN="+w.run, "KAROV_TEST_LAUNCH="+plugintest.Launcher(t))
	child.Stderr = w.log
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	lines := bufio.NewScanner(out)
	for range 1 + round%3 {
		if !lines.Scan() || lines.Text() != "begin" {
			t.Errorf("the installer says %q", lines.Text())
			break
		}
	}
	time.Sleep(time.Duration(rand.IntN(600)) * time.Millisecond)
	must(t, child.Process.Kill())
	_ = child.Wait() // it was killed: the error says so
}

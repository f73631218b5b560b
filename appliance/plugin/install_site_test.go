package plugin_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/plugin/pack"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
	"github.com/karov-crm/karov/plugins/plugintest"
)

const moverID = "test.rogue.mover"

// shop makes and signs packages.
type shop struct {
	t      testing.TB
	root   *pack.RootKey
	signer *pack.Signer
}

func newShop(t testing.TB, namespace string) *shop {
	t.Helper()
	root, err := pack.GenerateRoot("Test root")
	must(t, err)
	return &shop{t: t, root: root, signer: signerUnder(t, root, namespace)}
}

func signerUnder(t testing.TB, root *pack.RootKey, namespace string) *pack.Signer {
	t.Helper()
	signer, err := newSigner(root, namespace)
	must(t, err)
	return signer
}

func newSigner(root *pack.RootKey, namespace string) (*pack.Signer, error) {
	key, err := pack.GenerateReseller("Test shop")
	if err != nil {
		return nil, err
	}
	c, err := root.IssueCertificate(key.Reseller, pack.Terms{
		Namespace: namespace, Ceiling: pack.Everything(), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	})
	if err != nil {
		return nil, err
	}
	return pack.NewSigner(key, c)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// buildMover builds the plugin of these tests once.
var buildMover = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "k")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "mover")
	if out, err := exec.Command("go", "build", "-ldflags=-s -w", "-o", file, "./testdata/mover").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the mover: %w\n%s", err, out)
	}
	return os.ReadFile(file)
})

// usual is the root and the reseller of most tests, so that these share their packages.
var usual = sync.OnceValues(func() (*pack.RootKey, *pack.Signer) {
	root, err := pack.GenerateRoot("Test root")
	if err != nil {
		return nil, nil
	}
	signer, err := newSigner(root, "test.rogue")
	if err != nil {
		return nil, nil
	}
	return root, signer
})

// packed are packages by signer, version and what is in them.
var packed sync.Map

// usualShop is a shop with the usual root.
func usualShop(t testing.TB) *shop {
	t.Helper()
	root, signer := usual()
	if signer == nil {
		t.Fatal("there is no usual root")
	}
	return &shop{t: t, root: root, signer: signer}
}

// mover packs a version of the mover; more is added to its plugin.yaml. It takes its time, so a test whose probation ends
// packs before.
func (s *shop) mover(version string, more ...string) []byte {
	s.t.Helper()
	key := s.signer.Certificate.Serial + version + strings.Join(more, "\n")
	if raw, ok := packed.Load(key); ok {
		return raw.([]byte)
	}
	program, err := buildMover()
	must(s.t, err)
	dir := s.t.TempDir()
	manifest := fmt.Sprintf("id: %s\nname: Mover\nversion: %s\napi: \">=1.0\"\nbinary: mover-%s\n%s\n", moverID, version, version, strings.Join(more, "\n"))
	must(s.t, os.WriteFile(filepath.Join(dir, "plugin.yaml"), []byte(manifest), 0o600))
	must(s.t, os.WriteFile(filepath.Join(dir, "mover-"+version), program, 0o700))
	var b bytes.Buffer
	_, err = plugin.BuildPackage(dir, &b, s.signer)
	must(s.t, err)
	packed.Store(key, b.Bytes())
	return b.Bytes()
}

// site is an office with an installer.
type site struct {
	t     testing.TB
	shop  *shop
	home  string
	run   string
	drop  string
	db    store.DB
	gate  *access.Gate
	facts *journal.Journal
	host  *plugin.Host
	in    *plugin.Installer
	log   *plugintest.Log
	owner context.Context

	change func(*plugin.InstallerOptions)
}

// newSite makes an office that trusts the shop's root, and opens it.
func newSite(t testing.TB, s *shop, change func(*plugin.InstallerOptions)) *site {
	t.Helper()
	run, err := os.MkdirTemp("", "k")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(run) })
	w := &site{t: t, shop: s, home: t.TempDir(), run: run, drop: t.TempDir(), log: &plugintest.Log{}, change: change}
	w.owner = access.WithActor(t.Context(), access.Actor{ID: "o", Role: access.Owner})
	w.open()
	t.Cleanup(func() {
		w.close()
		must(t, pack.Remove(filepath.Join(w.home, "store")))
		if t.Failed() {
			t.Log(w.log.String())
		}
	})
	public, err := s.root.Encode()
	must(t, err)
	_, err = w.in.Trust(w.owner, public)
	must(t, err)
	return w
}

// open starts Karov's part over the folder as it is.
func (w *site) open() {
	w.t.Helper()
	var err error
	w.db, err = bolt.Open(filepath.Join(w.home, "karov.db"))
	must(w.t, err)
	w.gate, err = access.NewGate()
	must(w.t, err)
	w.facts = journal.New(w.db, time.Now)
	office := plugintest.NewOffice(nil)
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.host, err = plugin.Open(plugin.Options{
		DataDir: filepath.Join(w.home, "data"), RunDir: w.run, Version: "test", Log: log,
		Inbox: office, Blobs: office, Settings: office, Timing: plugintest.Quick(), Launch: []string{plugintest.Launcher(w.t)},
		Declare: func(ctx context.Context, m *plugin.Manifest) error { return w.in.MayStart(ctx, m.ID, m.Version) },
	})
	must(w.t, err)
	o := plugin.InstallerOptions{
		Host: w.host, DB: w.db, Gate: w.gate, Journal: w.facts, Dir: filepath.Join(w.home, "store"), Drop: w.drop, Log: log,
		Probation: 400 * time.Millisecond, Poll: time.Hour,
	}
	if w.change != nil {
		w.change(&o)
	}
	w.in, err = plugin.OpenInstaller(o)
	must(w.t, err)
	must(w.t, w.in.Start(w.t.Context()))
	must(w.t, w.host.Start(w.t.Context()))
}

func (w *site) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	w.in.Close()
	must(w.t, w.host.Close(ctx))
	must(w.t, w.db.Close())
}

// install installs a package with all that it asks for.
func (w *site) install(raw []byte) error {
	w.t.Helper()
	seen, err := w.in.Inspect(w.owner, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	_, err = w.in.Install(w.owner, bytes.NewReader(raw), seen.Hash)
	return err
}

// kill kills the plugin's process.
func (w *site) kill() {
	w.t.Helper()
	must(w.t, syscall.Kill(w.host.List()[0].PID, syscall.SIGKILL))
}

// shown gives how the mover stands.
func (w *site) shown() plugin.Shown {
	w.t.Helper()
	all, err := w.in.List(w.owner)
	must(w.t, err)
	for _, s := range all {
		if s.ID == moverID {
			return s
		}
	}
	return plugin.Shown{}
}

// runs waits until a version does its work and no probation is under way.
func (w *site) runs(version string) plugin.Shown {
	w.t.Helper()
	plugintest.Wait(w.t, "version "+version+" is settled and well", func() bool {
		s := w.shown()
		return s.Active != nil && s.Active.Version == version && s.Trial == nil && w.host.Healthy(moverID) == nil && w.host.List()[0].Version == version
	})
	return w.shown()
}

// names are those of the facts about plugins, in order.
func (w *site) names() (names []string) {
	w.t.Helper()
	facts, err := w.facts.After(w.t.Context(), 0, 1000)
	must(w.t, err)
	for _, f := range facts {
		if f.Entity == "plugin" && f.ID == moverID {
			names = append(names, strings.TrimPrefix(f.Name, "plugin.")+" "+f.About["version"])
		}
	}
	return names
}

// folders are the versions in the store.
func (w *site) folders() (names []string) {
	w.t.Helper()
	all, err := filepath.Glob(filepath.Join(w.home, "store", "test.*", "*"))
	must(w.t, err)
	for _, dir := range all {
		version, _, _ := strings.Cut(filepath.Base(dir), "-")
		names = append(names, version)
	}
	return names
}

func keyOf(t testing.TB, what string, err error, key string) {
	t.Helper()
	if err == nil || fault.Of(err).Key != key {
		t.Errorf("%s: %v, not %s", what, err, key)
	}
}

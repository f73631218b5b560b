package plugin_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/plugin/pack"
	"github.com/karov-crm/karov/plugins/plugintest"
)

// put drops a package as a .deb would.
func (w *site) put(name string, raw []byte) string {
	w.t.Helper()
	file := filepath.Join(w.drop, name+pack.Extension)
	must(w.t, os.WriteFile(file, raw, 0o644))
	return file
}

// rescan looks at the folder and gives the keys of what did not come in.
func (w *site) rescan() (keys []string) {
	w.t.Helper()
	out, err := w.in.Rescan(w.owner)
	must(w.t, err)
	for _, d := range out {
		keys = append(keys, d.Why.Key)
	}
	return keys
}

func TestADroppedPackageIsInstalledAndUpgraded(t *testing.T) {
	s := usualShop(t)
	one, two, three := s.mover("1.0.0"), s.mover("1.1.0"), s.mover("1.2.0-dead")
	w := newSite(t, s, nil)
	w.put("old", one)
	w.put("new", two)
	if keys := w.rescan(); len(keys) != 0 {
		t.Errorf("not taken: %v", keys)
	}
	w.runs("1.1.0")
	w.put("bad", three)
	if keys := w.rescan(); !slices.Equal(keys, []string{"plugin.not-started"}) {
		t.Errorf("one that is dead: %v", keys)
	}
	w.runs("1.1.0")
	if keys := w.rescan(); len(keys) != 0 {
		t.Errorf("it is tried again: %v", keys)
	}
	if got := w.names(); !slices.Equal(got, []string{"installed 1.1.0", "rolled-back 1.2.0-dead"}) {
		t.Errorf("the journal says %q", got)
	}
	must(t, w.in.Remove(w.owner, moverID, false))
	if w.rescan(); w.shown().ID != "" {
		t.Errorf("what was removed came back by itself: %+v", w.shown())
	}
}

// TestARestoredOfficeGetsItsPluginsBack: a backup holds what is installed, and the folder has the files.
func TestARestoredOfficeGetsItsPluginsBack(t *testing.T) {
	s := usualShop(t)
	raw := s.mover("1.0.0", asksMuch)
	w := newSite(t, s, nil)
	must(t, w.install(raw))
	w.runs("1.0.0")
	w.close()
	must(t, pack.Remove(filepath.Join(w.home, "store")))
	w.open()
	if got := w.shown(); got.State != plugin.StateBroken || got.Trouble.Key != "pack.installed-damaged" {
		t.Errorf("without its files it is %+v", got)
	}
	w.put("mover", raw)
	if keys := w.rescan(); len(keys) != 0 {
		t.Errorf("not taken: %v", keys)
	}
	if got := w.runs("1.0.0"); got.State != plugin.StateInstalled || got.Previous != nil {
		t.Errorf("afterwards: %+v", got)
	}
}

func TestADroppedPackageIsFoundByItself(t *testing.T) {
	s := usualShop(t)
	raw := s.mover("1.0.0")
	w := newSite(t, s, func(o *plugin.InstallerOptions) { o.Poll = 20 * time.Millisecond })
	w.put("mover", raw)
	w.runs("1.0.0")
}

func TestWhatADroppedPackageAsksForWaits(t *testing.T) {
	s := usualShop(t)
	one, two := s.mover("1.0.0"), s.mover("1.1.0", asksMuch)
	w := newSite(t, s, nil)
	w.put("one", one)
	w.rescan()
	w.runs("1.0.0")
	file := w.put("two", two)
	if keys := w.rescan(); len(keys) != 0 {
		t.Errorf("not taken: %v", keys)
	}
	got := w.shown()
	if got.State != plugin.StateWaiting || got.Waiting.Version.Version != "1.1.0" || len(got.Waiting.More.Added) != 4 || got.Active.Version != "1.0.0" {
		t.Fatalf("it does not wait: %+v", got)
	}
	w.rescan()
	if n := len(w.names()); n != 2 {
		t.Errorf("%d facts: %v", n, w.names())
	}
	_, err := w.in.Approve(w.owner, moverID, "another")
	keyOf(t, "approval of something else", err, "plugin.waiting-changed")
	_, err = w.in.Approve(w.owner, moverID, got.Waiting.Hash)
	must(t, err)
	w.runs("1.1.0")
	_, err = w.in.Approve(w.owner, moverID, got.Waiting.Hash)
	keyOf(t, "approval of nothing", err, "plugin.nothing-waits")
	must(t, os.Remove(file))
	if keys := w.rescan(); len(keys) != 0 || w.shown().Active.Version != "1.1.0" {
		t.Errorf("the file went away: %v, %+v", keys, w.shown())
	}
}

// TestOurOwnPluginsNeedNoApproval: who installs a package of the system has approved it.
func TestOurOwnPluginsNeedNoApproval(t *testing.T) {
	s := newShop(t, "il.karov")
	program, err := buildMover()
	must(t, err)
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "plugin.yaml"),
		[]byte("id: il.karov.mover\nname: Mover\nversion: 1.0.0\napi: \">=1.0\"\nbinary: mover-1.0.0\n"+asksMuch+"\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "mover-1.0.0"), program, 0o700))
	var b bytes.Buffer
	_, err = plugin.BuildPackage(dir, &b, s.signer)
	must(t, err)
	for _, product := range []*pack.Root{nil, &s.root.Root} {
		w := newSite(t, s, func(o *plugin.InstallerOptions) { o.Product = product })
		w.put("mover", b.Bytes())
		w.rescan()
		all, err := w.in.List(w.owner)
		must(t, err)
		if len(all) != 1 || (all[0].State == plugin.StateWaiting) != (product == nil) {
			t.Errorf("with the product's root %v it is %+v", product, all)
		}
	}
}

func TestOnlyAdministratorsDrop(t *testing.T) {
	s := usualShop(t)
	raw := s.mover("1.0.0")
	w := newSite(t, s, nil)
	file := w.put("mover", raw)
	must(t, os.Chmod(file, 0o666))
	if keys := w.rescan(); !slices.Equal(keys, []string{"plugin.drop-open"}) {
		t.Errorf("a file that everybody may change: %v", keys)
	}
	must(t, os.Chmod(file, 0o644))
	must(t, os.Chmod(w.drop, 0o777))
	if keys := w.rescan(); !slices.Equal(keys, []string{"plugin.drop-open"}) {
		t.Errorf("a folder that everybody may change: %v", keys)
	}
	must(t, os.Chmod(w.drop, 0o755))
	must(t, os.Rename(file, file+".aside"))
	must(t, os.Symlink(file+".aside", file))
	if keys := w.rescan(); !slices.Equal(keys, []string{"pack.unreadable"}) {
		t.Errorf("a link: %v", keys)
	}
	must(t, os.Remove(file))
	must(t, syscall.Mkfifo(file, 0o644))
	if keys := w.rescan(); !slices.Equal(keys, []string{"plugin.drop-open"}) {
		t.Errorf("a pipe: %v", keys)
	}
	must(t, os.Remove(file))
	w.put("noise", []byte("hello"))
	if keys := w.rescan(); !slices.Equal(keys, []string{"pack.malformed"}) {
		t.Errorf("noise: %v", keys)
	}
	if w.shown().ID != "" {
		t.Errorf("it was installed: %+v", w.shown())
	}
}

// TestAFullDiskLeavesTheOldVersion upgrades on a disk with no room for the new version.
func TestAFullDiskLeavesTheOldVersion(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT RUN: needs root to mount a small disk")
	}
	s := usualShop(t)
	one, two := s.mover("1.0.0"), s.mover("1.1.0")
	program, err := buildMover()
	must(t, err)
	disk := t.TempDir()
	size := func(bytes int) string { return "size=" + itoa(bytes>>10+1) + "k" }
	must(t, syscall.Mount("tmpfs", disk, "tmpfs", 0, size(2*len(program)+len(one)+1<<20)))
	defer func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) }()
	w := newSite(t, s, func(o *plugin.InstallerOptions) { o.Dir = filepath.Join(disk, "store") })
	must(t, w.install(one))
	w.runs("1.0.0")
	ballast := filepath.Join(disk, "ballast")
	must(t, os.WriteFile(ballast, make([]byte, len(program)/2), 0o600))
	keyOf(t, "an upgrade on a full disk", w.install(two), "pack.unwritable")
	if got := w.runs("1.0.0"); got.Trial != nil || got.Failed != nil {
		t.Errorf("something is left of the attempt: %+v", got.Installed)
	}
	left, err := os.ReadDir(filepath.Join(disk, "store", "incoming"))
	must(t, err)
	if len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	must(t, os.Remove(ballast))
	must(t, w.install(two))
	w.runs("1.1.0")
	plugintest.Wait(t, "the old process is gone", func() bool { return len(w.host.List()) == 1 })
}

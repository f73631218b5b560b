package plugin_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/plugins/plugintest"
)

func TestInstallUpgradeRollbackRemove(t *testing.T) {
	s := usualShop(t)
	w := newSite(t, s, nil)
	one, two := s.mover("1.0.0"), s.mover("1.1.0")
	must(t, w.install(one))
	first := w.runs("1.0.0")
	if first.State != plugin.StateInstalled || first.Active.Signer.Name != "Test shop" || first.Active.Signer.RootName != "Test root" {
		t.Errorf("installed: %+v", first)
	}
	must(t, w.install(one))
	if got := w.host.List()[0].PID; got == 0 || len(w.names()) != 1 {
		t.Errorf("the same again did something: %v", w.names())
	}
	must(t, w.install(two))
	w.runs("1.1.0")
	if got := w.folders(); !slices.Equal(got, []string{"1.0.0", "1.1.0"}) {
		t.Errorf("the store holds %v", got)
	}
	_, err := w.in.Rollback(w.owner, moverID)
	must(t, err)
	w.runs("1.0.0")
	must(t, w.in.Pin(w.owner, moverID, true))
	keyOf(t, "an upgrade of what is pinned", w.install(two), "plugin.is-pinned")
	must(t, w.in.Pin(w.owner, moverID, false))
	must(t, w.install(two))
	w.runs("1.1.0")
	keyOf(t, "purge without one who can", w.in.Remove(w.owner, moverID, true), "plugin.purge-impossible")
	must(t, w.in.Remove(w.owner, moverID, false))
	if len(w.host.List()) != 0 || w.shown().ID != "" || len(w.folders()) != 0 {
		t.Errorf("something stayed: %v %v", w.shown(), w.folders())
	}
	keyOf(t, "removal of what is gone", w.in.Remove(w.owner, moverID, false), "plugin.not-installed")
	must(t, w.install(one))
	w.runs("1.0.0")
	want := []string{"installed 1.0.0", "upgraded 1.1.0", "rolled-back 1.0.0", "pinned ", "unpinned ", "upgraded 1.1.0", "removed ", "installed 1.0.0"}
	if got := w.names(); !slices.Equal(got, want) {
		t.Errorf("the journal says\n%q\nnot\n%q", got, want)
	}
}

func TestOnlyAdministratorsInstall(t *testing.T) {
	s := usualShop(t)
	w := newSite(t, s, nil)
	agent := access.WithActor(t.Context(), access.Actor{ID: "a", Role: access.Agent})
	raw := bytes.NewReader(s.mover("1.0.0"))
	_, inspect := w.in.Inspect(agent, raw)
	_, install := w.in.Install(agent, raw, "")
	_, rollback := w.in.Rollback(agent, moverID)
	_, trust := w.in.Trust(agent, nil)
	_, revoke := w.in.TakeRevocations(agent, nil)
	_, rescan := w.in.Rescan(agent)
	_, approve := w.in.Approve(agent, moverID, "")
	for what, err := range map[string]error{
		"inspect": inspect, "install": install, "rollback": rollback, "trust": trust, "revoke": revoke, "rescan": rescan, "approve": approve,
		"pin": w.in.Pin(agent, moverID, true), "remove": w.in.Remove(agent, moverID, false), "distrust": w.in.Distrust(agent, s.root.ID()),
	} {
		if fault.KindOf(err) != fault.Forbidden {
			t.Errorf("%s by an agent: %v", what, err)
		}
	}
}

const asksMuch = "permissions:\n  records:\n    - {entity: contact, verbs: [see, change]}\n  egress:\n    - {to: \"api.example.com:443\"}\nfields:\n  - {entity: contact, name: mover_note, type: text, label: {he: a, en: a, ru: a}}"

func TestPermissionsAreAskedAndTheirDifferenceIsShown(t *testing.T) {
	s := usualShop(t)
	w := newSite(t, s, nil)
	little := s.mover("1.0.0", "permissions:\n  records:\n    - {entity: contact, verbs: [see]}\n  memory: 512MB")
	_, err := w.in.Install(w.owner, bytes.NewReader(little), "")
	keyOf(t, "without approval", err, "plugin.not-approved")
	if len(w.folders()) != 0 {
		t.Error("it was unpacked all the same")
	}
	must(t, w.install(little))
	w.runs("1.0.0")
	much := s.mover("1.1.0", asksMuch)
	seen, err := w.in.Inspect(w.owner, bytes.NewReader(much))
	must(t, err)
	added := []string{"change contact", "connect to api.example.com:443", "field contact.mover_note"}
	if !slices.Equal(seen.Difference.Added, added) || !slices.Equal(seen.Difference.Removed, []string{"memory 512MB"}) || seen.Installed != "1.0.0" {
		t.Errorf("the difference is %+v from %s", seen.Difference, seen.Installed)
	}
	_, err = w.in.Install(w.owner, bytes.NewReader(much), "another hash")
	keyOf(t, "with the approval of another package", err, "plugin.not-approved")
	_, err = w.in.Install(w.owner, bytes.NewReader(much), seen.Hash)
	must(t, err)
	w.runs("1.1.0")
	if _, err = w.in.Install(w.owner, bytes.NewReader(s.mover("1.2.0", asksMuch)), ""); err != nil {
		t.Errorf("the same wishes again need no approval: %v", err)
	}
	w.runs("1.2.0")
}

func TestVersionsThatDoNotDoAreTakenBack(t *testing.T) {
	s := usualShop(t)
	w := newSite(t, s, nil)
	keyOf(t, "a first one that is dead", w.install(s.mover("0.9.0-dead")), "plugin.not-started")
	if len(w.host.List()) != 0 || len(w.folders()) != 0 {
		t.Errorf("the dead one stayed: %v, %v", w.host.List(), w.folders())
	}
	must(t, w.install(s.mover("1.0.0")))
	w.runs("1.0.0")
	keyOf(t, "one that is dead", w.install(s.mover("1.1.0-dead")), "plugin.not-started")
	w.runs("1.0.0")
	for _, how := range []string{"falls", "unwell"} {
		must(t, w.install(s.mover("1.2.0-"+how)))
		plugintest.Wait(t, "the probation ends", func() bool { return w.shown().Trial == nil })
		got := w.runs("1.0.0")
		if got.Failed == nil || got.Failed.Version != "1.2.0-"+how || got.Failed.Key == "" || got.Failed.Stays {
			t.Errorf("%s: the failure is %+v", how, got.Failed)
		}
		plugintest.Wait(t, "only the old one is in the store", func() bool { return slices.Equal(w.folders(), []string{"1.0.0"}) })
	}
	must(t, w.install(s.mover("1.3.0")))
	if got := w.runs("1.3.0"); got.Failed != nil {
		t.Errorf("the old failure is still shown: %+v", got.Failed)
	}
}

func TestARollbackOutOfAProbation(t *testing.T) {
	s := usualShop(t)
	w := newSite(t, s, func(o *plugin.InstallerOptions) { o.Probation = time.Hour })
	must(t, w.install(s.mover("1.0.0")))
	w.runs("1.0.0")
	_, err := w.in.Rollback(w.owner, moverID)
	keyOf(t, "with nothing before", err, "plugin.no-previous")
	must(t, w.install(s.mover("1.1.0")))
	if got := w.shown(); got.State != plugin.StateProbation || got.Active.Version != "1.0.0" {
		t.Errorf("during probation: %+v", got)
	}
	keyOf(t, "a third during probation", w.install(s.mover("1.2.0")), "plugin.on-probation")
	_, err = w.in.Rollback(w.owner, moverID)
	must(t, err)
	if got := w.runs("1.0.0"); got.Failed == nil || got.Failed.Key != "plugin.taken-back" {
		t.Errorf("the failure is %+v", got.Failed)
	}
	must(t, w.install(s.mover("1.2.0")))
	must(t, w.host.Disable(w.owner, moverID))
	plugintest.Wait(t, "the probation ends", func() bool { return w.shown().Trial == nil })
	if got := w.shown(); got.Active.Version != "1.0.0" || got.Failed.Key != "plugin.trial-disabled" {
		t.Errorf("disabled on probation: %+v", got.Installed)
	}
}

func TestAnInstalledPluginComesBackWithKarov(t *testing.T) {
	s := usualShop(t)
	w := newSite(t, s, func(o *plugin.InstallerOptions) { o.Probation = 1500 * time.Millisecond })
	must(t, w.install(s.mover("1.0.0")))
	w.runs("1.0.0")
	must(t, w.install(s.mover("1.1.0")))
	w.close() // in the middle of the probation
	w.open()
	if got := w.shown(); got.Trial == nil || got.Trial.Version.Version != "1.1.0" || got.Trial.Starts != 1 {
		t.Errorf("the probation does not go on: %+v", got.Installed)
	}
	w.runs("1.1.0")
	w.close()
	dir, err := filepath.Glob(filepath.Join(w.home, "store", "test.*", "1.1.0-*", "mover-1.1.0"))
	must(t, err)
	must(t, os.Chmod(dir[0], 0o700))
	must(t, os.WriteFile(dir[0], []byte("#!/bin/sh\n"), 0o700))
	w.open()
	got := w.shown()
	if got.State != plugin.StateBroken || got.Trouble.Key != "pack.installed-damaged" || len(w.host.List()) != 0 {
		t.Errorf("a changed program: %+v", got)
	}
	must(t, w.install(s.mover("1.1.0")))
	w.runs("1.1.0")
}

func TestAnotherSigner(t *testing.T) {
	s := usualShop(t)
	w := newSite(t, s, nil)
	must(t, w.install(s.mover("1.0.0")))
	w.runs("1.0.0")
	stranger := newShop(t, "test.rogue")
	keyOf(t, "a stranger's", w.install(stranger.mover("1.1.0")), "pack.root-unknown")
	public, err := stranger.root.Encode()
	must(t, err)
	_, err = w.in.Trust(w.owner, public)
	must(t, err)
	keyOf(t, "another's that is trusted, too", w.install(stranger.mover("1.1.0")), "plugin.other-signer")
	must(t, w.in.Distrust(w.owner, stranger.root.ID()))
	keyOf(t, "a root in use", w.in.Distrust(w.owner, s.root.ID()), "plugin.root-in-use")
	keyOf(t, "a root nobody knows", w.in.Distrust(w.owner, "none"), "plugin.root-not-found")
	renewed := &shop{t: t, root: s.root, signer: signerUnder(t, s.root, "test.rogue")}
	must(t, w.install(renewed.mover("1.1.0")))
	w.runs("1.1.0")
}

func TestRevocationStopsNewStarts(t *testing.T) {
	s := usualShop(t)
	w := newSite(t, s, nil)
	must(t, w.install(s.mover("1.0.0")))
	w.runs("1.0.0")
	list, err := s.root.Revoke(nil, []string{s.signer.Certificate.Serial}, nil, time.Now())
	must(t, err)
	concerned, err := w.in.TakeRevocations(w.owner, list.Encode())
	must(t, err)
	if !slices.Equal(concerned, []string{moverID}) || w.shown().State != plugin.StateRevoked {
		t.Errorf("the list concerns %v; %+v", concerned, w.shown())
	}
	if err := w.host.Healthy(moverID); err != nil {
		t.Errorf("what runs was stopped: %v", err)
	}
	keyOf(t, "a new version with the same certificate", w.install(s.mover("1.1.0")), "pack.certificate-revoked")
	w.kill()
	plugintest.Wait(t, "the next start is refused", func() bool {
		last := w.host.List()[0].LastError
		return last != nil && last.Key == "pack.certificate-revoked"
	})
	w.close()
	w.open()
	if got := w.shown(); got.State != plugin.StateRevoked || len(w.host.List()) != 0 {
		t.Errorf("it is started again: %+v", got)
	}
	renewed := &shop{t: t, root: s.root, signer: signerUnder(t, s.root, "test.rogue")}
	must(t, w.install(renewed.mover("1.2.0")))
	w.runs("1.2.0")
}

func TestDataThatMoves(t *testing.T) {
	s := usualShop(t)
	w := newSite(t, s, nil)
	steps := func() string {
		raw, err := os.ReadFile(filepath.Join(w.home, "data", moverID, "steps"))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return strings.ReplaceAll(string(raw), "\n", " ")
	}
	must(t, w.install(s.mover("1.0.0", "data: 1")))
	if got := w.runs("1.0.0"); got.Data != 1 || steps() != "" {
		t.Errorf("a first version moves nothing: %d, %s", got.Data, steps())
	}
	keyOf(t, "one that cannot move it", w.install(s.mover("1.5.0-unmoving", "data: 2")), "plugin.service-not-served")
	w.runs("1.0.0")
	must(t, w.install(s.mover("2.0.0", "data: 2")))
	if got := w.runs("2.0.0"); got.Data != 2 || steps() != "1>2@0 1>2@1 1>2@2 " {
		t.Errorf("data version %d after %s", got.Data, steps())
	}
	_, err := w.in.Rollback(w.owner, moverID)
	keyOf(t, "a roll-back behind the data", err, "plugin.data-newer")
	keyOf(t, "a downgrade behind the data", w.install(s.mover("1.9.0", "data: 1")), "plugin.data-newer")
	must(t, w.install(s.mover("1.9.0", "data: 2")))
	w.runs("1.9.0")
	must(t, w.in.Remove(w.owner, moverID, false))
	keyOf(t, "old data after a removal", w.install(s.mover("1.0.0", "data: 1")), "plugin.data-newer")
}

// TestAMigrationThatCannotEndIsGoneOnWith: what began to move cannot be read by the old version, so the new one stays,
// and goes on where it was with the next start and with the next version.
func TestAMigrationThatCannotEndIsGoneOnWith(t *testing.T) {
	s := usualShop(t)
	one, stuck, fixed := s.mover("1.0.0", "data: 1"), s.mover("2.0.0-stuck", "data: 2"), s.mover("2.0.1", "data: 2")
	w := newSite(t, s, nil)
	steps := func() string {
		raw, err := os.ReadFile(filepath.Join(w.home, "data", moverID, "steps"))
		must(t, err)
		return strings.ReplaceAll(string(raw), "\n", " ")
	}
	must(t, w.install(one))
	w.runs("1.0.0")
	if err := w.install(stuck); fault.Of(err).Key != "mover.stuck" {
		t.Errorf("it ends with %v", err)
	}
	got := w.runs("2.0.0-stuck")
	if got.Failed == nil || !got.Failed.Stays || got.Data != 1 || got.Moving == nil || got.Moving.To != 2 || got.Moving.Cursor != "1" {
		t.Errorf("it stands at %+v", got.Installed)
	}
	_, err := w.in.Rollback(w.owner, moverID)
	keyOf(t, "a roll-back behind the data", err, "plugin.data-newer")
	w.close()
	w.open()
	plugintest.Wait(t, "it is tried again", func() bool { return steps() == "1>2@0 1>2@1 1>2@1 " })
	must(t, w.install(fixed))
	if got := w.runs("2.0.1"); got.Data != 2 || got.Moving != nil || steps() != "1>2@0 1>2@1 1>2@1 1>2@1 1>2@2 " {
		t.Errorf("after the next version: %+v, %s", got.Installed, steps())
	}
}

package plugin

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

func TestSettingsAreSealed(t *testing.T) {
	dir := t.TempDir()
	db, err := bolt.Open(filepath.Join(dir, "karov.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	gate, err := access.NewGate()
	if err != nil {
		t.Fatal(err)
	}
	facts := journal.New(db, time.Now)
	key := filepath.Join(dir, "config", "secret.key")
	open := func() *StoredSettings {
		t.Helper()
		s, err := OpenSettings(db, gate, facts, key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	owner := access.WithActor(t.Context(), access.Actor{ID: "o", Role: access.Owner})
	agent := access.WithActor(t.Context(), access.Actor{ID: "a", Role: access.Agent})
	s := open()
	if err := s.Set(agent, "p", map[string]string{"a": "1"}, false); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("an agent sets a plugin's password: %v", err)
	}
	for _, changes := range []map[string]string{{"imap.password": "hunter2-hunter2", "host": "one"}, {"host": "", "port": "993"}} {
		if err := s.Set(owner, "p", changes, false); err != nil {
			t.Fatal(err)
		}
	}
	got, err := open().PluginConfig(t.Context(), "p")
	if err != nil || len(got) != 2 || got["imap.password"] != "hunter2-hunter2" || got["port"] != "993" {
		t.Errorf("%v, %v", got, err)
	}
	if raw, err := os.ReadFile(filepath.Join(dir, "karov.db")); err != nil || bytes.Contains(raw, []byte("hunter2")) {
		t.Errorf("the password stands in the data file: %v", err)
	}
	// Settings of one plugin do not open as another's.
	if err := db.Update(t.Context(), func(tx store.Tx) error {
		b := tx.Bucket(settingsBucket)
		b.Put([]byte("thief"), b.Get([]byte("p")))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.PluginConfig(t.Context(), "thief"); fault.Of(err).Key != "secret.unreadable" {
		t.Errorf("another plugin reads %v, %v", got, err)
	}
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", info, err)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	lost := open()
	if _, err := lost.PluginConfig(t.Context(), "p"); fault.Of(err).Key != "secret.unreadable" {
		t.Errorf("with the key lost: %v", err)
	}
	if err := lost.Set(owner, "p", map[string]string{"host": "two"}, false); fault.Of(err).Key != "secret.unreadable" {
		t.Errorf("what cannot be read was written over: %v", err)
	}
	if err := lost.Set(owner, "p", map[string]string{"host": "two"}, true); err != nil {
		t.Error(err)
	}
	if got, err := lost.PluginConfig(t.Context(), "p"); err != nil || len(got) != 1 || got["host"] != "two" {
		t.Errorf("set anew: %v, %v", got, err)
	}
}

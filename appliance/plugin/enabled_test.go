package plugin

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

func TestWhatIsDisabledIsRemembered(t *testing.T) {
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
	s, err := OpenSettings(db, gate, facts, filepath.Join(dir, "secret.key"))
	if err != nil {
		t.Fatal(err)
	}
	owner := access.WithActor(t.Context(), access.Actor{ID: "o", Role: access.Owner})
	for _, role := range []access.Role{access.Agent, access.Plugin} {
		by := access.WithActor(t.Context(), access.Actor{ID: "a", Role: role})
		if err := s.Remember(by, "p", false); fault.KindOf(err) != fault.Forbidden {
			t.Errorf("%s disables a plugin: %v", role, err)
		}
	}
	for _, step := range []struct {
		enabled bool
		facts   int
	}{{true, 0}, {false, 1}, {false, 1}, {true, 2}, {true, 2}} {
		if err := s.Remember(owner, "p", step.enabled); err != nil {
			t.Fatal(err)
		}
		got, err := s.Enabled(t.Context(), "p")
		other, err2 := s.Enabled(t.Context(), "q")
		if err != nil || err2 != nil || got != step.enabled || !other {
			t.Errorf("enabled %v, want %v; another %v; %v, %v", got, step.enabled, other, err, err2)
		}
		told, err := facts.After(t.Context(), 0, 10)
		if err != nil || len(told) != step.facts {
			t.Errorf("%d facts were told, want %d, %v", len(told), step.facts, err)
		}
	}
	told, err := facts.After(t.Context(), 0, 10)
	if err != nil || told[0].Name != "plugin.disabled" || told[1].Name != "plugin.enabled" || told[0].ID != "p" {
		t.Errorf("the facts are %+v, %v", told, err)
	}
}

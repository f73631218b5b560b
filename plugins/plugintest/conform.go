package plugintest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/karov-crm/karov/appliance/plugin/kit"
)

// Conform puts the plugin, built from p.Dir, through the suite of `karov plugin test`: over a whole office with the real
// rooms, confined, with the faults of an office's life. What it must know of the world stands in testdata/suite.yaml.
// Each check up to silver must pass; what is missing for gold is logged.
func Conform(t *testing.T, p Plugin) {
	t.Helper()
	home, dir := t.TempDir(), t.TempDir()
	if _, err := kit.Build(t.Context(), p.Dir, filepath.Join(home, "plugin")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	world, err := kit.ReadWorld(p.Dir, dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := kit.NewSubject(kit.Subject{Source: p.Dir, Home: home, Launch: []string{Launcher(t)}, World: world})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range kit.Checks() {
		t.Run(c.Name, func(t *testing.T) {
			r := s.Run(t.Context(), c)
			for _, note := range r.Notes {
				t.Log(note)
			}
			if r.Outcome == kit.Failed && c.Grade != kit.Gold {
				t.Error("it did not pass")
			}
		})
	}
}

package kit_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/karov-crm/karov/appliance/plugin/kit"
)

// launcher builds the program that locks plugins in.
func launcher(t *testing.T) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "launch")
	if out, err := exec.Command("go", "build", "-o", path, "github.com/karov-crm/karov/appliance/plugin/confine/launch").CombinedOutput(); err != nil {
		t.Fatalf("build the launcher: %v\n%s", err, out)
	}
	return []string{path}
}

// subject builds a plugin for the suite.
func subject(t *testing.T, dir string) *kit.Subject {
	t.Helper()
	home := t.TempDir()
	if _, err := kit.Build(t.Context(), dir, filepath.Join(home, "p")); err != nil {
		t.Fatal(err)
	}
	world := filepath.Join(t.TempDir(), "w")
	if err := os.Mkdir(world, 0o700); err != nil {
		t.Fatal(err)
	}
	w, err := kit.ReadWorld(dir, world)
	if err != nil {
		t.Fatal(err)
	}
	s, err := kit.NewSubject(kit.Subject{Source: dir, Home: home, Launch: launcher(t), World: w})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheExamplesAreGold(t *testing.T) {
	for _, name := range []string{"channel", "module", "custom", "python"} {
		t.Run(name, func(t *testing.T) {
			r := subject(t, filepath.Join(source, "plugins/example", name)).Test(context.Background(), func(r kit.Result) {
				t.Logf("%-8s %-7s %-45s %8s %v", r.Outcome, r.Grade, r.Name, r.Took, r.Notes)
			})
			if r.Grade != kit.Gold {
				t.Errorf("%s is %s and lacks %v", r.ID, r.Grade, r.Lacks)
			}
		})
	}
}

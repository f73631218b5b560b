package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/appliancetest"
	"github.com/karov-crm/karov/appliance/bench"
)

// TestBenchMeasuresEverything runs the bench as an office's IT would, small. It looks at what is measured and not at how
// fast: whoever's machine is busy has slow figures and a right program.
func TestBenchMeasuresEverything(t *testing.T) {
	karov, _ := appliancetest.Programs(t)
	folder := filepath.Join(t.TempDir(), "kept")
	cmd := exec.CommandContext(t.Context(), karov, "bench", "--contacts", "1000", "--messages", "2", "--rows", "300", "--json", "--keep", folder)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(errs.String(), "goals")) {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	var r bench.Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v\n%s", err, out.Bytes())
	}
	for _, name := range []string{"lookup by two letters, p50", "lookup by phone, any form, p99", "card, history of 50, p99", "list by name, page 19, p99",
		"filter over all", "permission", "start to first lookup", "idle anonymous memory", "import of 300 rows", "durable create"} {
		found := false
		for _, row := range r.Rows {
			if strings.HasPrefix(row.Name, name) {
				found = true
				if row.Value <= 0 || row.Unit == "" || row.Goal == "" {
					t.Errorf("%+v", row)
				}
			}
		}
		if !found {
			t.Errorf("%q was not measured", name)
		}
	}
	// The floor left nothing in the kept data: it is an office's, sound to the last index.
	a := appliancetest.Over(t, filepath.Join(folder, "data"))
	a.Start()
	if n := a.Total("contact"); n < 1300 {
		t.Errorf("%d customers are kept", n)
	}
	a.Karov("", "audit", "verify")
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/plugins/plugintest"
)

func TestConformance(t *testing.T) {
	dir := t.TempDir()
	plugintest.Run(t, plugintest.Plugin{
		Dir: ".", Package: ".",
		Config: map[string]string{"folder": dir},
		Wrong:  map[string]string{"folder": "not/absolute"},
		Bring: func(t testing.TB, words string) {
			t.Helper()
			part := filepath.Join(dir, "new")
			if err := os.WriteFile(part, []byte("dana@example.com\n"+words), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Join(dir, "in"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(part, filepath.Join(dir, "in", words+".txt")); err != nil {
				t.Fatal(err)
			}
		},
		Answer: &inbox.Outbound{Channel: "folder", Account: dir, To: inbox.Party{Handle: "dana@example.com"}, Text: "Hello."},
		Sent: func(t testing.TB, words string) int {
			t.Helper()
			files, err := filepath.Glob(filepath.Join(dir, "out", "*.txt"))
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, f := range files {
				raw, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(string(raw), words) {
					n++
				}
			}
			return n
		},
	})
}

func TestConformanceOverAWholeOffice(t *testing.T) {
	plugintest.Conform(t, plugintest.Plugin{Dir: "."})
}

package plugin_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/plugins/plugintest"
)

// BenchmarkIdlePlugins runs thirty plugins that do nothing but say every second that they are well, and sums the memory
// that would be free without them (PSS). Each has a program file of its own, as plugins of different makers have, so that
// they share no more pages than those would.
func BenchmarkIdlePlugins(b *testing.B) {
	const plugins = 30
	home := plugintest.Build(b, filepath.Join("testdata", "pace"), "github.com/karov-crm/karov/appliance/plugin/testdata/pace")
	for i := range plugins - 1 {
		copyPlugin(b, filepath.Join(home, pace), fmt.Sprintf("%s%02d", pace, i))
	}
	w := plugintest.Start(b, home, plugintest.NewOffice(nil), func(o *plugin.Options) { o.Timing = plugin.Timing{Start: time.Minute} })
	plugintest.Wait(b, "all run", func() bool {
		for _, s := range w.Host.List() {
			if w.Host.Healthy(s.ID) != nil {
				return false
			}
		}
		return true
	})
	time.Sleep(5 * time.Second) // what the start took is given back
	for b.Loop() {
		total, dirty := 0, 0
		for _, s := range w.Host.List() {
			pss, own := memoryOf(b, s.PID)
			total, dirty = total+pss, dirty+own
		}
		b.ReportMetric(float64(total)/1024, "MB")
		b.ReportMetric(float64(dirty)/1024, "MB-without-program-files")
		b.ReportMetric(float64(total)/1024/plugins, "MB/plugin")
	}
}

func copyPlugin(b *testing.B, from, id string) {
	b.Helper()
	to := filepath.Join(filepath.Dir(from), id)
	err := os.CopyFS(to, os.DirFS(from))
	if err == nil {
		err = os.Chmod(filepath.Join(to, "pace"), 0o700)
	}
	file := filepath.Join(to, "plugin.yaml")
	if err == nil {
		err = os.WriteFile(file, bytes.Replace([]byte(readFile(b, file)), []byte("id: "+pace), []byte("id: "+id), 1), 0o600)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// memoryOf gives the memory that a process takes, in KB, and how much of it is no page of a file.
func memoryOf(b *testing.B, pid int) (pss, own int) {
	b.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		b.Fatal(err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(raw)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		n := 0
		_, _ = fmt.Sscan(value, &n)
		switch name {
		case "Pss":
			pss = n
		case "Pss_Anon":
			own = n
		}
	}
	return pss, own
}

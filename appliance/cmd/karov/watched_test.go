package main

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/karov-crm/karov/appliance/appliancetest"
)

const mailPlugin = "il.karov.email"

// runningPlugin waits until the mail plugin runs and gives its process.
func runningPlugin(a *appliancetest.Appliance, other int) (pid int) {
	a.Until("the plugin runs", func() bool {
		p := a.Plugin(mailPlugin)
		pid = p.PID
		return p.State == "running" && pid > 0 && pid != other
	})
	return pid
}

// gone tells whether a process ended, or waits only for its parent to notice.
func gone(pid int) bool {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true
	}
	_, after, _ := strings.Cut(string(raw), ") ")
	return strings.HasPrefix(after, "Z") || strings.HasPrefix(after, "X")
}

// TestAStoppedPluginOutlivesNoDaemon stops the plugin as a debugger would, then ends the daemon: by force, which must
// take the plugin along, and in good order, which must not wait for it for ever.
func TestAStoppedPluginOutlivesNoDaemon(t *testing.T) {
	a := appliancetest.Start(t)
	for name, end := range map[string]func(){"killed": a.Kill, "stopped": a.Stop} {
		pid := runningPlugin(a, 0)
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		end()
		a.Until("the plugin is gone after the daemon was "+name, func() bool { return gone(pid) })
		a.Start()
	}
	runningPlugin(a, 0)
}

func TestADisabledPluginStaysSo(t *testing.T) {
	a := appliancetest.Start(t)
	pid := runningPlugin(a, 0)
	a.Karov("", "plugin", "disable", mailPlugin)
	if !gone(pid) {
		t.Error("the command came back, and the process lives")
	}
	for _, end := range []func(){a.Stop, a.Kill} {
		end()
		a.Start()
		if p := a.Plugin(mailPlugin); p.State != "disabled" || p.PID != 0 {
			t.Errorf("after a new start the plugin is %s with process %d", p.State, p.PID)
		}
	}
	a.Karov("", "plugin", "enable", mailPlugin)
	runningPlugin(a, 0)
	a.Stop()
	a.Start()
	runningPlugin(a, 0)
	found := a.Karov("", "audit", "list", "--json")
	for _, fact := range []string{"plugin.disabled", "plugin.enabled"} {
		if n := strings.Count(found, `"`+fact+`"`); n != 1 {
			t.Errorf("the audit tells %d times of %s", n, fact)
		}
	}
}

// TestFollowAPluginsLog reads what a plugin logs while it falls and is started again, until the daemon stops.
func TestFollowAPluginsLog(t *testing.T) {
	a := appliancetest.Start(t)
	pid := runningPlugin(a, 0)
	if out, err := a.Try("", "plugin", "logs", "nobody"); err == nil || !strings.Contains(out, "karov plugin list shows those") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := a.Try("", "plugin", "logs", mailPlugin, "--level", "loud"); exitCode(err) != 2 {
		t.Errorf("%v: %s", err, out)
	}
	follow := a.Command("plugin", "logs", "-f", mailPlugin, "--json")
	out, err := follow.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	follow.Stderr = os.Stderr
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	until := func(text string) {
		t.Helper()
		for lines.Scan() {
			var l struct {
				Text  string
				Karov bool
			}
			if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
				t.Fatalf("%v: %s", err, lines.Text())
			}
			if l.Text == text && l.Karov {
				return
			}
		}
		t.Fatalf("the log ended before %q", text)
	}
	until("a plugin runs")
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until("a plugin ended")
	until("a plugin runs")
	for _, want := range []string{"INFO ", "karov: a plugin runs", `version="0.1.0"`} {
		if shown := a.Karov("", "plugin", "logs", mailPlugin); !strings.Contains(shown, want) {
			t.Errorf("there is no %q in\n%s", want, shown)
		}
	}
	if shown := a.Karov("", "plugin", "logs", mailPlugin, "--level", "error"); strings.Contains(shown, "a plugin runs") || !strings.Contains(shown, "a plugin ended") {
		t.Errorf("of errors are shown\n%s", shown)
	}
	if shown := a.Karov("", "plugin", "list"); !strings.Contains(shown, "1 restarts") || !strings.Contains(shown, " MB") {
		t.Errorf("the list shows\n%s", shown)
	}
	a.Stop()
	for lines.Scan() {
	}
	if err := follow.Wait(); err != nil {
		t.Errorf("the command ended with %v", err)
	}
}

func exitCode(err error) int {
	if e, ok := err.(*exec.ExitError); ok {
		return e.ExitCode()
	}
	return 0
}

// TestPrometheusReadsOfPlugins asks /metrics as Prometheus does.
func TestPrometheusReadsOfPlugins(t *testing.T) {
	a := appliancetest.Start(t)
	runningPlugin(a, 0)
	a.Token("")
	answer, err := a.Request(t.Context(), "GET", "/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`karov_plugin_up{plugin="il.karov.email"} 1`, `karov_plugin_memory_bytes{plugin="il.karov.email"}`,
		`karov_plugin_calls_total{code="OK",direction="to",method="Base/Info",plugin="il.karov.email"} 1`} {
		if !strings.Contains(string(answer.Body), want) {
			t.Errorf("there is no %s in\n%s", want, answer.Body)
		}
	}
}

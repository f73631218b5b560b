package machinetest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// dataFolder is where the package keeps everything.
const dataFolder = "/var/lib/karov"

// page is the daemon's address as the package sets it.
const page = "https://127.0.0.1:8443"

// TestLifeOnAMachine walks one machine through all that a package goes through.
// Each part stands on the one before, so the first that fails ends it.
func TestLifeOnAMachine(t *testing.T) {
	deb := builtPackage(t)
	m := boot(t)
	inside := m.bring(t, deb)
	for _, part := range []struct {
		name string
		run  func(t *testing.T, m *machine, deb string)
	}{
		{"install", install},
		{"it answers by https", answers},
		{"its plugin runs as confined as itself", pluginRuns},
		{"nobody else reads the data", dataIsPrivate},
		{"a killed daemon comes back", comesBack},
		{"the next version takes over", upgrade},
		{"remove keeps the data", remove},
		{"installed again it has its data", installAgain},
		{"purge moves the data aside", purge},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.run(t, m, inside) }) {
			return
		}
	}
}

func install(t *testing.T, m *machine, deb string) {
	m.run(t, "dpkg", "-i", deb)
	// Type=notify: dpkg comes back only when the daemon has said that it is ready.
	if state := m.property(t, "ActiveState"); state != "active" {
		m.run(t, "systemctl", "status", "karov")
		t.Fatalf("the service is %s after the installation", state)
	}
	if got := strings.TrimSpace(m.run(t, "systemctl", "is-enabled", "karov")); got != "enabled" {
		t.Errorf("after a restart of the machine it would be %s", got)
	}
}

func answers(t *testing.T, m *machine, _ string) {
	for _, path := range []string{"/healthz", "/readyz"} {
		eventually(t, page+path+" answers 200", func() bool {
			out, err := m.get(page + path)
			return err == nil && strings.HasPrefix(out, "200 ")
		})
	}
}

// processes lists the service's processes by our numbers, with their programs.
func processes(t *testing.T, m *machine) map[string]string {
	t.Helper()
	found := map[string]string{}
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	ours, err := os.Readlink("/proc/" + m.leader + "/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		dir := filepath.Dir(link)
		program, err := os.Readlink(link)
		if space, _ := os.Readlink(dir + "/ns/pid"); err != nil || space != ours {
			continue
		}
		if program == "/usr/bin/karov" || strings.HasPrefix(program, "/usr/lib/karov/") {
			found[filepath.Base(dir)] = program
		}
	}
	return found
}

func pluginRuns(t *testing.T, m *machine, _ string) {
	const plugin = "/usr/lib/karov/plugins/email/"
	eventually(t, "a program in "+plugin+" runs", func() bool {
		for _, program := range processes(t, m) {
			if strings.HasPrefix(program, plugin) {
				return true
			}
		}
		return false
	})
	karov := accountNumber(t, m)
	for pid, program := range processes(t, m) {
		status, err := os.ReadFile("/proc/" + pid + "/status")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			fmt.Sprintf("Uid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d", karov), // never root
			"NoNewPrivs:\t1", "Seccomp:\t2", // no way up, system calls filtered
			"CapBnd:\t0000000000000000", // nothing to gain
		} {
			if !strings.Contains(string(status), want+"\n") {
				t.Errorf("%s runs without %q:\n%s", program, want, status)
			}
		}
	}
}

func accountNumber(t *testing.T, m *machine) int {
	t.Helper()
	return atoi(t, m.run(t, "id", "-u", "karov"))
}

func dataIsPrivate(t *testing.T, m *machine, _ string) {
	out := strings.TrimSpace(m.run(t, "stat", "-c", "%U:%G %a", dataFolder))
	if out != "karov:karov 700" {
		t.Errorf("the data folder is %s", out)
	}
	if out := m.run(t, "find", dataFolder, "-perm", "/077", "-not", "-type", "l"); out != "" {
		t.Errorf("open to others:\n%s", out)
	}
}

func comesBack(t *testing.T, m *machine, _ string) {
	before := m.property(t, "MainPID")
	m.run(t, "systemctl", "kill", "--kill-who=main", "--signal=KILL", "karov")
	eventually(t, "it runs again", func() bool {
		return m.property(t, "MainPID") != before && m.property(t, "ActiveState") == "active"
	})
	answers(t, m, "")
	if n := len(processes(t, m)); n != 2 {
		t.Errorf("daemon and plugin should be 2 processes, there are %d: %v", n, processes(t, m))
	}
}

// upgrade installs the package over itself, as an upgrade does.
func upgrade(t *testing.T, m *machine, deb string) {
	before := m.property(t, "MainPID")
	mark(t, m)
	m.run(t, "dpkg", "-i", deb)
	if after := m.property(t, "MainPID"); after == before || m.property(t, "ActiveState") != "active" {
		t.Errorf("the new version does not serve: process %s before and %s after", before, after)
	}
	answers(t, m, deb)
	marked(t, m, dataFolder)
}

func remove(t *testing.T, m *machine, _ string) {
	m.run(t, "dpkg", "-r", "karov")
	if left := processes(t, m); len(left) > 0 {
		t.Errorf("still running: %v", left)
	}
	marked(t, m, dataFolder)
	if _, err := os.Stat(m.root + "/etc/karov/karov.yaml"); err != nil {
		t.Errorf("the settings are gone: %v", err)
	}
}

func installAgain(t *testing.T, m *machine, deb string) {
	install(t, m, deb)
	answers(t, m, deb)
	marked(t, m, dataFolder)
}

func purge(t *testing.T, m *machine, _ string) {
	before := files(t, m, dataFolder)
	out := m.run(t, "dpkg", "-P", "karov")
	kept := regexp.MustCompile(`/var/backups/karov-purged-\d{8}T\d{6}Z`).FindString(out)
	if kept == "" {
		t.Fatalf("it does not say where the data went:\n%s", out)
	}
	marked(t, m, kept)
	if after := files(t, m, kept); !slices.Equal(before, after) {
		t.Errorf("the data before and after\n%v\n%v", before, after)
	}
	if out := strings.TrimSpace(m.run(t, "stat", "-c", "%U %a", kept)); out != "karov 700" {
		t.Errorf("what was moved aside is %s", out)
	}
	for _, gone := range []string{dataFolder, "/etc/karov", "/usr/bin/karov", "/usr/lib/karov",
		"/etc/systemd/system/multi-user.target.wants/karov.service"} {
		if _, err := os.Lstat(m.root + gone); err == nil {
			t.Errorf("%s is left behind", gone)
		}
	}
	if left := processes(t, m); len(left) > 0 {
		t.Errorf("still running: %v", left)
	}
	if failed := m.run(t, "systemctl", "--failed", "--no-legend"); strings.TrimSpace(failed) != "" {
		t.Errorf("units failed: %s", failed)
	}
}

// mark leaves a file in the data folder that must survive; marked looks for it.
func mark(t *testing.T, m *machine) {
	t.Helper()
	m.run(t, "runuser", "-u", "karov", "--", "sh", "-c", "umask 077; echo here > "+dataFolder+"/mark")
}

func marked(t *testing.T, m *machine, dir string) {
	t.Helper()
	if text, err := os.ReadFile(m.root + dir + "/mark"); err != nil || string(text) != "here\n" {
		t.Errorf("what was in the data folder is lost: %q, %v", text, err)
	}
}

// files lists what is kept below dir with its size; sockets are no data.
func files(t *testing.T, m *machine, dir string) []string {
	t.Helper()
	var all []string
	root := os.DirFS(m.root + dir)
	err := fs.WalkDir(root, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		all = append(all, path+" "+strconv.FormatInt(info.Size(), 10))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

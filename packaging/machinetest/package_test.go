package machinetest

import (
	"encoding/json"
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
	o := &office{machine: boot(t)}
	o.deb = o.bring(t, deb)
	for _, part := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"install", o.install},
		{"it answers by https", o.answers},
		{"an office moves in", o.moveIn},
		{"its plugin runs as confined as itself", o.pluginRuns},
		{"nobody else reads the data", o.dataIsPrivate},
		{"a killed daemon comes back", o.comesBack},
		{"a backup is made", o.backUp},
		{"the next version takes over", o.upgrade},
		{"remove keeps the data", o.remove},
		{"installed again it has its data", o.installAgain},
		{"purge moves the data aside", o.purge},
		{"the backup brings the office back", o.restore},
	} {
		if !t.Run(part.name, part.run) {
			return
		}
	}
}

// office is a machine and what was made on it.
type office struct {
	*machine
	deb         string // the package, by its path inside
	token       string // of a program
	recoveryKey string
}

// customers is how many the office has.
const customers = 50

// repository is where its backups go; the manual page names it too.
const repository = "/srv/karov-backup"

// moveIn does the first steps of the manual page.
func (o *office) moveIn(t *testing.T) {
	o.runInput(t, "a long enough password\n", "karov", "setup", "--owner-email", "dana@office.example", "--language", "he", "--password-stdin")
	o.run(t, "karov", "seed", "--contacts", strconv.Itoa(customers))
	var made struct{ Token string }
	if err := json.Unmarshal([]byte(o.run(t, "karov", "token", "create", "--json")), &made); err != nil {
		t.Fatal(err)
	}
	o.token = made.Token
	o.hasCustomers(t)
}

// hasCustomers asks by the API whether the office is as it was left.
func (o *office) hasCustomers(t *testing.T) {
	t.Helper()
	out, err := o.getAs(o.token, page+"/api/v1/records/contact?limit=1")
	if err != nil || !strings.HasPrefix(out, "200 ") || !strings.Contains(out, fmt.Sprintf(`"total":%d`, customers)) {
		t.Errorf("there should be %d customers: %v\n%s", customers, err, out)
	}
}

// backUp makes a backup into a folder that the administrator gave to the service.
func (o *office) backUp(t *testing.T) {
	o.run(t, "install", "-d", "-o", "karov", "-g", "karov", "-m", "700", repository)
	var made struct {
		Key string `json:"recovery_key"`
	}
	if err := json.Unmarshal([]byte(o.run(t, "karov", "backup", "init", "--repo", repository, "--json")), &made); err != nil {
		t.Fatal(err)
	}
	o.recoveryKey = made.Key
	o.run(t, "karov", "backup", "now")
}

// restore does what the manual page says under "After a fire".
func (o *office) restore(t *testing.T) {
	o.install(t)
	o.run(t, "systemctl", "stop", "karov")
	o.run(t, "mv", dataFolder, dataFolder+".empty")
	o.run(t, "env", "KAROV_RECOVERY_KEY="+o.recoveryKey, "karov", "restore", "--from", repository, "--data", dataFolder)
	o.run(t, "chown", "-R", "karov:karov", dataFolder)
	o.run(t, "systemctl", "start", "karov")
	o.answers(t)
	o.hasCustomers(t)
	o.dataIsPrivate(t)
}

func (o *office) install(t *testing.T) {
	o.run(t, "dpkg", "-i", o.deb)
	// Type=notify: dpkg comes back only when the daemon has said that it is ready.
	if state := o.property(t, "ActiveState"); state != "active" {
		o.run(t, "systemctl", "status", "karov")
		t.Fatalf("the service is %s after the installation", state)
	}
	if got := strings.TrimSpace(o.run(t, "systemctl", "is-enabled", "karov")); got != "enabled" {
		t.Errorf("after a restart of the machine it would be %s", got)
	}
}

// processes lists the service's processes by our numbers, with their programs.
func (o *office) processes(t *testing.T) map[string]string {
	t.Helper()
	return o.processesBelow(t, "/usr/bin/karov", "/usr/lib/karov/")
}

// processesBelow lists the machine's processes whose programs begin with one of these paths, by our numbers.
func (o *office) processesBelow(t *testing.T, paths ...string) map[string]string {
	t.Helper()
	found := map[string]string{}
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	ours, err := os.Readlink("/proc/" + o.leader + "/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		dir := filepath.Dir(link)
		program, err := os.Readlink(link)
		if space, _ := os.Readlink(dir + "/ns/pid"); err != nil || space != ours {
			continue
		}
		if slices.ContainsFunc(paths, func(path string) bool { return strings.HasPrefix(program, path) }) {
			found[filepath.Base(dir)] = program
		}
	}
	return found
}

func (o *office) pluginRuns(t *testing.T) {
	const plugin = "/usr/lib/karov/plugins/email/"
	eventually(t, "a program in "+plugin+" runs", func() bool {
		for _, program := range o.processes(t) {
			if strings.HasPrefix(program, plugin) {
				return true
			}
		}
		return false
	})
	eventually(t, "karov plugin list shows it locked in", func() bool {
		out := o.run(t, "karov", "plugin", "list", "--json")
		return strings.Contains(out, `"isolation":"f`) && strings.Contains(out, "landlock") && strings.Contains(out, "no network")
	})
	karov := o.accountNumber(t)
	for pid, program := range o.processes(t) {
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

func (o *office) accountNumber(t *testing.T) int {
	t.Helper()
	return atoi(t, o.run(t, "id", "-u", "karov"))
}

func (o *office) dataIsPrivate(t *testing.T) {
	out := strings.TrimSpace(o.run(t, "stat", "-c", "%U:%G %a", dataFolder))
	if out != "karov:karov 700" {
		t.Errorf("the data folder is %s", out)
	}
	if out := o.run(t, "find", dataFolder, "-perm", "/077", "-not", "-type", "l"); out != "" {
		t.Errorf("open to others:\n%s", out)
	}
}

func (o *office) comesBack(t *testing.T) {
	before := o.property(t, "MainPID")
	o.run(t, "systemctl", "kill", "--kill-who=main", "--signal=KILL", "karov")
	eventually(t, "it runs again", func() bool {
		return o.property(t, "MainPID") != before && o.property(t, "ActiveState") == "active"
	})
	o.answers(t)
	o.hasCustomers(t)
	if n := len(o.processes(t)); n != 2 {
		t.Errorf("daemon and plugin should be 2 processes, there are %d: %v", n, o.processes(t))
	}
}

// upgrade installs the package over itself, as an upgrade does.
func (o *office) upgrade(t *testing.T) {
	before := o.property(t, "MainPID")
	o.mark(t)
	o.run(t, "dpkg", "-i", o.deb)
	if after := o.property(t, "MainPID"); after == before || o.property(t, "ActiveState") != "active" {
		t.Errorf("the new version does not serve: process %s before and %s after", before, after)
	}
	o.answers(t)
	o.marked(t, dataFolder)
	o.hasCustomers(t)
}

func (o *office) remove(t *testing.T) {
	o.run(t, "dpkg", "-r", "karov")
	if left := o.processes(t); len(left) > 0 {
		t.Errorf("still running: %v", left)
	}
	o.marked(t, dataFolder)
	if _, err := os.Stat(o.root + "/etc/karov/karov.yaml"); err != nil {
		t.Errorf("the settings are gone: %v", err)
	}
}

func (o *office) installAgain(t *testing.T) {
	o.install(t)
	o.answers(t)
	o.marked(t, dataFolder)
	o.hasCustomers(t)
}

func (o *office) purge(t *testing.T) {
	before := o.files(t, dataFolder)
	out := o.run(t, "dpkg", "-P", "karov")
	kept := regexp.MustCompile(`/var/backups/karov-purged-\d{8}T\d{6}Z`).FindString(out)
	if kept == "" {
		t.Fatalf("it does not say where the data went:\n%s", out)
	}
	o.marked(t, kept)
	if after := o.files(t, kept); !slices.Equal(before, after) {
		t.Errorf("the data before and after\n%v\n%v", before, after)
	}
	if out := strings.TrimSpace(o.run(t, "stat", "-c", "%U %a", kept)); out != "karov 700" {
		t.Errorf("what was moved aside is %s", out)
	}
	for _, gone := range []string{dataFolder, "/etc/karov", "/usr/bin/karov", "/usr/lib/karov",
		"/etc/systemd/system/multi-user.target.wants/karov.service"} {
		if _, err := os.Lstat(o.root + gone); err == nil {
			t.Errorf("%s is left behind", gone)
		}
	}
	if left := o.processes(t); len(left) > 0 {
		t.Errorf("still running: %v", left)
	}
	if failed := o.run(t, "systemctl", "--failed", "--no-legend"); strings.TrimSpace(failed) != "" {
		t.Errorf("units failed: %s", failed)
	}
}

// mark leaves a file in the data folder that must survive; marked looks for it.
func (o *office) mark(t *testing.T) {
	t.Helper()
	o.run(t, "runuser", "-u", "karov", "--", "sh", "-c", "umask 077; echo here > "+dataFolder+"/mark")
}

func (o *office) marked(t *testing.T, dir string) {
	t.Helper()
	if text, err := os.ReadFile(o.root + dir + "/mark"); err != nil || string(text) != "here\n" {
		t.Errorf("what was in the data folder is lost: %q, %v", text, err)
	}
}

// files lists what is kept below dir; sockets are no data.
func (o *office) files(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	root := os.DirFS(o.root + dir)
	err := fs.WalkDir(root, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		all = append(all, path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

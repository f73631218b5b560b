package machinetest

import (
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// serveScript starts the daemon by hand in a root where nothing runs, as its own
// account and with its own network, processes and mounts, which end with it.
const serveScript = `set -e
ip link set lo up
mount -t proc proc "$ROOT/proc"
exec chroot "$ROOT" env -i PATH=/usr/bin:/bin \
    setpriv --reuid=karov --regid=karov --clear-groups --no-new-privs karov serve --config /etc/karov/karov.yaml`

// TestBareRoot installs the package where there is no systemd to help: in a
// container, or before a disk's first boot. The script must make the account by
// itself and start nothing; the daemon must run when started by hand.
func TestBareRoot(t *testing.T) {
	deb := builtPackage(t)
	root := freshRoot(t)
	if err := os.Remove(root + "/usr/bin/systemd-sysusers"); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(deb)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root+"/root/karov.deb", data, 0o644); err != nil {
		t.Fatal(err)
	}
	inRoot(t, root, "dpkg", "-i", "/root/karov.deb")
	if out := inRoot(t, root, "stat", "-c", "%U:%G %a", dataFolder); out != "karov:karov 700" {
		t.Errorf("the data folder is %s", out)
	}
	if shell := inRoot(t, root, "getent", "passwd", "karov"); !strings.HasSuffix(shell, ":/usr/sbin/nologin") {
		t.Errorf("somebody could log in as %s", shell)
	}
	if version := inRoot(t, root, "karov", "version"); !strings.Contains(version, inRoot(t, root, "dpkg-query", "-W", "-f", "${Version}", "karov")) {
		t.Errorf("the program says version %q, not the package's", version)
	}
	manualNamesCommands(t, inRoot(t, root, "karov", "--help"))
	serveByHand(t, root)
	if out := inRoot(t, root, "dpkg", "-P", "karov"); !strings.Contains(out, "/var/backups/karov-purged-") {
		t.Errorf("purge does not say where the data went:\n%s", out)
	}
}

// inRoot runs a command with root as its file system and gives what it says.
func inRoot(t *testing.T, root string, argv ...string) string {
	t.Helper()
	cmd := exec.Command("chroot", append([]string{root, "env", "-i",
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8"}, argv...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// manualNamesCommands compares the manual page with what the program says it can do.
func manualNamesCommands(t *testing.T, help string) {
	t.Helper()
	manual, err := os.ReadFile("../debian/karov.8")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(help, "Available Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	names := 0
	for _, line := range strings.Split(list, "\n") {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		names++
		if name != "help" && !regexp.MustCompile(`(?m)^\.B `+regexp.QuoteMeta(name)+`\b`).Match(manual) {
			t.Errorf("the manual page does not name the command %q", name)
		}
	}
	if names < 5 {
		t.Errorf("only %d commands in\n%s", names, help)
	}
}

// serveByHand starts the daemon, sees it answer, and sees it end when asked to.
func serveByHand(t *testing.T, root string) {
	t.Helper()
	var said strings.Builder
	cmd := exec.Command("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "bash", "-c", serveScript)
	cmd.Env = append(os.Environ(), "ROOT="+root)
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			err = cmd.Wait()
		}
		ended <- err
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, root: root}
	eventually(t, "the daemon is a process", func() bool {
		m.leader = firstProcess(cmd.Process.Pid, 2)
		return m.leader != ""
	})
	m.answers(t)
	if err := syscall.Kill(atoi(t, m.leader), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the daemon does not end well when asked to: %v\n%s", err, said.String())
	}
}

package machinetest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets this program also be the browser inside a machine's network.
func TestMain(m *testing.M) {
	if url := os.Getenv("KAROV_TEST_GET"); url != "" {
		os.Exit(get(url))
	}
	os.Exit(m.Run())
}

// get prints what the address answers; the certificate is the machine's own.
func get(url string) int {
	client := http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	if token := os.Getenv("KAROV_TEST_TOKEN"); token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := client.Do(request)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Printf("%d %s", answer.StatusCode, body)
	return 0
}

// builtPackage is the .deb under test. Without it there is nothing to test here.
func builtPackage(t *testing.T) string {
	t.Helper()
	deb := os.Getenv("KAROV_DEB")
	if deb == "" {
		t.Skip("the package is tested on a fresh Debian only by `go run ./packaging/build test` (as root): KAROV_DEB is not set")
	}
	if os.Geteuid() != 0 {
		t.Fatal("a machine can be made and started only as root")
	}
	return deb
}

// machine is a booted Debian.
type machine struct {
	t      *testing.T
	root   string
	leader string        // its process 1, by our number
	nspawn *exec.Cmd     // unshare, with nspawn as its child
	ended  chan struct{} // closed when it is off
}

// bootScript gives the machine a cgroup tree of version 2 whatever the host
// has, all in a mount namespace of its own, and becomes systemd-nspawn. nspawn of
// Debian 12 blocks landlock unless told, and plugins will need it.
//
// It is process 1 of a namespace, for what nspawn starts survives a killed nspawn,
// but nothing survives the first process of its namespace.
const bootScript = `set -e
umount -R -l /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mkdir -p "/sys/fs/cgroup/$NAME/sup"
echo $$ > "/sys/fs/cgroup/$NAME/sup/cgroup.procs"
exec systemd-nspawn -q --register=no --keep-unit -D "$ROOT" --machine="$NAME" --resolv-conf=off \
    --console=read-only --kill-signal=SIGRTMIN+3 --private-network \
    "--system-call-filter=landlock_create_ruleset landlock_add_rule landlock_restrict_self" -b`

// sweepScript takes the machine's cgroups away again.
const sweepScript = `umount -R -l /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
find "/sys/fs/cgroup/$NAME" -depth -type d -exec rmdir {} +`

// boot starts a machine from a fresh copy of the base and waits until systemd
// says that it is up. It is switched off when the test ends.
func boot(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, root: freshRoot(t), ended: make(chan struct{})}
	name := "karov-" + filepath.Base(m.root)
	console, err := os.Create(m.root + ".console")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { console.Close(); os.Remove(console.Name()) })
	m.nspawn = exec.Command("unshare", "--mount", "--propagation", "private",
		"--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", bootScript)
	m.nspawn.Env = append(os.Environ(), "NAME="+name, "ROOT="+m.root)
	m.nspawn.Stdout, m.nspawn.Stderr = console, console
	// Should this test be killed, unshare dies with it, and the machine with unshare.
	m.nspawn.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		// The death signal is tied to the thread that starts the process.
		runtime.LockOSThread()
		err := m.nspawn.Start()
		started <- err
		if err == nil {
			m.nspawn.Wait()
		}
		close(m.ended)
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.off()
		sweep := exec.Command("unshare", "--mount", "--propagation", "private", "bash", "-c", sweepScript)
		sweep.Env = append(os.Environ(), "NAME="+name)
		if out, err := sweep.CombinedOutput(); err != nil {
			t.Errorf("cgroups are left behind: %v\n%s", err, out)
		}
	})
	if err := m.waitUp(); err != nil {
		log, _ := os.ReadFile(console.Name())
		t.Fatalf("the machine does not come up: %v\n%s", err, log)
	}
	return m
}

func (m *machine) waitUp() error {
	deadline := time.Now().Add(2 * time.Minute)
	state := "no process 1 yet"
	for time.Now().Before(deadline) {
		select {
		case <-m.ended:
			return errors.New("it ended")
		case <-time.After(100 * time.Millisecond):
		}
		if m.leader == "" {
			m.leader = firstProcess(m.nspawn.Process.Pid, 3)
			continue
		}
		out, _ := m.try("systemctl", "is-system-running")
		switch state = strings.TrimSpace(out); state {
		case "running":
			return nil
		case "degraded":
			failed, _ := m.try("systemctl", "--failed", "--no-legend")
			return fmt.Errorf("units failed: %s", failed)
		}
	}
	return fmt.Errorf("not up after two minutes: %s", state)
}

// firstProcess finds, among the descendants of a process, process 1 of a
// namespace that is depth namespaces deep, counted with ours.
func firstProcess(pid, depth int) string {
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", pid))
	for _, text := range strings.Fields(string(children)) {
		child, err := strconv.Atoi(text)
		if err != nil {
			continue
		}
		if ids := numbers(child); len(ids) == depth && ids[depth-1] == "1" {
			return text
		}
		if found := firstProcess(child, depth); found != "" {
			return found
		}
	}
	return ""
}

// numbers are those of a process in each namespace, ours first.
func numbers(pid int) []string {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for _, line := range strings.Split(string(status), "\n") {
		if ids, ok := strings.CutPrefix(line, "NSpid:"); ok {
			return strings.Fields(ids)
		}
	}
	return nil
}

// off powers the machine down, or cuts its power when it does not obey.
func (m *machine) off() {
	if m.leader != "" {
		_, _ = m.try("systemctl", "poweroff", "--no-block")
		select {
		case <-m.ended:
			return
		case <-time.After(30 * time.Second):
			m.t.Error("the machine did not power off in 30 seconds")
		}
	}
	_ = m.nspawn.Process.Kill()
	<-m.ended
}

// try runs a command inside as root, with nothing of our environment.
func (m *machine) try(argv ...string) (string, error) { return m.tryInput("", argv...) }

// tryInput is try with something to read.
func (m *machine) tryInput(input string, argv ...string) (string, error) {
	enter := []string{"-t", m.leader, "-a", "env", "-i",
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8"}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", append(enter, argv...)...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// run is try that must succeed.
func (m *machine) run(t *testing.T, argv ...string) string {
	t.Helper()
	return m.runInput(t, "", argv...)
}

// runInput is run with something to read.
func (m *machine) runInput(t *testing.T, input string, argv ...string) string {
	t.Helper()
	out, err := m.tryInput(input, argv...)
	if err != nil {
		journal, _ := m.try("journalctl", "-u", "karov", "-n", "40", "--no-pager", "-o", "cat")
		t.Fatalf("%s: %v\n%s\nthe service's log:\n%s", strings.Join(argv, " "), err, out, journal)
	}
	return out
}

// get asks an address from inside the machine's network.
func (m *machine) get(url string) (string, error) { return m.getAs("", url) }

// getAs is get as the program to which the token was given.
func (m *machine) getAs(token, url string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	cmd := exec.Command("nsenter", "-t", m.leader, "-n", self)
	cmd.Env = append(os.Environ(), "KAROV_TEST_GET="+url, "KAROV_TEST_TOKEN="+token)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// answers waits until the daemon does.
func (m *machine) answers(t *testing.T) {
	for _, path := range []string{"/healthz", "/readyz"} {
		eventually(t, page+path+" answers 200", func() bool {
			out, err := m.get(page + path)
			return err == nil && strings.HasPrefix(out, "200 ")
		})
	}
}

// bring copies a file of ours into the machine and gives its path there.
func (m *machine) bring(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	inside := "/root/" + filepath.Base(file)
	if err := os.WriteFile(m.root+inside, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return inside
}

// property asks systemd about the service.
func (m *machine) property(t *testing.T, name string) string {
	t.Helper()
	return strings.TrimSpace(m.run(t, "systemctl", "show", "--value", "-p", name, "karov.service"))
}

// eventually polls until ok is content; say is what is missing when it never is.
func eventually(t *testing.T, say string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal("waited a minute in vain: " + say)
}

// atoi reads a number that a program printed.
func atoi(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// tail is the end of a long text.
func tail(b []byte) string {
	if i := bytes.LastIndexByte(b[:max(0, len(b)-4000)], '\n'); i >= 0 {
		b = b[i+1:]
	}
	return string(b)
}

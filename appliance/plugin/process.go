package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/plugin/confine"
	"github.com/karov-crm/karov/plugins/wire"
	"golang.org/x/sys/unix"
)

// lifeFD is the number of the inherited file in the plugin: the first after standard error.
const lifeFD = 3

// pipesOutlive is how long standard output and error are read after the process ended. A child of the plugin may hold
// them open for ever.
const pipesOutlive = 500 * time.Millisecond

// spawner starts processes from one thread of its own. The kernel kills a child when the *thread* that started it
// ends (Pdeathsig), and Go ends threads as it likes.
type spawner struct {
	once sync.Once
	jobs chan func()
	done chan struct{}
}

func newSpawner() *spawner {
	s := &spawner{jobs: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		for job := range s.jobs {
			job()
		}
	}()
	return s
}

func (s *spawner) start(c *exec.Cmd) error {
	result := make(chan error, 1)
	s.jobs <- func() { result <- c.Start() }
	return <-result
}

// close ends the thread, and with it whatever it started that still lives.
func (s *spawner) close() {
	s.once.Do(func() { close(s.jobs) })
	<-s.done
}

// process is one start of a plugin's program, confined. It is the runner that go-plugin drives.
type process struct {
	spawner *spawner
	launch  []string // the launcher and its arguments
	spec    confine.Spec
	token   wire.Token

	isolation confine.Report              // what holds; set when Start returns
	refused   *fault.Error                // why the launcher did not start the program; set when Start returns
	overrun   atomic.Pointer[fault.Error] // the bound that it went over, for which it was killed

	stdout, stderr *os.File // our ends
	life           *os.File // our end: the plugin sees its end when we are gone
	pid            atomic.Int64
	mu             sync.Mutex  // between a start and a kill that comes during it
	running        *os.Process // nil before the start
	killed         bool
	exited         chan struct{}
	exitErr        error         // set before exited is closed
	readOut        chan struct{} // closed when standard error was read to its end
	letGo          sync.Once
	readOutOnce    sync.Once
}

// Start starts the launcher, which becomes the program.
func (p *process) Start(context.Context) error {
	start, err := confine.Prepare(p.spec)
	if err != nil {
		return err
	}
	defer start.Close()
	var theirs []*os.File
	defer func() { closeAll(theirs...) }()
	pipe := func(ours **os.File, weRead bool) (*os.File, error) {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		mine, their := w, r
		if weRead {
			mine, their = r, w
		}
		*ours = mine
		theirs = append(theirs, their)
		return their, nil
	}
	stdout, err1 := pipe(&p.stdout, true)
	stderr, err2 := pipe(&p.stderr, true)
	life, err3 := pipe(&p.life, false)
	if err := errors.Join(err1, err2, err3); err != nil {
		closeAll(p.stdout, p.stderr, p.life)
		return fmt.Errorf("make the pipes: %w", err)
	}
	if _, err := p.life.WriteString(string(p.token) + "\n"); err != nil { // fits into the pipe: never waits
		closeAll(p.stdout, p.stderr, p.life)
		return fmt.Errorf("pass the token: %w", err)
	}
	cmd := &exec.Cmd{
		Path: p.launch[0], Args: p.launch, Dir: p.spec.Work, Env: p.environment(),
		Stdout: stdout, Stderr: stderr, ExtraFiles: append([]*os.File{life}, start.Files()...),
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	}
	if err := p.spawner.start(cmd); err != nil {
		closeAll(p.stdout, p.stderr, p.life)
		return fmt.Errorf("start the program: %w", err)
	}
	p.pid.Store(int64(cmd.Process.Pid))
	go p.wait(cmd)
	p.mu.Lock()
	p.running = cmd.Process
	killed := p.killed
	p.mu.Unlock()
	if killed {
		return p.kill()
	}
	return p.becomes(start)
}

// becomes waits until the launcher became the program. Whoever ends the process meanwhile ends the wait.
func (p *process) becomes(start *confine.Start) (err error) {
	p.isolation, err = start.Started(int(p.pid.Load()))
	if err == nil {
		return nil
	}
	var refusal *confine.Refusal
	if errors.As(err, &refusal) {
		switch refusal.Why {
		case confine.WhyIsolation:
			p.refused = fault.Wrap(err, fault.Unavailable, "plugin.isolation-too-low", "offered", refusal.Report.String(), "demanded", p.spec.Minimum)
		case confine.WhyChanged:
			p.refused = fault.Wrap(err, fault.Invalid, "plugin.program-changed")
		}
	}
	return errors.Join(err, p.kill())
}

func closeAll(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}

// wait waits for the end of the process, ends whatever it left in its process group, and reaps it. Only then is its
// number free for others, so the signal hits no stranger. The pipes get a deadline, since go-plugin asks for the end only after both were read out.
func (p *process) wait(cmd *exec.Cmd) {
	pid := cmd.Process.Pid
	for {
		if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	_ = unix.Kill(-pid, unix.SIGKILL) // ESRCH: it left nobody
	p.exitErr = cmd.Wait()
	p.release()
	_ = p.stdout.SetReadDeadline(time.Now().Add(pipesOutlive))
	_ = p.stderr.SetReadDeadline(time.Now().Add(pipesOutlive))
	time.AfterFunc(2*pipesOutlive, func() { closeAll(p.stdout, p.stderr) })
	close(p.exited)
}

// lastLines waits until what the ended process printed was read.
func (p *process) lastLines() {
	select {
	case <-p.readOut:
	case <-time.After(2 * pipesOutlive):
	}
}

// release ends the inherited file: the plugin takes it as the end of the host.
func (p *process) release() { p.letGo.Do(func() { _ = p.life.Close() }) }

// Wait waits until the process ended.
func (p *process) Wait(context.Context) error {
	<-p.exited
	return p.exitErr
}

// Kill is kill, as go-plugin wants it.
func (p *process) Kill(context.Context) error { return p.kill() }

// kill ends the process at once. os.Process signals through a pidfd, so the signal cannot hit a stranger who got the
// number, and SIGKILL reaches a stopped process too.
func (p *process) kill() error {
	p.mu.Lock()
	p.killed = true
	running := p.running
	p.mu.Unlock()
	if running == nil {
		return nil
	}
	if err := running.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Stdout is where the handshake comes from.
func (p *process) Stdout() io.ReadCloser { return p.stdout }

// Stderr is where log lines come from.
func (p *process) Stderr() io.ReadCloser { return &lastReader{p} }

// lastReader tells when standard error was read to its end.
type lastReader struct{ p *process }

// Read reads what the plugin printed.
func (r *lastReader) Read(b []byte) (int, error) {
	n, err := r.p.stderr.Read(b)
	if err != nil {
		r.p.readOutOnce.Do(func() { close(r.p.readOut) })
	}
	return n, err
}

// Close closes our end.
func (r *lastReader) Close() error { return r.p.stderr.Close() }

// Name is the program's path.
func (p *process) Name() string { return p.spec.Program }

// ID is the process id.
func (p *process) ID() string { return strconv.FormatInt(p.pid.Load(), 10) }

// Diagnose has nothing to add to what the log says.
func (p *process) Diagnose(context.Context) string { return "" }

// PluginToHost takes the address that the plugin announced. Only a socket in the plugin's own folder is accepted, and
// it gets the name that everybody expects.
func (p *process) PluginToHost(network, addr string) (string, string, error) {
	if network != "unix" || filepath.Dir(addr) != p.spec.Sockets {
		return "", "", fmt.Errorf("the plugin announced %s %s, which is not in its folder", network, wire.Cut(addr, 200))
	}
	st, err := os.Lstat(addr)
	if err != nil {
		return "", "", fmt.Errorf("look at the plugin's socket: %w", err)
	}
	if st.Mode().Type() != os.ModeSocket || filepath.Base(addr) == hostSocket {
		return "", "", errors.New("the plugin announced something that is no socket of its own")
	}
	path := filepath.Join(p.spec.Sockets, pluginSocket)
	if err := os.Rename(addr, path); err != nil {
		return "", "", fmt.Errorf("name the plugin's socket: %w", err)
	}
	return network, path, nil
}

// HostToPlugin changes nothing: both see the same files.
func (p *process) HostToPlugin(network, addr string) (string, string, error) {
	return network, addr, nil
}

// environment is all that a plugin finds in its environment. Nothing of the host's own leaks: it may hold secrets.
func (p *process) environment() []string {
	env := []string{
		wire.EnvCookie + "=" + wire.Cookie,
		wire.EnvProtocols + "=" + strconv.Itoa(wire.APIMajor),
		wire.EnvSocketDir + "=" + p.spec.Sockets,
		wire.EnvHostSocket + "=" + filepath.Join(p.spec.Sockets, hostSocket),
		wire.EnvEgress + "=" + filepath.Join(p.spec.Sockets, egressSocket),
		wire.EnvLifeFD + "=" + strconv.Itoa(lifeFD),
		"HOME=" + p.spec.Work,
		"TMPDIR=" + p.spec.Work,
	}
	for _, name := range append([]string{"TZ", "LANG"}, trustVariables()...) {
		if v, ok := os.LookupEnv(name); ok && !strings.ContainsRune(v, 0) {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// trustVariables name files and folders of authorities, where this system keeps them elsewhere than most.
func trustVariables() []string { return []string{"SSL_CERT_FILE", "SSL_CERT_DIR"} }

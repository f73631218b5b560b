package confine

import (
	"crypto/sha256"
	"crypto/subtle"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxSpec bounds what the launcher reads; it comes from the host.
const maxSpec = 60 << 10

// failed is the launcher's exit code when it did not become the plugin.
const failed = 126

// Main is the launcher: it becomes the plugin, or says why not and gives its exit code.
func Main() int {
	runtime.LockOSThread() // what follows holds for this thread, which is the one that executes
	debug.SetGCPercent(-1) // no threads come and go meanwhile
	for fd := specFD; fd <= programFD; fd++ {
		unix.CloseOnExec(fd)
	}
	report := os.NewFile(reportFD, "report")
	refusal := launch(report)
	if err := json.NewEncoder(report).Encode(outcome{Report: refusal.Report, Why: refusal.Why, Error: refusal.Detail}); err != nil {
		fmt.Fprintf(os.Stderr, "[ERROR] %s: %s\n", Command, refusal.Detail) // started by hand, most likely
	}
	return failed
}

func refuse(why string, report Report, err error) *Refusal {
	return &Refusal{Why: why, Detail: err.Error(), Report: report}
}

// launch returns only when the plugin was not started.
func launch(report *os.File) *Refusal {
	spec, err := readSpec()
	if err != nil {
		return refuse(WhyFailed, Report{}, err)
	}
	r, why, err := spec.find(os.NewFile(programFD, "program"))
	if err != nil {
		return refuse(why, Report{}, err)
	}
	holds, err := spec.confine(r)
	if err != nil {
		return refuse(WhyFailed, holds, err)
	}
	if holds.Level.Below(spec.Minimum) {
		return refuse(WhyIsolation, holds, fmt.Errorf("this system offers isolation %s, and %s is demanded", holds, spec.Minimum))
	}
	// Told before the filter's last word, since afterwards there is nobody left to tell it.
	if err := json.NewEncoder(report).Encode(outcome{Report: holds}); err != nil {
		return refuse(WhyFailed, holds, err)
	}
	err = execute(r)
	return refuse(WhyFailed, holds, fmt.Errorf("execute %s: %w", spec.Program, err))
}

func readSpec() (*Spec, error) {
	raw, err := io.ReadAll(io.LimitReader(os.NewFile(specFD, "spec"), maxSpec))
	if err != nil {
		return nil, fmt.Errorf("read what the plugin may have (only Karov starts this program): %w", err)
	}
	s := &Spec{}
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, fmt.Errorf("read what the plugin may have: %w", err)
	}
	for _, path := range []string{s.Program, s.Work, s.Package, s.Sockets} {
		if !filepath.IsAbs(path) {
			return nil, fmt.Errorf("%q is no absolute path", path)
		}
	}
	if !s.Minimum.Known() {
		return nil, fmt.Errorf("there is no isolation %q", s.Minimum)
	}
	return s, nil
}

// runnable is what will be executed.
type runnable struct {
	path   string // of the file that is executed, for landlock
	loader string // what the kernel starts to load it, "" for a program that stands alone
	args   []string
	env    []string
}

// find checks the program and finds out what it takes to run it.
func (s *Spec) find(program *os.File) (*runnable, string, error) {
	if err := s.verify(program); err != nil {
		return nil, WhyChanged, err
	}
	r := &runnable{path: s.Program, args: []string{s.Program}, env: os.Environ()}
	file := program
	switch s.Interpreter {
	case "":
	case "python3":
		// The script is read by its path: it lies in a folder that no plugin may write to.
		path, err := filepath.EvalSymlinks("/usr/bin/python3")
		if err != nil {
			return nil, WhyFailed, fmt.Errorf("find the interpreter: %w", err)
		}
		// Without the environment's wishes, the user's modules and compiled files beside the sources.
		r.path, r.args = path, []string{"python3", "-E", "-s", "-B", s.Program}
		if file, err = os.Open(path); err != nil {
			return nil, WhyFailed, fmt.Errorf("open the interpreter: %w", err)
		}
		if err := unix.Dup3(int(file.Fd()), programFD, unix.O_CLOEXEC); err != nil {
			return nil, WhyFailed, fmt.Errorf("hold the interpreter: %w", err)
		}
	default:
		return nil, WhyFailed, fmt.Errorf("there is no interpreter %q", s.Interpreter)
	}
	var err error
	if r.loader, err = loaderOf(file); err != nil {
		return nil, WhyFailed, err
	}
	if s.Limits.Memory > 0 {
		// Go gives memory back in time when it knows the limit; other allocators hold less in reserve with one arena.
		r.env = append(r.env, "GOMEMLIMIT="+strconv.FormatUint(s.Limits.Memory/4*3, 10), "MALLOC_ARENA_MAX=2")
	}
	return r, "", nil
}

// verify compares the open program with the package. That open file is what is executed.
func (s *Spec) verify(program *os.File) error {
	if s.SHA256 == "" {
		return nil
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, program); err != nil {
		return fmt.Errorf("read the program: %w", err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); subtle.ConstantTimeCompare([]byte(got), []byte(s.SHA256)) != 1 {
		return fmt.Errorf("%s is not the program that was installed: its SHA-256 is %s, not %s", s.Program, got, s.SHA256)
	}
	return nil
}

// loaderOf gives the loader that a program names, by its real path.
func loaderOf(program *os.File) (string, error) {
	f, err := elf.NewFile(program)
	if err != nil {
		return "", fmt.Errorf("read the program's head: %w", err)
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP || p.Filesz == 0 || p.Filesz > unix.PathMax {
			continue
		}
		name := make([]byte, p.Filesz)
		if _, err := p.ReadAt(name, 0); err != nil {
			return "", fmt.Errorf("read the name of the program's loader: %w", err)
		}
		path, err := filepath.EvalSymlinks(strings.TrimRight(string(name), "\x00"))
		if err != nil {
			return "", fmt.Errorf("find the program's loader: %w", err)
		}
		if !isSystemLoader(path) {
			return "", fmt.Errorf("the program's loader %s is none of the system's", path)
		}
		return path, nil
	}
	return "", nil
}

// isSystemLoader refuses a program that names a file of its own choice as loader: that would be executed too.
func isSystemLoader(path string) bool {
	base := filepath.Base(path)
	system := strings.HasPrefix(path, "/lib") || strings.HasPrefix(path, "/usr/lib")
	return system && (strings.HasPrefix(base, "ld-linux") || strings.HasPrefix(base, "ld-musl") || strings.HasPrefix(base, "ld-2"))
}

// confine takes away what the plugin shall not have, the most powerful means last.
func (s *Spec) confine(r *runnable) (Report, error) {
	var holds Report
	if err := s.dieWithHost(); err != nil {
		return holds, err
	}
	if err := os.Chdir(s.Work); err != nil {
		return holds, fmt.Errorf("enter the work folder: %w", err)
	}
	if err := s.limit(); err != nil {
		return holds, err
	}
	holds.Limits = true
	if err := s.dropRights(); err != nil {
		return holds, err
	}
	holds.OwnUser = s.UID
	if err := s.dieWithHost(); err != nil { // a change of user forgets it
		return holds, err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return holds, fmt.Errorf("give up new rights: %w", err)
	}
	if abi := landlockABI(); abi >= leastABI {
		if err := restrict(abi, s.rules(r)); err != nil {
			return holds, err
		}
		holds.Landlock = abi
	}
	if err := filterCalls(holds.Landlock); err != nil && s.Minimum != None {
		return holds, err
	} else if err == nil {
		holds.SystemCalls = true
	}
	holds.judge()
	return holds, nil
}

// dieWithHost has the kernel kill this process when the host ends, also if it ended just now.
func (s *Spec) dieWithHost() error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("ask to end with the host: %w", err)
	}
	if s.Parent != 0 && os.Getppid() != s.Parent {
		return errors.New("the host is gone")
	}
	return nil
}

// execute becomes the program. It returns only an error.
func execute(r *runnable) error {
	argv, err := syscall.SlicePtrFromStrings(r.args)
	if err != nil {
		return err
	}
	envv, err := syscall.SlicePtrFromStrings(r.env)
	if err != nil {
		return err
	}
	empty, err := unix.BytePtrFromString("")
	if err != nil {
		return err
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_EXECVEAT, programFD, uintptr(unsafe.Pointer(empty)),
		uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&envv[0])), unix.AT_EMPTY_PATH, 0)
	return errno
}

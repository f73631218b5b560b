package confine

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// attempt is something a plugin may try, and what must come of it.
type attempt struct {
	name   string
	want   string // "ok", or the name of the error
	always bool   // it is refused to anybody here, confined or not, so that it proves nothing by itself
	try    func() error
}

// probe tries everything and prints the results as JSON.
func probe(folder string) {
	got := map[string]string{}
	for _, a := range attempts(folder) {
		got[a.name] = why(a.try())
	}
	got["user"] = fmt.Sprint(os.Getuid(), os.Geteuid(), os.Getgid())
	_ = json.NewEncoder(os.Stdout).Encode(got)
}

func attempts(folder string) []attempt {
	in := func(name string) string { return filepath.Join(folder, name) }
	all := []attempt{{name: "user", always: true, try: func() error { return nil }}}
	for _, more := range [][]attempt{fileAttempts(in), attributeAttempts(in), processAttempts(), socketAttempts(in), memoryAttempts(in)} {
		all = append(all, more...)
	}
	all[0].want = fmt.Sprint(os.Getuid(), os.Geteuid(), os.Getgid())
	return all
}

// probeOld locks this thread in as a kernel with landlock of ABI 2 would, and tries what only the filter of system calls
// keeps there.
func probeOld(folder string) {
	runtime.LockOSThread()
	s := Spec{Work: folder + "/work", Package: folder + "/package", Sockets: folder + "/sockets"}
	err := errors.Join(os.Chdir(s.Work), unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
		restrict(2, s.rules(&runnable{path: folder + "/package/plugin"})), filterCalls(2))
	if err != nil {
		panic(err)
	}
	got := map[string]string{}
	for _, a := range oldAttempts(folder) {
		got[a.name] = why(a.try())
	}
	_ = json.NewEncoder(os.Stdout).Encode(got)
}

func oldAttempts(folder string) []attempt {
	opens := func(path string, flags int) func() error {
		return func() error {
			fd, err := unix.Open(path, flags, 0o600)
			unix.Close(fd)
			return err
		}
	}
	return []attempt{
		{name: "empty a secret", want: "EPERM", try: func() error { return unix.Truncate(folder+"/secret", 0) }},
		{name: "empty the package by reading", want: "EPERM", try: opens(folder+"/package/data", unix.O_RDONLY|unix.O_TRUNC)},
		{name: "empty the package by writing", want: "EACCES", try: opens(folder+"/package/data", unix.O_WRONLY|unix.O_TRUNC)},
		{name: "read the package", want: "ok", try: opens(folder+"/package/data", unix.O_RDONLY)},
		{name: "write own file anew", want: "ok", try: opens("mine", unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC)},
		{name: "signal the host", want: "EPERM", try: func() error { return unix.Kill(os.Getppid(), 0) }},
	}
}

func call(nr uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	if _, _, errno := unix.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
		return errno
	}
	return nil
}

func text(s string) uintptr {
	p, err := unix.BytePtrFromString(s)
	if err != nil {
		panic(err)
	}
	return uintptr(unsafe.Pointer(p))
}

func reads(path string) func() error {
	return func() error { _, err := os.ReadFile(path); return err }
}

func writes(path string) func() error {
	return func() error { return os.WriteFile(path, []byte("x"), 0o600) }
}

func fileAttempts(in func(string) string) []attempt {
	return []attempt{
		{name: "write own file", want: "ok", try: writes("mine")},
		{name: "read own file", want: "ok", try: reads("mine")},
		{name: "make own folder", want: "ok", try: func() error { return os.MkdirAll("a/b", 0o700) }},
		{name: "move between own folders", want: "ok", try: func() error { return os.Rename("mine", "a/b/mine") }},
		{name: "empty own file", want: "ok", try: func() error { return os.Truncate("a/b/mine", 0) }},
		{name: "read the package", want: "ok", try: reads(in("package/data"))},
		{name: "read what is allowed", want: "ok", try: reads(in("allowed"))},
		{name: "throw away", want: "ok", try: writes(os.DevNull)},
		{name: "write into the package", want: "EACCES", try: writes(in("package/data"))},
		{name: "read another's file", want: "EACCES", try: reads(in("other/data"))},
		{name: "write another's file", want: "EACCES", try: writes(in("other/data"))},
		{name: "make a file elsewhere", want: "EACCES", try: writes(in("new"))},
		{name: "list a folder", want: "EACCES", try: func() error { _, err := os.ReadDir(in("other")); return err }},
		{name: "remove another's file", want: "EACCES", try: func() error { return os.Remove(in("other/data")) }},
		{name: "link to a secret", want: "EXDEV", try: func() error { return os.Link(in("secret"), "linked") }},
		{name: "read by a symbolic link", want: "EACCES", try: func() error {
			if err := os.Symlink(in("secret"), "link"); err != nil {
				return err
			}
			_, err := os.ReadFile("link")
			return err
		}},
		{name: "empty a secret", want: "EACCES", try: func() error { return os.Truncate(in("secret"), 7) }},
		{name: "read /etc/passwd", want: "EACCES", try: reads("/etc/passwd")},
		{name: "read the host's memory", want: "EACCES", try: func() error {
			f, err := os.Open(fmt.Sprintf("/proc/%d/mem", os.Getppid()))
			if err == nil {
				f.Close()
			}
			return err
		}},
		{name: "read the host's environment", want: "EACCES", try: reads(fmt.Sprintf("/proc/%d/environ", os.Getppid()))},
		{name: "watch a folder", want: "EPERM", try: func() error { _, err := unix.InotifyInit1(0); return err }},
		{name: "open by handle", want: "EPERM", try: func() error {
			_, _, err := unix.NameToHandleAt(unix.AT_FDCWD, in("secret"), 0)
			return err
		}},
		{name: "openat2", want: "ENOSYS", try: func() error {
			fd, err := unix.Openat2(unix.AT_FDCWD, ".", &unix.OpenHow{Flags: unix.O_RDONLY})
			unix.Close(fd)
			return err
		}},
	}
}

func attributeAttempts(in func(string) string) []attempt {
	path := in("secret")
	return []attempt{
		{name: "change a mode", want: "EPERM", try: func() error { return os.Chmod(path, 0o644) }},
		{name: "change a mode by fchmodat2", want: "EPERM", try: func() error {
			return call(unix.SYS_FCHMODAT2, ^uintptr(99), text(path), 0o644, 0) // AT_FDCWD
		}},
		{name: "change an owner", want: "EPERM", try: func() error { return os.Lchown(path, os.Getuid(), os.Getgid()) }},
		{name: "change times", want: "EPERM", try: func() error {
			return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{{}, {}}, 0)
		}},
		{name: "change times of an own open file", want: "ok", try: func() error {
			f, err := os.Create("times")
			if err != nil {
				return err
			}
			defer f.Close()
			return call(unix.SYS_UTIMENSAT, f.Fd(), 0, 0, 0)
		}},
		{name: "set an attribute", want: "EPERM", try: func() error { return unix.Setxattr(path, "user.x", []byte("x"), 0) }},
		{name: "take a lease", want: "EPERM", try: func() error {
			f, err := os.Create("leased")
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
			if err == nil || err == unix.EAGAIN { // of this kind on files open for writing
				return nil
			}
			return err
		}},
		{name: "mount", want: "EPERM", always: os.Getuid() != 0, try: func() error {
			err := unix.Mount("none", "a", "nosuchthing", 0, "")
			if err == unix.ENODEV {
				return nil
			}
			return err
		}},
		{name: "change the root", want: "EPERM", always: os.Getuid() != 0, try: func() error { return unix.Chroot("/") }},
	}
}

func processAttempts() []attempt {
	host := os.Getppid()
	return []attempt{
		{name: "exec /bin/true", want: "EPERM", try: func() error { return exec.Command("/bin/true").Run() }},
		{name: "fork", want: "EPERM", try: func() error {
			pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
			if errno != 0 {
				return errno
			}
			if pid == 0 {
				unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
			}
			_, err := unix.Wait4(int(pid), nil, 0, nil)
			return err
		}},
		{name: "clone3", want: "ENOSYS", try: func() error { return unlessInvalid(call(unix.SYS_CLONE3, 0, 0)) }},
		{name: "execveat of another descriptor", want: "EPERM", try: func() error {
			return unlessInvalid(call(unix.SYS_EXECVEAT, 99, text(""), 0, 0, unix.AT_EMPTY_PATH))
		}},
		{name: "exec again by the launcher's way", want: "EACCES", try: func() error {
			if err := os.WriteFile("evil", []byte("x"), 0o700); err != nil {
				return err
			}
			f, err := os.Open("evil")
			if err != nil {
				return err
			}
			defer f.Close()
			if old, err := unix.Dup(programFD); err == nil { // something of the runtime's has that number by now
				defer unix.Close(old)
				defer unix.Dup3(old, programFD, unix.O_CLOEXEC)
			}
			if err := unix.Dup3(int(f.Fd()), programFD, 0); err != nil {
				return err
			}
			argv := []uintptr{text("evil"), 0}
			err = call(unix.SYS_EXECVEAT, programFD, text(""), uintptr(unsafe.Pointer(&argv[0])), 0, unix.AT_EMPTY_PATH)
			if err == unix.ENOEXEC {
				return nil // unconfined it would have been tried
			}
			return err
		}},
		{name: "signal the host", want: "EPERM", try: func() error { return unix.Kill(host, 0) }},
		{name: "signal everybody", want: "EPERM", always: true, try: func() error { return errorOr(host == 1, unix.Kill(-1<<30, 0)) }},
		{name: "signal itself", want: "ok", try: func() error { return unix.Kill(os.Getpid(), 0) }},
		{name: "signal a thread of the host", want: "EPERM", try: func() error { return unix.Tgkill(host, host, 0) }},
		{name: "have the kernel signal the host", want: "EPERM", try: func() error {
			r, w, err := os.Pipe()
			if err != nil {
				return err
			}
			defer r.Close()
			defer w.Close()
			_, err = unix.FcntlInt(r.Fd(), unix.F_SETOWN, host)
			return err
		}},
		{name: "choose that signal", want: "EPERM", try: func() error { _, err := unix.FcntlInt(1, unix.F_SETSIG, int(unix.SIGURG)); return err }},
		{name: "hold the host's process", want: "EPERM", try: func() error {
			fd, err := unix.PidfdOpen(host, 0)
			unix.Close(fd)
			return err
		}},
		{name: "trace the host", want: "EPERM", always: os.Getuid() != 0, try: func() error { return unlessGone(unix.PtraceSeize(host)) }},
		{name: "read memory of the host", want: "EPERM", always: os.Getuid() != 0, try: func() error {
			return unlessFault(call(unix.SYS_PROCESS_VM_READV, uintptr(host), 0, 0, 0, 0, 0))
		}},
		{name: "limit the host", want: "EPERM", try: func() error { return unix.Prlimit(host, unix.RLIMIT_NOFILE, nil, new(unix.Rlimit)) }},
		{name: "slow the host down", want: "EPERM", try: func() error { return unix.Setpriority(unix.PRIO_PROCESS, host, 0) }},
		{name: "bind the host to a processor", want: "EPERM", try: func() error {
			var set unix.CPUSet
			if err := unix.SchedGetaffinity(host, &set); err != nil {
				return err
			}
			return unix.SchedSetaffinity(host, &set)
		}},
		{name: "survive the host", want: "EPERM", try: func() error { return unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0) }},
		{name: "leave the process group", want: "EPERM", always: true, try: func() error { _, err := unix.Setsid(); return err }},
		{name: "a user namespace", want: "EPERM", always: os.Getuid() != 0, try: func() error { return unlessInvalid(call(unix.SYS_UNSHARE, unix.CLONE_NEWNS)) }},
		{name: "io_uring", want: "EPERM", try: func() error { return unlessFault(call(unix.SYS_IO_URING_SETUP, 1, 0)) }},
		{name: "bpf", want: "EPERM", always: os.Getuid() != 0, try: func() error { return unlessInvalid(call(unix.SYS_BPF, 9999, 0, 0)) }},
		{name: "a key of the kernel", want: "EPERM", try: func() error {
			return unlessInvalid(call(unix.SYS_KEYCTL, 0, ^uintptr(2), 0))
		}},
		{name: "userfaultfd", want: "EPERM", always: os.Getuid() != 0, try: func() error { return call(unix.SYS_USERFAULTFD, 0) }},
		{name: "a system call of tomorrow", want: "ENOSYS", always: true, try: func() error { return call(newestCall + 50) }},
	}
}

func socketAttempts(in func(string) string) []attempt {
	makes := func(family, kind, proto int) func() error {
		return func() error {
			fd, err := unix.Socket(family, kind, proto)
			if err == nil {
				unix.Close(fd)
			}
			return err
		}
	}
	return []attempt{
		{name: "listen in the folder of sockets", want: "ok", try: func() error {
			l, err := net.Listen("unix", in("sockets/s"))
			if err == nil {
				l.Close()
			}
			return err
		}},
		{name: "listen elsewhere", want: "EACCES", try: func() error {
			l, err := net.Listen("unix", in("other/s"))
			if err == nil {
				l.Close()
			}
			return err
		}},
		{name: "TCP", want: "EPERM", try: makes(unix.AF_INET, unix.SOCK_STREAM, 0)},
		{name: "TCP6", want: "EPERM", try: makes(unix.AF_INET6, unix.SOCK_STREAM, 0)},
		{name: "MPTCP", want: "EPERM", try: makes(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP)},
		{name: "UDP", want: "EPERM", try: makes(unix.AF_INET, unix.SOCK_DGRAM, 0)},
		{name: "raw", want: "EPERM", always: os.Getuid() != 0, try: makes(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)},
		{name: "packets", want: "EPERM", always: os.Getuid() != 0, try: makes(unix.AF_PACKET, unix.SOCK_RAW, 0)},
		{name: "netlink", want: "EPERM", try: makes(unix.AF_NETLINK, unix.SOCK_RAW, 0)},
		{name: "vsock", want: "EPERM", try: func() error {
			err := makes(unix.AF_VSOCK, unix.SOCK_STREAM, 0)()
			if err == unix.EAFNOSUPPORT {
				return nil // this kernel has none
			}
			return err
		}},
	}
}

func memoryAttempts(in func(string) string) []attempt {
	maps := func(flags int) func() error {
		return func() error {
			m, err := unix.Mmap(-1, 0, 512<<20, unix.PROT_READ|unix.PROT_WRITE, flags)
			if err == nil {
				return unix.Munmap(m)
			}
			return err
		}
	}
	return []attempt{
		{name: "64 MB of memory", want: "ok", try: func() error {
			m, err := unix.Mmap(-1, 0, 64<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
			if err == nil {
				return unix.Munmap(m)
			}
			return err
		}},
		{name: "512 MB of memory", want: "ENOMEM", try: maps(unix.MAP_ANON | unix.MAP_PRIVATE)},
		{name: "512 MB of shared memory", want: "EPERM", try: maps(unix.MAP_ANON | unix.MAP_SHARED)},
		{name: "512 MB of a growing stack", want: "EPERM", try: maps(unix.MAP_ANON | unix.MAP_PRIVATE | unix.MAP_GROWSDOWN)},
		{name: "a file in memory", want: "EPERM", try: func() error {
			fd, err := unix.MemfdCreate("x", 0)
			unix.Close(fd)
			return err
		}},
		{name: "System V memory", want: "EPERM", try: func() error {
			id, err := unix.SysvShmGet(unix.IPC_PRIVATE, 4096, 0o600|unix.IPC_CREAT)
			if err == nil {
				_, err = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
			}
			return err
		}},
		{name: "2 MB in one file", want: "EFBIG", try: func() error { return os.WriteFile("big", make([]byte, 2<<20), 0o600) }},
		{name: "too many open files", want: "EMFILE", try: func() error {
			var open []*os.File
			defer func() {
				for _, f := range open {
					f.Close()
				}
			}()
			for range 400 {
				f, err := os.Open(in("package/data"))
				if err != nil {
					return err
				}
				open = append(open, f)
			}
			return nil
		}},
		{name: "more than its limit again", want: "EPERM", always: os.Getuid() != 0, try: func() error {
			return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 5000, Max: 5000})
		}},
	}
}

// The arguments of some attempts are nonsense, since only whether the call is let through matters. An error that tells
// of the nonsense says that it was.
func unlessInvalid(err error) error {
	if err == unix.EINVAL || err == unix.EBADF || err == unix.EFAULT {
		return nil
	}
	return err
}

func unlessFault(err error) error { return unlessInvalid(err) }

func unlessGone(err error) error {
	if err == unix.ESRCH {
		return nil
	}
	return err
}

func errorOr(skip bool, err error) error {
	if skip {
		return unix.EPERM
	}
	return err
}

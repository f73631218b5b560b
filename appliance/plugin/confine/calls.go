package confine

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The filter allows system calls by name, since what is not thought of must be refused. Where an argument decides, a
// condition stands before the name. A call of a kernel newer than the filter does not exist for the plugin (ENOSYS), so
// that its libraries fall back to an older one; all others are refused (EPERM), which a program can report.

// test is a condition on one argument's lower half: the higher means nothing in the arguments that are looked at.
type test struct {
	arg         int
	mask, value uint32
}

func is(arg int, value uint32) test { return test{arg: arg, mask: ^uint32(0), value: value} }

func has(arg int, bits uint32) test { return test{arg: arg, mask: bits, value: bits} }

func lacks(arg int, bits uint32) test { return test{arg: arg, mask: bits} }

// verdict is what becomes of a call whose tests all hold.
type verdict struct {
	call   uint32
	tests  []test
	action uint32
}

const (
	actAllow   = unix.SECCOMP_RET_ALLOW
	actKill    = unix.SECCOMP_RET_KILL_PROCESS
	actRefuse  = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	actUnknown = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
)

// newestCall is the highest number that the filter was written for.
const newestCall = unix.SYS_RSEQ_SLICE_YIELD

// Bits and commands that x/sys does not name on every architecture, or names as a type that does not fit.
const (
	mapAnonymousShared = unix.MAP_ANONYMOUS | unix.MAP_SHARED
	namespaces         = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER |
		unix.CLONE_NEWPID | unix.CLONE_NEWNET
	fioSetOwn = 0x8901
	siocSPGrp = 0x8902
	tiocLinux = 0x541c
)

// conditional gives the calls whose arguments decide, for the process that calls.
func conditional(self, abi int) []verdict {
	me := uint32(self)
	list := []verdict{
		// A thread is one that shares memory and life with its process; everything else is a second process.
		{unix.SYS_CLONE, []test{has(0, unix.CLONE_VM|unix.CLONE_THREAD), lacks(0, namespaces)}, actAllow},
		{unix.SYS_CLONE3, nil, actUnknown}, // its arguments are out of the filter's sight
		// Only what the launcher does once; landlock knows which file that may be.
		{unix.SYS_EXECVEAT, []test{is(0, programFD), has(4, unix.AT_EMPTY_PATH)}, actAllow},
		{unix.SYS_SOCKET, []test{is(0, unix.AF_UNIX)}, actAllow},
		{unix.SYS_SOCKETPAIR, []test{is(0, unix.AF_UNIX)}, actAllow},
		{unix.SYS_KILL, []test{is(0, me)}, actAllow},
		{unix.SYS_TGKILL, []test{is(0, me)}, actAllow},
		// The limits and the processors of another process are not a plugin's.
		{unix.SYS_PRLIMIT64, []test{is(0, 0)}, actAllow},
		{unix.SYS_SCHED_SETAFFINITY, []test{is(0, 0)}, actAllow},
		// Memory that RLIMIT_DATA does not count: shared without a file, and growing stacks of any size.
		{unix.SYS_MMAP, []test{has(3, mapAnonymousShared)}, actRefuse},
		{unix.SYS_MMAP, []test{has(3, unix.MAP_GROWSDOWN)}, actRefuse},
		{unix.SYS_MMAP, nil, actAllow},
		// It dies with the host, whatever it thinks of that, and lets the host see what it holds open.
		{unix.SYS_PRCTL, []test{is(0, unix.PR_SET_PDEATHSIG)}, actRefuse},
		{unix.SYS_PRCTL, []test{is(0, unix.PR_SET_DUMPABLE)}, actRefuse},
		{unix.SYS_PRCTL, nil, actAllow},
		// The kernel would send signals in its name, or hold up whoever opens its files.
		{unix.SYS_FCNTL, []test{is(1, unix.F_SETOWN)}, actRefuse},
		{unix.SYS_FCNTL, []test{is(1, unix.F_SETOWN_EX)}, actRefuse},
		{unix.SYS_FCNTL, []test{is(1, unix.F_SETSIG)}, actRefuse},
		{unix.SYS_FCNTL, []test{is(1, unix.F_SETLEASE)}, actRefuse},
		{unix.SYS_FCNTL, nil, actAllow},
		{unix.SYS_IOCTL, []test{is(1, fioSetOwn)}, actRefuse},
		{unix.SYS_IOCTL, []test{is(1, siocSPGrp)}, actRefuse},
		{unix.SYS_IOCTL, []test{is(1, unix.TIOCSTI)}, actRefuse},
		{unix.SYS_IOCTL, []test{is(1, tiocLinux)}, actRefuse},
		{unix.SYS_IOCTL, nil, actAllow},
		// Landlock does not keep the times of foreign files: only those of an open one may be set.
		{unix.SYS_UTIMENSAT, []test{is(1, 0)}, actAllow},
		{unix.SYS_OPENAT2, nil, actUnknown}, // as clone3
	}
	if abi >= 3 {
		return append(list, verdict{unix.SYS_TRUNCATE, nil, actAllow}, verdict{unix.SYS_OPENAT, nil, actAllow})
	}
	// Landlock does not keep foreign files from being emptied yet. Opened for writing they are kept.
	return append(list,
		verdict{unix.SYS_OPENAT, []test{has(2, unix.O_TRUNC), lacks(2, unix.O_ACCMODE)}, actRefuse},
		verdict{unix.SYS_OPENAT, nil, actAllow})
}

// common are the calls that are allowed whatever their arguments, on every architecture. What changes the mode, owner
// or attributes of a file by its name is not among them: landlock does not keep those of foreign files.
func common() []uint32 {
	return []uint32{
		// files
		unix.SYS_READ, unix.SYS_WRITE, unix.SYS_CLOSE, unix.SYS_FSTAT, unix.SYS_LSEEK, unix.SYS_PREAD64, unix.SYS_PWRITE64,
		unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_PREADV, unix.SYS_PWRITEV, unix.SYS_PREADV2, unix.SYS_PWRITEV2, unix.SYS_SENDFILE,
		unix.SYS_COPY_FILE_RANGE, unix.SYS_SPLICE, unix.SYS_TEE, unix.SYS_FLOCK, unix.SYS_FSYNC, unix.SYS_FDATASYNC,
		unix.SYS_SYNC_FILE_RANGE, unix.SYS_FTRUNCATE, unix.SYS_FALLOCATE, unix.SYS_FADVISE64, unix.SYS_READAHEAD,
		unix.SYS_GETCWD, unix.SYS_CHDIR, unix.SYS_FCHDIR, unix.SYS_UMASK, unix.SYS_STATFS, unix.SYS_FSTATFS, unix.SYS_STATX,
		unix.SYS_NEWFSTATAT, unix.SYS_FACCESSAT, unix.SYS_FACCESSAT2, unix.SYS_READLINKAT, unix.SYS_GETDENTS64, unix.SYS_MKDIRAT,
		unix.SYS_MKNODAT, unix.SYS_UNLINKAT, unix.SYS_RENAMEAT2, unix.SYS_LINKAT, unix.SYS_SYMLINKAT, unix.SYS_GETXATTR,
		unix.SYS_LGETXATTR, unix.SYS_FGETXATTR, unix.SYS_LISTXATTR, unix.SYS_LLISTXATTR, unix.SYS_FLISTXATTR,
		unix.SYS_DUP, unix.SYS_DUP3, unix.SYS_PIPE2, unix.SYS_CLOSE_RANGE,
		// waiting
		unix.SYS_PSELECT6, unix.SYS_PPOLL, unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_PWAIT2,
		unix.SYS_EVENTFD2, unix.SYS_SIGNALFD4, unix.SYS_TIMERFD_CREATE, unix.SYS_TIMERFD_SETTIME, unix.SYS_TIMERFD_GETTIME,
		unix.SYS_FUTEX, unix.SYS_FUTEX_WAITV, unix.SYS_FUTEX_WAKE, unix.SYS_FUTEX_WAIT, unix.SYS_FUTEX_REQUEUE, unix.SYS_NANOSLEEP,
		unix.SYS_CLOCK_NANOSLEEP, unix.SYS_SCHED_YIELD, unix.SYS_WAIT4, unix.SYS_WAITID, unix.SYS_RESTART_SYSCALL,
		// sockets, which are local ones
		unix.SYS_CONNECT, unix.SYS_ACCEPT, unix.SYS_ACCEPT4, unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_SHUTDOWN, unix.SYS_SENDTO,
		unix.SYS_RECVFROM, unix.SYS_SENDMSG, unix.SYS_RECVMSG, unix.SYS_SENDMMSG, unix.SYS_RECVMMSG, unix.SYS_GETSOCKNAME,
		unix.SYS_GETPEERNAME, unix.SYS_SETSOCKOPT, unix.SYS_GETSOCKOPT,
		// memory
		unix.SYS_MPROTECT, unix.SYS_MUNMAP, unix.SYS_MREMAP, unix.SYS_MSYNC, unix.SYS_MINCORE, unix.SYS_MADVISE, unix.SYS_BRK,
		unix.SYS_MLOCK, unix.SYS_MLOCK2, unix.SYS_MUNLOCK, unix.SYS_MSEAL, unix.SYS_MEMBARRIER, unix.SYS_PKEY_MPROTECT,
		unix.SYS_PKEY_ALLOC, unix.SYS_PKEY_FREE, unix.SYS_GET_MEMPOLICY,
		// its own threads, signals and timers
		unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_SET_TID_ADDRESS, unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_GETTID,
		unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_RT_SIGPENDING, unix.SYS_RT_SIGTIMEDWAIT,
		unix.SYS_RT_SIGSUSPEND, unix.SYS_SIGALTSTACK, unix.SYS_GETITIMER, unix.SYS_SETITIMER, unix.SYS_TIMER_CREATE,
		unix.SYS_TIMER_SETTIME, unix.SYS_TIMER_GETTIME, unix.SYS_TIMER_GETOVERRUN, unix.SYS_TIMER_DELETE,
		unix.SYS_SCHED_GETAFFINITY, unix.SYS_SCHED_GETPARAM, unix.SYS_SCHED_GETSCHEDULER, unix.SYS_SCHED_GETATTR,
		unix.SYS_SCHED_GET_PRIORITY_MAX, unix.SYS_SCHED_GET_PRIORITY_MIN, unix.SYS_SCHED_RR_GET_INTERVAL, unix.SYS_GETPRIORITY,
		unix.SYS_GETCPU, unix.SYS_SETRLIMIT, unix.SYS_GETRLIMIT,
		// what it is told about itself and the machine
		unix.SYS_GETPID, unix.SYS_GETPPID, unix.SYS_GETPGID, unix.SYS_GETSID, unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID,
		unix.SYS_GETEGID, unix.SYS_GETRESUID, unix.SYS_GETRESGID, unix.SYS_GETGROUPS, unix.SYS_CAPGET, unix.SYS_UNAME,
		unix.SYS_SYSINFO, unix.SYS_TIMES, unix.SYS_GETRUSAGE, unix.SYS_GETTIMEOFDAY, unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_GETRES,
		unix.SYS_GETRANDOM,
		// locking itself in further
		unix.SYS_SECCOMP, unix.SYS_LANDLOCK_CREATE_RULESET, unix.SYS_LANDLOCK_ADD_RULE, unix.SYS_LANDLOCK_RESTRICT_SELF,
	}
}

// Instructions of the filter, and where the kernel puts what they look at.
const (
	load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	mask   = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	above  = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
	anyBit = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
	give   = unix.BPF_RET | unix.BPF_K

	offsetCall, offsetArch, offsetArgs = 0, 4, 16
)

// compiled are the instructions of one verdict. The call's number is loaded before and after them.
func (v verdict) compiled() []unix.SockFilter {
	n := len(v.tests)
	if n == 0 {
		return []unix.SockFilter{{Code: equal, K: v.call, Jf: 1}, {Code: give, K: v.action}}
	}
	prog := []unix.SockFilter{{Code: equal, K: v.call, Jf: uint8(3*n + 2)}}
	for i, t := range v.tests {
		rest := uint8(3*(n-i-1) + 1) // the tests that follow, and the action
		prog = append(prog, unix.SockFilter{Code: load, K: uint32(offsetArgs + 8*t.arg)},
			unix.SockFilter{Code: mask, K: t.mask}, unix.SockFilter{Code: equal, K: t.value, Jf: rest})
	}
	return append(prog, unix.SockFilter{Code: give, K: v.action}, unix.SockFilter{Code: load, K: offsetCall})
}

// filter writes the program that the kernel runs for each call of the process with this number.
func filter(self, abi int) []unix.SockFilter {
	prog := []unix.SockFilter{
		{Code: load, K: offsetArch},
		{Code: equal, K: auditArch, Jt: 1},
		{Code: give, K: actKill},
		{Code: load, K: offsetCall},
		{Code: anyBit, K: foreignBit, Jf: 1},
		{Code: give, K: actKill},
	}
	verdicts := append(conditional(self, abi), special(abi)...)
	for _, call := range append(common(), plain()...) {
		verdicts = append(verdicts, verdict{call: call, action: actAllow})
	}
	for _, v := range verdicts {
		prog = append(prog, v.compiled()...)
	}
	return append(prog,
		unix.SockFilter{Code: above, K: newestCall, Jf: 1},
		unix.SockFilter{Code: give, K: actUnknown},
		unix.SockFilter{Code: give, K: actRefuse})
}

// filterCalls puts the calling thread, and what it executes, under the filter.
func filterCalls(abi int) error {
	prog := filter(os.Getpid(), abi)
	p := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	// By prctl, not by seccomp(2): older lists of a service's calls lack that one.
	err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&p)), 0, 0)
	if err != nil {
		return fmt.Errorf("filter system calls: %w", err)
	}
	return nil
}

package confine

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	stackSize  = 2 << 20  // of the first thread, and by default of each other in C
	lockedSize = 64 << 10 // memory that cannot be swapped out
	gentleness = 5        // the core comes first when the processors are busy, and a hook is still in time
	oomScore   = "500"    // and last when memory runs out
)

// limit sets the bounds that the kernel keeps. Of memory it is the data segment, since Go reserves addresses freely.
func (s *Spec) limit() error {
	bounds := []struct {
		name     string
		resource int
		value    uint64
		none     bool // zero is no bound
	}{
		{"core dumps", unix.RLIMIT_CORE, 0, false},
		{"locked memory", unix.RLIMIT_MEMLOCK, lockedSize, false},
		{"queued messages", unix.RLIMIT_MSGQUEUE, 0, false},
		{"stack", unix.RLIMIT_STACK, stackSize, false},
		{"open files", unix.RLIMIT_NOFILE, s.Limits.OpenFiles, true},
		{"file size", unix.RLIMIT_FSIZE, s.Limits.FileSize, true},
		{"tasks", unix.RLIMIT_NPROC, s.Limits.Tasks, true},
		{"memory", unix.RLIMIT_DATA, s.Limits.Memory, true},
	}
	for _, b := range bounds {
		if b.none && b.value == 0 {
			continue
		}
		var now unix.Rlimit
		if err := unix.Prlimit(0, b.resource, nil, &now); err != nil {
			return fmt.Errorf("read the limit of %s: %w", b.name, err)
		}
		value := min(b.value, now.Max)
		if err := unix.Prlimit(0, b.resource, &unix.Rlimit{Cur: value, Max: value}, nil); err != nil {
			return fmt.Errorf("limit %s: %w", b.name, err)
		}
	}
	// Both are kindness to the rest of the machine, not confinement: a service may be forbidden them.
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, gentleness)
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte(oomScore), 0)
	return nil
}

// lockedBits keep the user number 0 from meaning anything, for good.
const lockedBits = 1<<0 | 1<<1 | 1<<2 | 1<<3 | 1<<5 | 1<<6 | 1<<7 // NOROOT, NO_SETUID_FIXUP, NO_CAP_AMBIENT_RAISE, all locked; KEEP_CAPS_LOCKED

// dropRights gives up every capability for good, and the user when another is named. Without any it has none to give.
func (s *Spec) dropRights() error {
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, lockedBits, 0, 0, 0); err != nil && !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("lock the meaning of root: %w", err)
	}
	for c := uintptr(0); c < 64; c++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPERM) {
			break // past the last one, or nothing to drop with
		}
		if err != nil {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	if s.UID != 0 {
		if err := s.become(); err != nil {
			return err
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("drop capabilities for programs: %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var now [2]unix.CapUserData
	if err := unix.Capget(&header, &now[0]); err != nil {
		return fmt.Errorf("read the capabilities: %w", err)
	}
	if now == [2]unix.CapUserData{} {
		return nil
	}
	var zero [2]unix.CapUserData
	if err := unix.Capset(&header, &zero[0]); err != nil {
		return fmt.Errorf("drop the capabilities: %w", err)
	}
	return nil
}

// become changes the user of this thread; the program is executed by it alone.
func (s *Spec) become() error {
	group := uint32(s.GID)
	for _, call := range []struct {
		name        string
		nr, a, b, c uintptr
	}{
		{"groups", unix.SYS_SETGROUPS, 1, uintptr(unsafe.Pointer(&group)), 0},
		{"group", unix.SYS_SETRESGID, uintptr(s.GID), uintptr(s.GID), uintptr(s.GID)},
		{"user", unix.SYS_SETRESUID, uintptr(s.UID), uintptr(s.UID), uintptr(s.UID)},
	} {
		if _, _, errno := unix.RawSyscall(call.nr, call.a, call.b, call.c); errno != 0 {
			return fmt.Errorf("change the %s: %w", call.name, errno)
		}
	}
	return nil
}

package confine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What landlock must offer.
const (
	leastABI = 2 // kernel 5.19: files, and renames between folders
	fullABI  = 6 // kernel 6.12: signals and abstract sockets too
	knownABI = 11
)

// Rights to files, in the sets that plugins get.
const (
	rightsRead  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	rightsRun   = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_EXECUTE
	rightsNull  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE
	rightsWrite = rightsRead | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE |
		unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REFER |
		unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SYM |
		unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_RESOLVE_UNIX
	rightsSockets = rightsRead | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE |
		unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK |
		unix.LANDLOCK_ACCESS_FS_RESOLVE_UNIX

	// rightsOfFile are those that a rule on a plain file may name.
	rightsOfFile = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_READ_FILE |
		unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV | unix.LANDLOCK_ACCESS_FS_RESOLVE_UNIX
)

// landlockABI asks the kernel which landlock it has, 0 for none.
func landlockABI() int {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return min(int(abi), knownABI)
}

// handled is everything that landlock of an ABI can forbid. All of it is forbidden but for the rules that follow.
func handled(abi int) unix.LandlockRulesetAttr {
	var a unix.LandlockRulesetAttr
	a.Handled_access_fs = 1<<13 - 1
	for _, later := range []struct {
		abi   int
		right uint64
	}{
		{2, unix.LANDLOCK_ACCESS_FS_REFER}, {3, unix.LANDLOCK_ACCESS_FS_TRUNCATE}, {5, unix.LANDLOCK_ACCESS_FS_IOCTL_DEV},
		{9, unix.LANDLOCK_ACCESS_FS_RESOLVE_UNIX},
	} {
		if abi >= later.abi {
			a.Handled_access_fs |= later.right
		}
	}
	if abi >= 4 {
		a.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if abi >= 10 {
		a.Handled_access_net |= unix.LANDLOCK_ACCESS_NET_BIND_UDP | unix.LANDLOCK_ACCESS_NET_CONNECT_SEND_UDP
	}
	if abi >= 6 {
		a.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	return a
}

// rule gives rights to what lies at or below a path.
type rule struct {
	path   string
	rights uint64
	must   bool // without it the plugin cannot live; otherwise it may be missing
}

// restrict puts the calling thread, and what it executes, under landlock.
func restrict(abi int, rules []rule) error {
	attr := handled(abi)
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return fmt.Errorf("make the rules of files: %w", errno)
	}
	defer unix.Close(int(fd))
	for _, r := range rules {
		err := allow(int(fd), attr.Handled_access_fs, r)
		if errors.Is(err, os.ErrNotExist) && !r.must {
			continue
		}
		if err != nil {
			return fmt.Errorf("allow %s: %w", r.path, err)
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return fmt.Errorf("obey the rules of files: %w", errno)
	}
	return nil
}

func allow(ruleset int, known uint64, r rule) error {
	fd, err := unix.Open(r.path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	rights := r.rights & known
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= rightsOfFile
	}
	beneath := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&beneath)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// rules are what a plugin may reach among files.
func (s *Spec) rules(r *runnable) []rule {
	rules := []rule{
		{s.Work, rightsWrite, true}, {s.Package, rightsRead, true}, {s.Sockets, rightsSockets, true},
		{r.path, rightsRun, true}, {"/dev/null", rightsNull, false},
	}
	read := append([]string{
		// Whom to trust, and what time it is where.
		"/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/pki/tls/certs", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates",
		"/usr/share/zoneinfo", "/etc/localtime", "/dev/urandom", "/dev/random",
	}, s.Read...)
	if r.loader != "" {
		rules = append(rules, rule{r.loader, rightsRun, true})
		read = append(read, libraries()...)
	}
	if s.Interpreter != "" {
		read = append(read, pythonFolders()...)
	}
	for _, path := range read {
		rules = append(rules, rule{path, rightsRead, false})
	}
	for _, path := range s.Write {
		rules = append(rules, rule{path, rightsWrite, false})
	}
	return rules
}

// libraries is where the system keeps those that programs share.
func libraries() []string {
	return []string{
		"/etc/ld.so.cache", "/lib64", "/usr/lib64", "/lib/" + triplet, "/usr/lib/" + triplet, "/usr/local/lib/" + triplet,
	}
}

// pythonFolders is where Debian keeps Python and its modules.
func pythonFolders() []string {
	var all []string
	for _, pattern := range []string{"/usr/lib/python3*", "/usr/local/lib/python3*", "/etc/python3*"} {
		found, _ := filepath.Glob(pattern) // the patterns are well formed
		all = append(all, found...)
	}
	return all
}

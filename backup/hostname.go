package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"strconv"
	"strings"

	"github.com/karov-crm/karov/backup/repo"
	"golang.org/x/sys/unix"
)

// hostIdentity is how locks of this process are recognised. A lock's host name is
// <name>-<run>-<start>: run stands for this boot and its process table, start for
// when the process began. So after a power cut the lock of the run before is known
// to be dead although its process number is in use again, and no clock is asked.
type hostIdentity struct {
	name  string // of this machine, or as the caller wants it
	run   string
	start string
	real  string // the host name that stock restic writes here
}

func identify(name string) hostIdentity {
	h := hostIdentity{start: processStart(os.Getpid())}
	real, err := os.Hostname()
	if err == nil {
		h.real = real
	}
	if h.name = name; name == "" {
		// The machine's ID alone would be shared by machines copied from one image.
		h.name = "karov-" + digest(readFile("/etc/machine-id"), []byte(h.real))
	}
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		space = ""
	}
	h.run = digest(readFile("/proc/sys/kernel/random/boot_id"), []byte(space))
	return h
}

func digest(parts ...[]byte) string {
	sum := sha256.Sum256(bytes.Join(parts, []byte{0}))
	return hex.EncodeToString(sum[:4])
}

// readFile returns nothing for what this system does not have.
func readFile(path string) []byte {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return bytes.TrimSpace(data)
}

// processStart returns when a process began, in ticks since boot, or "0" where
// the system does not say.
func processStart(pid int) string {
	stat := string(readFile("/proc/" + strconv.Itoa(pid) + "/stat"))
	// The program's name is in brackets and may itself hold blanks and brackets.
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return "0"
	}
	return fields[19]
}

func (h hostIdentity) lockName() string { return h.name + "-" + h.run + "-" + h.start }

// dead reports whether the process table of this machine proves that the holder
// of the lock is gone. local says that the table could answer at all.
func (h hostIdentity) dead(l *repo.Lock) (dead, local bool) {
	if h.real != "" && l.Hostname == h.real {
		return !alive(l.PID), true
	}
	rest, ours := strings.CutPrefix(l.Hostname, h.name+"-")
	run, start, ok := strings.Cut(rest, "-")
	if !ours || !ok {
		return false, false
	}
	if run != h.run {
		return true, true
	}
	return !alive(l.PID) || processStart(l.PID) != start, true
}

func alive(pid int) bool {
	if pid <= 0 {
		return false
	}
	err := unix.Kill(pid, 0)
	return err == nil || errors.Is(err, unix.EPERM)
}

package plugin

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"golang.org/x/sys/unix"
)

// The kernel has no limit that fits for what a plugin keeps on the disk and for its threads, and some memory it does not
// count. So the host looks, and ends a process that went over.
const (
	maxFiles      = 20_000
	maxThreads    = 128
	looksEvery    = time.Second
	looksAtMost   = 30 * time.Second
	lookingShare  = 50 // of the time, one part may go into looking
	memoryGrace   = 64 << 20
	refusedBounds = "over-its-bounds"
)

// watchBounds looks after what the process uses until it ended.
func (s *session) watchBounds() {
	wait := time.NewTimer(looksEvery)
	defer wait.Stop()
	for {
		select {
		case <-s.process.exited:
			return
		case <-wait.C:
		}
		began := time.Now()
		if over := s.overBounds(); over != nil {
			s.process.overrun.Store(over)
			s.tellRefused(refusedBounds, over.Key, over.Params)
			if err := s.process.kill(); err != nil {
				s.p.host.o.Log.Error("a plugin could not be killed", "plugin", s.p.m.ID, "error", err)
			}
			return
		}
		wait.Reset(min(max(looksEvery, time.Since(began)*lookingShare), looksAtMost))
	}
}

// overBounds gives what the plugin has too much of, nil when nothing.
func (s *session) overBounds() *fault.Error {
	if over := s.overStorage(); over != nil {
		return over
	}
	now, err := processOf("/proc/" + strconv.Itoa(s.pid()))
	if err != nil {
		return nil // it is gone
	}
	if now.threads > maxThreads {
		return fault.New(fault.TooMany, "plugin.threads-over", "limit", maxThreads, "threads", now.threads)
	}
	if limit := int64(s.process.spec.Limits.Memory) + memoryGrace; now.memory > limit {
		return fault.New(fault.TooMany, "plugin.memory-over", "limit", limit>>20)
	}
	return nil
}

// overStorage compares what the plugin keeps in its folder, and in that of its sockets, with what it may.
func (s *session) overStorage() *fault.Error {
	p := s.p
	limit := p.m.Permissions.Storage
	if limit == 0 {
		limit = DefaultStorage
	}
	work := filepath.Join(p.host.o.DataDir, p.m.ID)
	size, files := int64(0), 0
	for _, dir := range []string{work, s.dir} {
		moreSize, moreFiles := measure(dir, int64(limit)-size, maxFiles-files)
		size, files = size+moreSize, files+moreFiles
	}
	if s.pid() != 0 {
		size += unnamed(s.pid())
	}
	if size > int64(limit) || files > maxFiles {
		return fault.New(fault.TooMany, "plugin.storage-over", "folder", work, "limit", limit.String(), "files", maxFiles)
	}
	return nil
}

// measure adds up what lies below a folder, and stops when it is more than the bounds. Names are not followed.
func measure(dir string, size int64, files int) (total int64, count int) {
	enough := errors.New("enough")
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // it went meanwhile, or cannot be read: what can be is counted
		}
		count++
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		if total > size || count > files {
			return enough
		}
		return nil
	})
	return total, count
}

// unnamed adds up the files that a process holds open and that have no name any more.
func unnamed(pid int) (total int64) {
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	open, err := os.ReadDir(dir)
	if err != nil {
		return 0 // it is gone
	}
	for _, fd := range open {
		var st unix.Stat_t
		if unix.Stat(filepath.Join(dir, fd.Name()), &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Nlink == 0 {
			total += st.Size
		}
	}
	return total
}

// usage is what a process has.
type usage struct {
	uid     int
	threads int
	memory  int64 // bytes that are its own and in memory
}

// processOf reads a process from its folder below /proc.
func processOf(dir string) (u usage, err error) {
	raw, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return u, err
	}
	for line := range strings.SplitSeq(string(raw), "\n") {
		name, value, _ := strings.Cut(line, ":")
		fields := strings.Fields(value)
		if len(fields) == 0 {
			continue
		}
		n, err := strconv.Atoi(fields[0])
		if err != nil {
			continue
		}
		switch name {
		case "Uid":
			u.uid = n
		case "Threads":
			u.threads = n
		case "RssAnon", "RssShmem":
			u.memory += int64(n) << 10
		}
	}
	return u, nil
}

// whyEnded is the fault of a session whose process ended by itself, or because it went over its bounds.
func (s *session) whyEnded() error {
	if over := s.process.overrun.Load(); over != nil {
		return over
	}
	return s.p.log.whyEnded(s.process.exitErr)
}

// notStarted is the fault of a session that did not come up.
func (s *session) notStarted(err error) error {
	if over := s.process.overrun.Load(); over != nil {
		return over
	}
	refused := s.process.refused
	if refused == nil {
		if s.pid() != 0 {
			s.process.lastLines()
		}
		return fault.Wrap(errors.Join(err, s.p.log.lastWords()), fault.Unavailable, "plugin.not-started")
	}
	what := refusedIsolation
	if refused.Kind == fault.Invalid {
		what = refusedProgram
	}
	s.tellRefused(what, "", refused.Params)
	return refused
}

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

func reads(path string) func() error {
	return func() error { _, err := os.ReadFile(path); return err }
}

func opens(path string, flags int) func() error {
	return func() error {
		f, err := os.OpenFile(path, flags, 0)
		if err == nil {
			f.Close()
		}
		return err
	}
}

// files aims at what lies on the disk.
func (h *hostile) files() []attempt {
	data, other := h.Config["data"], h.Config["other"]
	return []attempt{
		{"read the data file", reads(data)},
		{"write the data file", opens(data, os.O_WRONLY)},
		{"empty the data file", func() error { return os.Truncate(data, 0) }},
		{"lock the data file away (chmod)", func() error { return os.Chmod(data, 0) }},
		{"delete the data file", func() error { return os.Remove(data) }},
		{"put another in its place", func() error {
			if err := os.WriteFile("fake", nil, 0o600); err != nil {
				return err
			}
			return os.Rename("fake", data)
		}},
		{"link to it", func() error { return os.Link(data, "mine") }},
		{"read it by a symbolic link", func() error {
			if err := os.Symlink(data, "link"); err != nil {
				return err
			}
			return reads("link")()
		}},
		{"list the data folder", func() error { _, err := os.ReadDir(filepath.Dir(data)); return err }},
		{"read the key of its secrets", reads(h.Config["key"])},
		{"list another plugin's folder", func() error { _, err := os.ReadDir(other); return err }},
		{"write into another plugin's folder", opens(filepath.Join(other, "x"), os.O_CREATE|os.O_WRONLY)},
		{"change its own program", opens(filepath.Join(h.Config["package"], "hostile"), os.O_WRONLY)},
		{"read /etc/passwd", reads("/etc/passwd")},
		{"read /etc/shadow", reads("/etc/shadow")},
		{"read the host's memory file", opens(fmt.Sprintf("/proc/%d/mem", os.Getppid()), os.O_RDONLY)},
		{"read the host's environment", reads(fmt.Sprintf("/proc/%d/environ", os.Getppid()))},
	}
}

// processes aims at other processes, the host's first.
func (h *hostile) processes() []attempt {
	host := os.Getppid()
	return []attempt{
		{"exec /bin/true", func() error { return exec.Command("/bin/true").Run() }},
		{"exec a program it wrote", func() error {
			if err := os.WriteFile("tool", []byte("#!/bin/sh\n"), 0o700); err != nil {
				return err
			}
			return syscall.Exec("tool", []string{"tool"}, nil)
		}},
		{"fork bomb", func() error {
			for range 10_000 {
				pid, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
				if errno != 0 {
					return errno
				}
				if pid == 0 {
					syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
				}
			}
			return nil
		}},
		{"signal the host", func() error { return syscall.Kill(host, syscall.SIGURG) }},
		{"have the kernel signal the host", func() error {
			_, err := unix.FcntlInt(1, unix.F_SETOWN, host)
			return err
		}},
		{"ptrace the host", func() error { return unix.PtraceSeize(host) }},
		{"read the host's memory", func() error {
			_, err := unix.ProcessVMReadv(host, []unix.Iovec{{}}, []unix.RemoteIovec{{}}, 0)
			return err
		}},
		{"cut the host's open files", func() error {
			return unix.Prlimit(host, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: 3}, nil)
		}},
		{"slow the host down", func() error { return syscall.Setpriority(syscall.PRIO_PROCESS, host, 19) }},
		{"outlive the host", func() error { return unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0) }},
		{"a user namespace", func() error { return syscall.Unshare(syscall.CLONE_NEWUSER) }},
		{"io_uring", func() error {
			_, _, errno := syscall.Syscall(unix.SYS_IO_URING_SETUP, 1, 0, 0)
			return errno
		}},
	}
}

// makes tries a socket of a kind.
func makes(family, kind, proto int) func() error {
	return func() error {
		fd, err := unix.Socket(family, kind, proto)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}
}

// direct aims at the network without the way out.
func (h *hostile) direct() []attempt {
	return []attempt{
		{"TCP", func() error {
			conn, err := net.Dial("tcp", h.Config["server"])
			if err == nil {
				conn.Close()
			}
			return err
		}},
		{"UDP", makes(unix.AF_INET, unix.SOCK_DGRAM, 0)},
		{"MPTCP", makes(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP)},
		{"a raw socket", makes(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)},
		{"packets", makes(unix.AF_PACKET, unix.SOCK_RAW, 0)},
		{"netlink", makes(unix.AF_NETLINK, unix.SOCK_RAW, 0)},
		{"listen to the world", func() error {
			l, err := net.Listen("tcp", "0.0.0.0:0")
			if err == nil {
				l.Close()
			}
			return err
		}},
		{"an abstract socket of the host", func() error {
			conn, err := net.Dial("unix", h.Config["abstract"])
			if err == nil {
				conn.Close()
			}
			return err
		}},
	}
}

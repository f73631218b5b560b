package confine

import "golang.org/x/sys/unix"

const (
	auditArch  = unix.AUDIT_ARCH_X86_64
	foreignBit = 0x40000000 // x32: the same numbers with other meanings
	triplet    = "x86_64-linux-gnu"
)

// plain are the calls that newer architectures do without.
func plain() []uint32 {
	return []uint32{
		unix.SYS_STAT, unix.SYS_LSTAT, unix.SYS_POLL, unix.SYS_ACCESS, unix.SYS_PIPE, unix.SYS_SELECT, unix.SYS_DUP2, unix.SYS_ALARM,
		unix.SYS_PAUSE, unix.SYS_GETDENTS, unix.SYS_RENAME, unix.SYS_RENAMEAT, unix.SYS_MKDIR, unix.SYS_RMDIR, unix.SYS_CREAT,
		unix.SYS_LINK, unix.SYS_UNLINK, unix.SYS_SYMLINK, unix.SYS_READLINK, unix.SYS_MKNOD, unix.SYS_TIME, unix.SYS_GETPGRP,
		unix.SYS_EPOLL_CREATE, unix.SYS_EPOLL_WAIT, unix.SYS_EVENTFD, unix.SYS_SIGNALFD, unix.SYS_ARCH_PRCTL,
	}
}

// special are those of them whose arguments decide; see conditional.
func special(abi int) []verdict {
	if abi >= 3 {
		return []verdict{{unix.SYS_OPEN, nil, actAllow}}
	}
	return []verdict{
		{unix.SYS_OPEN, []test{has(1, unix.O_TRUNC), lacks(1, unix.O_ACCMODE)}, actRefuse},
		{unix.SYS_OPEN, nil, actAllow},
	}
}

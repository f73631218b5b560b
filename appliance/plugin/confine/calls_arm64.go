package confine

import "golang.org/x/sys/unix"

const (
	auditArch  = unix.AUDIT_ARCH_AARCH64
	foreignBit = 0x80000000 // no call has it
	triplet    = "aarch64-linux-gnu"
)

// plain are the calls that only this architecture still has.
func plain() []uint32 { return []uint32{unix.SYS_RENAMEAT} }

// special are those of them whose arguments decide: none.
func special(int) []verdict { return nil }

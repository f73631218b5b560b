//go:build unix && !linux

package main

import "syscall"

// childAttributes keep the terminal's Ctrl-C from the daemon, which we stop ourselves.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

package main

import "syscall"

// childAttributes keep the terminal's Ctrl-C from the daemon, which we stop
// ourselves, and stop it also when we are killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

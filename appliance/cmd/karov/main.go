// Command karov is the whole product in one program: the daemon, and the commands that speak with it.
//
// `karov serve` builds every room by hand, wires them and runs until it is told to stop; this is the only place that
// knows all rooms, and the only one that imports admin. The other commands live in admin/cli. It owns no data of its own.
// Exit codes: 0 done, 1 failed, 2 wrong usage, 78 the data is newer than the program.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // an office's server may have no time zones of its own

	"github.com/karov-crm/karov/admin/cli"
	"github.com/karov-crm/karov/appliance/plugin/confine"
)

// version is set by the build.
var version = "0.0.0-dev"

func main() {
	if len(os.Args) > 1 && os.Args[1] == confine.Command { // no command for people: the host starts plugins with it
		os.Exit(confine.Main())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(cli.Run(ctx, os.Args[1:], cli.Program{Version: version, Serve: serve, Setup: setup, Bench: measure, VerifyFile: verifyFile,
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

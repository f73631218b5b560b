// Command build makes, tries and tests Karov from a checkout:
//
//	go run ./packaging/build demo    try it: builds, starts, fills in customers, stays up until Ctrl-C
//	go run ./packaging/build check   the quick part of test: form, vet, staticcheck, generated code
//	go run ./packaging/build test    everything that continuous integration runs
//	go run ./packaging/build deb     the Debian package
//
// Each act is one file. It needs Go and git and nothing else: it imports only the
// standard library, fetches other tools as pinned Go modules, and never writes into
// the checkout. What `test` needs from Debian it installs when it may (as root), and
// otherwise names in one command.
//
// It promises that its exit code tells the truth, that each step says how it went,
// and that nothing it started outlives it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: go run ./packaging/build ACT [flags]

acts:
  demo    build, start, fill in customers, stay up until Ctrl-C
          --listen ADDR  --data DIR  --contacts N  --once  --json
  check   form, vet, staticcheck, generated code, modules, known vulnerabilities
  test    install what the tests need, check, all tests, the package on a fresh Debian
  deb     make karov_VERSION_amd64.deb
          --out DIR
`

// Exit codes, as for the karov program itself.
const (
	exitFailed = 1
	exitUsage  = 2
)

// errUsage is wrong usage; its text has been shown already.
var errUsage = errors.New("wrong usage")

// desk is where an act works: the checkout, and where it may write and speak.
type desk struct {
	// root is the checkout; nothing is ever written into it.
	root string
	// cache is a folder of ours that survives between runs.
	cache string
	// out is for results, say for what is going on.
	out, say io.Writer
}

func main() {
	// go run hands an interrupt to us as well as taking it itself; both are one wish to stop.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	switch {
	case err == nil:
		return
	case errors.Is(err, errUsage), errors.Is(err, flag.ErrHelp):
		os.Exit(exitUsage)
	}
	fmt.Fprintln(os.Stderr, "build:", err)
	os.Exit(exitFailed)
}

func run(ctx context.Context, args []string) error {
	acts := map[string]func(context.Context, desk, []string) error{
		"demo":  demo,
		"check": check,
		"test":  test,
		"deb":   deb,
	}
	if len(args) == 0 || acts[args[0]] == nil {
		fmt.Fprint(os.Stderr, usage)
		return errUsage
	}
	root, err := checkout()
	if err != nil {
		return err
	}
	cache, err := cacheFolder()
	if err != nil {
		return err
	}
	d := desk{root: root, cache: cache, out: os.Stdout, say: os.Stderr}
	return acts[args[0]](ctx, d, args[1:])
}

// parse reads an act's flags, which take no further arguments.
func parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		return errUsage
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "unexpected argument %q\n\n%s", flags.Arg(0), usage)
		return errUsage
	}
	return nil
}

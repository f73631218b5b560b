// Package cli is Karov's commands: what office IT and programs type.
//
// `karov serve` is the daemon; every other command asks it over the local door of its data folder (appliance/control),
// but for restore, bench, config and version, which need none. It owns no data.
//
// It promises tables for people and --json for programs, faults as sentences in the language of KAROV_LANG or LANG, and
// exit codes: 0 done, 1 failed, 2 wrong usage, 78 data newer than the program. Secrets are read from standard input or
// the environment, never from arguments, which everybody on the machine can see.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/karov-crm/karov/admin/frame/locale"
	"github.com/karov-crm/karov/appliance/bench"
	"github.com/karov-crm/karov/appliance/config"
	"github.com/karov-crm/karov/appliance/control"
	"github.com/karov-crm/karov/appliance/fault"
)

// Program is what main gives to the commands.
type Program struct {
	Version string
	// Serve runs the daemon until ctx ends.
	Serve func(ctx context.Context, c config.Config, log *slog.Logger) error
	// Setup makes the first owner in a data folder that no daemon holds.
	Setup func(ctx context.Context, c config.Config, log *slog.Logger, email, name, lang, password string) (any, error)
	// Bench measures the program over a temporary folder, or over keep, which stays.
	Bench func(ctx context.Context, log *slog.Logger, keep string, o bench.Options) (bench.Report, error)
	// VerifyFile checks the journal of a store file, or of the one in a folder, that no daemon holds.
	VerifyFile func(ctx context.Context, path string, anchors []string) (Verified, error)
	In         io.Reader
	Out        io.Writer
	Err        io.Writer
}

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
	exitTooNew = 78 // EX_CONFIG of sysexits(3): the unit does not restart on it
)

// command is what all commands share.
type command struct {
	Program
	file string // of the configuration
	data string
	json bool
	lang string
}

// usageError is a wrong use of a command.
type usageError struct{ error }

// Run does the command that args say and gives the exit code.
func Run(ctx context.Context, args []string, p Program) int {
	c := &command{Program: p, lang: language(os.Getenv)}
	root := c.root()
	root.SetArgs(args)
	root.SetIn(p.In)
	root.SetOut(p.Out)
	root.SetErr(p.Err)
	err := root.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage):
		fmt.Fprintln(p.Err, "karov: "+err.Error())
		fmt.Fprintln(p.Err, "See karov --help.")
		return exitUsage
	}
	c.tell(err)
	if fault.Of(err).Key == "store.too-new" {
		return exitTooNew
	}
	return exitFailed
}

func (c *command) root() *cobra.Command {
	root := &cobra.Command{Use: "karov", Short: "Karov: customer relations on the office's own server",
		SilenceErrors: true, SilenceUsage: true, Version: c.Version, CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true}}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.PersistentFlags().StringVar(&c.data, "data", "", "folder of the data")
	root.PersistentFlags().StringVar(&c.file, "config", "", "configuration file (default /etc/karov/karov.yaml where it is)")
	root.PersistentFlags().BoolVar(&c.json, "json", false, "print JSON for programs")
	root.AddCommand(c.serve(), c.version(), c.config(), c.setup(), c.status(), c.importFile(), c.export(), c.seed(), c.staff(), c.role(), c.token(),
		c.plugin(), c.schema(), c.backup(), c.restore(), c.audit(), c.contact(), c.bench())
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usageError{fmt.Errorf("there is no command %q", args[0])}
		}
		return cmd.Help()
	}
	root.Args = cobra.ArbitraryArgs
	return root
}

// exactly wraps cobra's check so that its error is one of usage.
func exactly(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := cobra.ExactArgs(n)(cmd, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}

// defaultFile is read when it is there and no --config is given.
const defaultFile = "/etc/karov/karov.yaml"

// load reads the configuration with what flags say over it.
func (c *command) load() (config.Config, error) {
	file := c.file
	if file == "" {
		if _, err := os.Stat(defaultFile); err == nil {
			file = defaultFile
		}
	}
	conf, err := config.Load(file)
	if c.data != "" {
		conf.Data = c.data
	}
	return conf, err
}

// ask sends a wish to the daemon of the data folder.
func (c *command) ask(ctx context.Context, w control.Wish) error {
	conf, err := c.load()
	if err != nil {
		return err
	}
	client, err := control.Dial(conf.Data)
	if err != nil {
		return err
	}
	return client.Do(ctx, w)
}

// print writes v as JSON for programs, or lets people write it for people.
func (c *command) print(v any, people func(w io.Writer)) error {
	if c.json {
		return json.NewEncoder(c.Out).Encode(v)
	}
	w := tabwriter.NewWriter(c.Out, 2, 4, 2, ' ', 0)
	people(w)
	return w.Flush()
}

// language finds the language of the sentences: KAROV_LANG, then the system's.
func language(env func(string) string) string {
	for _, name := range []string{"KAROV_LANG", "LC_ALL", "LC_MESSAGES", "LANG"} {
		if value := env(name); value != "" {
			return locale.Match(strings.ReplaceAll(value, "_", "-"), "en")
		}
	}
	return "en"
}

func (c *command) voice() *locale.Voice {
	bundle, err := locale.Load()
	if err != nil {
		bundle = &locale.Bundle{} // the packs are built in and tested; without them keys are shown
	}
	return bundle.In(c.lang, time.Local)
}

// tell says an error in the reader's language, each wrong field on a line of its own.
func (c *command) tell(err error) {
	f, voice := fault.Of(err), c.voice()
	fmt.Fprintln(c.Err, "karov: "+voice.Fill(f.Key, f.Params))
	for _, field := range f.Fields {
		fmt.Fprintf(c.Err, "  %s: %s\n", field.Name, voice.Fill(field.Key, field.Params))
	}
	if f.Err != nil && (f.Kind == fault.Internal || f.Kind == fault.Unavailable) {
		fmt.Fprintf(c.Err, "  (%v)\n", f.Err)
	}
}

func (c *command) logger(conf config.Config) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(conf.LogLevel)); err != nil {
		level = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: level}
	if os.Getenv("JOURNAL_STREAM") != "" { // the journal writes the time itself
		options.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey && len(groups) == 0 {
				return slog.Attr{}
			}
			return a
		}
	}
	return slog.New(slog.NewTextHandler(c.Err, options))
}

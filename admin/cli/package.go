package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/karov-crm/karov/appliance/control"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/plugin/pack"
)

// packageVersion is a version of a package as the daemon sends one.
type packageVersion struct {
	Version string   `json:"version"`
	Hash    string   `json:"hash,omitempty"`
	Signer  string   `json:"signer,omitempty"`
	Root    string   `json:"root,omitempty"`
	Added   []string `json:"added,omitempty"`
	Removed []string `json:"removed,omitempty"`
}

// packaged is an installed package as the daemon sends one.
type packaged struct {
	ID       string          `json:"id"`
	Name     string          `json:"name"`
	State    string          `json:"state"`
	Pinned   bool            `json:"pinned,omitempty"`
	Active   *packageVersion `json:"active,omitempty"`
	Previous *packageVersion `json:"previous,omitempty"`
	Trial    *packageVersion `json:"trial,omitempty"`
	Waiting  *packageVersion `json:"waiting,omitempty"`
	Failed   *struct {
		Version string            `json:"version"`
		Key     string            `json:"key"`
		Params  map[string]string `json:"params,omitempty"`
		At      time.Time         `json:"at"`
		Stays   bool              `json:"stays,omitempty"`
	} `json:"failed,omitempty"`
	Key    string            `json:"key,omitempty"`
	Params map[string]string `json:"params,omitempty"`
}

// lines are what a list says of a package, a line each.
func (c *command) packageLines(p packaged) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if v := p.Active; v != nil {
		line := fmt.Sprintf("package %s %s, signed by %s (%s)", v.Version, p.State, v.Signer, v.Root)
		if p.Pinned {
			line += ", pinned"
		}
		if p.Previous != nil {
			line += ", before it " + p.Previous.Version
		}
		out = append(out, line)
	}
	if v := p.Trial; v != nil {
		say("version %s is on probation, signed by %s (%s)", v.Version, v.Signer, v.Root)
	}
	if v := p.Waiting; v != nil {
		say("version %s, signed by %s (%s), waits for approval: karov plugin approve %s", v.Version, v.Signer, v.Root, p.ID)
		for _, asked := range v.Added {
			say("\tnew: %s", asked)
		}
	}
	if f := p.Failed; f != nil {
		what := "was taken back"
		if f.Stays {
			what = "stays, since it changed the plugin's data"
		}
		say("version %s failed and %s: %s", f.Version, what, c.voice().Fill(f.Key, f.Params))
	}
	if p.Key != "" {
		say("%s", c.voice().Fill(p.Key, p.Params))
	}
	return out
}

// packages asks for what is installed, by id.
func (c *command) packages(ctx context.Context) (map[string]packaged, error) {
	var all []packaged
	err := c.ask(ctx, control.Wish{Act: "plugin-packages", Args: struct{}{}, Result: &all})
	out := map[string]packaged{}
	for _, p := range all {
		out[p.ID] = p
	}
	return out, err
}

// withPackages adds to the plugins the packages that brought them, and the packages of which nothing runs.
func (c *command) withPackages(ctx context.Context, all []plugin) ([]plugin, error) {
	packages, err := c.packages(ctx)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if p, ok := packages[all[i].ID]; ok {
			all[i].Package = &p
			delete(packages, p.ID)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(packages)) {
		p := packages[id]
		shown := plugin{ID: p.ID, Name: p.Name, State: p.State, Package: &p}
		if p.Active != nil {
			shown.Version = p.Active.Version
		}
		all = append(all, shown)
	}
	return all, nil
}

// packageCommands are those about packages of plugins.
func (c *command) packageCommands() []*cobra.Command {
	pin := func(name, short string, pinned bool) *cobra.Command {
		return &cobra.Command{Use: name + " ID", Short: short, Args: exactly(1), RunE: func(cmd *cobra.Command, args []string) error {
			return c.ask(cmd.Context(), control.Wish{Act: "plugin-pin", Args: map[string]any{"ID": args[0], "Pinned": pinned}})
		}}
	}
	var purge bool
	remove := &cobra.Command{Use: "remove ID", Short: "Take a plugin out; its data stay", Args: exactly(1),
		Long: "Stops a plugin and removes its package. Its data and settings stay for the day it is installed again, unless --purge erases them for good.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.ask(cmd.Context(), control.Wish{Act: "plugin-remove", Args: map[string]any{"ID": args[0], "Purge": purge}})
		}}
	remove.Flags().BoolVar(&purge, "purge", false, "erase all data of the plugin, which cannot be taken back")
	rollback := &cobra.Command{Use: "rollback ID", Short: "Bring the version before back", Args: exactly(1), RunE: func(cmd *cobra.Command, args []string) error {
		var now packaged
		if err := c.ask(cmd.Context(), control.Wish{Act: "plugin-rollback", Args: map[string]any{"ID": args[0]}, Result: &now}); err != nil {
			return err
		}
		return c.showPackage(now)
	}}
	return []*cobra.Command{
		c.installPackage("install FILE", "Install a package, or another version of one"),
		c.installPackage("upgrade FILE", "Install another version of a package that is installed"),
		c.approvePackage(), rollback, pin("pin", "Keep a plugin at its version", true), pin("unpin", "Let a plugin change its version again", false),
		remove, c.rescanPackages(), c.trustCommands(), c.revocations(), c.keys(),
	}
}

func (c *command) showPackage(p packaged) error {
	return c.print(p, func(w io.Writer) {
		fmt.Fprintln(w, p.Name+" ("+p.ID+")")
		for _, line := range c.packageLines(p) {
			fmt.Fprintln(w, "  "+line)
		}
	})
}

// inspected is a package before it is installed.
type inspected struct {
	ID        string         `json:"id"`
	Name      string         `json:"name"`
	Installed string         `json:"installed,omitempty"`
	Asks      []string       `json:"asks,omitempty"`
	Package   packageVersion `json:"package"`
}

// installPackage shows what a package asks for, lets the administrator decide, and installs it.
func (c *command) installPackage(use, short string) *cobra.Command {
	var yes, wait bool
	cmd := &cobra.Command{Use: use, Short: short, Args: exactly(1),
		Long: "Shows who signed a package and what it asks for; of an upgrade, what changes. What nobody approved yet is asked about, " +
			"or approved by --yes. A new version of an installed plugin begins on probation: when it does not do its work, the old one comes back.",
		RunE: func(cmd *cobra.Command, args []string) error {
			raw, err := readPackage(args[0])
			if err != nil {
				return err
			}
			var seen inspected
			if err := c.ask(cmd.Context(), control.Wish{Act: "plugin-inspect", Args: struct{}{}, File: bytes.NewReader(raw), Result: &seen}); err != nil {
				return err
			}
			if strings.HasPrefix(use, "upgrade") && seen.Installed == "" {
				return fault.New(fault.NotFound, "plugin.not-installed", "id", seen.ID)
			}
			if err := c.decide(seen, yes); err != nil {
				return err
			}
			var now packaged
			if err := c.ask(cmd.Context(), control.Wish{Act: "plugin-install", Args: map[string]any{"Approved": seen.Package.Hash},
				File: bytes.NewReader(raw), Result: &now}); err != nil {
				return err
			}
			if wait {
				if now, err = c.probation(cmd.Context(), now); err != nil {
					return err
				}
			}
			return c.showPackage(now)
		}}
	cmd.Flags().BoolVar(&yes, "yes", false, "approve what it asks for without being asked")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until its probation is over, and fail when it failed")
	return cmd
}

func readPackage(name string) ([]byte, error) {
	f, err := os.Open(filepath.Clean(name))
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "pack.folder-unreadable", "file", name)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, pack.MaxPackage+1))
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "pack.folder-unreadable", "file", name)
	}
	return raw, nil
}

// readSmall reads a key, a root or a list.
func readSmall(name string) ([]byte, error) {
	raw, err := readPackage(name)
	if err == nil && len(raw) > pack.MaxRevocations {
		err = fault.New(fault.Invalid, "pack.too-large", "what", name, "limit", pack.MaxRevocations)
	}
	return raw, err
}

// decide shows what a package asks for and asks whether it may have what nobody approved yet.
func (c *command) decide(seen inspected, yes bool) error {
	w := c.Err
	fmt.Fprintf(w, "%s %s (%s)\nsigned by %s, certified by %s\n", seen.Name, seen.Package.Version, seen.ID, seen.Package.Signer, seen.Package.Root)
	if seen.Installed != "" {
		fmt.Fprintf(w, "installed now: %s\n", seen.Installed)
	}
	if len(seen.Asks) == 0 {
		fmt.Fprintln(w, "It asks for no permissions.")
	}
	for _, asked := range seen.Asks {
		mark := " "
		for _, added := range seen.Package.Added {
			if added == asked {
				mark = "+"
			}
		}
		fmt.Fprintf(w, "  %s %s\n", mark, asked)
	}
	for _, gone := range seen.Package.Removed {
		fmt.Fprintf(w, "  - %s\n", gone)
	}
	return c.confirm(len(seen.Package.Added), yes)
}

// errNotApproved ends a command whose question was answered with no.
var errNotApproved = errors.New("it was not approved; --yes approves without a question")

// confirm asks on standard input whether what is new is approved.
func (c *command) confirm(added int, yes bool) error {
	if added == 0 || yes {
		return nil
	}
	fmt.Fprint(c.Err, "Approve what is marked with +? [y/N] ")
	answer, err := bufio.NewReader(io.LimitReader(c.In, 100)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return usageError{errNotApproved}
	}
	return nil
}

// probation waits until the version on probation is settled.
func (c *command) probation(ctx context.Context, now packaged) (packaged, error) {
	trial := now.Trial
	for now.Trial != nil {
		select {
		case <-ctx.Done():
			return now, ctx.Err()
		case <-time.After(300 * time.Millisecond):
		}
		all, err := c.packages(ctx)
		if err != nil {
			return now, err
		}
		now = all[now.ID]
	}
	if f := now.Failed; trial != nil && f != nil && f.Version == trial.Version {
		return now, &fault.Error{Kind: fault.Invalid, Key: f.Key, Params: f.Params}
	}
	return now, nil
}

func (c *command) approvePackage() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{Use: "approve ID", Short: "Approve what a version that waits asks for", Args: exactly(1), RunE: func(cmd *cobra.Command, args []string) error {
		all, err := c.packages(cmd.Context())
		if err != nil {
			return err
		}
		p, v := all[args[0]], all[args[0]].Waiting
		if v == nil {
			return fault.New(fault.NotFound, "plugin.nothing-waits", "id", args[0])
		}
		seen := inspected{ID: p.ID, Name: p.Name, Asks: v.Added, Package: *v}
		if p.Active != nil {
			seen.Installed = p.Active.Version
		}
		if err := c.decide(seen, yes); err != nil {
			return err
		}
		var now packaged
		if err := c.ask(cmd.Context(), control.Wish{Act: "plugin-approve", Args: map[string]any{"ID": p.ID, "Hash": v.Hash}, Result: &now}); err != nil {
			return err
		}
		return c.showPackage(now)
	}}
	cmd.Flags().BoolVar(&yes, "yes", false, "approve without being asked")
	return cmd
}

func (c *command) rescanPackages() *cobra.Command {
	return &cobra.Command{Use: "rescan", Short: "Look for packages that the system's packages brought", Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
		var refused []struct {
			File   string            `json:"file"`
			Key    string            `json:"key"`
			Params map[string]string `json:"params,omitempty"`
		}
		if err := c.ask(cmd.Context(), control.Wish{Act: "plugin-rescan", Args: struct{}{}, Result: &refused}); err != nil {
			return err
		}
		return c.print(refused, func(w io.Writer) {
			for _, r := range refused {
				fmt.Fprintf(w, "%s: %s\n", r.File, c.voice().Fill(r.Key, r.Params))
			}
		})
	}}
}

// trustCommands are those about whom the office believes.
func (c *command) trustCommands() *cobra.Command {
	cmd := &cobra.Command{Use: "trust", Short: "Whose packages may be installed"}
	add := &cobra.Command{Use: "add ROOTFILE", Short: "Trust a root from now on", Args: exactly(1), RunE: func(cmd *cobra.Command, args []string) error {
		raw, err := readSmall(args[0])
		if err != nil {
			return err
		}
		var root struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		}
		if err := c.ask(cmd.Context(), control.Wish{Act: "plugin-trust", Args: map[string]any{"File": raw}, Result: &root}); err != nil {
			return err
		}
		return c.print(root, func(w io.Writer) { fmt.Fprintf(w, "%s (%s) is trusted.\n", root.Name, root.ID) })
	}}
	list := &cobra.Command{Use: "list", Short: "Show the roots that are trusted", Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
		var roots []struct {
			ID          string   `json:"id"`
			Name        string   `json:"name"`
			Product     bool     `json:"product,omitempty"`
			Revocations uint64   `json:"revocations,omitempty"`
			Plugins     []string `json:"plugins,omitempty"`
		}
		if err := c.ask(cmd.Context(), control.Wish{Act: "plugin-trust-list", Args: struct{}{}, Result: &roots}); err != nil {
			return err
		}
		return c.print(roots, func(w io.Writer) {
			for _, r := range roots {
				fmt.Fprintf(w, "%s\t%s\trevocations %d\t%s\n", r.ID, r.Name, r.Revocations, strings.Join(r.Plugins, ", "))
			}
			if len(roots) == 0 {
				fmt.Fprintln(w, "No root is trusted: no package can be installed. karov plugin trust add ROOTFILE")
			}
		})
	}}
	remove := &cobra.Command{Use: "remove ID", Short: "Trust a root no more; refused while a plugin is installed under it", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.ask(cmd.Context(), control.Wish{Act: "plugin-distrust", Args: map[string]any{"ID": args[0]}})
		}}
	cmd.AddCommand(add, list, remove)
	return cmd
}

func (c *command) revocations() *cobra.Command {
	cmd := &cobra.Command{Use: "revocations", Short: "What is not to be trusted any more"}
	cmd.AddCommand(&cobra.Command{Use: "import FILE", Short: "Take in a revocation list", Args: exactly(1),
		Long: "Takes in a list that a trusted root signed; it must be newer than the one before. What it names is not started again. What runs, " +
			"runs until it is stopped: karov plugin disable ID.",
		RunE: func(cmd *cobra.Command, args []string) error {
			raw, err := readSmall(args[0])
			if err != nil {
				return err
			}
			var done struct {
				Concerned []string `json:"concerned"`
			}
			if err := c.ask(cmd.Context(), control.Wish{Act: "plugin-revocations", Args: map[string]any{"File": raw}, Result: &done}); err != nil {
				return err
			}
			return c.print(done, func(w io.Writer) {
				for _, id := range done.Concerned {
					fmt.Fprintf(w, "%s is revoked and is not started again.\n", id)
				}
			})
		}})
	return cmd
}

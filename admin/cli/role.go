package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"github.com/karov-crm/karov/appliance/control"
)

// role is a role as the daemon sends one, and as it stands in a file.
type role struct {
	Version uint64            `json:"version" yaml:"version,omitempty"`
	BuiltIn bool              `json:"built_in,omitempty" yaml:"built_in,omitempty"`
	Name    string            `json:"name" yaml:"name"`
	Labels  map[string]string `json:"labels,omitempty" yaml:"labels,omitempty"`
	Base    string            `json:"base,omitempty" yaml:"base,omitempty"`
	Grants  []roleGrant       `json:"grants,omitempty" yaml:"grants,omitempty"`
	Fields  []roleField       `json:"fields,omitempty" yaml:"fields,omitempty"`
}

type roleGrant struct {
	Entity string `json:"entity" yaml:"entity"`
	Verb   string `json:"verb" yaml:"verb"`
	Scope  string `json:"scope" yaml:"scope"`
	Where  string `json:"where,omitempty" yaml:"where,omitempty"`
}

type roleField struct {
	Entity string `json:"entity" yaml:"entity"`
	Field  string `json:"field" yaml:"field"`
	Right  string `json:"right" yaml:"right"`
}

// maxRoleFile is the largest file of a role that is read.
const maxRoleFile = 4 << 20

// roleHelp is what a file of a role says.
const roleHelp = `A role's file is YAML:

  name: night-shift
  base: agent            # owner, manager, agent or viewer; without it nothing is allowed that is not granted
  labels: {he: משמרת לילה, ru: Ночная смена}
  grants:                # before those of the base; "*" is each entity or verb, custom each entity that you made
    - {entity: contact, verb: see, scope: team}    # none, own, team or all
    - {entity: deal, verb: change, scope: own, where: 'amount < 10000 ILS'}
  fields:
    - {entity: contact, field: notes, right: hide} # or read-only

karov role show NAME prints the file of a role with the version in which it stands. If somebody else changed the roles
since, a file with an older version is refused.`

func (c *command) role() *cobra.Command {
	cmd := &cobra.Command{Use: "role", Short: "What each role may do"}
	cmd.AddCommand(c.roleList(), c.roleShow(), c.roleAdd(), c.roleChange(), c.roleRemove(), c.roleVersions(), c.roleRevert())
	return cmd
}

func (c *command) roleList() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List roles", Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
		all := []role{}
		if err := c.ask(cmd.Context(), control.Wish{Act: "role-list", Args: struct{}{}, Result: &all}); err != nil {
			return err
		}
		return c.print(all, func(w io.Writer) {
			for _, r := range all {
				about := "built in"
				if !r.BuiltIn {
					about = fmt.Sprintf("%d grants and %d fields over %s", len(r.Grants), len(r.Fields), r.base())
				}
				fmt.Fprintf(w, "%s\t%s\t%s\n", r.Name, r.Labels[c.lang], about)
			}
		})
	}}
}

// base names what the role is made on.
func (r role) base() string {
	if r.Base == "" {
		return "nothing"
	}
	return r.Base
}

func (c *command) roleShow() *cobra.Command {
	return &cobra.Command{Use: "show NAME", Short: "Show a role as a file", Args: exactly(1), RunE: func(cmd *cobra.Command, args []string) error {
		var r role
		if err := c.ask(cmd.Context(), control.Wish{Act: "role-show", Args: map[string]string{"Name": args[0]}, Result: &r}); err != nil {
			return err
		}
		text, err := yaml.Marshal(r)
		if err != nil {
			return err
		}
		return c.print(r, func(w io.Writer) { _, _ = w.Write(text) })
	}}
}

func (c *command) roleAdd() *cobra.Command {
	var base, file string
	labels := map[string]string{}
	cmd := &cobra.Command{Use: "add NAME", Short: "Make a role", Long: "Make a role of your own, on a built-in one or on nothing.\n\n" + roleHelp, Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var r role
			if file != "" {
				var err error
				if r, err = c.readRole(file); err != nil {
					return err
				}
			}
			r.Name = args[0]
			if cmd.Flags().Changed("base") {
				r.Base = base
			}
			if len(labels) > 0 {
				r.Labels = labels
			}
			return c.sendRole(cmd, "role-add", r)
		}}
	cmd.Flags().StringVar(&base, "base", "", "built-in role that it is made on: owner, manager, agent or viewer")
	cmd.Flags().StringVar(&file, "file", "", "file with its rules, - for standard input")
	cmd.Flags().StringToStringVar(&labels, "label", nil, "its name for people, as he=NAME")
	return cmd
}

func (c *command) roleChange() *cobra.Command {
	return &cobra.Command{Use: "change FILE", Short: "Give a role the rules of a file; at once", Long: "Give a role the rules of a file, - for standard input.\n\n" + roleHelp,
		Args: exactly(1), RunE: func(cmd *cobra.Command, args []string) error {
			r, err := c.readRole(args[0])
			if err != nil {
				return err
			}
			return c.sendRole(cmd, "role-change", r)
		}}
}

func (c *command) sendRole(cmd *cobra.Command, act string, r role) error {
	var made role
	if err := c.ask(cmd.Context(), control.Wish{Act: act, Args: r, Result: &made}); err != nil {
		return err
	}
	return c.print(made, func(w io.Writer) { fmt.Fprintf(w, "%s counts from now on, in version %d\n", made.Name, made.Version) })
}

// readRole reads the file of a role. What it says beyond a role is refused: it may be a rule that is written wrong.
func (c *command) readRole(name string) (r role, err error) {
	in := c.In
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return role{}, usageError{err}
		}
		defer func() { _ = file.Close() }() // it was only read
		in = file
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxRoleFile+1))
	if err != nil {
		return role{}, usageError{fmt.Errorf("read the role's file: %w", err)}
	}
	if len(raw) > maxRoleFile {
		return role{}, usageError{fmt.Errorf("the role's file is larger than %d MB", maxRoleFile>>20)}
	}
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	if err := d.Decode(&r); err != nil {
		return role{}, usageError{fmt.Errorf("read the role's file: %w", err)}
	}
	if err := d.Decode(&role{}); !errors.Is(err, io.EOF) {
		return role{}, usageError{errors.New("the file holds more than one role")}
	}
	return r, nil
}

func (c *command) roleRemove() *cobra.Command {
	return &cobra.Command{Use: "remove NAME", Short: "Take away a role that nobody has", Args: exactly(1), RunE: func(cmd *cobra.Command, args []string) error {
		return c.ask(cmd.Context(), control.Wish{Act: "role-remove", Args: map[string]string{"Name": args[0]}})
	}}
}

// roleVersion is a version of the roles as the daemon sends one.
type roleVersion struct {
	Number uint64    `json:"number"`
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Who    string    `json:"who"`
	Act    string    `json:"act"`
	Role   string    `json:"role,omitempty"`
	To     uint64    `json:"to,omitempty"`
	Roles  []role    `json:"roles"`
}

func (c *command) roleVersions() *cobra.Command {
	return &cobra.Command{Use: "versions", Short: "Show who changed the roles, and when", Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
		all := []roleVersion{}
		if err := c.ask(cmd.Context(), control.Wish{Act: "role-versions", Args: struct{}{}, Result: &all}); err != nil {
			return err
		}
		return c.print(all, func(w io.Writer) {
			for _, v := range all {
				what := strings.TrimSpace(v.Act + " " + v.Role)
				if v.Act == "reverted" {
					what = fmt.Sprintf("brought back version %d", v.To)
				}
				fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", v.Number, v.At.Local().Format(time.DateTime), v.Who, what)
			}
			if len(all) == 0 {
				fmt.Fprintln(w, "The office has no roles of its own.")
			}
		})
	}}
}

func (c *command) roleRevert() *cobra.Command {
	return &cobra.Command{Use: "revert VERSION", Short: "Bring the roles back to an older version; 0 is that of none", Args: exactly(1), RunE: func(cmd *cobra.Command, args []string) error {
		to, err := strconv.ParseUint(args[0], 10, 64)
		if err != nil {
			return usageError{fmt.Errorf("%q is no version", args[0])}
		}
		var made roleVersion
		if err := c.ask(cmd.Context(), control.Wish{Act: "role-revert", Args: map[string]uint64{"To": to}, Result: &made}); err != nil {
			return err
		}
		return c.print(made, func(w io.Writer) { fmt.Fprintf(w, "the roles are as in version %d, now version %d\n", to, made.Number) })
	}}
}

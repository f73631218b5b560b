package cli

import (
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
	"github.com/karov-crm/karov/appliance/schema"
)

// maxSchemaFile is the largest file of changes that is read.
const maxSchemaFile = 4 << 20

// schemaHelp is what a file of changes says.
const schemaHelp = `A file of changes is YAML, or JSON as the API has it:

  version: 3             # that karov schema show said; without it, the newest
  ops:
    - {op: add-field, entity: contact, field: shoe_size, type: number, labels: {he: מידת נעל, ru: Размер обуви}}
    - {op: rename-field, entity: contact, field: city, labels: {he: יישוב}}
    - {op: add-choice, entity: contact, field: kind, choice: club, labels: {he: מועדון}}
    - {op: set, entity: contact, field: city, mark: required, value: true}
    - op: add-entity
      entity: car
      title: plate
      labels: {he: רכב}
      fields:
        - {field: plate, type: text, unique: true, labels: {he: מספר רישוי}}

Further ops: rename-entity, hide-entity, show-entity, hide-field, show-field, rename-choice, retire-choice, show-choice.
Marks: required, unique, indexed, searched, sensitive, default, formula. Types: text, long-text, number, money, yes-no,
choice, time, date, yearly, phone, email, url, link, staff, file, picture, formula. All ops of a file are done, or none.
No data is dropped: what is hidden can be shown again.`

func (c *command) schema() *cobra.Command {
	cmd := &cobra.Command{Use: "schema", Short: "What kinds of record there are, and their fields"}
	cmd.AddCommand(c.schemaShow(), c.schemaChange(), c.schemaVersions(), c.schemaRevert())
	return cmd
}

// schemaShown is the schema as the daemon sends it.
type schemaShown struct {
	Version  uint64               `json:"version"`
	Entities []schema.ShownEntity `json:"entities"`
	Dormant  []string             `json:"dormant,omitempty"`
}

func (c *command) schemaShow() *cobra.Command {
	return &cobra.Command{Use: "show [ENTITY]", Short: "Show kinds of record and their fields", Args: atMost(1), RunE: func(cmd *cobra.Command, args []string) error {
		var s schemaShown
		wish := control.Wish{Act: "schema-show", Args: map[string]string{"Entity": strings.Join(args, "")}, Result: &s}
		if err := c.ask(cmd.Context(), wish); err != nil {
			return err
		}
		return c.print(s, func(w io.Writer) { c.showSchema(w, s) })
	}}
}

func (c *command) showSchema(w io.Writer, s schemaShown) {
	fmt.Fprintf(w, "version %d\n", s.Version)
	for _, e := range s.Entities {
		fmt.Fprintf(w, "\n%s\t%s\t%s\n", e.Name, e.Labels[c.lang], marks(map[string]bool{"own": e.Custom, "hidden": e.Hidden}))
		for _, f := range e.Fields {
			kind := string(f.Type)
			if f.Many {
				kind += ", many"
			}
			if f.Target != "" {
				kind += " to " + f.Target
			}
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", f.Name, kind, f.Labels[c.lang], marks(map[string]bool{"own": f.Custom, "hidden": f.Hidden,
				"required": f.Required, "unique": f.Unique, "indexed": f.Indexed, "searched": f.Searched, "sensitive": f.Sensitive, "read-only": f.ReadOnly}))
		}
	}
	for _, name := range s.Dormant {
		fmt.Fprintf(w, "\n%s\tmade by another version of Karov; kept, and not used\n", name)
	}
}

// marks names those that are set, in one order.
func marks(set map[string]bool) string {
	var names []string
	for _, name := range []string{"own", "hidden", "required", "unique", "indexed", "searched", "sensitive", "read-only"} {
		if set[name] {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

func (c *command) schemaChange() *cobra.Command {
	var preview bool
	cmd := &cobra.Command{Use: "change FILE", Short: "Add, rename or hide fields and kinds of record; at once",
		Long: "Do the changes of a file, - for standard input.\n\n" + schemaHelp, Args: exactly(1), RunE: func(cmd *cobra.Command, args []string) error {
			file, err := c.readChanges(args[0])
			if err != nil {
				return err
			}
			return c.reviseSchema(cmd, "schema-change", map[string]any{"Version": file.Version, "Ops": file.Ops, "Preview": preview}, preview)
		}}
	cmd.Flags().BoolVar(&preview, "preview", false, "say what would be different, change nothing")
	return cmd
}

// changes are what a file says.
type changes struct {
	Version uint64           `yaml:"version"`
	Ops     []map[string]any `yaml:"ops"`
}

func (c *command) readChanges(name string) (file changes, err error) {
	in := c.In
	if name != "-" {
		opened, err := os.Open(name)
		if err != nil {
			return file, usageError{err}
		}
		defer opened.Close()
		in = opened
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxSchemaFile+1))
	if err != nil {
		return file, usageError{err}
	}
	if len(raw) > maxSchemaFile {
		return file, usageError{fmt.Errorf("%s is larger than %d bytes", name, maxSchemaFile)}
	}
	d := yaml.NewDecoder(strings.NewReader(string(raw)))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		return file, usageError{fmt.Errorf("%s cannot be read: %w", name, err)}
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return file, usageError{fmt.Errorf("%s holds more than one document", name)}
	}
	return file, nil
}

// reviseSchema asks for a change and says what is different.
func (c *command) reviseSchema(cmd *cobra.Command, act string, args any, preview bool) error {
	var done struct {
		Version     uint64              `json:"version"`
		Differences []schema.Difference `json:"differences"`
	}
	if err := c.ask(cmd.Context(), control.Wish{Act: act, Args: args, Result: &done}); err != nil {
		return err
	}
	return c.print(done, func(w io.Writer) {
		for _, d := range done.Differences {
			fmt.Fprintln(w, difference(d))
		}
		switch {
		case len(done.Differences) == 0:
			fmt.Fprintf(w, "Nothing is different. This is version %d.\n", done.Version)
		case preview:
			fmt.Fprintf(w, "Nothing was changed. This is version %d still.\n", done.Version)
		default:
			fmt.Fprintf(w, "This is version %d now.\n", done.Version)
		}
	})
}

// difference says one in a line: "contact.city required: false -> true".
func difference(d schema.Difference) string {
	name := d.Entity
	if d.Field != "" {
		name += "." + d.Field
	}
	what := strings.TrimSpace(d.What + " " + d.Lang)
	if d.Choice != "" {
		what = strconv.Quote(d.Choice) + " " + what
	}
	if d.What == "added" || d.What == "removed" {
		return name + "\t" + what
	}
	return fmt.Sprintf("%s\t%s: %v -> %v", name, what, worded(d.Before), worded(d.After))
}

func worded(v any) any {
	if v == nil || v == "" {
		return "none"
	}
	return v
}

func (c *command) schemaVersions() *cobra.Command {
	var limit int
	cmd := &cobra.Command{Use: "versions", Short: "List the changes, the newest first", Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
		all := []schema.Version{}
		if err := c.ask(cmd.Context(), control.Wish{Act: "schema-versions", Args: map[string]int{"Limit": limit}, Result: &all}); err != nil {
			return err
		}
		return c.print(all, func(w io.Writer) {
			for _, v := range all {
				about := make([]string, len(v.Ops))
				for i, op := range v.Ops {
					about[i] = op.String()
				}
				if v.To != 0 {
					about = []string{fmt.Sprint("back to version ", v.To)}
				}
				fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", v.Number, v.At.Local().Format(time.DateTime), v.By, strings.Join(about, "; "))
			}
			if len(all) == 0 {
				fmt.Fprintln(w, "Nothing was changed yet. Version 1 is how Karov comes.")
			}
		})
	}}
	cmd.Flags().IntVar(&limit, "limit", 50, "how many at most")
	return cmd
}

func (c *command) schemaRevert() *cobra.Command {
	var preview bool
	var seen uint64
	cmd := &cobra.Command{Use: "revert VERSION", Short: "Go back to an older version; what was made since is hidden", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			to, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil || to == 0 {
				return usageError{fmt.Errorf("%q is no version", args[0])}
			}
			return c.reviseSchema(cmd, "schema-revert", map[string]any{"Version": seen, "To": to, "Preview": preview}, preview)
		}}
	cmd.Flags().BoolVar(&preview, "preview", false, "say what would be different, change nothing")
	cmd.Flags().Uint64Var(&seen, "seen", 0, "version that was looked at; refused when another counts now")
	return cmd
}

// atMost wraps cobra's check so that its error is one of usage.
func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := cobra.MaximumNArgs(n)(cmd, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}

package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/karov-crm/karov/appliance/control"
)

// team is a team as the daemon sends one.
type team struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	Members int      `json:"members"`
	Emails  []string `json:"emails,omitempty"`
}

func (c *command) team() *cobra.Command {
	cmd := &cobra.Command{Use: "team", Short: "Groups of colleagues who may see each other's customers"}
	add := &cobra.Command{Use: "add NAME", Short: "Make a team", Args: exactly(1), RunE: func(cmd *cobra.Command, args []string) error {
		var t team
		if err := c.ask(cmd.Context(), control.Wish{Act: "team-add", Args: map[string]string{"Name": args[0]}, Result: &t}); err != nil {
			return err
		}
		return c.print(t, func(w io.Writer) {
			fmt.Fprintf(w, "%s: karov staff move EMAIL --team %q brings somebody into it\n", t.Name, t.Name)
		})
	}}
	list := &cobra.Command{Use: "list", Short: "List teams and who is in them", Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
		all := []team{}
		if err := c.ask(cmd.Context(), control.Wish{Act: "team-list", Args: struct{}{}, Result: &all}); err != nil {
			return err
		}
		return c.print(all, func(w io.Writer) {
			for _, t := range all {
				fmt.Fprintf(w, "%s\t%d\t%s\n", t.Name, t.Members, strings.Join(t.Emails, ", "))
			}
			if len(all) == 0 {
				fmt.Fprintln(w, "There are no teams: karov staff team add NAME")
			}
		})
	}}
	rename := &cobra.Command{Use: "rename TEAM NAME", Short: "Give a team another name", Args: exactly(2), RunE: func(cmd *cobra.Command, args []string) error {
		return c.ask(cmd.Context(), control.Wish{Act: "team-rename", Args: map[string]string{"Team": args[0], "Name": args[1]}})
	}}
	remove := &cobra.Command{Use: "remove TEAM", Short: "Take away a team that has no members", Args: exactly(1), RunE: func(cmd *cobra.Command, args []string) error {
		return c.ask(cmd.Context(), control.Wish{Act: "team-remove", Args: map[string]string{"Team": args[0]}})
	}}
	cmd.AddCommand(add, list, rename, remove)
	return cmd
}

// staffRights are the commands about a colleague's team and role.
func (c *command) staffRights() []*cobra.Command {
	var to string
	move := &cobra.Command{Use: "move EMAIL --team TEAM", Short: "Put a colleague into a team; at once", Args: exactly(1), RunE: func(cmd *cobra.Command, args []string) error {
		if !cmd.Flags().Changed("team") {
			return usageError{fmt.Errorf(`name the team with --team, or --team "" for none`)}
		}
		return c.ask(cmd.Context(), control.Wish{Act: "staff-move", Args: map[string]string{"Email": args[0], "Team": to}})
	}}
	move.Flags().StringVar(&to, "team", "", `the team, "" for none`)
	role := &cobra.Command{Use: "role EMAIL ROLE", Short: "Give a colleague another role; at once", Args: exactly(2), RunE: func(cmd *cobra.Command, args []string) error {
		return c.ask(cmd.Context(), control.Wish{Act: "staff-role", Args: map[string]string{"Email": args[0], "Role": args[1]}})
	}}
	return []*cobra.Command{c.team(), move, role}
}

package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/karov-crm/karov/appliance/control"
)

func (c *command) staff() *cobra.Command {
	cmd := &cobra.Command{Use: "staff", Short: "The people who work with Karov"}
	var name, role, lang string
	var stdin, enabled bool
	add := &cobra.Command{Use: "add EMAIL", Short: "Add a colleague", Args: exactly(1), RunE: func(cmd *cobra.Command, args []string) error {
		password, err := c.secret(stdin, "KAROV_PASSWORD", "Password for "+args[0])
		if err != nil {
			return err
		}
		var a account
		wish := map[string]string{"Email": args[0], "Name": name, "Role": role, "Lang": lang, "Password": password}
		if err := c.ask(cmd.Context(), control.Wish{Act: "staff-add", Args: wish, Result: &a}); err != nil {
			return err
		}
		return c.print(a, func(w io.Writer) { fmt.Fprintf(w, "%s can sign in as %s\n", a.Email, a.Role) })
	}}
	add.Flags().StringVar(&name, "name", "", "name")
	add.Flags().StringVar(&role, "role", "agent", "owner, manager, agent, viewer, or a role of the office's own")
	add.Flags().StringVar(&lang, "language", "he", "he, ru or en")
	add.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from standard input")
	list := &cobra.Command{Use: "list", Short: "List all", Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
		var all []account
		if err := c.ask(cmd.Context(), control.Wish{Act: "staff-list", Args: struct{}{}, Result: &all}); err != nil {
			return err
		}
		return c.print(all, func(w io.Writer) {
			for _, a := range all {
				state := ""
				if a.Disabled {
					state = "disabled"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", a.Email, a.Name, a.Role, a.Lang, state)
			}
		})
	}}
	disable := &cobra.Command{Use: "disable EMAIL", Short: "End a colleague's access at once", Args: exactly(1), RunE: func(cmd *cobra.Command, args []string) error {
		return c.ask(cmd.Context(), control.Wish{Act: "staff-disable", Args: map[string]any{"Email": args[0], "Enabled": enabled}})
	}}
	disable.Flags().BoolVar(&enabled, "undo", false, "give access back")
	reset := &cobra.Command{Use: "reset EMAIL", Short: "Give a new password and end all sessions", Args: exactly(1), RunE: func(cmd *cobra.Command, args []string) error {
		password, err := c.secret(stdin, "KAROV_PASSWORD", "New password for "+args[0])
		if err != nil {
			return err
		}
		return c.ask(cmd.Context(), control.Wish{Act: "staff-reset", Args: map[string]string{"Email": args[0], "Password": password}})
	}}
	reset.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from standard input")
	cmd.AddCommand(add, list, disable, reset)
	cmd.AddCommand(c.staffRights()...)
	return cmd
}

func (c *command) token() *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Tokens with which programs use the API"}
	var email, name string
	create := &cobra.Command{Use: "create", Short: "Make a token; it is shown once", Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
		var made map[string]string
		wish := control.Wish{Act: "token-create", Args: map[string]string{"Email": email, "Name": name}, Result: &made}
		if err := c.ask(cmd.Context(), wish); err != nil {
			return err
		}
		return c.print(made, func(w io.Writer) { fmt.Fprintln(w, made["token"]) })
	}}
	create.Flags().StringVar(&email, "email", "", "whose rights it has (default: the owner's)")
	create.Flags().StringVar(&name, "name", "", "what it is for")
	list := &cobra.Command{Use: "list", Short: "List tokens", Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
		var all []struct {
			ID      string    `json:"id"`
			Name    string    `json:"name"`
			Account string    `json:"account"`
			Created time.Time `json:"created"`
		}
		if err := c.ask(cmd.Context(), control.Wish{Act: "token-list", Args: struct{}{}, Result: &all}); err != nil {
			return err
		}
		return c.print(all, func(w io.Writer) {
			for _, t := range all {
				fmt.Fprintf(w, "%s\t%s\t%s\n", t.ID, t.Name, t.Created.Local().Format(time.DateTime))
			}
		})
	}}
	revoke := &cobra.Command{Use: "revoke ID", Short: "End a token", Args: exactly(1), RunE: func(cmd *cobra.Command, args []string) error {
		return c.ask(cmd.Context(), control.Wish{Act: "token-revoke", Args: map[string]string{"ID": args[0]}})
	}}
	cmd.AddCommand(create, list, revoke)
	return cmd
}

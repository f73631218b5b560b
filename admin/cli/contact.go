package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/control"
)

func (c *command) contact() *cobra.Command {
	cmd := &cobra.Command{Use: "contact", Short: "Single customers"}
	var reason string
	forget := &cobra.Command{Use: "forget ID --reason REASON", Short: "Erase a person for good: card, history, messages, files",
		Long: "Erases a customer and everything that hangs on him, for good: nobody can take it back. Backups that were made before\n" +
			"still hold him until they are forgotten themselves; a restore of one forgets him again by the tombstone that stays.\n" +
			"Reasons: " + strings.Join(contact.Reasons(), ", ") + ".",
		Args: exactly(1), RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(contact.Reasons(), reason) {
				return usageError{errors.New("say why with --reason: " + strings.Join(contact.Reasons(), ", "))}
			}
			wish := control.Wish{Act: "contact-forget", Args: map[string]string{"ID": args[0], "Reason": reason}}
			if err := c.ask(cmd.Context(), wish); err != nil {
				return err
			}
			return c.print(map[string]string{"forgotten": args[0]}, func(w io.Writer) {
				fmt.Fprintln(w, "The person is forgotten. What is left of a long history goes within the next seconds.")
			})
		}}
	forget.Flags().StringVar(&reason, "reason", "", strings.Join(contact.Reasons(), ", "))
	cmd.AddCommand(forget)
	return cmd
}

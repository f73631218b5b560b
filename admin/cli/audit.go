package cli

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/karov-crm/karov/appliance/control"
	"github.com/karov-crm/karov/appliance/journal"
)

// Verified is what a check of the journal came to.
type Verified struct {
	Facts  int    `json:"facts"`
	Anchor string `json:"anchor"` // of the newest fact
}

func (c *command) audit() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "Look at the journal: who did, read and took out what"}
	anchor := &cobra.Command{Use: "anchor", Short: "Print the number and hash of the newest entry, to be kept elsewhere",
		Long: "Prints what proves later that every entry up to now still stands. Keep it away from this machine, on paper or in a mail:\n" +
			"whoever can write the data file could take the newest entries away so that nothing in it shows that.\n" +
			"karov audit verify --anchor holds the journal against it. Each backup holds the anchor of its moment too.",
		Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
			var v Verified
			if err := c.ask(cmd.Context(), control.Wish{Act: "audit-anchor", Args: struct{}{}, Result: &v}); err != nil {
				return err
			}
			return c.print(v, func(w io.Writer) { fmt.Fprintln(w, v.Anchor) })
		}}
	cmd.AddCommand(c.auditVerify(), c.auditList(), anchor)
	return cmd
}

func (c *command) auditVerify() *cobra.Command {
	var anchors []string
	cmd := &cobra.Command{Use: "verify [FILE]", Short: "Check that no entry was changed, removed or reordered",
		Long: "Walks over the whole journal of the running daemon; of the data folder, where none runs; or of FILE, a copy of karov.db.\n" +
			"The first entry that does not hold is named with its number and its time.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{errors.New("name one file at most")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, text := range anchors {
				if _, err := journal.ParseAnchor(text); err != nil {
					return err
				}
			}
			var v Verified
			var err error
			if len(args) == 0 {
				err = c.ask(cmd.Context(), control.Wish{Act: "audit-verify", Args: map[string][]string{"Anchors": anchors}, Result: &v})
			}
			if len(args) == 1 || notRunning(err) {
				file := append(args, "")[0]
				v, err = c.verifyFile(cmd, file, anchors)
			}
			if err != nil {
				return err
			}
			return c.print(v, func(w io.Writer) {
				fmt.Fprintf(w, "%d facts, the chain is whole\n", v.Facts)
				if v.Anchor != "" {
					fmt.Fprintf(w, "anchor %s\n", v.Anchor)
				}
			})
		}}
	cmd.Flags().StringArrayVar(&anchors, "anchor", nil, "what karov audit anchor printed earlier; may be given again")
	return cmd
}

// verifyFile checks the journal of a file, "" for that of the data folder, without the daemon.
func (c *command) verifyFile(cmd *cobra.Command, file string, anchors []string) (Verified, error) {
	if file == "" {
		conf, err := c.load()
		if err != nil {
			return Verified{}, err
		}
		file = conf.Data
	}
	return c.VerifyFile(cmd.Context(), file, anchors)
}

// fact is a fact as the daemon sends one.
type fact struct {
	journal.Fact
	Who string `json:"who,omitempty"` // the actor's name
}

func (c *command) auditList() *cobra.Command {
	var actor, record, name, since, until string
	var limit int
	cmd := &cobra.Command{Use: "list", Short: "List who did and read what, newest first",
		Long: "Times are 90m, 24h, 7d (so long ago), 2026-11-22, or 2026-11-22T09:00:00Z. A record is named by its kind and id, as\n" +
			"contact:0198a6f2-7c3e-7d41-9a55-3f0e6b1c2d4e: of a customer, all that concerns him is listed.",
		Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
			wish := map[string]any{"Actor": actor, "Record": record, "Name": name, "Limit": limit}
			for flag, text := range map[string]string{"Since": since, "Until": until} {
				at, err := moment(text, time.Now())
				if err != nil {
					return usageError{fmt.Errorf("--%s: %w", strings.ToLower(flag), err)}
				}
				wish[flag] = at
			}
			all := []fact{}
			if err := c.ask(cmd.Context(), control.Wish{Act: "audit-list", Args: wish, Result: &all}); err != nil {
				return err
			}
			return c.print(all, func(w io.Writer) {
				for _, f := range all {
					fmt.Fprintln(w, f.line())
				}
				if len(all) == 0 {
					fmt.Fprintln(w, "Nothing was found.")
				}
			})
		}}
	cmd.Flags().StringVar(&actor, "actor", "", "who did it: an e-mail address, an account's id, system, plugin:ID")
	cmd.Flags().StringVar(&record, "record", "", "about what: KIND:ID, KIND or ID")
	cmd.Flags().StringVar(&name, "name", "", "beginning of what happened, as contact. or staff.signed-in")
	cmd.Flags().StringVar(&since, "since", "", "not before")
	cmd.Flags().StringVar(&until, "until", "", "before")
	cmd.Flags().IntVar(&limit, "limit", 100, "how many at most")
	return cmd
}

// line is a fact for people: number, time, who, what, about what, which fields or words.
func (f fact) line() string {
	who := f.Who
	if who == "" {
		who = f.Actor
	}
	about := f.Entity
	if f.ID != "" {
		about += ":" + f.ID
	}
	parts := append([]string{}, f.Fields...)
	for _, key := range []string{"reason", "role", "via", "channel", "results", "times", "count"} {
		if value := f.About[key]; value != "" {
			parts = append(parts, key+"="+value)
		}
	}
	return strings.Join([]string{strconv.FormatUint(f.Seq, 10), f.At.Local().Format(time.DateTime), who, f.Name, about, strings.Join(parts, " ")}, "\t")
}

// moment reads a point in time as people write it: so long ago, a day, or a moment. An empty text is the zero time.
func moment(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return now.AddDate(0, 0, -int(n)), nil
		}
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339, time.DateTime} {
		if at, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time; write 24h, 7d, 2026-11-22 or 2026-11-22T09:00:00Z", text)
}

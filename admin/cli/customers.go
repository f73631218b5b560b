package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/karov-crm/karov/appliance/control"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/transfer"
)

func (c *command) importFile() *cobra.Command {
	var pairs []string
	var dry bool
	cmd := &cobra.Command{Use: "import ENTITY FILE", Short: "Bring customers, or records of any kind, in from a CSV file or a workbook",
		Long: "Reads a CSV as Excel, Outlook or Google save it, or the first sheet of a workbook (XLSX) that is not hidden. Rows that\n" +
			"cannot be taken are listed with line and reason and written to FILE.rejects.csv, which can be mended and imported\n" +
			"again. The same file twice changes nothing.\n" +
			"ENTITY is contact, or any other kind of record: its columns are then the names of its fields, the file may be JSON too, a\n" +
			"link is an id or the title of one record, a column id names records that are changed. So an export comes back.",
		Args: exactly(2), RunE: func(cmd *cobra.Command, args []string) error {
			mapped, err := transfer.ParseMap(pairs)
			if err != nil {
				return err
			}
			file, err := os.Open(args[1])
			if err != nil {
				return usageError{err}
			}
			defer file.Close()
			rejects := &rejectFile{path: strings.TrimSuffix(args[1], filepath.Ext(args[1])) + ".rejects.csv"}
			var result transfer.Result
			err = c.ask(cmd.Context(), control.Wish{Act: "import", File: file, Result: &result,
				Args:     map[string]any{"Entity": args[0], "Name": filepath.Base(args[1]), "Map": mapped, "DryRun": dry},
				Progress: func(raw json.RawMessage) { c.importProgress(raw, rejects) }})
			if err := errors.Join(err, rejects.close()); err != nil {
				return err
			}
			return c.print(result, func(w io.Writer) { c.imported(w, result, rejects) })
		}}
	cmd.Flags().StringArrayVar(&pairs, "map", nil, `what a column means, as "Header=field"; "Header=-" leaves it out`)
	cmd.Flags().BoolVar(&dry, "dry-run", false, "read and check, write nothing")
	return cmd
}

// rejectFile is made with its first line, so that an import without rejects leaves no file.
type rejectFile struct {
	path string
	file *os.File
	err  error
}

func (r *rejectFile) write(b []byte) {
	if r.file == nil && r.err == nil {
		r.file, r.err = os.OpenFile(r.path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	}
	if r.err == nil {
		_, r.err = r.file.Write(b)
	}
}

func (r *rejectFile) close() error {
	if r.file == nil {
		return r.err
	}
	return errors.Join(r.err, r.file.Close())
}

func (c *command) importProgress(raw json.RawMessage, rejects *rejectFile) {
	var p struct {
		Rows    *transfer.Progress `json:"rows"`
		Rejects []byte             `json:"rejects"`
	}
	if json.Unmarshal(raw, &p) != nil {
		return
	}
	if len(p.Rejects) > 0 {
		rejects.write(p.Rejects)
	}
	if p.Rows != nil && !c.json && p.Rows.Rows%5000 == 0 {
		fmt.Fprintf(c.Err, "%d rows, %d%%\n", p.Rows.Rows, p.Rows.Bytes*100/max(1, p.Rows.Size))
	}
}

func (c *command) imported(w io.Writer, r transfer.Result, rejects *rejectFile) {
	fmt.Fprintf(w, "rows\t%d\ncreated\t%d\nupdated\t%d\nunchanged\t%d\nrejected\t%d\n", r.Rows, r.Created, r.Updated, r.Unchanged, r.Rejected)
	fmt.Fprintf(w, "read as\t%s, separator %q\n", r.Encoding, r.Separator)
	if unmapped := r.Unmapped(); len(unmapped) > 0 {
		fmt.Fprintf(w, "not understood\t%s (say what they are with --map)\n", strings.Join(unmapped, ", "))
	}
	voice := c.voice()
	for i, reject := range r.Rejects {
		if i == 50 {
			fmt.Fprintf(w, "…\tand %d more\n", r.Rejected-i)
			break
		}
		var reasons []string
		for _, f := range reject.Fields {
			reasons = append(reasons, voice.Fill(f.Key, f.Params))
		}
		fmt.Fprintf(w, "line %d\t%s\n", reject.Line, strings.Join(reasons, "; "))
	}
	if rejects.file != nil {
		fmt.Fprintf(w, "rejected rows\t%s\n", rejects.path)
	}
}

func (c *command) seed() *cobra.Command {
	var contacts, letters, work int
	var number uint64
	cmd := &cobra.Command{Use: "seed", Short: "Fill in synthetic customers, for trials and measurements", Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
		if letters < 0 {
			letters = min(contacts/50, 200)
		}
		if work < 0 {
			work = min(contacts/20, 500)
		}
		var r map[string]int
		err := c.ask(cmd.Context(), control.Wish{Act: "seed", Args: map[string]any{"Contacts": contacts, "Letters": letters, "Seed": number,
			"Tasks": min(2*work, contacts), "Deals": work, "Leads": work / 2},
			Result: &r, Progress: func(raw json.RawMessage) { c.seedProgress(raw) }})
		if err != nil {
			return err
		}
		return c.print(r, func(w io.Writer) {
			fmt.Fprintf(w, "%d customers, %d letters, %d tasks, %d deals, %d leads\n", r["created"], r["letters"], r["tasks"], r["deals"], r["leads"])
		})
	}}
	cmd.Flags().IntVar(&contacts, "contacts", 10000, "how many customers")
	cmd.Flags().IntVar(&letters, "letters", -1, "how many letters they wrote (default: one for 50 customers, at most 200)")
	cmd.Flags().IntVar(&work, "deals", -1, "how many deals they have, with twice as many tasks (default: one for 20 customers, at most 500)")
	cmd.Flags().Uint64Var(&number, "seed", 1, "the same number makes the same customers")
	return cmd
}

func (c *command) seedProgress(raw json.RawMessage) {
	var p struct{ Done, Of int }
	if json.Unmarshal(raw, &p) == nil && !c.json && p.Of > 0 && (p.Done == p.Of || p.Done%2500 == 0) {
		fmt.Fprintf(c.Err, "%d of %d customers\n", p.Done, p.Of)
	}
}

// notRunning tells whether no daemon answered.
func notRunning(err error) bool { return err != nil && fault.Of(err).Key == "control.not-running" }

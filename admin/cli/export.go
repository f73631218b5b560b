package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/karov-crm/karov/appliance/control"
	"github.com/karov-crm/karov/appliance/transfer"
)

func (c *command) export() *cobra.Command {
	var order transfer.Order
	var out string
	cmd := &cobra.Command{Use: "export ENTITY", Short: "Take records out into a file: CSV, JSON, Excel, vCard",
		Long: "Writes all records of an entity that match, oldest first. In CSV a cell that a spreadsheet would calculate (it begins with\n" +
			"= + - @ and the like) has an apostrophe before it; an import takes exactly that apostrophe off again. Sensitive fields are\n" +
			"left out unless --sensitive is given. The journal notes what was taken out.",
		Args: exactly(1), RunE: func(cmd *cobra.Command, args []string) error {
			order.Entity = args[0]
			file := &exportFile{path: out, std: c.Out}
			var result struct {
				Rows   int      `json:"rows"`
				Fields []string `json:"fields"`
				File   string   `json:"file,omitempty"`
			}
			err := c.ask(cmd.Context(), control.Wish{Act: "export", Args: order, Result: &result,
				Progress: func(raw json.RawMessage) { c.exportProgress(raw, file) }})
			if err := file.close(err); err != nil {
				return err
			}
			if result.File = out; out == "" {
				return nil
			}
			return c.print(result, func(w io.Writer) { fmt.Fprintf(w, "%d records in %s\n", result.Rows, out) })
		}}
	cmd.Flags().StringVar(&order.Format, "format", transfer.CSV, "csv, json, xlsx; vcf for contacts")
	cmd.Flags().StringVar(&order.Filter, "filter", "", `only records that match, as 'city = "Haifa" and updated_at >= today-90d'`)
	cmd.Flags().StringSliceVar(&order.Fields, "fields", nil, "names of the fields, with commas between (default: all that are not sensitive)")
	cmd.Flags().BoolVar(&order.Sensitive, "sensitive", false, "sensitive fields too")
	cmd.Flags().BoolVar(&order.Mark, "bom", false, "begin a CSV with a byte order mark, by which Excel knows UTF-8")
	cmd.Flags().StringVar(&out, "out", "", "file to write (default: standard output)")
	return cmd
}

// exportFile is written beside its name and gets it when it is whole, so that half an export is not taken for one.
type exportFile struct {
	path string
	std  io.Writer
	file *os.File
	err  error
}

func (f *exportFile) write(b []byte) {
	if f.path == "" {
		_, err := f.std.Write(b)
		f.err = errors.Join(f.err, err)
		return
	}
	if f.file == nil && f.err == nil {
		f.file, f.err = os.OpenFile(f.path+".part", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	}
	if f.err == nil {
		_, f.err = f.file.Write(b)
	}
}

// close gives a whole file its name, and takes a part away.
func (f *exportFile) close(failed error) error {
	if f.file == nil {
		return errors.Join(failed, f.err)
	}
	err := errors.Join(failed, f.err, f.file.Sync(), f.file.Close())
	if err != nil {
		return errors.Join(err, os.Remove(f.file.Name()))
	}
	return os.Rename(f.file.Name(), f.path)
}

func (c *command) exportProgress(raw json.RawMessage, file *exportFile) {
	var p struct {
		Rows int    `json:"rows"`
		File []byte `json:"file"`
	}
	if json.Unmarshal(raw, &p) != nil {
		return
	}
	if len(p.File) > 0 {
		file.write(p.File)
	}
	if file.path != "" && !c.json && p.Rows > 0 && p.Rows%10000 == 0 {
		fmt.Fprintf(c.Err, "%d records\n", p.Rows)
	}
}

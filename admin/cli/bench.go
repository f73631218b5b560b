package cli

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/karov-crm/karov/appliance/bench"
	"github.com/karov-crm/karov/appliance/fault"
)

func (c *command) bench() *cobra.Command {
	o := bench.Defaults()
	var keep string
	cmd := &cobra.Command{Use: "bench", Short: "Measure Karov on this machine, beside the bare database beneath it",
		Long: "Makes synthetic customers in a temporary folder, measures what people wait for, and prints each figure beside its floor: the\n" +
			"same reads and writes by the database engine alone, in the same run. Needs about 1.5 GB of disk for each 100,000 customers.",
		Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Contacts < 1000 || o.Messages < 1 || o.Rows < 1 {
				return usageError{fmt.Errorf("at least 1000 contacts, 1 message for each and 1 row are needed")}
			}
			o.Tell = c.benchProgress()
			log := slog.New(slog.NewTextHandler(c.Err, &slog.HandlerOptions{Level: slog.LevelWarn}))
			report, err := c.Bench(cmd.Context(), log, keep, o)
			if err != nil {
				return err
			}
			if err := c.print(report, func(w io.Writer) { benched(w, report) }); err != nil || report.Passed() {
				return err
			}
			return fault.New(fault.Invalid, "bench.missed")
		}}
	cmd.Flags().IntVar(&o.Contacts, "contacts", o.Contacts, "how many customers")
	cmd.Flags().IntVar(&o.Messages, "messages", o.Messages, "messages and tasks of each")
	cmd.Flags().IntVar(&o.Rows, "rows", o.Rows, "rows of the imported file")
	cmd.Flags().Uint64Var(&o.Seed, "seed", o.Seed, "the same number makes the same customers")
	cmd.Flags().StringVar(&keep, "keep", "", "a new folder for the data, which stays (default: a temporary one)")
	return cmd
}

// benched writes the figures as a table.
func benched(w io.Writer, r bench.Report) {
	fmt.Fprintf(w, "%d contacts, %d messages, %.2f GB, made in %.0f s\n\n", r.Contacts, r.Messages, float64(r.StoreBytes)/1e9, r.FillTime)
	fmt.Fprintln(w, "operation\tvalue\tfloor\tratio\tgoal\tmet\t")
	for _, row := range r.Rows {
		floor, ratio, met := "", "", "yes"
		if row.Floor > 0 {
			floor, ratio = figure(row.Floor)+" "+row.Unit, fmt.Sprintf("%.2fx", row.Ratio)
		}
		if !row.Pass {
			met = "NO"
		}
		fmt.Fprintf(w, "%s\t%s %s\t%s\t%s\t%s\t%s\t%s\n", row.Name, figure(row.Value), row.Unit, floor, ratio, row.Goal, met, row.Note)
	}
}

// figure writes three digits that count.
func figure(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.*f", max(0, 2-int(math.Floor(math.Log10(max(v, 1e-3))))), v)
}

// benchProgress shows a bar on a terminal and lines elsewhere.
func (c *command) benchProgress() func(what string, done, of int) {
	const width = 30
	bar := terminal(c.Err)
	var last time.Time
	var before string
	return func(what string, done, of int) {
		if c.json || what == before && done < of && time.Since(last) < map[bool]time.Duration{true: 200 * time.Millisecond, false: 5 * time.Second}[bar] {
			return
		}
		last, before = time.Now(), what
		if !bar {
			fmt.Fprintf(c.Err, "%s: %d of %d\n", what, done, of)
			return
		}
		full := done * width / max(1, of)
		fmt.Fprintf(c.Err, "\r%-16s [%s%s] %d of %d\x1b[K", what, strings.Repeat("#", full), strings.Repeat(".", width-full), done, of)
		if what == "done" {
			fmt.Fprint(c.Err, "\r\x1b[K")
		}
	}
}

// terminal tells whether somebody sits before it.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

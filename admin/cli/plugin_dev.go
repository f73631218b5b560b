package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/karov-crm/karov/appliance/control"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/plugin/kit"
)

// developing is a plugin's folder that is watched.
type developing struct {
	*command
	dir, work string
	rounds    int
	id        string // of what runs, "" before the first time
}

// developPlugin builds a plugin into a running office on each save.
func (c *command) developPlugin() *cobra.Command {
	return &cobra.Command{Use: "dev DIR", Short: "Run the plugin of a folder in the office, anew on each save", Args: exactly(1),
		Long: "Builds the plugin, lets the running Karov start it as it is, unsigned but locked in, and shows its log. On each save it is built again and " +
			"takes the place of the one before; one that does not compile or start leaves that running. Ctrl-C takes it out. Karov must be able to read " +
			"the folder for temporary files: use an office of your own.",
		RunE: func(cmd *cobra.Command, args []string) error {
			work, err := os.MkdirTemp("", "karov-dev-")
			if err != nil {
				return fault.Wrap(err, fault.Unavailable, "kit.setup")
			}
			defer os.RemoveAll(work)
			d := &developing{command: c, dir: args[0], work: work}
			defer d.end()
			return d.run(cmd.Context())
		}}
}

func (d *developing) run(ctx context.Context) error {
	stamp, err := kit.StampOf(d.dir)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "pack.folder-unreadable", "file", d.dir)
	}
	for ctx.Err() == nil {
		known := d.id != ""
		if err := d.round(ctx); err != nil {
			if ctx.Err() == nil {
				d.tell(err)
			}
		} else if !known {
			go d.follow(ctx)
		}
		if stamp, err = kit.Await(ctx, d.dir, stamp); err != nil {
			break // Ctrl-C
		}
	}
	return nil
}

// round builds the plugin and lets it run.
func (d *developing) round(ctx context.Context) error {
	began := time.Now()
	d.rounds++
	built := filepath.Join(d.work, fmt.Sprint(d.rounds))
	m, err := kit.Build(ctx, d.dir, built)
	if err != nil {
		return err
	}
	compiled := time.Since(began)
	var now struct {
		Version string `json:"version"`
		State   string `json:"state"`
		PID     int    `json:"pid"`
	}
	if err := d.ask(ctx, control.Wish{Act: "plugin-dev", Args: map[string]string{"ID": m.ID, "Dir": built}, Result: &now}); err != nil {
		return err
	}
	d.id = m.ID
	if d.rounds > 1 { // the one before is not used any more
		if err := os.RemoveAll(filepath.Join(d.work, fmt.Sprint(d.rounds-1))); err != nil {
			return fault.Wrap(err, fault.Unavailable, "pack.unwritable", "file", d.work)
		}
	}
	if d.json {
		return json.NewEncoder(d.Out).Encode(map[string]any{"id": m.ID, "version": now.Version, "state": now.State, "pid": now.PID,
			"built_ms": compiled.Milliseconds(), "ms": time.Since(began).Milliseconds()})
	}
	fmt.Fprintf(d.Out, "%s %s %s: built in %s, in use after %s\n", m.ID, now.Version, now.State, compiled.Round(time.Millisecond),
		time.Since(began).Round(time.Millisecond))
	return nil
}

// follow shows the plugin's log until ctx ends.
func (d *developing) follow(ctx context.Context) {
	wish := control.Wish{Act: "plugin-logs", Args: map[string]any{"ID": d.id, "Level": "debug", "Follow": true}, Progress: d.showLine}
	if err := d.ask(ctx, wish); err != nil && ctx.Err() == nil {
		d.tell(err)
	}
}

// end takes the plugin out of the office.
func (d *developing) end() {
	if d.id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // the command's own was ended by Ctrl-C
	defer cancel()
	if err := d.ask(ctx, control.Wish{Act: "plugin-dev", Args: map[string]string{"ID": d.id, "Dir": ""}}); err != nil {
		d.tell(err)
	}
}
